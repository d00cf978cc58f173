//! A graph in the language of dot, as `ward graph` prints it: written, and read again from a device.
//!
//! Source: Graphviz, "The DOT Language". Of it is read what `ward` and this program write: a line for
//! each node, and one for each arrow.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Arrow, Graph, Link, Mood, Node, Shape, State};

const COLOURS: [(Mood, &str); 4] = [
    (Mood::Good, "palegreen"),
    (Mood::Busy, "khaki"),
    (Mood::Bad, "salmon"),
    (Mood::Quiet, "grey90"),
];

const SHAPES: [(Shape, &str); 4] = [
    (Shape::Longrun, "box"),
    (Shape::Oneshot, "ellipse"),
    (Shape::Controller, "hexagon"),
    (Shape::Bundle, "folder"),
];

pub fn write(graph: &Graph) -> String {
    let mut text = String::from("digraph services {\n  node [style=filled,fillcolor=white];\n");
    let name = |node: usize| quoted(&graph.nodes[node].name);
    for (at, node) in graph.nodes.iter().enumerate() {
        let shape = SHAPES.iter().find(|(shape, _)| *shape == node.shape).map_or("box", |s| s.1);
        let _ = write!(text, "  {} [shape={shape}", name(at));
        if !node.others.is_empty() {
            let names = [std::slice::from_ref(&node.name), &node.others[..]].concat();
            let _ = write!(text, ",label={}", quoted(&names.join("\n")));
        }
        if node.essential {
            text.push_str(",penwidth=3");
        }
        if let Some(State { word, mood }) = &node.state {
            let colour = COLOURS.iter().find(|(it, _)| it == mood).map_or("white", |c| c.1);
            let _ = write!(text, ",fillcolor={colour},tooltip={}", quoted(word));
        }
        text.push_str("];\n");
    }
    for arrow in &graph.arrows {
        let _ = write!(text, "  {} -> {}", name(arrow.from), name(arrow.to));
        text.push_str(match arrow.link {
            Link::Needs => ";\n",
            Link::Pipe => " [style=bold];\n",
            Link::Holds => " [style=dashed,color=grey];\n",
            Link::Starts => " [style=dashed];\n",
            Link::Watches => " [style=dotted];\n",
            Link::Notify => " [label=notify,constraint=false,color=grey];\n",
            Link::Restart => " [label=restart,constraint=false,color=grey];\n",
        });
    }
    text.push_str("}\n");
    text
}

/// As `ward` writes it, but that lines are broken as dot reads it.
fn quoted(name: &str) -> String {
    let escaped = name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// Reads what a device has said; `Err`: the number of the line that makes no sense.
pub fn read(text: &str) -> Result<Graph, usize> {
    let mut graph = Graph::default();
    let mut numbers = BTreeMap::new();
    let mut arrows = Vec::new();
    let mut lines = (1..).zip(text.lines());
    match lines.next() {
        Some((_, "digraph services {")) => {}
        _ => return Err(1),
    }
    let mut last = 1;
    for (number, line) in lines {
        last = number;
        if line == "}" {
            for (number, from, to, link) in arrows {
                let (Some(&from), Some(&to)) = (numbers.get(&from), numbers.get(&to)) else {
                    return Err(number);
                };
                graph.arrows.push(Arrow { from, to, link });
            }
            return Ok(graph);
        }
        let line = line.trim();
        if line.starts_with("rankdir") || line.starts_with("node ") {
            continue;
        }
        let mut words = Words(line);
        let (Some(from), rest) = (words.text(), words.0) else { return Err(number) };
        if let Some(rest) = rest.strip_prefix(" -> ") {
            words.0 = rest;
            let (to, values) = (words.text().ok_or(number)?, words.values().ok_or(number)?);
            arrows.push((number, from, to, link(&values).ok_or(number)?));
        } else {
            let values = words.values().ok_or(number)?;
            numbers.insert(from.clone(), graph.nodes.len());
            graph.nodes.push(node(from, &values).ok_or(number)?);
        }
    }
    // The end is missing: it was cut off.
    Err(last + 1)
}

type Values = BTreeMap<String, String>;

fn link(values: &Values) -> Option<Link> {
    let value = |key| values.get(key).map(String::as_str);
    Some(match (value("label"), value("style"), value("color")) {
        (Some("notify"), ..) => Link::Notify,
        (Some("restart"), ..) => Link::Restart,
        (None, None, _) => Link::Needs,
        (None, Some("bold"), _) => Link::Pipe,
        (None, Some("dashed"), Some("grey")) => Link::Holds,
        (None, Some("dashed"), _) => Link::Starts,
        (None, Some("dotted"), _) => Link::Watches,
        _ => return None,
    })
}

fn node(name: String, values: &Values) -> Option<Node> {
    let shape = SHAPES.iter().find(|(_, shape)| Some(*shape) == values.get("shape").map(|s| &**s));
    let names = values.get("label").map(|label| label.split('\n').skip(1).map(str::to_owned));
    let colour = values.get("fillcolor").map(String::as_str);
    let mood = COLOURS.iter().find(|(_, it)| Some(*it) == colour).map(|(mood, _)| *mood);
    let word = values.get("tooltip").cloned();
    Some(Node {
        name,
        shape: shape?.0,
        others: names.into_iter().flatten().collect(),
        essential: values.contains_key("penwidth"),
        state: mood.zip(word).map(|(mood, word)| State { word, mood }),
    })
}

/// What is left of a line.
struct Words<'a>(&'a str);

impl Words<'_> {
    /// Text between quotes.
    fn text(&mut self) -> Option<String> {
        let mut chars = self.0.strip_prefix('"')?.chars();
        let mut text = String::new();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => match chars.next()? {
                    'n' => text.push('\n'),
                    // A control character, as JSON has it: names have none, words might.
                    'u' => {
                        let digits: String = chars.by_ref().take(4).collect();
                        text.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                    }
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
        self.0 = chars.as_str();
        Some(text)
    }

    /// All between brackets, up to the end of the line.
    fn values(&mut self) -> Option<Values> {
        let mut values = Values::new();
        self.0 = self.0.strip_suffix(';')?;
        let Some(inside) = self.0.strip_prefix(" [") else {
            return self.0.is_empty().then_some(values);
        };
        self.0 = inside.strip_suffix(']')?;
        while !self.0.is_empty() {
            let (key, rest) = self.0.split_once('=')?;
            let key = key.trim().to_owned();
            self.0 = rest;
            let value = if rest.starts_with('"') {
                self.text()?
            } else {
                let end = rest.find(',').unwrap_or(rest.len());
                self.0 = &rest[end..];
                rest[..end].to_owned()
            };
            values.insert(key, value);
            self.0 = match self.0.strip_prefix(',') {
                Some(rest) => rest,
                None if self.0.is_empty() => "",
                None => return None,
            };
        }
        Some(values)
    }
}
