//! `-n`: print what a change would do, in the form of the peer.

use std::io::Write;
use std::time::Duration;

use cli::{Exit, Failure};
use engine::service::manage::{Along, Graph};
use model::service::database::{Database, Entry, Index};
use model::service::live_state::is_up;
use os::service::live_dir::SERVICE_DIRS;

use super::Options;
use super::list::{open, read_database, read_state, select};

pub(super) fn print(
    options: &Options,
    names: &[&str],
    throttle: Duration,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let file = read_database(&options.live)?;
    let database = open(&file)?;
    let state = read_state(&options.live, database.len())?;
    let chosen = select(&database, names, options.all.then_some(&state))?;
    let graph = Graph::from(&database);
    let mut named: Vec<Index> =
        (0..database.len() as Index).filter(|index| chosen[*index as usize]).collect();
    if !options.down {
        // Of what only bundles stand for, controllers start what they control.
        let services = names.iter().filter_map(|name| match database.find(name) {
            Some(Entry::Service(index)) => Some(index),
            _ => None,
        });
        let wanted = graph.closure(&services.collect::<Vec<Index>>(), Along::Needs);
        let there = |index: Index| wanted.contains(index) || is_up(state[index as usize]);
        let held_back = graph.held_back(there);
        named.retain(|index| !held_back.contains(*index));
    }
    let mut pretend = Pretend { database, options, throttle, up: Vec::new() };
    pretend.up = state.iter().map(|byte| is_up(*byte)).collect();

    let (along, other) = if options.down {
        (Along::NeededBy, Along::Needs)
    } else {
        (Along::Needs, Along::NeededBy)
    };
    let closed = graph.closure(&named, along);
    let rest = graph.closure(&graph.others(&closed), other);
    let (down, up) = match (options.down, options.prune) {
        (false, false) => (Vec::new(), closed.into_members()),
        (false, true) => (rest.into_members(), closed.into_members()),
        (true, false) => (named, Vec::new()),
        (true, true) => (named, rest.into_members()),
    };
    let stopping = if options.essential {
        graph.closure(&down, Along::NeededBy).into_members()
    } else {
        let (stopping, spared) = graph.stopping(&down, |index| pretend.up[index as usize]);
        for index in spared.iter().filter(|_| options.verbosity > 0) {
            let name = database.service(*index).name();
            eprintln!("s6-rc: warning: {name} is essential and is not stopped (-D stops it)");
        }
        stopping.into_members()
    };
    pretend.all(&graph, &stopping, false, out)?;
    pretend.all(&graph, &up, true, out)?;
    Ok(Exit::DONE)
}

struct Pretend<'a> {
    database: Database<'a>,
    options: &'a Options,
    throttle: Duration,
    up: Vec<bool>,
}

impl Pretend<'_> {
    /// Changes each of `services` as soon as those before it are changed.
    fn all(
        &mut self,
        graph: &Graph,
        services: &[Index],
        up: bool,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let before = if up { Along::Needs } else { Along::NeededBy };
        let after = if up { Along::NeededBy } else { Along::Needs };
        let mut change: Vec<Index> = services.to_vec();
        change.sort_unstable();
        change.retain(|index| self.up[*index as usize] != up);
        let waits_for = |pretend: &Self, index: Index| {
            let wrong = |other: &&Index| pretend.up[**other as usize] != up;
            graph.next(index, before).iter().filter(wrong).count()
        };
        let mut left = vec![0; graph.len()];
        for &index in &change {
            left[index as usize] = waits_for(self, index);
        }
        let mut ready: std::collections::VecDeque<Index> =
            change.iter().copied().filter(|index| left[*index as usize] == 0).collect();
        while let Some(index) = ready.pop_front() {
            self.step(index, up, out)?;
            self.up[index as usize] = up;
            for &next in graph.next(index, after) {
                let count = &mut left[next as usize];
                if *count > 0 {
                    *count -= 1;
                    if *count == 0 {
                        ready.push_back(next);
                    }
                }
            }
        }
        Ok(())
    }

    fn step(&self, index: Index, up: bool, out: &mut dyn Write) -> Result<(), Failure> {
        let service = self.database.service(index);
        let live = self.options.live.display();
        let name = service.name();
        let limit = if up { service.timeout_up() } else { service.timeout_down() }.as_millis();
        match self.kind(index) {
            Some(notifies) => {
                let letters = match (up, notifies) {
                    (true, true) => "-uwU",
                    (true, false) => "-uwu",
                    (false, _) => "-dwD",
                };
                writeln!(
                    out,
                    "s6-rc-dryrun: s6-svc {letters} -T {limit} -- {live}/{SERVICE_DIRS}/{name}"
                )?;
            }
            None => {
                let what = if up { "up" } else { "down" };
                writeln!(
                    out,
                    "s6-rc-dryrun: s6-rc-oneshot-run -T {limit} -l {live} -- {what} {name}"
                )?;
            }
        }
        out.flush()?;
        std::thread::sleep(self.throttle);
        Ok(())
    }

    /// A longrun, and whether it says itself when it is ready.
    fn kind(&self, index: Index) -> Option<bool> {
        self.database.service(index).longrun().map(|longrun| longrun.notification_fd.is_some())
    }
}
