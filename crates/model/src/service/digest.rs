//! The digest of a service: what a restart would change.
//!
//! It covers everything that the running process was made of and that stays
//! as it was until the next start: `run` and `finish` (which belong together:
//! the old `finish` cleans up behind the old `run`), the content, names and
//! modes of `data`, `env`, `template`, `instance` and `instances`, the
//! descriptors it was given, its session and namespace, its pipes, the settings
//! of a controller, and both scripts of a oneshot. It leaves out what init and the manager look up when
//! they need it: times, signals, the death tally, flags, `reload`, and what
//! the service needs.

use xxhash_rust::xxh64::Xxh64;

use super::database::Kind;
use super::source::{Content, Role, Tree, role, top};

/// Changes with every change of what is covered, and of how.
const SEED: u64 = 1;

/// The digest of the service in directory number `directory` of `tree`, which
/// writes to `consumer` (empty: to no other service).
pub fn digest(tree: &Tree, directory: u32, kind: &Kind, consumer: &str) -> u64 {
    let mut hash = Xxh64::new(SEED);
    match kind {
        Kind::Oneshot(oneshot) => {
            for words in [&oneshot.up, &oneshot.down] {
                hash.update(&(words.len() as u64).to_le_bytes());
                words.iter().for_each(|word| put(&mut hash, word));
            }
        }
        Kind::Longrun(longrun) => {
            let number = |value: Option<u32>| value.unwrap_or(u32::MAX).to_le_bytes();
            hash.update(&number(longrun.notification_fd));
            hash.update(&number(longrun.lock_fd));
            hash.update(&[
                longrun.new_pid_namespace.into(),
                longrun.same_session.into(),
                longrun.has_producers.into(),
            ]);
            put(&mut hash, consumer.as_bytes());
            for entry in tree.entries(&tree.directories()[directory as usize]) {
                let path = tree.path(entry);
                let copied = role(top(path)) == Role::Copied;
                let settings = path == b"controller" || top(path) == b"controls.d";
                if !copied && !settings && path != b"run" && path != b"finish" {
                    continue;
                }
                // `run` and `finish` become executable whatever they were.
                let mode = if copied { entry.mode } else { 0 };
                let (what, bytes) = match entry.content {
                    Content::File(text) => (1, tree.text(text)),
                    Content::Link(text) => (2, tree.text(text)),
                    _ => (3, &b""[..]),
                };
                put(&mut hash, path);
                hash.update(&mode.to_le_bytes());
                hash.update(&[what]);
                put(&mut hash, bytes);
            }
        }
    }
    hash.digest()
}

/// Behind its length, so that no two different lists look the same.
fn put(hash: &mut Xxh64, bytes: &[u8]) {
    hash.update(&(bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}
