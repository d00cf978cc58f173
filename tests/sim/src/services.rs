//! Databases made up on dice.

use std::time::Duration;

use model::controller;
use model::service::database::{
    Contents, ControlEntry, ControllerEntry, Database, Kind, Longrun, Oneshot, Reaction,
    ReactionEntry, ServiceEntry,
};
use model::service::graph::Graph;

use crate::dice::Dice;

const SECOND: Duration = Duration::from_secs(1);

/// A database of `count` services: longruns and oneshots, with needs in any
/// direction that makes no cycle.
pub fn database(dice: &mut Dice, count: usize) -> Contents {
    let longruns = dice.below(count + 1);
    // A hidden order, so that indices say nothing about who needs whom.
    let mut order: Vec<usize> = (0..count).collect();
    for i in (1..count).rev() {
        order.swap(i, dice.below(i + 1));
    }
    let density = 10 + dice.below(35) as u32;
    let services = (0..count).map(|i| {
        let needs = (0..count)
            .filter(|&other| order[other] < order[i] && dice.percent(density))
            .map(|other| other as u32)
            .collect();
        let kind = if i < longruns {
            Kind::Longrun(Longrun {
                notification_fd: dice.percent(60).then_some(3),
                timeout_kill: if dice.percent(50) { dice.millis(20, 200) } else { Duration::ZERO },
                timeout_finish: if dice.percent(80) {
                    dice.millis(50, 500)
                } else {
                    Duration::ZERO
                },
                restart_wait: if dice.percent(20) { dice.millis(10, 2_000) } else { SECOND },
                down_signal: if dice.percent(20) { 2 } else { 15 },
                kill_group: dice.percent(20),
                has_finish: dice.percent(30),
                ..Longrun::default()
            })
        } else {
            let words = |some| if some { vec![b"do".as_slice().into()] } else { vec![] };
            Kind::Oneshot(Oneshot {
                up: words(dice.percent(85)),
                down: words(dice.percent(70)),
                reload: dice.percent(50).then(|| words(true)),
            })
        };
        ServiceEntry {
            name: format!("s{i}"),
            essential: dice.percent(8),
            recommended: false,
            timeout_up: dice.millis(150, 3_000),
            timeout_down: dice.millis(150, 3_000),
            needs,
            digest: i as u64,
            outputs_owner: None,
            kind,
        }
    });
    Contents { services: services.collect(), ..Contents::default() }
}

/// Makes some of the longruns controllers of other services, where the compiler
/// would not find fault with it, and has some needs matter when they run afresh.
pub fn with_controllers(dice: &mut Dice, contents: &mut Contents) {
    let count = contents.services.len() as u32;
    let longruns: Vec<u32> = (0..count)
        .filter(|at| matches!(contents.services[*at as usize].kind, Kind::Longrun(_)))
        .collect();
    let mut starters = vec![None; count as usize];
    for _ in 0..count {
        let Some(&controller) = dice.pick(&longruns) else { break };
        let controlled = dice.below(count as usize);
        if starters[controlled].is_none() {
            starters[controlled] = Some(controller);
            if waits_for_itself(contents, &starters) {
                starters[controlled] = None;
            }
        }
        if dice.percent(30) {
            break;
        }
    }
    for &service in &longruns {
        let controls: Vec<ControlEntry> = (0..count)
            .filter(|at| starters[*at as usize] == Some(service))
            .map(|service| ControlEntry { service, text: String::new() })
            .collect();
        if !controls.is_empty() {
            let own = "kind other\n".to_owned();
            let kind = controller::Kind::Other;
            contents.controllers.push(ControllerEntry { service, kind, own, controls });
        }
    }
    for (user, service) in (0..).zip(&contents.services) {
        for &need in &service.needs {
            let reaction = [Reaction::Notify, Reaction::Restart][dice.below(2)];
            if dice.percent(30) {
                contents.reactions.push(ReactionEntry { user, need, reaction });
            }
        }
    }
}

/// Somewhere, needs and controllers lead back to where they began.
fn waits_for_itself(contents: &Contents, starters: &[Option<u32>]) -> bool {
    let mut graph = Graph::with_capacity(starters.len());
    for (service, starter) in contents.services.iter().zip(starters) {
        service.needs.iter().chain(starter).for_each(|target| graph.add_edge(*target));
        graph.end_node();
    }
    !graph.sort().1.is_empty()
}

/// A database of longruns and oneshots that need what `needs` says, without limits.
pub fn plain(longruns: usize, needs: &[&[u32]]) -> Contents {
    let services = needs.iter().enumerate().map(|(i, needs)| ServiceEntry {
        name: format!("s{i}"),
        essential: false,
        recommended: false,
        timeout_up: Duration::ZERO,
        timeout_down: Duration::ZERO,
        needs: needs.to_vec(),
        digest: i as u64,
        outputs_owner: None,
        kind: if i < longruns {
            Kind::Longrun(Longrun { notification_fd: Some(3), ..Longrun::default() })
        } else {
            Kind::Oneshot(Oneshot {
                up: vec![b"up".as_slice().into()],
                down: vec![b"down".as_slice().into()],
                reload: Some(vec![b"reload".as_slice().into()]),
            })
        },
    });
    Contents { services: services.collect(), ..Contents::default() }
}

/// Calls `with` with the opened database.
pub fn open<T>(contents: &Contents, with: impl FnOnce(&Database<'_>) -> T) -> T {
    let bytes = contents.encode();
    with(&Database::open(&bytes).expect("what was made up is a database"))
}
