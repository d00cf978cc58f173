//! Services and their arrows as JSON: what `ward graph --json` says, of what nobody has to run for it.

use serde_json::{Value, json};

use super::{Graph, Link, Node, Shape};

/// An array with an object for each service and bundle.
pub fn write(graph: &Graph) -> Value {
    let objects = graph.nodes.iter().enumerate().map(|(place, node)| object(graph, place, node));
    objects.collect::<Vec<Value>>().into()
}

fn object(graph: &Graph, place: usize, node: &Node) -> Value {
    let name = |at: usize| graph.nodes[at].name.as_str();
    let to = |links: &[Link]| -> Vec<&str> {
        let arrows = graph.arrows.iter().filter(|it| it.from == place && links.contains(&it.link));
        arrows.map(|arrow| name(arrow.to)).collect()
    };
    let from = |link: Link| -> Vec<&str> {
        let arrows = graph.arrows.iter().filter(|it| it.to == place && it.link == link);
        arrows.map(|arrow| name(arrow.from)).collect()
    };
    let kind = match node.shape {
        Shape::Longrun | Shape::Controller => "longrun",
        Shape::Oneshot => "oneshot",
        Shape::Bundle => "bundle",
    };
    let mut object = json!({
        "name": node.name,
        "type": kind,
        "essential": node.essential,
        "needs": to(&[Link::Needs, Link::Pipe]),
    });
    if let Some(state) = &node.state {
        object["state"] = state.word.as_str().into();
    }
    if let [consumer, ..] = to(&[Link::Pipe])[..] {
        object["pipe"] = consumer.into();
    }
    if node.shape == Shape::Controller {
        object["starts"] = to(&[Link::Starts]).into();
        object["watches"] = to(&[Link::Watches]).into();
    }
    if node.shape == Shape::Bundle {
        object["holds"] = to(&[Link::Holds]).into();
    }
    if !node.others.is_empty() {
        object["others"] = node.others.clone().into();
    }
    for (key, link) in [("notified_by", Link::Notify), ("restarted_by", Link::Restart)] {
        let of = from(link);
        if !of.is_empty() {
            object[key] = of.into();
        }
    }
    object
}
