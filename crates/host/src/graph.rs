//! Services as a picture: who needs, reads, holds and controls whom, and how they are.
//!
//! A graph comes from a database, or from what `ward graph` says on a device. It is shown as text, in
//! the language of dot, or as a drawing.

use model::service::database::{Database, Index, Reaction};

pub mod dot;
pub mod json;
mod layout;
pub mod svg;
pub mod text;

/// What there is to draw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    pub nodes: Vec<Node>,
    pub arrows: Vec<Arrow>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub shape: Shape,
    /// Bundles that stand for it alone: other names of it.
    pub others: Vec<String>,
    /// Only an explicit order takes it down.
    pub essential: bool,
    /// How it is, if somebody has asked.
    pub state: Option<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Longrun,
    Oneshot,
    /// A longrun that says when others are up.
    Controller,
    Bundle,
}

/// How a service is, in the words of `ward status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub word: String,
    pub mood: Mood,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Good,
    Busy,
    Bad,
    Quiet,
}

/// Both ends are numbers of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    pub from: usize,
    pub to: usize,
    pub link: Link,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// To what it needs.
    Needs,
    /// The same, which also reads what it writes.
    Pipe,
    /// From a bundle.
    Holds,
    /// From a controller to what it starts.
    Starts,
    /// From a controller to what another one starts.
    Watches,
    /// To a user that is told when this was restarted, or says something else.
    Notify,
    /// The same, and the user is restarted.
    Restart,
}

impl Graph {
    /// What a database says. Of what a bundle holds only that is drawn which nothing else in it needs,
    /// and which no controller starts.
    pub fn of_database(database: &Database<'_>) -> Self {
        let mut graph = Self::default();
        for service in database.services() {
            let shape = match (service.controller().is_some(), service.is_longrun()) {
                (true, _) => Shape::Controller,
                (false, true) => Shape::Longrun,
                (false, false) => Shape::Oneshot,
            };
            graph.node(service.name(), shape, service.essential());
            let consumer = service.longrun().and_then(|longrun| longrun.consumer);
            for need in service.needs() {
                let link = if consumer == Some(need) { Link::Pipe } else { Link::Needs };
                graph.arrow(service.index(), need, link);
            }
            for (controlled, _) in service.controls() {
                let starts = database.service(controlled).started_by() == Some(service.index());
                let link = if starts { Link::Starts } else { Link::Watches };
                graph.arrow(service.index(), controlled, link);
            }
        }
        for reaction in database.reactions() {
            let link = match reaction.reaction {
                Reaction::Notify => Link::Notify,
                Reaction::Restart => Link::Restart,
                Reaction::Ignore => continue,
            };
            graph.arrow(reaction.need, reaction.user, link);
        }
        for bundle in database.bundles() {
            let contents: Vec<Index> = bundle.contents().collect();
            if let [one] = contents[..] {
                graph.nodes[one as usize].others.push(bundle.name().to_owned());
                continue;
            }
            let needed = needed(database, &contents);
            let number = graph.nodes.len() as u32;
            graph.node(bundle.name(), Shape::Bundle, bundle.essential());
            for index in contents {
                if !needed[index as usize] && database.service(index).started_by().is_none() {
                    graph.arrow(number, index, Link::Holds);
                }
            }
        }
        graph
    }

    fn node(&mut self, name: &str, shape: Shape, essential: bool) {
        let name = name.to_owned();
        self.nodes.push(Node { name, shape, others: Vec::new(), essential, state: None });
    }

    fn arrow(&mut self, from: u32, to: u32, link: Link) {
        self.arrows.push(Arrow { from: from as usize, to: to as usize, link });
    }

    /// The number of what is called so.
    pub fn find(&self, name: &str) -> Option<usize> {
        let called = |node: &Node| node.name == name || node.others.iter().any(|o| o == name);
        self.nodes.iter().position(called)
    }

    /// Only these, all that they need or hold, and the controllers of all that.
    pub fn only(&self, chosen: &[usize]) -> Self {
        let mut kept = vec![false; self.nodes.len()];
        let mut left = chosen.to_vec();
        while let Some(node) = left.pop() {
            if std::mem::replace(&mut kept[node], true) {
                continue;
            }
            for arrow in &self.arrows {
                match arrow.link {
                    Link::Needs | Link::Pipe | Link::Holds if arrow.from == node => {
                        left.push(arrow.to);
                    }
                    Link::Starts | Link::Watches if arrow.to == node => left.push(arrow.from),
                    _ => {}
                }
            }
        }
        let mut numbers = vec![None; self.nodes.len()];
        let mut graph = Self::default();
        for (at, node) in self.nodes.iter().enumerate().filter(|(at, _)| kept[*at]) {
            numbers[at] = Some(graph.nodes.len());
            graph.nodes.push(node.clone());
        }
        for arrow in &self.arrows {
            if let (Some(from), Some(to)) = (numbers[arrow.from], numbers[arrow.to]) {
                graph.arrows.push(Arrow { from, to, link: arrow.link });
            }
        }
        graph
    }
}

/// What any of these needs, however far.
fn needed(database: &Database<'_>, of: &[Index]) -> Vec<bool> {
    let mut needed = vec![false; database.len()];
    let mut left = of.to_vec();
    while let Some(index) = left.pop() {
        for need in database.service(index).needs() {
            if !std::mem::replace(&mut needed[need as usize], true) {
                left.push(need);
            }
        }
    }
    needed
}

#[cfg(test)]
mod tests;
