//! A graph as text: a tree, below each service what it needs.

use std::fmt::Write as _;

use super::{Graph, Link, Shape};

pub fn write(graph: &Graph) -> String {
    // What needs it, or what starts it, has it below.
    let mut tops = vec![true; graph.nodes.len()];
    for arrow in graph.arrows.iter().filter(|arrow| is_below(arrow.link)) {
        tops[arrow.to] = false;
    }
    let mut below = vec![Vec::new(); graph.nodes.len()];
    for arrow in graph.arrows.iter().filter(|arrow| is_below(arrow.link)) {
        below[arrow.from].push((arrow.to, arrow.link));
    }
    let mut text = String::new();
    let mut shown = vec![false; graph.nodes.len()];
    // With a list instead of recursion: a chain of needs may be as long as the database.
    let mut left: Vec<Line> =
        (0..tops.len()).rev().filter(|node| tops[*node]).map(Line::top).collect();
    while let Some(line) = left.pop() {
        let known = std::mem::replace(&mut shown[line.node], true);
        text.push_str(&line.stem);
        describe(graph, &line, known, !below[line.node].is_empty(), &mut text);
        if known {
            continue;
        }
        let count = below[line.node].len();
        for (at, (node, link)) in below[line.node].iter().enumerate().rev() {
            let (branch, more) = if at + 1 == count { ("└ ", "  ") } else { ("├ ", "│ ") };
            // Deep trees stop being indented: nobody reads that anyway.
            let rest = if line.rest.len() > 240 { "" } else { more };
            left.push(Line {
                node: *node,
                link: Some(*link),
                stem: format!("{}{branch}", line.rest),
                rest: format!("{}{rest}", line.rest),
            });
        }
    }
    text
}

struct Line {
    node: usize,
    /// How it belongs to what stands above.
    link: Option<Link>,
    /// What stands before it, and before what is below it.
    stem: String,
    rest: String,
}

impl Line {
    fn top(node: usize) -> Self {
        Self { node, link: None, stem: String::new(), rest: String::new() }
    }
}

fn is_below(link: Link) -> bool {
    matches!(link, Link::Needs | Link::Pipe | Link::Holds | Link::Starts)
}

fn describe(graph: &Graph, line: &Line, known: bool, has_more: bool, text: &mut String) {
    let node = &graph.nodes[line.node];
    text.push_str(&node.name);
    if !node.others.is_empty() {
        let _ = write!(text, " = {}", node.others.join(" = "));
    }
    if let Some(state) = &node.state {
        let _ = write!(text, " [{}]", state.word);
    }
    let mut remarks = Vec::new();
    match node.shape {
        Shape::Longrun => {}
        Shape::Oneshot => remarks.push("oneshot".to_owned()),
        Shape::Controller => remarks.push("controller".to_owned()),
        Shape::Bundle => remarks.push("bundle".to_owned()),
    }
    if node.essential {
        remarks.push("essential".to_owned());
    }
    if line.link == Some(Link::Pipe) {
        remarks.push("reads what it writes".to_owned());
    }
    let others = others(graph, line.node);
    if !known {
        remarks.extend(others);
    } else if has_more || !others.is_empty() {
        remarks.push("see above".to_owned());
    }
    if !remarks.is_empty() {
        let _ = write!(text, " ({})", remarks.join(", "));
    }
    text.push('\n');
}

/// What it has to do with others that do not stand below it.
fn others(graph: &Graph, node: usize) -> Vec<String> {
    let kinds = [
        (Link::Watches, false, "watches"),
        (Link::Notify, false, "notifies"),
        (Link::Restart, false, "restarts"),
        (Link::Starts, true, "started by"),
        (Link::Watches, true, "watched by"),
    ];
    let mut remarks = Vec::new();
    for (link, back, words) in kinds {
        let arrows = graph.arrows.iter().filter(|arrow| arrow.link == link);
        let names: Vec<&str> = arrows
            .map(|arrow| if back { (arrow.to, arrow.from) } else { (arrow.from, arrow.to) })
            .filter(|(this, _)| *this == node)
            .map(|(_, other)| &*graph.nodes[other].name)
            .collect();
        if !names.is_empty() {
            remarks.push(format!("{words} {}", names.join(" and ")));
        }
    }
    remarks
}
