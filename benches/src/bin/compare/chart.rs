//! The ratios as a drawing: one bar each, the line of equality, and whiskers for the spread.
//!
//! Must be readable on a light and on a dark page.

use std::fmt::Write as _;

/// One ratio: what Conclave needs, in what etcd needs.
pub struct Bar {
    pub label: String,
    pub ratio: f64,
    /// Least and greatest of all pairs of rounds.
    pub spread: (f64, f64),
}

/// Pixels of a ratio of one.
const ONE: f64 = 300.0;
/// Ratios beyond this are drawn as this.
const MOST: f64 = 1.6;
/// Pixels of the labels.
const LABELS: f64 = 330.0;
const ROW: f64 = 22.0;

/// An SVG of bars, from top to bottom.
pub fn draw(bars: &[Bar]) -> String {
    let at = |ratio: f64| LABELS + ratio.clamp(0.0, MOST) * ONE;
    let (width, height) = (at(MOST) + 80.0, ROW * (bars.len() as f64 + 2.0));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>text{{fill:#333}}@media(prefers-color-scheme:dark){{text{{fill:#ddd}}}}</style>\n\
         <text x=\"{}\" y=\"14\">Conclave, as a share of etcd (the line); shorter is better</text>\n",
        at(0.0)
    );
    for (row, bar) in bars.iter().enumerate() {
        let y = ROW * (row as f64 + 1.0);
        let (color, middle) = (if bar.ratio <= 1.0 { "#2a9d6f" } else { "#d1603d" }, y + ROW / 2.0);
        let (least, most) = (at(bar.spread.0), at(bar.spread.1));
        // writing to a text does not fail
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"{color}\"/>\
             <path d=\"M{least:.1} {middle}H{most:.1}\" stroke=\"#888\" stroke-width=\"2\"/>\
             <text x=\"{:.1}\" y=\"{}\">{:.2}</text>",
            LABELS - 8.0,
            middle + 4.0,
            escaped(&bar.label),
            at(0.0),
            y + 3.0,
            at(bar.ratio) - at(0.0),
            ROW - 6.0,
            most.max(at(bar.ratio)) + 6.0,
            middle + 4.0,
            bar.ratio,
        );
    }
    let _ = writeln!(
        out,
        "<path d=\"M{0} {ROW}V{1}\" stroke=\"#888\" stroke-dasharray=\"4 3\"/>\n</svg>",
        at(1.0),
        height - ROW
    );
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_ratio_and_labels_are_escaped() {
        let bar = |ratio| Bar { label: "a<b".into(), ratio, spread: (ratio, ratio) };
        let drawn = draw(&[bar(0.5), bar(9.0)]);
        assert!(drawn.contains("width=\"150.0\"") && drawn.contains("width=\"480.0\""), "{drawn}");
        assert!(drawn.contains("a&lt;b") && !drawn.contains("a<b"), "{drawn}");
    }
}
