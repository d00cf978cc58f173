//! Definitions to a database, or all mistakes at once.

use alloc::string::String;
use alloc::vec::Vec;

use super::database::{BundleEntry, Contents, Index, Kind as EntryKind, ServiceEntry};
use super::definition::{Definition, Kind, LongrunDefinition, Reference, lossy, parse, place};
use super::digest;
use super::graph::{Graph, NONE};
use super::mistake::{Fault, Mistake};
use super::name;
use super::source::{Tree, order_by_name};
use crate::limits::{DATABASE_BYTES_MAX, NEAREST_MAX, SERVICES_MAX};

mod controllers;

use controllers::Control;

/// What the compiler makes of source directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    pub contents: Contents,
    /// [`Contents::encode`] of the contents: the file `db`.
    pub database: Vec<u8>,
    /// Where each longrun of the contents comes from: the number of its
    /// directory in the tree.
    pub directories: Vec<u32>,
    pub warnings: Vec<Mistake>,
}

/// Compiles everything in `tree`.
///
/// Longruns come first, then oneshots; inside of these by source argument,
/// then by the bytes of their names. Bundles follow the same order, those that
/// pipelines name behind all others.
///
/// # Errors
/// Everything that is wrong, warnings among it, by file.
pub fn compile(tree: &Tree) -> Result<Compiled, Vec<Mistake>> {
    let mut compiler = Compiler {
        tree,
        definitions: Vec::new(),
        pipelines: Vec::new(),
        names: Vec::new(),
        consumers: Vec::new(),
        controls: Vec::new(),
        mistakes: Vec::new(),
        unknown: 0,
    };
    let compiled = compiler.run();
    // Those of one file were found from its top to its bottom.
    let found = compiler.mistakes;
    let order = order_by_name(found.iter().map(|mistake| mistake.file.as_bytes()));
    let mistakes: Vec<Mistake> = order.map(|at| found[at].clone()).collect();
    match compiled {
        Some(mut compiled) if mistakes.iter().all(|m| m.fault.is_warning()) => {
            compiled.warnings = mistakes;
            Ok(compiled)
        }
        _ => Err(mistakes),
    }
}

/// The graph has a node for each definition and then one for each pipeline
/// that has a name.
struct Compiler<'a> {
    tree: &'a Tree,
    definitions: Vec<Definition<'a>>,
    pipelines: Vec<Pipeline<'a>>,
    /// Every name and its node, by name.
    names: Vec<(&'a [u8], u32)>,
    /// What reads from each definition.
    consumers: Vec<u32>,
    /// Who controls what, by controller.
    controls: Vec<Control<'a>>,
    mistakes: Vec<Mistake>,
    unknown: usize,
}

/// A bundle that the last consumer of a pipeline names.
struct Pipeline<'a> {
    name: &'a str,
    last: u32,
    written: Reference<'a>,
}

impl<'a> Compiler<'a> {
    fn run(&mut self) -> Option<Compiled> {
        if self.tree.is_full() {
            self.whole(Fault::SourceTooLarge);
            return None;
        }
        self.parse_all()?;
        self.name_all();
        self.join_pipelines();
        let graph = self.connect();
        let order = self.sort(&graph);
        self.resolve_controls();
        self.check_controls(&graph);
        self.check_reactions(&graph);
        if self.mistakes.iter().any(|mistake| !mistake.fault.is_warning()) {
            return None;
        }
        self.build(&graph, &order)
    }

    /// A mistake of nobody in particular.
    fn whole(&mut self, fault: Fault) {
        let file = self.tree.roots().next().unwrap_or_default().into();
        self.mistakes.push(Mistake { file, line: 0, fault });
    }

    fn fault(&mut self, node: u32, written: Option<&Reference>, fault: Fault) {
        let definition = &self.definitions[node as usize];
        let directory = &self.tree.directories()[definition.directory as usize];
        let path = written.map_or(&b""[..], |written| self.tree.path(written.entry));
        let line = written.map_or(0, |written| written.line);
        self.mistakes.push(Mistake { file: place(self.tree, directory, path), line, fault });
    }

    fn folder(&self, node: u32) -> String {
        let definition = &self.definitions[node as usize];
        place(self.tree, &self.tree.directories()[definition.directory as usize], b"")
    }

