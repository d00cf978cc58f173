//! From root to a user who may look and nothing else.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use cli::Failure;
use os::account::Accounts;
use os::files;
use os::service::live_dir::{self, MANAGER};
use os::sys::account;
use os::sys::rlimit::{self, Kind, Which};

use crate::applets::peers::s6_setuidgid::{refused, unknown_user};

/// Lets the group of a user read the log directory and ask the manager, gives it the sockets that it
/// listens at, and becomes the user, for good.
pub fn become_user<'a>(
    name: &str,
    live: &Path,
    logs: &Path,
    sockets: impl Iterator<Item = &'a Path>,
) -> Result<(), Failure> {
    let user = Accounts::default().user(name.as_bytes()).map_err(Failure::refused)?;
    let user = user.ok_or_else(|| unknown_user(name.as_bytes()))?;
    let cannot =
        |what: String| move |error: io::Error| Failure::refused(format!("cannot {what}: {error}"));
    for path in sockets {
        chown(path, None, Some(user.group)).map_err(cannot(format!("give {}", path.display())))?;
    }
    let mut groups = Vec::new();
    if let Err(error) = let_in_to_log(logs, user.group, &mut groups) {
        // Not there, for one: the page says so where the lines would stand.
        eprintln!("{name} may not read {}: {error}", logs.display());
    }
    if let Err(error) = let_in_to_manager(live, user.group, &mut groups) {
        eprintln!("{name} may not ask the manager of {}: {error}", live.display());
    }
    // What it has from here on is all that it ever gets: no program of another user, no process, no file.
    rlimit::limit(Kind::Nproc, Which::Both, Some(0)).map_err(cannot("give up processes".into()))?;
    rlimit::limit(Kind::Fsize, Which::Both, Some(0)).map_err(cannot("give up files".into()))?;
    account::become_user(Some(user.user), Some(user.group), Some(&groups)).map_err(refused)?;
    os::sys::account::give_up_more().map_err(cannot("give up more rights".into()))
}

/// What belongs to root's group becomes this one's. What is another's already (`ward init -g`) stays:
/// the user joins that group.
fn let_in_to_log(logs: &Path, group: u32, groups: &mut Vec<u32>) -> io::Result<()> {
    let found = fs::metadata(logs)?;
    match found.gid() {
        0 => chown(logs, None, Some(group)),
        other => {
            groups.push(other);
            Ok(())
        }
    }
}

fn let_in_to_manager(live: &Path, group: u32, groups: &mut Vec<u32>) -> io::Result<()> {
    if let Some(readers) = live_dir::readers(live) {
        groups.push(readers);
        return Ok(());
    }
    // For the managers to come, and for the one that is there.
    let file = live_dir::lookers_file(live);
    let folder = files::directory(file.parent().unwrap_or(Path::new("/")))?;
    let name =
        file.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    files::replace(folder, name, format!("{group}\n").as_bytes(), 0o644)?;
    let socket = live.join(MANAGER);
    chown(&socket, None, Some(group))?;
    fs::set_permissions(&socket, PermissionsExt::from_mode(0o660))
}
