//! A run as a page of its own: members as columns, time downwards, messages as lines between them.
//!
//! Needs nothing but a browser. Must never show what the story does not hold.

use super::story::{Pages, Sent, What};
use std::fmt::Write;

/// Pixels between two columns, to the first one, and for a millisecond at first sight.
const COLUMN: u64 = 190;
const LEFT: u64 = 110;
/// Most messages that are drawn: the last ones before the end.
const MOST: usize = 20_000;

const HEAD: &str = r##"<!doctype html><meta charset="utf-8"><title>Conclave simulator</title>
<style>body{font:13px sans-serif;margin:0;background:#fff;color:#222}header{position:sticky;top:0;background:#fff;border-bottom:1px solid #bbb;
padding:6px 10px;z-index:2}label{margin-right:12px}pre{white-space:pre-wrap;margin:4px 0;color:#a00}svg{display:block}
.t{font-size:10px;fill:#777}.n{font-size:10px;fill:#a40}.term{font-size:10px;fill:#06c}.c{font-size:9px;fill:#393}
line.m{stroke:#999;stroke-width:.6}line.Append{stroke:#06c}line.Vote,line.VoteResp,line.PreVote,line.PreVoteResp{stroke:#c0c}
line.Propose{stroke:#e80}line.lost{stroke:#e00;stroke-dasharray:3 3}</style>
<header><b id="title"></b> <label>from ms <input id="from" type="number" step="500"></label>
<label>for ms <input id="span" type="number" value="3000" step="500"></label>
<label>pixels a ms <input id="scale" type="number" value="1" step="0.5"></label>
<label><input id="beats" type="checkbox"> heartbeats</label><pre id="why"></pre></header><svg id="s"></svg><script>
"##;

const TAIL: &str = r##"
const $=id=>document.getElementById(id),ns='http://www.w3.org/2000/svg';
$('title').textContent=title;$('why').textContent=why;$('from').value=Math.max(0,Math.floor(end-3000));
function el(n,a,t){const e=document.createElementNS(ns,n);for(const k in a)e.setAttribute(k,a[k]);if(t!==undefined)e.textContent=t;$('s').appendChild(e);return e}
function draw(){const f=+$('from').value,d=+$('span').value,z=+$('scale').value,x=m=>left+m*column,y=t=>30+(t-f)*z;
$('s').replaceChildren();$('s').setAttribute('width',left+members*column+200);$('s').setAttribute('height',60+d*z);
for(let t=Math.ceil(f/100)*100;t<f+d;t+=100){el('line',{x1:60,x2:left+members*column,y1:y(t),y2:y(t),stroke:'#eee'});el('text',{x:4,y:y(t)+3,class:'t'},t+' ms')}
for(let m=0;m<members;m++){el('text',{x:x(m)-8,y:16},'m'+m);let up=null;const bar=(a,b)=>el('line',{x1:x(m),x2:x(m),y1:y(Math.max(a,f)),y2:y(Math.min(b,f+d)),stroke:'#444','stroke-width':2});
for(const k of marks){if(k[1]!=m)continue;if(k[2]=='up')up=k[0];if(k[2]=='down'){if(up!==null&&k[0]>f&&up<f+d)bar(up,k[0]);up=null}}if(up!==null&&up<f+d)bar(up,f+d);
let lead=null;for(const k of marks){if(k[1]!=m)continue;const off=k[2]=='down'||(k[2]=='term'&&!k[4]);if(off&&lead!==null){if(k[0]>f&&lead<f+d)el('line',{x1:x(m),x2:x(m),y1:y(Math.max(lead,f)),y2:y(Math.min(k[0],f+d)),stroke:'#fc3','stroke-width':8,opacity:.6});lead=null}
if(k[2]=='term'&&k[4]&&lead===null)lead=k[0]}if(lead!==null&&lead<f+d)el('line',{x1:x(m),x2:x(m),y1:y(Math.max(lead,f)),y2:y(f+d),stroke:'#fc3','stroke-width':8,opacity:.6})}
for(const s of sent){if(s[1]<f||s[1]>f+d)continue;if(!$('beats').checked&&s[4].startsWith('Heartbeat'))continue;
const lost=s[2]<0,e=el('line',{x1:x(s[0]),y1:y(s[1]),x2:lost?x(s[0])+25:x(s[2]),y2:lost?y(s[1])+6:y(s[3]),class:'m '+s[4]+(lost?' lost':'')});
const t=document.createElementNS(ns,'title');t.textContent=s[4]+' term '+s[5]+' '+s[1]+' ms'+(lost?' lost':'');e.appendChild(t)}
for(const k of marks){if(k[0]<f||k[0]>f+d)continue;const X=x(k[1])+6,Y=y(k[0])+3;
if(k[2]=='up'||k[2]=='down')el('circle',{cx:x(k[1]),cy:y(k[0]),r:4,fill:k[2]=='up'?'#393':'#e00'});
if(k[2]=='term')el('text',{x:X,y:Y,class:'term'},'term '+k[3]+(k[4]?' leads':''));
if(k[2]=='committed')el('text',{x:X,y:Y,class:'c'},'✓'+k[3]);if(k[2]=='applied')el('text',{x:X+34,y:Y,class:'c'},'▪'+k[3]);
if(k[2]=='note')el('text',{x:X+60,y:Y,class:'n'},k[3])}}
for(const i of ['from','span','scale','beats'])$(i).onchange=draw;draw();</script>
"##;

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '<' => out.push_str("\\u003c"),
            '\n' => out.push_str("\\n"),
            c if c < ' ' => {}
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// The page.
pub fn page(title: &str, why: &str, pages: &Pages) -> String {
    let members = pages.marks.iter().map(|mark| mark.machine + 1).max().unwrap_or(1);
    let end = pages.marks.last().map_or(0, |mark| mark.at);
    let mut out = String::from(HEAD);
    let _ = writeln!(
        out,
        "const title={},why={},members={members},column={COLUMN},left={LEFT},end={};",
        quoted(title),
        quoted(why),
        millis(end)
    );
    out.push_str("const sent=[");
    for Sent { from, to, kind, term } in &pages.sent[pages.sent.len().saturating_sub(MOST)..] {
        let (machine, arrival) = to.map_or((-1, 0.0), |(machine, at)| (machine as i64, millis(at)));
        let _ = writeln!(out, "[{},{},{machine},{arrival},{},{term}],", from.0, millis(from.1), quoted(kind));
    }
    out.push_str("];const marks=[");
    for mark in &pages.marks {
        let (at, machine) = (millis(mark.at), mark.machine);
        let _ = match &mark.what {
            What::Up => writeln!(out, "[{at},{machine},\"up\"],"),
            What::Down => writeln!(out, "[{at},{machine},\"down\"],"),
            What::Term(term, leads) => writeln!(out, "[{at},{machine},\"term\",{term},{leads}],"),
            What::Committed(index) => writeln!(out, "[{at},{machine},\"committed\",{index}],"),
            What::Applied(index) => writeln!(out, "[{at},{machine},\"applied\",{index}],"),
            What::Note(text) => writeln!(out, "[{at},{machine},\"note\",{}],", quoted(text)),
        };
    }
    out.push_str("];");
    out.push_str(TAIL);
    out
}
