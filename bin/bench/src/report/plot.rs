//! One line plot as SVG: axes, ticks, lines, legend.
//!
//! Must stand alone: no script, no font, no file from elsewhere.

use std::fmt::Write;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 120.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 45.0;

/// Colours that differ for most eyes, on white and on black, in order of use.
const COLOURS: [&str; 6] = ["#2f8fd8", "#f28e2b", "#e15759", "#3fa34d", "#a472c4", "#8a8f98"];

/// Lines with no more points than this show them; one alone would not be seen otherwise.
const DOTS: usize = 40;

/// A line of a plot.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// A plot.
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) x: String,
    pub(super) y: String,
    /// Equal ratios at equal distances.
    pub(super) log_y: bool,
    /// Places and words along the bottom; empty: chosen from the values.
    pub(super) x_ticks: Vec<(f64, String)>,
    pub(super) lines: Vec<Line>,
}

/// Text that is safe inside markup.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A number in as few characters as a tick needs.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{}M", trimmed(value / 1e6)),
        v if v >= 1e4 => format!("{}k", trimmed(value / 1e3)),
        _ => trimmed(value),
    }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// About five round numbers from zero to `top`.
fn round_steps(top: f64) -> Vec<f64> {
    let rough = (top / 5.0).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|m| m * power).find(|s| *s >= rough).unwrap_or(power * 10.0);
    (0..=(top / step).ceil() as usize).map(|i| i as f64 * step).collect()
}

/// 1, 2, 5, 10 … around these; powers of ten alone where that would be too many.
fn log_steps(least: f64, top: f64) -> Vec<f64> {
    let around = |mantissas: &[f64]| {
        let powers = least.log10().floor() as i32 - 1..=top.log10().ceil() as i32 + 1;
        let all: Vec<f64> = powers.flat_map(|power| mantissas.iter().map(move |m| m * 10f64.powi(power))).collect();
        // a value that is a step itself, give or take how it was computed, needs no step further out
        let from = all.iter().rposition(|step| *step <= least * 1.000_001).unwrap_or(0);
        let to = all.iter().position(|step| *step >= top * 0.999_999).unwrap_or(all.len() - 1);
        all[from..=to.max(from + 1)].to_vec()
    };
    let fine = around(&[1.0, 2.0, 5.0]);
    if fine.len() <= 8 { fine } else { around(&[1.0]) }
}

struct Scale {
    x: (f64, f64),
    y: (f64, f64),
    log: bool,
    y_ticks: Vec<f64>,
}

impl Scale {
    fn of(plot: &Plot) -> Self {
        let points = || plot.lines.iter().flat_map(|line| line.points.iter());
        let fold = |f: fn(f64, f64) -> f64, start, get: fn(&(f64, f64)) -> f64| points().map(get).fold(start, f);
        let x = (fold(f64::min, f64::MAX, |p| p.0), fold(f64::max, f64::MIN, |p| p.0));
        let top = fold(f64::max, 1e-6, |p| p.1);
        let x = if x.0 < x.1 { x } else { (x.0.min(0.0), x.0.min(0.0) + 1.0) };
        if !plot.log_y {
            let y_ticks = round_steps(top);
            let top = y_ticks.last().copied().unwrap_or(top);
            return Self { x, y: (0.0, top), log: false, y_ticks };
        }
        let least = points().map(|p| p.1).filter(|y| *y > 0.0).fold(top, f64::min);
        let y_ticks = log_steps(least, top);
        let y = (y_ticks[0].log10(), y_ticks[y_ticks.len() - 1].log10());
        Self { x, y, log: true, y_ticks }
    }

