//! Units of systemd as source directories: services, and targets as bundles.

mod plan;
mod write;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use self::plan::{Plan, Relation};
use super::unit::{self, Setting, UnitName};
use super::{Imported, Made, Remark, Remarks, readme};
use crate::service::name::Name;

/// One file of a unit: its own, or a drop-in.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// As messages call it.
    pub file: String,
    pub text: String,
}

/// A unit with all that belongs to it.
#[derive(Clone, Debug, Default)]
pub struct Unit {
    /// `sshd.service`, `getty@tty1.service`, `multi-user.target`.
    pub name: String,
    /// Other names of it.
    pub aliases: Vec<String>,
    /// Its own file first, then the drop-ins, in their order.
    pub sources: Vec<Source>,
    /// What links in `NAME.wants` and `NAME.requires` name.
    pub wants: Vec<String>,
}

/// What stands in for a unit that is not imported: the name of a service, or nothing where
/// nothing needs to.
pub type StandIn = (String, Option<String>);

/// What is always so before the first service starts here, and what only systemd's own end is about.
const ALWAYS: [&str; 22] = [
    "basic.target",
    "sysinit.target",
    "local-fs.target",
    "local-fs-pre.target",
    "syslog.target",
    "syslog.service",
    "systemd-journald.service",
    "systemd-journald.socket",
    "dev-log.socket",
    "systemd-remount-fs.service",
    "systemd-tmpfiles-setup.service",
    "systemd-modules-load.service",
    "systemd-sysctl.service",
    "tmp.mount",
    "-.mount",
    "-.slice",
    "system.slice",
    "shutdown.target",
    "umount.target",
    "final.target",
    "systemd-random-seed.service",
    "systemd-sysusers.service",
];

/// The name that a unit gets: that of a service loses its suffix.
fn name_of(unit: &str) -> &str {
    unit.strip_suffix(".service").unwrap_or(unit)
}

/// One unit that becomes something.
struct Node<'a> {
    unit: UnitName<'a>,
    from: &'a str,
    plan: Plan,
    /// Only that of a service has files yet.
    made: Made,
    remarks: Remarks,
    /// What it needs; what it holds, where it is a bundle.
    links: BTreeSet<usize>,
    needs: Vec<String>,
}

impl Node<'_> {
    fn is_bundle(&self) -> bool {
        self.unit.kind == "target"
    }
}

/// Makes source directories of units.
///
/// Everything made compiles together, as long as all that `stand_ins` name is compiled with it.
pub fn import(units: &[Unit], stand_ins: &[StandIn], bundle: Option<&str>) -> Imported {
    let mut remarks = Remarks::default();
    let mut nodes: Vec<Node<'_>> = Vec::new();
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    let mut taken: BTreeSet<&str> = bundle.into_iter().collect();
    for unit in units {
        let from = unit.sources.first().map_or(unit.name.as_str(), |source| source.file.as_str());
        if let Some(why) = refused(unit) {
            remarks.left_out((from, 0), why);
            continue;
        }
        if !taken.insert(name_of(&unit.name)) {
            remarks
                .left_out((from, 0), alloc::format!("there is a {} already", name_of(&unit.name)));
            continue;
        }
        for name in [&unit.name].into_iter().chain(&unit.aliases) {
            names.entry(name).or_insert(nodes.len());
        }
        nodes.push(node(unit, from));
    }
    let mut edges = edges(units, &mut nodes, &names, stand_ins);
    edges.sort_by_key(|edge| (edge.rank, edge.from, edge.to));
    join(&mut nodes, &edges);
    let mut made: Vec<Made> = Vec::new();
    let links: Vec<(bool, Vec<&str>)> = nodes
        .iter()
        .map(|node| {
            let linked = node.links.iter().map(|at| name_of(nodes[*at].unit.full));
            (node.is_bundle(), linked.collect())
        })
        .collect();
    let mut files = Vec::new();
    for (bundle, linked) in links {
        let folder = if bundle { "contents.d" } else { "dependencies.d" };
        files.push(
            linked.iter().map(|name| alloc::format!("{folder}/{name}")).collect::<Vec<String>>(),
        );
    }
    for (node, files) in nodes.into_iter().zip(files) {
        let Node { made: mut service, from, plan, remarks: mut own, needs, .. } = node;
        let needs = needs.into_iter().map(|need| alloc::format!("dependencies.d/{need}"));
        let empty = files.is_empty();
        for file in files.into_iter().chain(needs) {
            service.add(file, "");
        }
        if service.file("type") == Some("bundle\n") && empty {
            service.add("contents", "");
        }
        own.0.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        write::add_readme(&mut service, from, &plan.about, &own.0);
        remarks.0.extend(own.0);
        made.push(service);
    }
    if let Some(name) = bundle {
        made.push(of_all(name, &made));
    }
    Imported { made, remarks: remarks.0 }
}

