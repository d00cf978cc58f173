//! Who controls what, and what is done when a need runs afresh.

use alloc::string::String;
use alloc::vec::Vec;

use super::super::database::{ControlEntry, ControllerEntry, Index, Reaction, ReactionEntry};
use super::{Compiler, Fault, Graph, Kind, NONE, Reference, longrun, lossy};
use crate::controller::{self, Place};

/// One controller and one service that it controls.
pub(super) struct Control<'a> {
    controller: u32,
    kind: controller::Kind,
    controlled: u32,
    text: &'a str,
    written: Reference<'a>,
}

impl<'a> Compiler<'a> {
    /// Fills `controls`; has the settings of every controller checked.
    pub(super) fn resolve_controls(&mut self) {
        for node in 0..self.definitions.len() as u32 {
            let Some(longrun) = longrun(&self.definitions, node) else { continue };
            let Some(own) = longrun.controller else { continue };
            let controls = longrun.controls.clone();
            let kind = match controller::kind_of(own) {
                Ok(kind) => kind,
                Err(wrong) => {
                    self.wrong(node, &controls, wrong);
                    continue;
                }
            };
            let texts: Vec<(&str, &str)> = (controls.iter())
                .map(|(written, text)| {
                    (core::str::from_utf8(written.name).unwrap_or_default(), *text)
                })
                .collect();
            for wrong in controller::check_all(kind, own, &texts) {
                self.wrong(node, &controls, wrong);
            }
            for (written, text) in controls {
                let Some(controlled) = self.resolve(node, &written) else { continue };
                if self.definitions.get(controlled as usize).is_none_or(is_bundle) {
                    let fault = Fault::IsABundle { name: lossy(written.name) };
                    self.fault(node, Some(&written), fault);
                    continue;
                }
                self.controls.push(Control { controller: node, kind, controlled, text, written });
            }
        }
    }

    /// What a parser says of the settings of a controller.
    fn wrong(
        &mut self,
        node: u32,
        controls: &[(Reference<'a>, &'a str)],
        wrong: controller::Wrong,
    ) {
        let definition = &self.definitions[node as usize];
        let directory = &self.tree.directories()[definition.directory as usize];
        let entry = match wrong.place {
            Place::Own => {
                let entries = self.tree.entries(directory);
                entries.iter().find(|entry| self.tree.path(entry) == b"controller")
            }
            Place::Controlled(at) => controls.get(at).map(|(written, _)| written.entry),
        };
        let written = entry.map(|entry| Reference { name: b"", entry, line: wrong.line });
        self.fault(node, written.as_ref(), Fault::Settings { what: wrong.what });
    }

    /// No service has two starters, and nothing waits for itself.
    pub(super) fn check_controls(&mut self, graph: &Graph) {
        if self.controls.is_empty() {
            return;
        }
        let (starters, only_watched) = self.starters();
        let mut alone = true;
        let mut ways = Ways::default();
        for at in 0..self.controls.len() {
            let Control { controller, controlled, kind, written, .. } = self.controls[at];
            let starter = starters[controlled as usize];
            let starts = kind.starts() || only_watched[controlled as usize];
            if starts && starter != controller {
                alone = false;
                let fault = Fault::TwoStarters {
                    name: self.node_name(controlled).into(),
                    earlier: self.node_name(starter).into(),
                };
                self.fault(controller, Some(&written), fault);
            }
            if ways.from != Some(controller) {
                ways = Ways::new(graph, controller);
            }
            if let Some(way) = ways.to(controlled) {
                alone = false;
                let names = way.iter().map(|node| self.node_name(*node).into()).collect();
                self.fault(controller, Some(&written), Fault::ControlsNeed { names });
            }
        }
        // A cycle of needs alone has been told of.
        if !alone
            || self.mistakes.iter().any(|mistake| matches!(mistake.fault, Fault::Cycle { .. }))
        {
            return;
        }
        let mut waiting = Graph::with_capacity(graph.len());
        for node in 0..graph.len() as u32 {
            graph.edges(node).iter().for_each(|target| waiting.add_edge(*target));
            if let Some(&starter) = starters.get(node as usize)
                && starter != NONE
            {
                waiting.add_edge(starter);
            }
            waiting.end_node();
        }
        for mut cycle in waiting.sort().1 {
            // It begins with a service that is controlled, so that there is a file to name.
            let starts = |at: &usize| {
                let next = cycle[(at + 1) % cycle.len()];
                starters.get(cycle[*at] as usize) == Some(&next)
            };
            let Some(first) = (0..cycle.len()).find(starts) else { continue };
            cycle.rotate_left(first);
            let (controlled, controller) = (cycle[0], cycle[1 % cycle.len()]);
            let mut controls = self.controls.iter();
            let control =
                controls.find(|c| c.controlled == controlled && c.controller == controller);
            let written = control.map(|control| control.written);
            let names: Vec<String> =
                cycle.iter().map(|node| self.node_name(*node).into()).collect();
            self.fault(controller, written.as_ref(), Fault::ControlCycle { names });
        }
    }

