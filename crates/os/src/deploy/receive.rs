//! `ward store receive`: store paths from whoever speaks on the other side, by docs/formats/transfer.md.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::deploy::archive::{self, NoArchive};
use engine::deploy::collect;
use engine::deploy::receive::{Fault, Receiver};
use engine::deploy::store;
use model::deploy::lzma::{self, Decoder};
use model::deploy::patch;
use model::deploy::path_info::PathInfo;
use model::deploy::paths::PathSet;
use model::deploy::replace;
use model::deploy::store_path::{STORE, StorePath};
use model::deploy::transfer::{self, FromDevice, Greeting, HEAD_BYTES, ToDevice, VERSION, Way};
use model::deploy::trust::{self, TrustedKey};
use model::limits::STORE_PATHS_MAX;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::base::{Base, State, Wrong};
use super::lease::{self, Held, Lease, Right};
use super::store_dir::StoreDir;
use super::{roots, trusted};
use crate::clock;
use crate::memory;
use crate::trouble::{Trouble, While};

/// Who says nothing for so long is gone: what came of it counts, and the next one may come.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How long another copy is waited for: a little longer than one takes to find that nobody is there.
const WAIT_MAX: Duration = Duration::from_secs(90);

/// Paths that are whole go into the store when they are so many, or so many bytes: each time costs a few
/// writes, and what is not there yet is lost with the power.
const STAGED_PATHS_MAX: usize = 64;
const STAGED_BYTES_MAX: u64 = 8 << 20;

/// How it ended.
#[derive(Debug)]
pub enum End {
    /// The other side said so.
    Bye,
    /// It went away.
    Silence,
    /// It was told why.
    Refused(String),
}

/// Why it could not begin, or go on.
#[derive(Debug)]
pub enum Failure {
    /// The other side cannot be heard, or told.
    Line(io::Error),
    Trouble(Trouble),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// Messages over two descriptors.
struct Line<'a> {
    input: BorrowedFd<'a>,
    output: BorrowedFd<'a>,
    body: Vec<u8>,
}

impl Line<'_> {
    fn say(&mut self, message: &FromDevice) -> Result<(), Failure> {
        let bytes = message.encode();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match rustix::io::write(self.output, rest) {
                Ok(count) => rest = &rest[count..],
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Failure::Line(error.into())),
            }
        }
        Ok(())
    }

    /// Whether something was said, or comes within this time.
    fn is_ready(&self, limit: Duration) -> Result<bool, Failure> {
        let limit = Timespec { tv_sec: limit.as_secs() as _, tv_nsec: limit.subsec_nanos() as _ };
        loop {
            match poll(&mut [PollFd::new(&self.input, PollFlags::IN)], Some(&limit)) {
                Ok(count) => return Ok(count > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Failure::Line(error.into())),
            }
        }
    }

    /// Fills `bytes`; `false`: the other side has gone, or says nothing.
    fn fill(&self, bytes: &mut [u8]) -> Result<bool, Failure> {
        let mut done = 0;
        while done < bytes.len() {
            if !self.is_ready(SILENCE_MAX)? {
                return Ok(false);
            }
            match rustix::io::read(self.input, &mut bytes[done..]) {
                Ok(0) => return Ok(false),
                Ok(count) => done += count,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(rustix::io::Errno::CONNRESET | rustix::io::Errno::IO) => return Ok(false),
                Err(error) => return Err(Failure::Line(error.into())),
            }
        }
        Ok(true)
    }

    /// The next message: its kind, and its body in `body`. `None`: none comes any more.
    fn hear(&mut self) -> Result<Option<Result<u8, transfer::NoMessage>>, Failure> {
        let mut head = [0; HEAD_BYTES];
        if !self.fill(&mut head)? {
            return Ok(None);
        }
        let (kind, length) = match transfer::head(head) {
            Ok(head) => head,
            Err(error) => return Ok(Some(Err(error))),
        };
        let mut body = std::mem::take(&mut self.body);
        body.resize(length, 0);
        let is_whole = self.fill(&mut body)?;
        self.body = body;
        Ok(is_whole.then_some(Ok(kind)))
    }
}