/// A bundle of everything.
pub(super) fn of_all(name: &str, made: &[Made]) -> Made {
    let mut all = Made::new(name);
    all.add("type", "bundle\n");
    for made in made {
        all.add(alloc::format!("contents.d/{}", made.name), "");
    }
    if made.is_empty() {
        all.add("contents", "");
    }
    all.add("README", readme("everything that was imported", &[], &[]));
    all
}

/// Why nothing can be made of a unit.
fn refused(unit: &Unit) -> Option<String> {
    let name = UnitName::parse(&unit.name);
    if name.is_template() {
        let hint = alloc::format!("{}@NAME.{}", name.prefix, name.kind);
        return Some(alloc::format!("it is a template: ask for one of it, as {hint}"));
    }
    let why = match name.kind {
        "service" | "target" => None,
        "socket" => Some("a service here opens its sockets itself"),
        "timer" => {
            Some("nothing here starts services by the clock: use cron, or a loop with sleep")
        }
        "mount" | "automount" | "swap" => {
            Some("what is mounted stands in the generation, or in a oneshot")
        }
        "slice" | "scope" => Some("there are no groups of processes with shares here"),
        "device" | "path" => Some("what comes and goes is a controller's matter"),
        _ => Some("it has none of the suffixes of units"),
    };
    if let Some(why) = why {
        return Some(why.into());
    }
    if let Err(error) = Name::parse(name_of(&unit.name)) {
        return Some(alloc::format!("{} is no name of a service: {error}", name_of(&unit.name)));
    }
    if unit.sources.iter().all(|source| source.text.trim().is_empty()) && !unit.sources.is_empty() {
        return Some("it is empty, as one that is masked".into());
    }
    None
}

fn node<'a>(unit: &'a Unit, from: &'a str) -> Node<'a> {
    let name = UnitName::parse(&unit.name);
    let mut remarks = Remarks::default();
    let mut settings: Vec<Setting<'_>> = Vec::new();
    for source in &unit.sources {
        settings.extend(unit::settings(&source.file, &source.text, &mut remarks));
    }
    let mut plan = Plan::read(&name, &settings, &mut remarks);
    let service = name_of(&unit.name);
    let made = if name.kind == "target" {
        let mut bundle = Made::new(service);
        bundle.add("type", "bundle\n");
        bundle
    } else {
        write::service(service, from, &mut plan, &mut remarks)
    };
    Node { unit: name, from, plan, made, remarks, links: BTreeSet::new(), needs: Vec::new() }
}

/// That one service needs another, or that a bundle holds it.
struct Edge {
    /// Stronger ones first, where not all are possible.
    rank: u8,
    from: usize,
    to: usize,
    /// The node that said so, where, and as what.
    by: usize,
    place: (String, u32),
    relation: Relation,
}

