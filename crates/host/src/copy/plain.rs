//! Copying to a device that has only a shell, `tar`, `mv` and `sync`: everything that is missing comes
//! in one stream, and no name in the store changes before all of it is there.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use cli::Failure;
use model::deploy::closure;
use model::deploy::path_info::PathInfo;
use model::deploy::store_path::StorePath;

use super::line::Target;
use super::plan::shown;

/// Where it comes to lie at first; the receiver of `ward` uses the same, and cleans it.
const INCOMING: &str = "/nix/store/.incoming";
/// The last thing in the stream: one that was cut off is not taken for a whole one.
const LAST: &str = ".complete";

/// What was sent: paths, and bytes of their files.
pub fn copy(
    target: &Target,
    root: &Path,
    infos: &[PathInfo],
    dry_run: bool,
) -> Result<(usize, u64), Failure> {
    let looked = "mkdir -p /nix/store && cd /nix/store && ls -A && echo / && df -k . | tail -n 1";
    let output = target.command(looked).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| Failure::refused(format!("cannot run ssh: {error}")))?;
    if !output.status.success() {
        return Err(Failure::refused(format!(
            "{} has neither ward nor a shell that answers: {}",
            target.host, output.status
        )));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (names, room) = text.split_once("/\n").unwrap_or((&text, ""));
    let had: BTreeSet<StorePath> =
        names.lines().filter_map(|name| StorePath::parse(name).ok()).collect();
    let order = closure::order(infos, |path| had.contains(path));
    let order = order.map_err(|_| Failure::refused("the closure is not whole on this machine"))?;
    let missing: Vec<&PathInfo> = order.into_iter().map(|at| &infos[at]).collect();
    let size = missing.iter().map(|info| info.size).sum();
    if missing.is_empty() || dry_run {
        return Ok((missing.len(), size));
    }
    // The fourth number is what is free (POSIX, `df -k`; a long name stands on a line of its own).
    let free: Option<u64> = room.split_whitespace().rev().nth(2).and_then(|word| word.parse().ok());
    if let Some(free) = free.map(|blocks| blocks * 1024).filter(|free| *free < size) {
        return Err(Failure::not_achieved(format!(
            "there is no room on the device: needs {}, have {}",
            shown(size),
            shown(free)
        )));
    }
    send(target, root, &missing)?;
    Ok((missing.len(), size))
}

/// What the shell there does with the stream.
fn script(missing: &[&PathInfo]) -> String {
    let mut script = format!(
        "set -e; cd /nix/store; rm -rf {INCOMING}; mkdir {INCOMING}; tar -x -f - -C {INCOMING}; \
         test -e {INCOMING}/{LAST}; sync; "
    );
    for info in missing {
        // A path that was there already under its name is whole: it came in the same way. What relies on
        // another must not be there without it.
        let path = &info.path;
        script += &format!("test -e {path} || mv {INCOMING}/{path} {path}; ");
        if info.references.iter().any(|needs| *needs != *path) {
            script += "sync; ";
        }
    }
    script + &format!("sync; rm -rf {INCOMING}")
}

fn send(target: &Target, root: &Path, missing: &[&PathInfo]) -> Result<(), Failure> {
    let refused = |what: &str, error: &dyn std::fmt::Display| {
        Failure::refused(format!("cannot {what}: {error}"))
    };
    let last = std::env::temp_dir().join(format!("doorward-plain-{}", std::process::id()));
    let made = std::fs::create_dir_all(&last).and_then(|()| std::fs::write(last.join(LAST), ""));
    made.map_err(|error| refused("make a file", &error))?;
    let mut tar = Command::new("tar");
    tar.args(["-c", "--owner=0", "--group=0", "--numeric-owner", "--format=ustar", "-f", "-"]);
    tar.arg("-C").arg(root.join("nix/store"));
    tar.args(missing.iter().map(|info| info.path.as_str()));
    tar.arg("-C").arg(&last).arg(LAST).stdout(Stdio::piped());
    let outcome = (|| {
        let mut packing = tar.spawn().map_err(|error| refused("run tar", &error))?;
        let stream = packing.stdout.take().expect("it was asked for");
        let mut command = target.command(&script(missing));
        let status = command.stdin(stream).status();
        let status = status.map_err(|error| refused("run ssh", &error))?;
        let packed = packing.wait().map_err(|error| refused("run tar", &error))?;
        match status.success() && packed.success() {
            true => Ok(()),
            false => Err(Failure::refused(format!("the copy was cut off: {status}"))
                .hint("nothing of it counts: the same command begins again")),
        }
    })();
    let _ = std::fs::remove_dir_all(last);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::deploy::nar_hash::sha256;

    #[test]
    fn names_change_after_a_sync_and_in_the_order_of_needs() {
        let path = |letter: &str| StorePath::parse(&format!("{}-x", letter.repeat(32))).unwrap();
        let info = |letter: &str, references| PathInfo {
            path: path(letter),
            hash: sha256(b""),
            size: 1,
            references,
            signatures: vec![],
        };
        let (first, second) = (info("a", vec![path("a")]), info("b", vec![path("a")]));
        let script = script(&[&first, &second]);
        let place = |text: &str| script.find(text).unwrap_or_else(|| panic!("{text}: {script}"));
        assert!(place("tar -x") < place("test -e /nix/store/.incoming/.complete"));
        assert!(place(".complete; sync; ") < place("mv "));
        assert!(place(&path("a").to_string()) < place(&path("b").to_string()));
    }
}
