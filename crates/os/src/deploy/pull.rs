//! `ward store pull`: a closure from a Nix binary cache, by any web server.

use std::io;
use std::path::Path;
use std::time::Duration;

use engine::deploy::receive::{Fault, Receiver};
use engine::deploy::store;
use model::deploy::closure::{self, NoOrder};
use model::deploy::lzma;
use model::deploy::nar_info::{Compression, NarInfo};
use model::deploy::path_info::PathInfo;
use model::deploy::paths::{PathSet, Paths};
use model::deploy::store_path::StorePath;
use model::deploy::transfer::FileSystem;
use model::deploy::trust;
use model::deploy::xz::Xz;
use model::limits::{PATH_INFO_BYTES_MAX, PULLED_WINDOW_BYTES_MAX, STORE_PATHS_MAX};

use super::http::Site;
use super::lease::{self, Lease, Right};
use super::receive::keep;
use super::store_dir::StoreDir;
use super::trusted;
use crate::trouble::{Trouble, While};

/// How often a file is asked for, and how long one waits before the next time.
const TRIES: u32 = 4;
const WAIT: Duration = Duration::from_secs(1);

/// Bytes of paths that go into the store at once.
const STAGED_BYTES_MAX: u64 = 8 << 20;

/// What is wanted.
pub struct Pull<'a> {
    pub root: &'a Path,
    pub url: &'a str,
    pub path: StorePath,
    /// What nobody has signed is taken.
    pub unsigned: bool,
    /// The name under which the path stays.
    pub keep: Option<&'a str>,
    /// Told of each path that comes, with the bytes of its archive.
    pub told: &'a mut dyn FnMut(&StorePath, u64),
}

/// Why it is not there.
#[derive(Debug)]
pub enum NotPulled {
    /// What is wanted cannot be had, and why.
    Refused(String),
    Trouble(Trouble),
}