    fn parse_all(&mut self) -> Option<()> {
        let count = self.tree.directories().len();
        if count > SERVICES_MAX {
            self.whole(Fault::TooMany);
            return None;
        }
        self.definitions.reserve_exact(count);
        // Blocks inside of blocks can make much of little text.
        let mut script_bytes = 0;
        for number in 0..count as u32 {
            let Some(definition) = parse(self.tree, number, &mut self.mistakes) else { continue };
            if let Kind::Oneshot(oneshot) = &definition.kind {
                for words in [&oneshot.up, &oneshot.down].into_iter().chain(&oneshot.reload) {
                    script_bytes += words.iter().map(|word| word.len()).sum::<usize>();
                }
            }
            self.definitions.push(definition);
            if script_bytes > DATABASE_BYTES_MAX {
                self.whole(Fault::DatabaseTooLarge);
                return None;
            }
        }
        Some(())
    }

    /// Fills `names`, and `pipelines` with those that have a name of their own.
    fn name_all(&mut self) {
        let count = self.definitions.len();
        self.names = self.definitions.iter().map(|d| d.name.as_bytes()).zip(0..).collect();
        for node in 0..count as u32 {
            let Some(longrun) = longrun(&self.definitions, node) else { continue };
            let Some(written) = longrun.pipeline_name else { continue };
            if longrun.producer_for.is_some() || longrun.consumer_for.is_empty() {
                continue;
            }
            match name::check(written.name) {
                Ok(name) => {
                    self.names.push((written.name, (count + self.pipelines.len()) as u32));
                    self.pipelines.push(Pipeline { name, last: node, written });
                }
                Err(error) => {
                    let fault = Fault::BadReference { found: lossy(written.name), error };
                    self.fault(node, Some(&written), fault);
                }
            }
        }
        if count + self.pipelines.len() > SERVICES_MAX {
            self.whole(Fault::TooMany);
        }
        self.names.sort_unstable();
        for pair in 1..self.names.len() {
            let ((name, earlier), (again, later)) = (self.names[pair - 1], self.names[pair]);
            if name != again {
                continue;
            }
            let definition_of =
                |node: u32| match self.pipelines.get((node as usize).wrapping_sub(count)) {
                    Some(pipeline) => (pipeline.last, Some(pipeline.written)),
                    None => (node, None),
                };
            let ((earlier, _), (later, written)) = (definition_of(earlier), definition_of(later));
            let earlier = self.folder(earlier);
            let fault = match written {
                Some(_) => Fault::PipelineNameTaken { name: lossy(name), earlier },
                None => Fault::DefinedTwice { earlier },
            };
            self.fault(later, written.as_ref(), fault);
        }
        self.names.dedup_by_key(|(name, _)| *name);
    }

    /// The node that a name stands for, or a mistake.
    fn resolve(&mut self, node: u32, written: &Reference) -> Option<u32> {
        if let Ok(at) = self.names.binary_search_by(|(name, _)| (*name).cmp(written.name)) {
            return Some(self.names[at].1);
        }
        let found = lossy(written.name);
        let fault = match name::check(written.name) {
            Err(error) => Fault::BadReference { found, error },
            Ok(name) => {
                self.unknown += 1;
                let known = || self.names.iter().filter_map(|(n, _)| core::str::from_utf8(n).ok());
                let nearest = (self.unknown <= NEAREST_MAX)
                    .then(|| name::nearest(name, known()).map(String::from))
                    .flatten();
                Fault::UnknownName { found, nearest }
            }
        };
        self.fault(node, Some(written), fault);
        None
    }

    /// The longrun at the other end of a pipe, or a mistake.
    fn resolve_longrun(&mut self, node: u32, written: &Reference) -> Option<u32> {
        let other = self.resolve(node, written)?;
        if longrun(&self.definitions, other).is_none() {
            self.fault(node, Some(written), Fault::NotALongrun { name: lossy(written.name) });
            return None;
        }
        Some(other)
    }