/// All that units say about each other. What is about units that are not there gets a remark.
fn edges(
    units: &[Unit],
    nodes: &mut [Node<'_>],
    names: &BTreeMap<&str, usize>,
    stand_ins: &[StandIn],
) -> Vec<Edge> {
    let mut edges = Vec::new();
    for unit in units {
        let Some(from) = names.get(unit.name.as_str()).copied() else { continue };
        let place = (nodes[from].from.to_string(), 0);
        for wanted in &unit.wants {
            nodes[from].plan.relations.push((Relation::Wants, wanted.clone(), place.clone()));
        }
    }
    for by in 0..nodes.len() {
        for (relation, other, place) in core::mem::take(&mut nodes[by].plan.relations) {
            let bundle = nodes[by].is_bundle();
            if let Some(other) = names.get(other.as_str()).copied() {
                let held = nodes[other].is_bundle() && relation == Relation::WantedBy;
                let (rank, from, to) = match relation {
                    Relation::WantedBy if held => (0, other, by),
                    Relation::WantedBy => (3, other, by),
                    Relation::Requires | Relation::Wants if bundle => (0, by, other),
                    Relation::Requires => (1, by, other),
                    Relation::Wants => (2, by, other),
                    Relation::After => (4, by, other),
                    Relation::Before => (4, other, by),
                };
                // A bundle is no moment: what it is after, its services say themselves.
                if nodes[from].is_bundle() && rank > 0 || from == to {
                    continue;
                }
                edges.push(Edge { rank, from, to, by, place, relation });
                continue;
            }
            let stand_in = stand_ins.iter().find(|(unit, _)| *unit == other);
            match stand_in {
                Some((_, Some(service))) if !bundle && relation < Relation::Before => {
                    if !nodes[by].needs.contains(service) {
                        nodes[by].needs.push(service.clone());
                    }
                }
                Some(_) => {}
                None if ALWAYS.contains(&other.as_str())
                    || bundle && relation >= Relation::After => {}
                None => missing(&mut nodes[by], relation, &other, &place),
            }
        }
    }
    edges
}

/// A unit that is neither imported nor stood in for.
fn missing(node: &mut Node<'_>, relation: Relation, other: &str, (file, line): &(String, u32)) {
    let place = (file.as_str(), *line);
    let remarks = &mut node.remarks;
    match relation {
        Relation::Requires => {
            remarks.left_out(place, alloc::format!("it requires {other}, which is not imported"))
        }
        Relation::Wants => {
            remarks.left_out(place, alloc::format!("it wants {other}, which is not imported"))
        }
        Relation::After => {
            remarks
                .left_out(place, alloc::format!("it starts after {other}, which is not imported"));
        }
        Relation::Before => {
            remarks
                .left_out(place, alloc::format!("it starts before {other}, which is not imported"));
        }
        Relation::WantedBy => remarks.otherwise(
            place,
            alloc::format!(
                "{other} wants it, which is not imported: put it into a bundle, such as `default`"
            ),
        ),
    }
}

/// Enters the edges, as long as nothing needs itself.
fn join(nodes: &mut [Node<'_>], edges: &[Edge]) {
    for edge in edges {
        if nodes[edge.from].links.contains(&edge.to) {
            continue;
        }
        let name = |at: usize| nodes[at].unit.full;
        let (from, to) = (name(edge.from), name(edge.to));
        let place = (edge.place.0.as_str(), edge.place.1);
        if reaches(nodes, edge.to, edge.from) {
            let what = match edge.rank {
                0 => alloc::format!("{from} cannot hold {to}, which holds it"),
                _ => alloc::format!("{from} cannot need {to}, which needs it, or holds it"),
            };
            nodes[edge.by].remarks.left_out(place, what);
            continue;
        }
        if edge.rank > 1 {
            let word = match edge.relation {
                Relation::After | Relation::Before => "an order",
                _ => "a wish",
            };
            let what = alloc::format!(
                "{word} becomes a need: {from} stays down where {to} cannot come up"
            );
            nodes[edge.by].remarks.otherwise(place, what);
        }
        nodes[edge.from].links.insert(edge.to);
    }
}

/// Whether `start`, or anything that it needs or holds, is `goal`, or stands for it.
fn reaches(nodes: &[Node<'_>], start: usize, goal: usize) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = alloc::vec![start];
    while let Some(at) = open.pop() {
        if at == goal {
            return true;
        }
        if seen.insert(at) {
            open.extend(&nodes[at].links);
        }
    }
    false
}

/// All remarks that weigh this much.
pub fn left_out(remarks: &[Remark]) -> usize {
    remarks.iter().filter(|remark| remark.weight == super::Weight::LeftOut).count()
}