impl From<Trouble> for NotPulled {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<String> for NotPulled {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

/// Fetches what is missing; how many paths that were.
///
/// # Errors
/// What came whole before is there.
pub fn run(pull: &mut Pull<'_>) -> Result<usize, NotPulled> {
    let site = Site::parse(pull.url)?;
    let keys = trusted::keys(pull.root)?;
    if keys.is_empty() && !pull.unsigned {
        return Err(format!(
            "this device trusts no key, and what a web server says could come from anybody: \
             write keys into /{}, or say --unsigned",
            trusted::FILE
        )
        .into());
    }
    let held = lease::try_take(pull.root, Right::Receive).to(|| "lock the store")?;
    let _held =
        held.map_err(|process| format!("a copy to this device is under way (process {process})"))?;
    let mut disk = StoreDir::open(pull.root)?;
    let room = disk.room()?;
    if room.is_read_only {
        return Err("the store can only be read".to_owned().into());
    }
    let (mut lease, known) = {
        let _change = lease::take(pull.root, Right::Change).to(|| "lock the store")?;
        let lease = Lease::everything(pull.root).to(|| "say what is needed")?;
        let contents = store::contents(&mut disk)?;
        let known = contents.into_all().into_iter();
        (lease, known.filter_map(|(path, info)| info.map(|_| path)).collect::<PathSet>())
    };
    let (infos, there) = ask(&site, &pull.path, &known)?;
    if !keys.is_empty()
        && let Some(one) =
            infos.all().iter().map(|(_, one)| one).find(|one| !trust::is_signed(&one.info, &keys))
    {
        return Err(format!(
            "{} is not signed by a key that this device trusts (/{})",
            one.info.path,
            trusted::FILE
        )
        .into());
    }
    for (_, one) in infos.all() {
        if let Compression::Other(name) = &one.compression {
            return Err(format!(
                "{} is compressed with {name} there, and ward reads xz and none: \
                 `nix copy --to 'file://…?compression=xz'` makes such a cache",
                one.info.path
            )
            .into());
        }
    }
    let needs: u64 = infos.all().iter().map(|(_, one)| one.info.size).sum();
    // Flash is compressed: how well is seen when it is full.
    let is_flash = matches!(room.file_system, FileSystem::Jffs2 | FileSystem::Ubifs);
    let needs = if is_flash { needs / 3 } else { needs };
    if needs > room.bytes {
        return Err(format!(
            "there is no room: needs {needs} bytes, have {}; `ward store collect` frees what nobody needs",
            room.bytes
        )
        .into());
    }
    lease
        .narrow(there.names().chain(infos.all().iter().map(|(path, _)| path)))
        .to(|| "say what is needed")?;

    let all: Vec<PathInfo> = infos.all().iter().map(|(_, one)| one.info.clone()).collect();
    let order = closure::order(&all, |path| known.has(path)).map_err(|error| match error {
        NoOrder::Circle(path) | NoOrder::Missing { path, .. } => {
            format!("what the cache says of {path} makes no sense")
        }
    })?;
    let mut receiver = Receiver::new(disk, known)?;
    let outcome = order.iter().try_for_each(|at| {
        let (_, one) = &infos.all()[*at];
        fetch(&site, one, &mut receiver)?;
        (pull.told)(&one.info.path, one.info.size);
        match receiver.staged().1 >= STAGED_BYTES_MAX {
            true => commit(pull.root, &mut receiver),
            false => Ok(()),
        }
    });
    receiver.abort()?;
    commit(pull.root, &mut receiver)?;
    outcome?;
    if let Some(name) = pull.keep {
        keep(pull.root, name, &pull.path)?;
    }
    Ok(order.len())
}

fn commit(root: &Path, receiver: &mut Receiver<StoreDir>) -> Result<(), NotPulled> {
    let _change = lease::take(root, Right::Change).to(|| "lock the store")?;
    receiver.commit().map_err(fault)
}

type Infos = Paths<NarInfo>;

/// Asks the cache about a path and all that it needs and is not there; and what of that is.
fn ask(site: &Site<'_>, path: &StorePath, known: &PathSet) -> Result<(Infos, PathSet), NotPulled> {
    let (mut infos, mut there) = (Infos::default(), PathSet::default());
    let mut open = vec![path.clone()];
    while let Some(path) = open.pop() {
        if known.has(&path) {
            there.add(path);
            continue;
        }
        if infos.has(&path) {
            continue;
        }
        if infos.len() >= STORE_PATHS_MAX {
            return Err("that closure has no end".to_owned().into());
        }
        let name = format!("{}.narinfo", String::from_utf8_lossy(path.hash()));
        let bytes = small(site, &name)?;
        let text = String::from_utf8(bytes).map_err(|_| format!("{name} is no text"))?;
        let info = NarInfo::parse(&path, &text)
            .map_err(|error| format!("what the cache says of {path} is of no use: {error}"))?;
        open.extend(info.info.references.iter().filter(|it| **it != path).cloned());
        infos.insert(path, info);
    }
    Ok((infos, there))
}

/// Asks for something until it comes, or will not.
fn again<T>(name: &str, mut act: impl FnMut() -> io::Result<T>) -> Result<T, NotPulled> {
    let mut tries = 1;
    loop {
        match act() {
            Ok(done) => return Ok(done),
            Err(error) if tries == TRIES => {
                return Err(format!("cannot fetch {name}: {error}").into());
            }
            Err(_) => std::thread::sleep(WAIT * tries),
        }
        tries += 1;
    }
}

fn small(site: &Site<'_>, name: &str) -> Result<Vec<u8>, NotPulled> {
    again(name, || {
        let mut bytes = Vec::new();
        let status = site.get(name, PATH_INFO_BYTES_MAX as u64, &mut |more| {
            bytes.extend_from_slice(more);
            true
        })?;
        Ok((status, bytes))
    })
    .and_then(|(status, bytes)| match status {
        200 => Ok(bytes),
        404 => Err(format!("the cache has no {name}").into()),
        status => Err(format!("cannot fetch {name}: the server answers {status}").into()),
    })
}

/// Fetches the archive of one path.
fn fetch(
    site: &Site<'_>,
    one: &NarInfo,
    receiver: &mut Receiver<StoreDir>,
) -> Result<(), NotPulled> {
    // Compressed it is hardly ever larger, and never by much.
    let most = one.info.size.saturating_add(one.info.size / 8).saturating_add(1 << 20);
    again(&one.url, || {
        let mut stopped = None;
        let mut xz = match one.compression {
            Compression::Xz => Some(Xz::new(PULLED_WINDOW_BYTES_MAX, one.info.size)),
            _ => None,
        };
        if let Err(error) = receiver.begin(one.info.clone()) {
            return Ok(Err(fault(error)));
        }
        let status = site.get(&one.url, most, &mut |bytes| {
            let taken = match &mut xz {
                Some(xz) => xz.push(bytes, &mut |more| receiver.push(more).map_err(fault)),
                None => receiver.push(bytes).map_err(|error| lzma::Stop::Put(fault(error))),
            };
            stopped = taken.err();
            stopped.is_none()
        })?;
        Ok(match (stopped, status) {
            (Some(lzma::Stop::Put(not)), _) => Err(not),
            (Some(lzma::Stop::Lzma(error)), _) => Err(error.to_string().into()),
            (None, 200) => receiver.end().map_err(fault),
            (None, status) => Err(format!("the server answers {status}").into()),
        })
    })?
    .map_err(|not| match not {
        NotPulled::Refused(why) => {
            NotPulled::Refused(format!("{} is not taken: {why}", one.info.path))
        }
        trouble => trouble,
    })
}

fn fault(fault: Fault<Trouble>) -> NotPulled {
    match fault {
        Fault::Disk(trouble) => NotPulled::Trouble(trouble),
        Fault::Archive(error) => error.to_string().into(),
        Fault::Larger => "it is larger than was said".to_owned().into(),
        Fault::Hash { expected, found } => {
            format!("its hash is {found}, and was said to be {expected}").into()
        }
        Fault::Missing(path) => format!("it refers to {path}, which is not there").into(),
        Fault::ReadBack(path) => format!("{path} reads otherwise than it was written").into(),
    }
}