    /// Fills `consumers`: both ends of each pipe must name each other.
    fn join_pipelines(&mut self) {
        let count = self.definitions.len();
        self.consumers.resize(count, NONE);
        let mut claimed = Vec::new();
        claimed.resize(count, NONE);
        for node in 0..count as u32 {
            let Some(longrun) = longrun(&self.definitions, node) else { continue };
            if let Some(written) = longrun.producer_for
                && let Some(consumer) = self.resolve_longrun(node, &written)
            {
                claimed[node as usize] = consumer;
            }
        }
        for consumer in 0..count as u32 {
            let length = longrun(&self.definitions, consumer).map_or(0, |l| l.consumer_for.len());
            for at in 0..length {
                let Some(longrun) = longrun(&self.definitions, consumer) else { continue };
                let written = longrun.consumer_for[at];
                let Some(producer) = self.resolve_longrun(consumer, &written) else { continue };
                if claimed[producer as usize] == consumer {
                    self.consumers[producer as usize] = consumer;
                } else {
                    let fault = Fault::NotItsProducer {
                        consumer: self.definitions[consumer as usize].name.into(),
                        producer: lossy(written.name),
                    };
                    self.fault(consumer, Some(&written), fault);
                }
            }
        }
        for node in 0..count as u32 {
            if claimed[node as usize] == self.consumers[node as usize] {
                continue;
            }
            let Some(longrun) = longrun(&self.definitions, node) else { continue };
            let Some(written) = longrun.producer_for else { continue };
            let fault = Fault::NotItsConsumer {
                consumer: lossy(written.name),
                producer: self.definitions[node as usize].name.into(),
            };
            self.fault(node, Some(&written), fault);
        }
    }

    /// What needs what, and which bundle holds what.
    fn connect(&mut self) -> Graph {
        let count = self.definitions.len() as u32;
        let mut graph = Graph::with_capacity(count as usize + self.pipelines.len());
        for node in 0..count {
            let names = core::mem::take(&mut self.definitions[node as usize].names);
            for written in &names {
                if let Some(target) = self.resolve(node, written) {
                    graph.add_edge(target);
                }
            }
            self.definitions[node as usize].names = names;
            // Nothing may write before somebody reads.
            if self.consumers[node as usize] != NONE {
                graph.add_edge(self.consumers[node as usize]);
            }
            graph.end_node();
        }
        if !self.pipelines.is_empty() {
            let mut ends: Vec<(u32, u32)> =
                ends_of_pipes(&self.consumers).into_iter().zip(0..).collect();
            ends.sort_unstable();
            for pipeline in &self.pipelines {
                let first = ends.partition_point(|(end, _)| *end < pipeline.last);
                for (_, node) in ends[first..].iter().take_while(|(end, _)| *end == pipeline.last) {
                    graph.add_edge(*node);
                }
                graph.end_node();
            }
        }
        graph
    }

    /// The nodes, each behind all that it needs or holds; every cycle is a mistake.
    fn sort(&mut self, graph: &Graph) -> Vec<u32> {
        let (order, cycles) = graph.sort();
        for cycle in cycles {
            let names = cycle.iter().map(|node| self.node_name(*node).into()).collect();
            let (first, next) = (cycle[0], cycle[1 % cycle.len()]);
            let Some(definition) = self.definitions.get(first as usize) else { continue };
            let next = self.node_name(next).as_bytes();
            let pipe = match &definition.kind {
                Kind::Longrun(longrun) => longrun.producer_for.as_slice(),
                Kind::Oneshot(_) | Kind::Bundle => &[],
            };
            let written =
                definition.names.iter().chain(pipe).find(|written| written.name == next).copied();
            self.fault(first, written.as_ref(), Fault::Cycle { names });
        }
        order
    }

