//! Making the bytes of a database.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use xxhash_rust::xxh64::xxh64;

use super::controllers::CONTROL_BYTES;
use super::*;
use crate::bytes::Writer;

impl Contents {
    /// The bytes of the database. The same contents give the same bytes.
    ///
    /// The caller has made sure that longruns come first, that names differ
    /// and that every index exists: [`Database::open`] refuses anything else.
    pub fn encode(&self) -> Vec<u8> {
        let mut parts = Encoder::default();
        let mut needed_by: Vec<Vec<Index>> = self.services.iter().map(|_| Vec::new()).collect();
        for (index, service) in self.services.iter().enumerate() {
            for &need in &service.needs {
                if let Some(list) = needed_by.get_mut(need as usize) {
                    list.push(index as Index);
                }
            }
        }
        let starters = self.starters();
        for ((service, needed_by), starter) in self.services.iter().zip(&needed_by).zip(starters) {
            parts.service(service, needed_by, starter);
        }
        for bundle in &self.bundles {
            parts.bundle(bundle);
        }
        for controller in &self.controllers {
            parts.controller(controller);
        }
        for reaction in &self.reactions {
            parts.reactions.u32(reaction.user).u32(reaction.need).u32(reaction.reaction as u32);
        }
        let longruns = self.services.iter().filter(|s| matches!(s.kind, Kind::Longrun(_))).count();
        let mut order: Vec<(&[u8], u32)> = (self.services.iter().map(|s| s.name.as_bytes()))
            .chain(self.bundles.iter().map(|b| b.name.as_bytes()))
            .zip(0u32..)
            .collect();
        order.sort_unstable();

        let mut body = Writer::new();
        for count in [
            self.services.len(),
            longruns,
            self.bundles.len(),
            parts.numbers.len() / 4,
            parts.scripts.len() / 8,
            parts.text.len(),
            self.controllers.len(),
            parts.controls.len() / CONTROL_BYTES,
            self.reactions.len(),
            0,
        ] {
            body.u32(count as u32);
        }
        body.put(parts.services.as_bytes()).put(parts.bundles.as_bytes());
        for (_, entry) in order {
            body.u32(entry);
        }
        body.put(parts.numbers.as_bytes()).put(parts.scripts.as_bytes());
        body.put(parts.controllers.as_bytes()).put(parts.controls.as_bytes());
        body.put(parts.reactions.as_bytes()).put(parts.text.as_bytes());

        let mut file = Writer::new();
        file.put(&MAGIC).u32(VERSION).u64(xxh64(body.as_bytes(), u64::from(VERSION)));
        file.put(body.as_bytes());
        file.into_bytes()
    }

    /// The controller that starts each service, [`u32::MAX`] where none does.
    fn starters(&self) -> Vec<u32> {
        let mut starters: Vec<u32> = self.services.iter().map(|_| u32::MAX).collect();
        for true_starters in [true, false] {
            let of_kind = |c: &&ControllerEntry| c.kind.starts() == true_starters;
            for controller in self.controllers.iter().filter(of_kind) {
                for control in &controller.controls {
                    if let Some(starter) = starters.get_mut(control.service as usize)
                        && *starter == u32::MAX
                    {
                        *starter = controller.service;
                    }
                }
            }
        }
        starters
    }
}

/// The growing parts of a database.
#[derive(Default)]
struct Encoder {
    services: Writer,
    bundles: Writer,
    numbers: Writer,
    scripts: Writer,
    controllers: Writer,
    controls: Writer,
    reactions: Writer,
    text: Writer,
}

