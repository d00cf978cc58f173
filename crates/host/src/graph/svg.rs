//! A graph as a drawing: SVG, whose lines all lead down.
//!
//! Source: W3C, "Scalable Vector Graphics (SVG) 1.1".

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::layout::{Layout, layout};
use super::{Graph, Link, Mood, Node, Shape};

/// A letter of the font, which has letters of one width.
const LETTER: f64 = 7.3;
const LINE: f64 = 15.0;
const BESIDE: f64 = 14.0;
const MARGIN: f64 = 16.0;
/// From one layer to the next.
const LAYER: f64 = 84.0;
const LEGEND: f64 = 150.0;

/// `None`: there is too much to draw.
pub fn write(graph: &Graph) -> Option<String> {
    let lines = lines(graph);
    let pairs: Vec<(usize, usize)> = lines.keys().copied().collect();
    let widths: Vec<f64> = graph.nodes.iter().map(width).collect();
    let found = layout(&widths, &pairs)?;
    let right = found.middles.iter().zip(&widths).map(|(middle, width)| middle + width / 2.0);
    let right = right.fold(LEGEND * 4.0, f64::max) + 2.0 * MARGIN;
    let layers = found.layers.iter().max().map_or(0, |last| last + 1);
    let bottom = layers as f64 * LAYER + MARGIN;
    let moods = graph.nodes.iter().any(|node| node.state.is_some());
    let height = bottom + if moods { 66.0 } else { 44.0 };
    let mut text = String::new();
    let _ = write!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{right:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {right:.0} {height:.0}\">\n{STYLE}"
    );
    let _ = writeln!(text, "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>");
    // The way of each pair, as it was given, leads down; a line that was turned round begins below.
    for (way, ((from, _), links)) in found.ways.iter().zip(&lines) {
        line(graph, &found, way, *from, links, &mut text);
    }
    for (at, node) in graph.nodes.iter().enumerate() {
        let middle = found.middles[at] + MARGIN;
        draw(node, middle, y(found.layers[at]), widths[at], &mut text);
    }
    legend(bottom, moods, &mut text);
    text.push_str("</svg>\n");
    Some(text)
}

const STYLE: &str = "<style>\n\
text { font: 12px monospace; text-anchor: middle; }\n\
.small { font-size: 10px; fill: #555; }\n\
.left { text-anchor: start; }\n\
.it { fill: #f4f6f8; stroke: #445; }\n\
.good { fill: #b7efb2; } .busy { fill: #f7e58a; } .bad { fill: #f6a08c; } .quiet { fill: #e2e2e2; }\n\
.essential { stroke-width: 3; }\n\
.line { fill: none; stroke: #556; marker-end: url(#to); }\n\
.pipe { stroke-width: 4; marker-end: none; stroke: #888; }\n\
.starts { stroke: #06c; stroke-dasharray: 7 3; marker-end: url(#starts); }\n\
.watches { stroke: #083; stroke-dasharray: 2 4; marker-end: url(#watches); }\n\
.holds { stroke: #bbb; marker-end: none; }\n\
.notify { stroke: #b60; } .restart { stroke: #c03; }\n\
</style>\n\
<defs>\n\
<marker id=\"to\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" fill=\"#556\"/></marker>\n\
<marker id=\"starts\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"10\" markerHeight=\"10\" \
markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" fill=\"#06c\"/></marker>\n\
<marker id=\"watches\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" fill=\"#083\"/></marker>\n\
</defs>\n";

/// What leads from one to another, most often one link. What a restart does to a user is shown where
/// the user needs it.
fn lines(graph: &Graph) -> BTreeMap<(usize, usize), Vec<Link>> {
    let mut lines: BTreeMap<(usize, usize), Vec<Link>> = BTreeMap::new();
    for arrow in &graph.arrows {
        let pair = match arrow.link {
            Link::Notify | Link::Restart => (arrow.to, arrow.from),
            _ => (arrow.from, arrow.to),
        };
        lines.entry(pair).or_default().push(arrow.link);
    }
    lines
}

/// The lines of text in its shape.
fn words(node: &Node) -> Vec<&str> {
    let names = std::iter::once(&node.name).chain(&node.others);
    names.map(String::as_str).chain(node.state.as_ref().map(|state| &*state.word)).collect()
}

fn width(node: &Node) -> f64 {
    let longest = words(node).iter().map(|word| word.chars().count()).max().unwrap_or(0);
    longest as f64 * LETTER + 2.0 * BESIDE
}

fn height(node: &Node) -> f64 {
    words(node).len() as f64 * LINE + 10.0
}

/// The middle of a layer.
fn y(layer: usize) -> f64 {
    MARGIN + LAYER / 2.0 + layer as f64 * LAYER
}

fn draw(node: &Node, x: f64, y: f64, width: f64, text: &mut String) {
    let mood = match node.state.as_ref().map(|state| state.mood) {
        None => "",
        Some(Mood::Good) => " good",
        Some(Mood::Busy) => " busy",
        Some(Mood::Bad) => " bad",
        Some(Mood::Quiet) => " quiet",
    };
    let essential = if node.essential { " essential" } else { "" };
    let height = height(node);
    let class = format!("class=\"it{mood}{essential}\"");
    let (left, top) = (x - width / 2.0, y - height / 2.0);
    let _ = writeln!(text, "<g><title>{}</title>", title(node));
    outline(node.shape, &class, [left, top, width, height], text);
    for (at, word) in words(node).iter().enumerate() {
        let line = top + 17.0 + at as f64 * LINE;
        let small = if at > 0 { " class=\"small\"" } else { "" };
        let _ =
            writeln!(text, "<text x=\"{x:.0}\" y=\"{line:.0}\"{small}>{}</text>", escaped(word));
    }
    text.push_str("</g>\n");
}