/// A path on its way.
enum Coming {
    Whole(Decoder),
    Replaced,
    Patched(Box<Patched>),
    /// It cannot become what it should, or is there already: the rest is passed over.
    PassedOver,
}

struct Patched {
    base: StorePath,
    replacements: replace::Replacements,
    decoder: Decoder,
    reader: patch::Reader,
    state: State,
}

/// Why a path that came is not taken.
enum Unfit {
    /// What came was not it. Sent in another way it may be.
    Again(String),
    /// Nothing can be taken any more.
    Over(String),
}

/// One copy.
struct Session<'a> {
    root: &'a Path,
    line: Line<'a>,
    receiver: Receiver<StoreDir>,
    /// Another view of the same store, for older paths.
    old: StoreDir,
    keys: Vec<TrustedKey>,
    lease: Lease,
    relied: PathSet,
    coming: Option<(StorePath, Coming)>,
}

/// Receives until the other side says that it is over, or goes.
///
/// # Errors
/// What came whole before is in the store all the same, if that could be done at all.
pub fn run(root: &Path, input: BorrowedFd<'_>, output: BorrowedFd<'_>) -> Result<End, Failure> {
    let mut line = Line { input, output, body: Vec::new() };
    let begun = begin(root, &mut line);
    let (_held, disk, old, known, keys, lease) = match begun {
        Ok(begun) => begun,
        Err(Begin::Failure(failure)) => return Err(failure),
        Err(Begin::Refused(why)) => return refuse(&mut line, why),
    };
    let receiver = Receiver::new(disk, known)?;
    let mut session = Session {
        root,
        line,
        receiver,
        old,
        keys,
        lease,
        relied: PathSet::default(),
        coming: None,
    };
    let outcome = session.go_on();
    // Whatever came whole counts.
    session.receiver.abort()?;
    let committed = session.commit();
    match (outcome?, committed) {
        (End::Bye | End::Silence, Err(Unfit::Again(why) | Unfit::Over(why))) => {
            refuse(&mut session.line, why)
        }
        (End::Refused(why), _) => refuse(&mut session.line, why),
        (end, Ok(())) => Ok(end),
    }
}

fn refuse(line: &mut Line<'_>, why: String) -> Result<End, Failure> {
    // It may have gone.
    let _ = line.say(&FromDevice::Refused { why: why.clone() });
    Ok(End::Refused(why))
}

enum Begin {
    Failure(Failure),
    Refused(String),
}

impl<E: Into<Failure>> From<E> for Begin {
    fn from(error: E) -> Self {
        Self::Failure(error.into())
    }
}

type Begun = (Held, StoreDir, StoreDir, PathSet, Vec<TrustedKey>, Lease);

/// Says what the device is like and what it has, once nobody else brings anything.
fn begin(root: &Path, line: &mut Line<'_>) -> Result<Begun, Begin> {
    let mut disk = StoreDir::open(root)?;
    let room = disk.room()?;
    let keys = trusted::keys(root).map_err(Begin::Refused)?;
    let greeting = Greeting {
        version: VERSION,
        free_bytes: room.bytes,
        free_files: room.files,
        block_bytes: room.block_bytes,
        erase_bytes: room.erase_bytes,
        memory_bytes: memory::available().unwrap_or(0),
        file_system: room.file_system,
        is_read_only: room.is_read_only,
        wants_signature: !keys.is_empty(),
    };
    if room.is_read_only {
        line.say(&FromDevice::Greeting(greeting))?;
        return Err(Begin::Refused(format!("{STORE} can only be read on this device")));
    }
    let held = wait_for_turn(root, line)?;
    let (lease, contents) = {
        let _change = lease::take(root, Right::Change).to(|| "lock the store")?;
        let lease = Lease::everything(root).to(|| "say what is needed")?;
        let contents = store::contents(&mut disk)?;
        (lease, contents)
    };
    line.say(&FromDevice::Greeting(greeting))?;
    let mut known = PathSet::default();
    for (path, info) in contents.into_all() {
        if let Some(PathInfo { hash, size, .. }) = info {
            line.say(&FromDevice::Have { path: path.clone(), hash, size })?;
            known.add(path);
        }
    }
    line.say(&FromDevice::Ready)?;
    let old = StoreDir::open(root)?;
    Ok((held, disk, old, known, keys, lease))
}