impl Encoder {
    fn service(&mut self, service: &ServiceEntry, needed_by: &[Index], starter: u32) {
        let name = self.add_text(service.name.as_bytes());
        let needs = self.add_numbers(&service.needs);
        let needed_by = self.add_numbers(needed_by);
        let mut flags =
            u32::from(service.essential) * ESSENTIAL + u32::from(service.recommended) * RECOMMENDED;
        let kind: [u32; 7] = match &service.kind {
            Kind::Longrun(longrun) => {
                for (set, flag) in [
                    (longrun.has_finish, HAS_FINISH),
                    (longrun.new_pid_namespace, NEW_PID_NAMESPACE),
                    (longrun.kill_group, KILL_GROUP),
                    (longrun.same_session, SAME_SESSION),
                    (longrun.starts_down, STARTS_DOWN),
                    (longrun.has_producers, HAS_PRODUCERS),
                    (longrun.has_extras, HAS_EXTRAS),
                ] {
                    flags |= u32::from(set) * flag;
                }
                [
                    longrun.notification_fd.unwrap_or(u32::MAX),
                    longrun.lock_fd.unwrap_or(u32::MAX),
                    millis(longrun.timeout_kill),
                    millis(longrun.timeout_finish),
                    millis(longrun.restart_wait),
                    u32::from(longrun.down_signal)
                        | u32::from(longrun.reload_signal) << 8
                        | longrun.death_tally_max.min(0xffff) << 16,
                    longrun.consumer.unwrap_or(u32::MAX),
                ]
            }
            Kind::Oneshot(oneshot) => {
                let (up, down) = (self.add_script(&oneshot.up), self.add_script(&oneshot.down));
                let reload = match &oneshot.reload {
                    Some(words) => self.add_script(words),
                    None => [u32::MAX, 0],
                };
                [up[0], up[1], down[0], down[1], reload[0], reload[1], 0]
            }
        };
        let owner = match &service.outputs_owner {
            Some(owner) => self.add_script(&[owner.as_bytes().into()])[0],
            None => u32::MAX,
        };
        for pair in [name, needs, needed_by] {
            self.services.u32(pair[0]).u32(pair[1]);
        }
        self.services.u32(millis(service.timeout_up)).u32(millis(service.timeout_down));
        self.services.u32(flags).u64(service.digest);
        for word in kind {
            self.services.u32(word);
        }
        self.services.u32(starter).u32(owner);
    }

    fn controller(&mut self, controller: &ControllerEntry) {
        let own = self.add_text(controller.own.as_bytes());
        let first = (self.controls.len() / CONTROL_BYTES) as u32;
        self.controllers.u32(controller.service).u32(controller.kind as u32);
        self.controllers.u32(own[0]).u32(own[1]).u32(first).u32(controller.controls.len() as u32);
        for control in &controller.controls {
            let text = self.add_text(control.text.as_bytes());
            self.controls.u32(control.service).u32(controller.service).u32(text[0]).u32(text[1]);
        }
    }

    fn bundle(&mut self, bundle: &BundleEntry) {
        let name = self.add_text(bundle.name.as_bytes());
        let contents = self.add_numbers(&bundle.contents);
        let flags =
            u32::from(bundle.essential) * ESSENTIAL + u32::from(bundle.recommended) * RECOMMENDED;
        for word in [name[0], name[1], contents[0], contents[1], flags] {
            self.bundles.u32(word);
        }
    }

    fn add_text(&mut self, bytes: &[u8]) -> [u32; 2] {
        let start = self.text.len() as u32;
        self.text.put(bytes);
        [start, bytes.len() as u32]
    }

    fn add_numbers(&mut self, numbers: &[u32]) -> [u32; 2] {
        let start = self.numbers.len() as u32 / 4;
        for &number in numbers {
            self.numbers.u32(number);
        }
        [start, numbers.len() as u32]
    }

    fn add_script(&mut self, words: &[Box<[u8]>]) -> [u32; 2] {
        let start = self.scripts.len() as u32 / 8;
        for word in words {
            let span = self.add_text(word);
            self.scripts.u32(span[0]).u32(span[1]);
        }
        [start, words.len() as u32]
    }
}

/// Whole milliseconds, as many as fit.
fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