    /// The controller that starts each service, and whether that is a health
    /// check because nobody else does.
    fn starters(&self) -> (Vec<u32>, Vec<bool>) {
        let mut starters: Vec<u32> = self.definitions.iter().map(|_| NONE).collect();
        let mut only_watched: Vec<bool> = self.definitions.iter().map(|_| false).collect();
        for true_starters in [true, false] {
            for control in self.controls.iter().filter(|c| c.kind.starts() == true_starters) {
                let at = control.controlled as usize;
                if starters[at] == NONE {
                    (starters[at], only_watched[at]) = (control.controller, !true_starters);
                }
            }
        }
        (starters, only_watched)
    }

    pub(super) fn controllers(&self, indices: &[u32]) -> Vec<ControllerEntry> {
        let mut controllers = Vec::new();
        for (definition, node) in self.definitions.iter().zip(0..) {
            let Some(own) = longrun(&self.definitions, node).and_then(|l| l.controller) else {
                continue;
            };
            let Ok(kind) = controller::kind_of(own) else { continue };
            let first = self.controls.partition_point(|control| control.controller < node);
            let own_controls =
                || self.controls[first..].iter().take_while(|control| control.controller == node);
            // Sorted as everything here is: each kind of sorting costs six kilobytes of program.
            let mut order: Vec<(u32, u32)> = own_controls()
                .map(|control| indices[control.controlled as usize])
                .zip(first as u32..)
                .collect();
            order.sort_unstable();
            let controls = order
                .into_iter()
                .map(|(service, at)| ControlEntry {
                    service,
                    text: self.controls[at as usize].text.into(),
                })
                .collect();
            debug_assert!(!is_bundle(definition));
            let service: Index = indices[node as usize];
            controllers.push(ControllerEntry { service, kind, own: own.into(), controls });
        }
        controllers
    }

    /// `on-restart.d` speaks only of what a service says that it needs.
    pub(super) fn check_reactions(&mut self, graph: &Graph) {
        for node in 0..self.definitions.len() as u32 {
            for at in 0..self.definitions[node as usize].reactions.len() {
                let (written, _) = self.definitions[node as usize].reactions[at];
                let Some(need) = self.resolve(node, &written) else { continue };
                if !graph.edges(node).contains(&need) {
                    let fault = Fault::NotANeed { name: lossy(written.name) };
                    self.fault(node, Some(&written), fault);
                }
            }
        }
    }

    /// One for each need of a service that it does not ignore, by service and
    /// need. `sets` holds what each bundle stands for.
    pub(super) fn reactions(&mut self, indices: &[u32], sets: &[Vec<Index>]) -> Vec<ReactionEntry> {
        let mut reactions: Vec<ReactionEntry> = Vec::new();
        // By the numbers of the services: longruns first.
        let mut users: Vec<(u32, u32)> = (0..self.definitions.len() as u32)
            .filter(|node| !self.definitions[*node as usize].reactions.is_empty())
            .map(|node| (indices[node as usize], node))
            .collect();
        users.sort_unstable();
        for (user, node) in users {
            // The stronger of two comes first.
            let mut found: Vec<(u32, u32)> = Vec::new();
            for at in 0..self.definitions[node as usize].reactions.len() {
                let (written, reaction) = self.definitions[node as usize].reactions[at];
                let Some(need) = self.resolve(node, &written) else { continue };
                let alone = [indices[need as usize]];
                let needs = if alone[0] == NONE { &sets[need as usize][..] } else { &alone };
                found.extend(needs.iter().map(|&need| (need, 2 - reaction as u32)));
            }
            found.sort_unstable();
            found.dedup_by_key(|(need, _)| *need);
            for (need, weakness) in found {
                let reaction = [Reaction::Restart, Reaction::Notify].get(weakness as usize);
                reactions.extend(reaction.map(|&reaction| ReactionEntry { user, need, reaction }));
            }
        }
        reactions
    }
}

fn is_bundle(definition: &super::Definition<'_>) -> bool {
    matches!(definition.kind, Kind::Bundle)
}

/// From where each node was reached that another needs.
#[derive(Default)]
struct Ways {
    from: Option<u32>,
    before: Vec<u32>,
}

impl Ways {
    fn new(graph: &Graph, from: u32) -> Self {
        let mut before: Vec<u32> = Vec::new();
        before.resize(graph.len(), NONE);
        before[from as usize] = from;
        let mut found = Vec::from([from]);
        while let Some(node) = found.pop() {
            for &target in graph.edges(node) {
                if before[target as usize] == NONE {
                    before[target as usize] = node;
                    found.push(target);
                }
            }
        }
        Self { from: Some(from), before }
    }

    /// The way to a node: both ends, and what lies between them.
    fn to(&self, node: u32) -> Option<Vec<u32>> {
        if self.before[node as usize] == NONE {
            return None;
        }
        let (mut way, mut at) = (Vec::from([node]), node);
        while Some(at) != self.from {
            at = self.before[at as usize];
            way.push(at);
        }
        way.reverse();
        Some(way)
    }
}