fn wait_for_turn(root: &Path, line: &mut Line<'_>) -> Result<Held, Begin> {
    let (deadline, mut told) = (clock::now() + WAIT_MAX, None);
    loop {
        match lease::try_take(root, Right::Receive).to(|| "lock the store")? {
            Ok(held) => return Ok(held),
            Err(process) if clock::now() >= deadline => {
                return Err(Begin::Refused(format!(
                    "another copy to this device does not end (process {process} there)"
                )));
            }
            Err(process) => {
                if told != Some(process) {
                    line.say(&FromDevice::Waiting { process })?;
                    told = Some(process);
                }
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl Session<'_> {
    fn go_on(&mut self) -> Result<End, Failure> {
        let mut greeted = false;
        while let Some(kind) = self.line.hear()? {
            let body = std::mem::take(&mut self.line.body);
            let message = kind.and_then(|kind| ToDevice::decode(kind, &body));
            let outcome = match message {
                Ok(ToDevice::Bye) => return Ok(End::Bye),
                Ok(ToDevice::Hello { version }) if version == VERSION && !greeted => {
                    greeted = true;
                    Ok(())
                }
                Ok(ToDevice::Hello { version }) => Err(Unfit::Over(format!(
                    "the sender speaks version {version}, and this device {VERSION}"
                ))),
                Ok(message) if greeted => self.obey(message)?,
                Ok(_) => Err(Unfit::Over(transfer::NoMessage.to_string())),
                Err(error) => Err(Unfit::Over(error.to_string())),
            };
            self.line.body = body;
            if let Err(unfit) = outcome {
                match unfit {
                    Unfit::Again(why) => self.pass_over(why)?,
                    Unfit::Over(why) => return Ok(End::Refused(why)),
                }
            }
        }
        Ok(End::Silence)
    }

    /// Says that a path did not become one, and waits for its end.
    fn pass_over(&mut self, why: String) -> Result<(), Failure> {
        self.receiver.abort()?;
        if let Some((path, coming)) = &mut self.coming {
            *coming = Coming::PassedOver;
            let path = path.clone();
            self.line.say(&FromDevice::Again { path, why })?;
        }
        Ok(())
    }

    fn obey(&mut self, message: ToDevice<'_>) -> Result<Result<(), Unfit>, Failure> {
        Ok(match message {
            ToDevice::Alive | ToDevice::Bye | ToDevice::Hello { .. } => Ok(()),
            ToDevice::Rely { paths, is_last } => self.rely(paths, is_last),
            ToDevice::Path { info, way } => self.begin_path(info, way),
            ToDevice::Data(bytes) => self.data(bytes),
            ToDevice::PathEnd => {
                let outcome = self.end_path();
                if let Err(Unfit::Again(why)) = outcome {
                    self.pass_over(why)?;
                    self.coming = None;
                    return Ok(Ok(()));
                }
                self.coming = None;
                let (paths, bytes) = self.receiver.staged();
                match outcome {
                    Ok(()) if paths >= STAGED_PATHS_MAX || bytes >= STAGED_BYTES_MAX => {
                        self.commit()
                    }
                    outcome => outcome,
                }
            }
            ToDevice::Commit => match self.commit() {
                Ok(()) => {
                    let paths = self.receiver.committed();
                    self.line.say(&FromDevice::Done { paths })?;
                    Ok(())
                }
                Err(unfit) => Err(unfit),
            },
            ToDevice::Keep { name, path } => self.keep(&name, &path),
            ToDevice::AskCollectable => match collectable(self.root, &mut self.old) {
                Ok(bytes) => {
                    self.line.say(&FromDevice::Collectable { bytes })?;
                    Ok(())
                }
                Err(trouble) => Err(Unfit::Over(trouble.to_string())),
            },
        })
    }

    fn rely(&mut self, paths: Vec<StorePath>, is_last: bool) -> Result<(), Unfit> {
        paths.into_iter().for_each(|path| self.relied.add(path));
        if self.relied.len() > 2 * STORE_PATHS_MAX {
            return Err(Unfit::Over("that is more than any device has".into()));
        }
        if is_last {
            let narrowed = self.lease.narrow(self.relied.names());
            narrowed.map_err(|error| Unfit::Over(format!("cannot say what is needed: {error}")))?;
        }
        Ok(())
    }

    fn begin_path(&mut self, info: PathInfo, way: Way) -> Result<(), Unfit> {
        let path = info.path.clone();
        let had = self.coming.replace((path.clone(), Coming::PassedOver));
        if had.is_some() {
            return Err(Unfit::Over("a path began before the one before it had ended".into()));
        }
        if !self.keys.is_empty() && !trust::is_signed(&info, &self.keys) {
            return Err(Unfit::Over(format!(
                "{path} is not signed by a key that this device trusts ({})",
                trusted::FILE
            )));
        }
        if self.receiver.has(&path) {
            return Ok(());
        }
        if !self.relied.has(&path) {
            // What is not said to be needed could be collected at once.
            return Err(Unfit::Over(format!("{path} is no part of what was announced")));
        }
        self.receiver.begin(info).map_err(unfit)?;
        let coming = match way {
            Way::Whole { window } => Coming::Whole(Decoder::new(window)),
            Way::Replaced { base, replacements } => {
                self.replace(&base, &replacements)?;
                Coming::Replaced
            }
            Way::Patched { base, replacements, window } => Coming::Patched(Box::new(Patched {
                base,
                replacements,
                decoder: Decoder::new(window),
                reader: patch::Reader::default(),
                state: State::default(),
            })),
        };
        self.coming = Some((path, coming));
        Ok(())
    }

    /// Makes a path of an older one whose hashes are replaced.
    fn replace(
        &mut self,
        base: &StorePath,
        replacements: &replace::Replacements,
    ) -> Result<(), Unfit> {
        let mut stream = replace::Stream::new(replacements);
        let (receiver, mut fault) = (&mut self.receiver, None);
        let written = archive::write(&mut self.old, &store::place(base), &mut |bytes| {
            fault = stream.push(bytes, &mut |bytes| receiver.push(bytes)).err();
            fault.is_none()
        });
        match (fault, written) {
            (Some(fault), _) => Err(unfit(fault)),
            (None, Err(NoArchive::Disk(trouble))) => Err(Unfit::Again(trouble.to_string())),
            (None, Err(_)) => Err(Unfit::Again(format!("{base} is not whole"))),
            (None, Ok(())) => stream.end(&mut |bytes| receiver.push(bytes)).map_err(unfit),
        }
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), Unfit> {
        let (receiver, old) = (&mut self.receiver, &mut self.old);
        let pushed = match &mut self.coming {
            None => return Err(Unfit::Over("bytes came of no path".into())),
            Some((_, Coming::PassedOver)) => return Ok(()),
            Some((_, Coming::Replaced)) => return Err(Unfit::Again("too much came".into())),
            Some((_, Coming::Whole(decoder))) => {
                let mut put = |bytes: &[u8]| receiver.push(bytes).map_err(unfit);
                decoder.push(bytes, &mut put)
            }
            Some((_, Coming::Patched(patched))) => {
                let Patched { base, replacements, decoder, reader, state } = &mut **patched;
                let mut put = |bytes: &[u8]| receiver.push(bytes).map_err(unfit);
                let mut obey = |orders: &[u8]| {
                    let mut base = Base::new(old, base, replacements, state, &mut put);
                    reader.push(orders, &mut base).map_err(|stop| match stop {
                        patch::Stop::Sink(Wrong::Put(unfit)) => unfit,
                        patch::Stop::Sink(Wrong::Base(why)) => Unfit::Again(why),
                        patch::Stop::Impossible => Unfit::Again(patch::Impossible.to_string()),
                    })
                };
                decoder.push(bytes, &mut obey)
            }
        };
        let count = pushed.map_err(|stop| match stop {
            lzma::Stop::Lzma(error) => Unfit::Again(error.to_string()),
            lzma::Stop::Put(unfit) => unfit,
        })?;
        match count == bytes.len() {
            true => Ok(()),
            false => Err(Unfit::Again("bytes came behind the end of a path".into())),
        }
    }

    fn end_path(&mut self) -> Result<(), Unfit> {
        let is_whole = match &self.coming {
            None => return Err(Unfit::Over("a path ended that had not begun".into())),
            Some((_, Coming::PassedOver)) => return Ok(()),
            Some((_, Coming::Replaced)) => true,
            Some((_, Coming::Whole(decoder))) => decoder.is_over(),
            Some((_, Coming::Patched(patched))) => {
                patched.decoder.is_over() && patched.reader.end().is_ok()
            }
        };
        if !is_whole {
            return Err(Unfit::Again(lzma::LzmaError::Short.to_string()));
        }
        self.receiver.end().map_err(unfit)
    }

    /// Moves what is whole into the store.
    fn commit(&mut self) -> Result<(), Unfit> {
        if self.receiver.staged().0 == 0 {
            return Ok(());
        }
        let change = lease::take(self.root, Right::Change);
        let _change =
            change.map_err(|error| Unfit::Over(format!("cannot lock the store: {error}")))?;
        self.receiver.commit().map_err(unfit)
    }

    /// Makes a link to a path, so that it stays when this is over.
    fn keep(&mut self, name: &str, path: &StorePath) -> Result<(), Unfit> {
        self.commit()?;
        if !self.receiver.has(path) {
            return Err(Unfit::Over(format!("{path} cannot be kept: it is not there")));
        }
        keep(self.root, name, path).map_err(|trouble| Unfit::Over(trouble.to_string()))
    }
}

/// Makes a link, in the folder of what is kept, to a path.
pub fn keep(root: &Path, name: &str, path: &StorePath) -> Result<(), Trouble> {
    let folder = root.join("nix/var/doorward/roots");
    let link = PathBuf::from("/").join(&folder).join(name);
    let made = (|| {
        fs::create_dir_all(&folder)?;
        let new = folder.join(format!(".{name}.new"));
        let _ = fs::remove_file(&new);
        std::os::unix::fs::symlink(format!("{STORE}/{path}"), &new)?;
        fs::rename(&new, folder.join(name))?;
        fs::File::open(&folder)?.sync_all()
    })();
    made.to(|| format!("make {}", link.display()))
}

/// Bytes of archives of what nobody needs.
pub fn collectable(root: &Path, disk: &mut StoreDir) -> Result<u64, Trouble> {
    let contents = store::contents(disk)?;
    let references = super::collect::references(disk, &contents)?;
    let roots = roots::find(root).to(|| "find out what is needed")?;
    let groups = collect::garbage(&references, &roots);
    let sizes = groups.iter().flatten().filter_map(|path| Some(contents.get(path)?.as_ref()?.size));
    Ok(sizes.sum())
}

fn unfit(fault: Fault<Trouble>) -> Unfit {
    match fault {
        Fault::Disk(trouble) => Unfit::Over(match trouble.error.kind() {
            io::ErrorKind::StorageFull => format!(
                "there is no room any more ({}); `ward store collect` frees what nobody needs",
                trouble.what
            ),
            _ => trouble.to_string(),
        }),
        Fault::Archive(error) => Unfit::Again(error.to_string()),
        Fault::Larger => Unfit::Again("it is larger than was said".into()),
        Fault::Hash { expected, found } => {
            Unfit::Again(format!("its hash is {found}, and was said to be {expected}"))
        }
        Fault::Missing(path) => Unfit::Again(format!("it refers to {path}, which is not there")),
        Fault::ReadBack(path) => Unfit::Over(format!(
            "{path} was written and reads otherwise: the flash or the memory of this device is worn"
        )),
    }
}