    fn node_name(&self, node: u32) -> &'a str {
        match self.definitions.get(node as usize) {
            Some(definition) => definition.name,
            None => self.pipelines[node as usize - self.definitions.len()].name,
        }
    }

    fn build(&mut self, graph: &Graph, order: &[u32]) -> Option<Compiled> {
        let count = self.definitions.len();
        let is_longrun = |d: &Definition| matches!(d.kind, Kind::Longrun(_));
        let is_oneshot = |d: &Definition| matches!(d.kind, Kind::Oneshot(_));
        let number_of = |of: &dyn Fn(&Definition) -> bool| -> Vec<u32> {
            self.definitions.iter().zip(0..).filter(|(d, _)| of(d)).map(|(_, n)| n).collect()
        };
        let (longruns, oneshots) = (number_of(&is_longrun), number_of(&is_oneshot));
        let mut indices = Vec::new();
        indices.resize(graph.len(), NONE);
        for (node, index) in longruns.iter().chain(&oneshots).zip(0..) {
            indices[*node as usize] = index;
        }
        let flags = self.flags(graph, order);
        let Some(sets) = graph.flatten(order, &indices, DATABASE_BYTES_MAX / 8) else {
            self.whole(Fault::DatabaseTooLarge);
            return None;
        };
        let mut has_producers = Vec::new();
        has_producers.resize(count, false);
        for consumer in &self.consumers {
            if let Some(has) = has_producers.get_mut(*consumer as usize) {
                *has = true;
            }
        }

        let mut sets: Vec<Vec<Index>> = sets;
        let reactions = self.reactions(&indices, &sets);
        let mut contents = Contents::default();
        contents.services.reserve_exact(longruns.len() + oneshots.len());
        for node in longruns.iter().chain(&oneshots).map(|node| *node as usize) {
            let consumer = self.consumers[node];
            let consumer_name =
                self.definitions.get(consumer as usize).map_or("", |definition| definition.name);
            let definition = &mut self.definitions[node];
            let kind = match &mut definition.kind {
                Kind::Oneshot(oneshot) => EntryKind::Oneshot(core::mem::take(oneshot)),
                Kind::Longrun(longrun) => {
                    let mut settings = longrun.settings.clone();
                    settings.has_producers = has_producers[node];
                    settings.consumer = (consumer != NONE).then(|| indices[consumer as usize]);
                    EntryKind::Longrun(settings)
                }
                Kind::Bundle => continue,
            };
            contents.services.push(ServiceEntry {
                name: definition.name.into(),
                essential: flags[node] & ESSENTIAL != 0,
                recommended: flags[node] & RECOMMENDED != 0,
                timeout_up: definition.timeout_up,
                timeout_down: definition.timeout_down,
                needs: core::mem::take(&mut sets[node]),
                outputs_owner: definition.outputs_owner.map(String::from),
                digest: digest::digest(self.tree, definition.directory, &kind, consumer_name),
                kind,
            });
        }
        for node in 0..graph.len() {
            if indices[node] == NONE {
                contents.bundles.push(BundleEntry {
                    name: self.node_name(node as u32).into(),
                    essential: flags[node] & ESSENTIAL != 0,
                    recommended: flags[node] & RECOMMENDED != 0,
                    contents: core::mem::take(&mut sets[node]),
                });
            }
        }
        contents.controllers = self.controllers(&indices);
        contents.reactions = reactions;
        let database = contents.encode();
        if database.len() > DATABASE_BYTES_MAX {
            self.whole(Fault::DatabaseTooLarge);
            return None;
        }
        let directories =
            longruns.iter().map(|node| self.definitions[*node as usize].directory).collect();
        Some(Compiled { contents, database, directories, warnings: Vec::new() })
    }

    /// The flags of each node: its own, and those of all bundles that hold it.
    fn flags(&self, graph: &Graph, order: &[u32]) -> Vec<u8> {
        let own = |d: &Definition| {
            (u8::from(d.essential) * ESSENTIAL) | (u8::from(d.recommended) * RECOMMENDED)
        };
        let mut flags: Vec<u8> = self.definitions.iter().map(own).collect();
        flags.resize(graph.len(), 0);
        for &node in order.iter().rev() {
            let is_bundle =
                self.definitions.get(node as usize).is_none_or(|d| matches!(d.kind, Kind::Bundle));
            if is_bundle && flags[node as usize] != 0 {
                for &target in graph.edges(node) {
                    flags[target as usize] |= flags[node as usize];
                }
            }
        }
        flags
    }
}

const ESSENTIAL: u8 = 1;
const RECOMMENDED: u8 = 2;

fn longrun<'d, 'a>(
    definitions: &'d [Definition<'a>],
    node: u32,
) -> Option<&'d LongrunDefinition<'a>> {
    match &definitions.get(node as usize)?.kind {
        Kind::Longrun(longrun) => Some(longrun),
        Kind::Oneshot(_) | Kind::Bundle => None,
    }
}

/// The last consumer behind each node, itself where it writes to none.
///
/// Each node is walked over once; a pipeline that bites its own tail ends
/// anywhere in it, and is found as a cycle of needs.
fn ends_of_pipes(consumers: &[u32]) -> Vec<u32> {
    let mut ends: Vec<u32> = consumers.iter().map(|_| NONE).collect();
    let mut walked = Vec::new();
    for start in 0..consumers.len() as u32 {
        let mut at = start;
        while ends[at as usize] == NONE && walked.len() <= consumers.len() {
            walked.push(at);
            match consumers[at as usize] {
                NONE => break,
                consumer => at = consumer,
            }
        }
        let end = if ends[at as usize] == NONE { at } else { ends[at as usize] };
        for node in walked.drain(..) {
            ends[node as usize] = end;
        }
    }
    ends
}

#[cfg(test)]
mod tests;
