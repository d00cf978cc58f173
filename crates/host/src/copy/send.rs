//! Sending: asks once, plans, and says everything in one stream; goes on where it was cut off.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use cli::Failure;
use model::deploy::path_info::PathInfo;
use model::deploy::store_path::StorePath;
use model::deploy::transfer::{DATA_BYTES, FromDevice, Greeting, ToDevice, VERSION, Way};
use model::deploy::trust::SigningKey;
use model::limits::REFERENCES_MAX;
use serde_json::json;

use super::line::{Line, Lost, Target};
use super::parcel::{self, Parcel};
use super::plan::{Had, Plan, shown};
use super::progress::Progress;
use crate::nix::call::Nix;

/// How long a device may think: it may be verifying 8 MB on a slow flash, or wait for another copy.
const ANSWER_MAX: Duration = Duration::from_secs(180);
/// How often it is told that somebody is there.
const ALIVE: Duration = Duration::from_secs(10);
/// Parcels that are made before they can be sent.
const AHEAD: usize = 2;

/// What is wanted.
pub struct Wish<'a> {
    pub target: Target,
    pub nix: &'a Nix,
    /// What the store of this machine lies in.
    pub root: &'a Path,
    pub closure: Vec<PathInfo>,
    pub key: Option<SigningKey>,
    /// Names under which paths stay there.
    pub keep: Vec<(String, StorePath)>,
    pub dry_run: bool,
    /// How often a connection that is cut is made again.
    pub retries: u32,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    pub paths: usize,
    /// Bytes of messages.
    pub bytes: u64,
    /// What they become.
    pub size: u64,
}

/// Why nothing was sent, or not all.
pub enum Stopped {
    /// There is no `ward` on the device.
    NoWard,
    Failure(Failure),
}

/// Copies what is missing.
pub fn run(wish: &mut Wish<'_>, progress: &mut Progress) -> Result<Sent, Stopped> {
    if let Some(key) = &wish.key {
        wish.closure.iter_mut().for_each(|info| key.sign(info));
    }
    let (mut tries, mut sent, mut before) = (0, Sent::default(), None);
    loop {
        let mut attempt = Attempt { wish, progress, sent: &mut sent };
        let why = match attempt.run() {
            Ok(()) => return Ok(sent),
            Err(Lost::NoWard) => return Err(Stopped::NoWard),
            Err(Lost::Hopeless(failure)) => return Err(Stopped::Failure(failure)),
            Err(Lost::Cut(why)) => why,
        };
        // As long as it gets on it is worth another try.
        if before.replace(sent.paths) != Some(sent.paths) {
            tries = 0;
        }
        tries += 1;
        if tries > wish.retries {
            return Err(Stopped::Failure(
                Failure::refused(format!("the connection to {} was cut: {why}", wish.target.host))
                    .hint("what came whole is there: the same command goes on from it"),
            ));
        }
        let wait = Duration::from_secs(1 << tries.min(5));
        progress.event("retry", json!({ "why": why, "wait": wait.as_secs() }));
        progress.say(&format!(
            "doorward: the connection was cut ({why}): trying again in {} s",
            wait.as_secs()
        ));
        thread::sleep(wait);
    }
}

struct Attempt<'a, 'w> {
    wish: &'a Wish<'w>,
    progress: &'a mut Progress,
    sent: &'a mut Sent,
}

/// What did not become a path, and why.
type Again = BTreeMap<StorePath, String>;