fn outline(shape: Shape, class: &str, [left, top, width, height]: [f64; 4], text: &mut String) {
    let (right, bottom) = (left + width, top + height);
    let at = format!("x=\"{left:.0}\" y=\"{top:.0}\" width=\"{width:.0}\" height=\"{height:.0}\"");
    let _ = match shape {
        Shape::Longrun => writeln!(text, "<rect {at} {class}/>"),
        Shape::Oneshot => writeln!(text, "<rect {at} rx=\"{:.0}\" {class}/>", height / 2.0),
        Shape::Controller => {
            let (inner, outer, y) = (left + 10.0, right - 10.0, top + height / 2.0);
            writeln!(
                text,
                "<path d=\"M{inner:.0} {top:.0}H{outer:.0}L{right:.0} {y:.0} {outer:.0} {bottom:.0}\
                 H{inner:.0}L{left:.0} {y:.0}z\" {class}/>"
            )
        }
        Shape::Bundle => {
            let (tab, higher) = (left + 24.0, top - 5.0);
            writeln!(
                text,
                "<path d=\"M{left:.0} {top:.0}V{higher:.0}H{tab:.0}V{top:.0}M{left:.0} {top:.0}\
                 H{right:.0}V{bottom:.0}H{left:.0}z\" {class}/>"
            )
        }
    };
}

fn title(node: &Node) -> String {
    let what = match node.shape {
        Shape::Longrun => "longrun",
        Shape::Oneshot => "oneshot",
        Shape::Controller => "controller",
        Shape::Bundle => "bundle",
    };
    let essential = if node.essential { ", essential" } else { "" };
    let state = node.state.as_ref().map(|state| format!(", {}", state.word));
    escaped(&format!("{}: {what}{essential}{}", node.name, state.unwrap_or_default()))
}

fn line(
    graph: &Graph,
    found: &Layout,
    way: &[usize],
    from: usize,
    links: &[Link],
    text: &mut String,
) {
    let ends = |place: usize| graph.nodes.get(place).map_or(0.0, |node| height(node) / 2.0);
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (at, place) in way.iter().enumerate() {
        let (x, y) = (found.middles[*place] + MARGIN, y(found.layers[*place]));
        points.push((x, if at == 0 { y + ends(*place) } else { y - ends(*place) }));
    }
    // A line that would close a ring was turned round.
    if way.first() != Some(&from) {
        points.reverse();
    }
    let mut path = format!("M{:.0} {:.0}", points[0].0, points[0].1);
    for step in points.windows(2) {
        let ((x, y), (to_x, to_y)) = (step[0], step[1]);
        let half = f64::midpoint(y, to_y);
        let _ = write!(path, "C{x:.0} {half:.0} {to_x:.0} {half:.0} {to_x:.0} {to_y:.0}");
    }
    let class = |link: Link| match link {
        Link::Needs => "",
        Link::Pipe => " pipe",
        Link::Holds => " holds",
        Link::Starts => " starts",
        Link::Watches => " watches",
        Link::Notify => " notify",
        Link::Restart => " restart",
    };
    let classes: String = links.iter().map(|link| class(*link)).collect();
    let _ = writeln!(text, "<path d=\"{path}\" class=\"line{classes}\"/>");
}

/// What shapes, lines and colours mean.
fn legend(top: f64, moods: bool, text: &mut String) {
    let shapes = [(Shape::Longrun, "longrun"), (Shape::Oneshot, "oneshot")];
    let shapes = shapes.into_iter().chain([(Shape::Controller, "controller")]);
    for (at, (shape, word)) in shapes.enumerate() {
        let left = MARGIN + at as f64 * LEGEND * 0.75;
        outline(shape, "class=\"it\"", [left, top, 26.0, 14.0], text);
        say(left + 32.0, top + 11.0, word, text);
    }
    let lines =
        [("", "needs"), (" pipe", "writes to"), (" starts", "starts"), (" watches", "watches")];
    let more = [(" notify", "is told of its restart"), (" restart", "restarts with it")];
    let mut left = MARGIN;
    for (class, word) in lines.into_iter().chain(more) {
        let (right, y) = (left + 26.0, top + 29.0);
        let _ = writeln!(text, "<path d=\"M{left:.0} {y:.0}H{right:.0}\" class=\"line{class}\"/>");
        say(left + 32.0, y + 4.0, word, text);
        left += 46.0 + word.len() as f64 * 6.2;
    }
    let colours = [("good", "as it should be"), ("busy", "on its way"), ("bad", "failed")];
    for (at, (class, word)) in colours.into_iter().chain([("quiet", "down")]).enumerate() {
        if moods {
            let left = MARGIN + at as f64 * LEGEND;
            let class = format!("class=\"it {class}\"");
            outline(Shape::Longrun, &class, [left, top + 44.0, 26.0, 14.0], text);
            say(left + 32.0, top + 55.0, word, text);
        }
    }
}

fn say(x: f64, y: f64, word: &str, text: &mut String) {
    let _ = writeln!(text, "<text x=\"{x:.0}\" y=\"{y:.0}\" class=\"small left\">{word}</text>");
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // XML has no way to say other control characters.
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