    fn across(&self, x: f64) -> f64 {
        LEFT + (x - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    fn up(&self, y: f64) -> f64 {
        let y = if self.log { y.max(10f64.powf(self.y.0)).log10() } else { y };
        HEIGHT - BOTTOM - (y - self.y.0) / (self.y.1 - self.y.0) * (HEIGHT - TOP - BOTTOM)
    }
}

fn drawn(out: &mut String, line: &Line, colour: &str, scale: &Scale) {
    let at = |(x, y): &(f64, f64)| (scale.across(*x), scale.up(*y));
    let path: Vec<String> = line.points.iter().map(at).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let (path, stroke) = (path.join(" "), format!("stroke=\"{colour}\" stroke-width=\"1.75\""));
    let _ = writeln!(out, "<polyline fill=\"none\" {stroke} stroke-linejoin=\"round\" points=\"{path}\"/>");
    if line.points.len() <= DOTS {
        for (x, y) in line.points.iter().map(at) {
            let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\"/>");
        }
    }
}

impl Plot {
    /// The plot as an `<svg>` element.
    pub(super) fn svg(&self) -> String {
        let scale = Scale::of(self);
        let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" xmlns=\"http://www.w3.org/2000/svg\">\n");
        let _ = writeln!(out, "<text class=\"title\" x=\"{LEFT}\" y=\"18\">{}</text>", escaped(&self.title));
        self.axes(&mut out, &scale);
        for (i, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            drawn(&mut out, line, colour, &scale);
            let (x, y) = (WIDTH - RIGHT + 12.0, TOP + 12.0 + 18.0 * i as f64);
            let (name, middle, end) = (escaped(&line.name), y - 4.0, x + 14.0);
            let stroke = format!("stroke=\"{colour}\" stroke-width=\"3\"");
            let _ = writeln!(out, "<line x1=\"{x}\" x2=\"{end}\" y1=\"{middle}\" y2=\"{middle}\" {stroke}/>");
            let _ = writeln!(out, "<text x=\"{}\" y=\"{y}\">{name}</text>", x + 20.0);
        }
        out.push_str("</svg>\n");
        out
    }

    fn axes(&self, out: &mut String, scale: &Scale) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in &scale.y_ticks {
            let (y, words) = (scale.up(*tick), short(*tick));
            let _ = writeln!(out, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
            let _ = writeln!(out, "<text class=\"end\" x=\"{}\" y=\"{:.1}\">{words}</text>", LEFT - 6.0, y + 4.0);
        }
        let chosen = || {
            let from = round_steps(scale.x.1).into_iter().filter(|x| *x >= scale.x.0 && *x <= scale.x.1);
            from.map(|x| (x, short(x))).collect()
        };
        let ticks: Vec<(f64, String)> = if self.x_ticks.is_empty() { chosen() } else { self.x_ticks.clone() };
        for (x, words) in ticks {
            let (x, words) = (scale.across(x), escaped(&words));
            let _ = writeln!(out, "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>");
            let _ = writeln!(out, "<text class=\"middle\" x=\"{x:.1}\" y=\"{}\">{words}</text>", bottom + 16.0);
        }
        let middle = LEFT + (right - LEFT) / 2.0;
        let (x, y) = (escaped(&self.x), escaped(&self.y));
        let _ = writeln!(out, "<text class=\"middle\" x=\"{middle}\" y=\"{}\">{x}</text>", HEIGHT - 8.0);
        let half = TOP + (bottom - TOP) / 2.0;
        let _ = writeln!(out, "<text class=\"middle\" transform=\"translate(16 {half}) rotate(-90)\">{y}</text>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_inside_and_names_are_escaped() {
        let line = Line { name: "a<b".into(), points: vec![(0.0, 0.5), (10.0, 120.0)] };
        for log_y in [false, true] {
            let lines = vec![Line { name: line.name.clone(), points: line.points.clone() }];
            let plot = Plot { title: "t".into(), x: "s".into(), y: "ms".into(), log_y, x_ticks: Vec::new(), lines };
            let scale = Scale::of(&plot);
            for (x, y) in &line.points {
                assert!((LEFT..=WIDTH - RIGHT).contains(&scale.across(*x)));
                assert!((TOP..=HEIGHT - BOTTOM).contains(&scale.up(*y)), "{log_y} {y} {}", scale.up(*y));
            }
            let svg = plot.svg();
            assert!(svg.contains("a&lt;b") && !svg.contains("NaN") && !svg.contains("inf"));
        }
    }

    #[test]
    fn one_point_and_none_are_no_error() {
        for points in [vec![], vec![(3.0, 0.0)]] {
            let lines = vec![Line { name: "x".into(), points }];
            let plot =
                Plot { title: "t".into(), x: "s".into(), y: "ms".into(), log_y: true, x_ticks: Vec::new(), lines };
            let svg = plot.svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            let shown = plot.lines[0].points.len();
            assert_eq!(svg.matches("<circle").count(), shown, "a point alone is seen");
        }
    }

    #[test]
    fn steps_of_a_logarithmic_axis_hold_the_values_closely() {
        assert_eq!(log_steps(3.0, 18.0), [2.0, 5.0, 10.0, 20.0]);
        assert_eq!(log_steps(1.0, 10.0), [1.0, 2.0, 5.0, 10.0]);
        assert_eq!(log_steps(0.3, 2_500.0), [0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0]);
        assert_eq!(log_steps(5.0, 5.0), [5.0, 10.0]);
    }
}