impl Attempt<'_, '_> {
    fn run(&mut self) -> Result<(), Lost> {
        let mut line = Line::open(&self.wish.target).map_err(Lost::Hopeless)?;
        line.say(&ToDevice::Hello { version: VERSION })?;
        let (greeting, had) = self.greet(&mut line)?;
        self.progress.event(
            "connected",
            json!({ "paths": had.len(), "free-bytes": greeting.free_bytes, "memory-bytes": greeting.memory_bytes }),
        );
        let wish = self.wish;
        let plan = Plan::new(wish.nix, wish.root, &wish.closure, &greeting, &had);
        let plan = plan.map_err(Lost::Hopeless)?;
        self.progress.event(
            "plan",
            json!({ "paths": plan.missing.len(), "size": plan.size(), "needs-bytes": plan.need.bytes, "needs-files": plan.need.files }),
        );
        if let Some(objection) = plan.objection(&greeting) {
            return Err(Lost::Hopeless(refusal(&mut line, &objection)?));
        }
        if wish.dry_run {
            // It takes a while, and the device has said all.
            line.say(&ToDevice::Bye)?;
            let _ = line.end();
            return self.show(&plan).map_err(Lost::Hopeless);
        }
        let relied = plan.relied(&wish.closure);
        let count = relied.chunks(REFERENCES_MAX).count();
        for (at, paths) in relied.chunks(REFERENCES_MAX).enumerate() {
            line.say(&ToDevice::Rely { paths: paths.to_vec(), is_last: at + 1 == count })?;
        }
        if !plan.missing.is_empty() {
            self.progress.begin(plan.size());
            let infos: Vec<&PathInfo> = plan.missing.iter().collect();
            let again = self.send(&mut line, &plan, &infos, false)?;
            if !again.is_empty() {
                // What could not be made of what is there comes whole.
                let infos: Vec<&PathInfo> =
                    infos.into_iter().filter(|info| again.contains_key(&info.path)).collect();
                let again = self.send(&mut line, &plan, &infos, true)?;
                if let Some((path, why)) = again.into_iter().next() {
                    let text = format!("{path} does not arrive whole: {why}");
                    return Err(Lost::Hopeless(Failure::not_achieved(text)));
                }
            }
        }
        for (name, path) in &wish.keep {
            line.say(&ToDevice::Keep { name: name.clone(), path: path.clone() })?;
        }
        line.say(&ToDevice::Bye)?;
        match line.end() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Lost::Cut(format!("the receiver ended with {status}"))),
            Err(error) => Err(Lost::Cut(error.to_string())),
        }
    }

    /// What the device is like, and what it has.
    fn greet(&mut self, line: &mut Line) -> Result<(Greeting, Had), Lost> {
        let (mut greeting, mut had) = (None, Had::new());
        loop {
            match line.hear(ANSWER_MAX)? {
                Some(FromDevice::Greeting(said)) if said.version == VERSION => {
                    if said.is_read_only {
                        return Err(Lost::Hopeless(
                            Failure::not_achieved("/nix/store can only be read on the device")
                                .hint("a device with a read-only root is updated by flashing an image"),
                        ));
                    }
                    greeting = Some(said);
                }
                Some(FromDevice::Greeting(said)) => {
                    let why = format!(
                        "the device speaks version {} of the language of copies, and this program {VERSION}",
                        said.version
                    );
                    return Err(Lost::Hopeless(Failure::not_achieved(why).hint(
                        "take a `doorward` that is as old as the device's `ward`; or `levitate`, and a new firmware",
                    )));
                }
                Some(FromDevice::Have { path, hash, size }) => {
                    had.insert(path, (hash, size));
                }
                Some(FromDevice::Waiting { process }) => {
                    self.progress.event("waiting", json!({ "process": process }));
                    self.progress.say(&format!(
                        "doorward: another copy to this device is under way (process {process} there): waiting for it"
                    ));
                }
                Some(FromDevice::Ready) => match greeting {
                    Some(greeting) => return Ok((greeting, had)),
                    None => return Err(Lost::Cut("it does not say what it is".into())),
                },
                Some(_) => return Err(Lost::Cut("it says what nobody asked for".into())),
                None => return Err(Lost::Cut("it says nothing".into())),
            }
        }
    }

    /// Sends paths, and waits until all of them are in the store.
    fn send(
        &mut self,
        line: &mut Line,
        plan: &Plan,
        infos: &[&PathInfo],
        whole: bool,
    ) -> Result<Again, Lost> {
        let mut again = Again::new();
        let (root, window) = (self.wish.root, plan.window);
        thread::scope(|scope| {
            let (sender, parcels) = sync_channel(AHEAD);
            scope.spawn(move || {
                for info in infos {
                    let older = plan.older.get(&info.path).filter(|_| !whole);
                    if sender.send(parcel::make(root, info, older, window)).is_err() {
                        return; // Nobody wants more.
                    }
                }
            });
            loop {
                let parcel = match parcels.recv_timeout(ALIVE) {
                    Ok(parcel) => parcel.map_err(Lost::Hopeless)?,
                    Err(RecvTimeoutError::Timeout) => {
                        line.say(&ToDevice::Alive)?;
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                };
                self.send_one(line, parcel)?;
                while let Some(news) = line.hear(Duration::ZERO)? {
                    hear_again(news, &mut again);
                }
            }
        })?;
        line.say(&ToDevice::Commit)?;
        loop {
            match line.hear(ANSWER_MAX)? {
                Some(FromDevice::Done { paths }) => {
                    self.progress.event("committed", json!({ "paths": paths }));
                    return Ok(again);
                }
                Some(news) => hear_again(news, &mut again),
                None => return Err(Lost::Cut("it says nothing".into())),
            }
        }
    }

    fn send_one(&mut self, line: &mut Line, parcel: Parcel) -> Result<(), Lost> {
        let Parcel { info, way, data } = parcel;
        let (path, size, way_name) = (info.path.clone(), info.size, name(&way));
        let before = line.sent;
        line.say(&ToDevice::Path { info, way })?;
        let mut shown_size = 0;
        let pieces = data.len().div_ceil(DATA_BYTES).max(1) as u64;
        for piece in data.chunks(DATA_BYTES) {
            line.say(&ToDevice::Data(piece))?;
            shown_size += size / pieces;
            self.progress.advance(size / pieces);
            self.progress.draw(self.sent.bytes + (line.sent - before), path.name());
        }
        line.say(&ToDevice::PathEnd)?;
        self.progress.advance(size.saturating_sub(shown_size));
        self.sent.paths += 1;
        self.sent.size += size;
        self.sent.bytes += line.sent - before;
        self.progress.draw(self.sent.bytes, path.name());
        let bytes = line.sent - before;
        self.progress.event(
            "path",
            json!({ "path": path.as_str(), "way": way_name, "bytes": bytes, "size": size }),
        );
        Ok(())
    }

    /// Prints what would be sent.
    fn show(&mut self, plan: &Plan) -> Result<(), Failure> {
        let mut all = 0;
        for info in &plan.missing {
            let older = plan.older.get(&info.path);
            let parcel = parcel::make(self.wish.root, info, older, plan.window)?;
            let head = ToDevice::Path { info: parcel.info, way: parcel.way.clone() }.encode().len();
            let bytes = (parcel.data.len() + head) as u64;
            all += bytes;
            self.progress.event(
                "path",
                json!({ "path": info.path.as_str(), "way": name(&parcel.way), "bytes": bytes, "size": info.size }),
            );
            self.progress.print(&format!(
                "{:>10} {:>10}  {:8} {}",
                info.size,
                bytes,
                name(&parcel.way),
                info.path
            ));
        }
        let count = plan.missing.len();
        self.progress.print(&format!(
            "{count} paths of {} would be sent as {}, and take {} there",
            shown(plan.size()),
            shown(all),
            shown(plan.need.bytes)
        ));
        *self.sent = Sent { paths: count, bytes: all, size: plan.size() };
        Ok(())
    }
}

fn hear_again(news: FromDevice, again: &mut Again) {
    if let FromDevice::Again { path, why } = news {
        again.insert(path, why);
    }
}

/// How a path comes, in a word.
fn name(way: &Way) -> &'static str {
    match way {
        Way::Whole { .. } => "whole",
        Way::Replaced { .. } => "replaced",
        Way::Patched { .. } => "patched",
    }
}

/// What to say where there is no room.
fn refusal(line: &mut Line, objection: &str) -> Result<Failure, Lost> {
    line.say(&ToDevice::AskCollectable)?;
    let bytes = loop {
        match line.hear(ANSWER_MAX)? {
            Some(FromDevice::Collectable { bytes }) => break bytes,
            Some(_) => {}
            None => break 0,
        }
    };
    line.say(&ToDevice::Bye)?;
    let _ = line.end();
    let failure = Failure::not_achieved(format!("there is no room on the device: {objection}"));
    Ok(match bytes {
        0 => failure.hint("there is nothing there that could be collected"),
        bytes => failure.hint(format!("`ward store collect` would free {}", shown(bytes))),
    })
}
