//! What is known of a store path: the hash of its archive, what it refers to, who has signed that.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};

use super::nar_hash::NarHash;
use super::store_path::{STORE, StorePath};
use crate::limits::{NAR_BYTES_MAX, PATH_INFO_BYTES_MAX, REFERENCES_MAX, SIGNATURES_MAX};

/// The first line: what this is, and its version.
const HEAD: &str = "doorward path 1";
/// The last one, so that half a file is none.
const END: &str = "end";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathInfo {
    pub path: StorePath,
    /// Of its archive.
    pub hash: NarHash,
    /// Bytes of its archive.
    pub size: u64,
    /// In the order of their names, each once; itself may be among them.
    pub references: Vec<StorePath>,
    /// `NAME:BASE64` each.
    pub signatures: Vec<String>,
}

/// What is wrong with a file about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPathInfo;

impl fmt::Display for NoPathInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what is known of it cannot be read")
    }
}

impl PathInfo {
    /// Brings references into their order, and refuses what is too much.
    pub fn checked(mut self) -> Result<Self, NoPathInfo> {
        self.references.sort();
        self.references.dedup();
        let fits = self.references.len() <= REFERENCES_MAX
            && self.signatures.len() <= SIGNATURES_MAX
            && self.size <= NAR_BYTES_MAX
            && self.signatures.iter().all(|text| is_plain(text));
        if fits { Ok(self) } else { Err(NoPathInfo) }
    }

    /// The file about it.
    pub fn encode(&self) -> String {
        let mut text = format!("{HEAD}\nhash {}\nsize {}\n", self.hash, self.size);
        for path in &self.references {
            let _ = writeln!(text, "reference {path}");
        }
        for signature in &self.signatures {
            let _ = writeln!(text, "signature {signature}");
        }
        text + END + "\n"
    }

    /// Reads the file about `path`.
    pub fn decode(path: &StorePath, text: &str) -> Result<Self, NoPathInfo> {
        Self::read(path, text).ok_or(NoPathInfo)
    }

    fn read(path: &StorePath, text: &str) -> Option<Self> {
        if text.len() > PATH_INFO_BYTES_MAX {
            return None;
        }
        let body = text.strip_suffix('\n')?.strip_suffix(END)?.strip_suffix('\n')?;
        let mut lines = body.split('\n');
        if lines.next()? != HEAD {
            return None;
        }
        let hash = NarHash::parse(lines.next()?.strip_prefix("hash ")?)?;
        let size = lines.next()?.strip_prefix("size ")?;
        let size: u64 = size.parse().ok().filter(|number: &u64| number.to_string() == size)?;
        let (mut references, mut signatures) = (Vec::new(), Vec::new());
        for line in lines {
            match line.split_once(' ')? {
                ("reference", path) if signatures.is_empty() => {
                    references.push(StorePath::parse(path).ok()?);
                }
                ("signature", text) => signatures.push(text.into()),
                _ => return None,
            }
        }
        let count = references.len();
        let info = Self { path: path.clone(), hash, size, references, signatures };
        let sorted = info.references.is_sorted();
        let info = info.checked().ok()?;
        (sorted && info.references.len() == count).then_some(info)
    }

    /// What a signature is made over. Source: Nix, `ValidPathInfo::fingerprint`.
    pub fn fingerprint(&self) -> String {
        let mut text = format!("1;{STORE}/{};{};{};", self.path, self.hash, self.size);
        for (at, path) in self.references.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(text, "{comma}{STORE}/{path}");
        }
        text
    }
}

/// Whether something fits into a line.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::nar_hash::sha256;
    use alloc::vec;

    fn path(letter: &str, name: &str) -> StorePath {
        StorePath::parse(&format!("{}-{name}", letter.repeat(32))).expect("it is one")
    }

    fn info() -> PathInfo {
        PathInfo {
            path: path("b", "dns"),
            hash: sha256(b"x"),
            size: 1234,
            references: vec![path("a", "libc"), path("b", "dns")],
            signatures: vec!["key-1:AAAA".into()],
        }
    }

    #[test]
    fn a_file_about_a_path_is_read_as_it_was_written_and_half_of_it_is_none() {
        let info = info();
        let text = info.encode();
        assert_eq!(PathInfo::decode(&info.path, &text), Ok(info.clone()));
        for end in 0..text.len() {
            assert_eq!(PathInfo::decode(&info.path, &text[..end]), Err(NoPathInfo), "{end} bytes");
        }
        let (first, second) = ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-libc", "bbbbbbbbbbbb");
        for (from, to) in [
            ("size 1234", "size 01234"),
            ("size 1234", "size -1"),
            ("size 1234", "size 99999999999999"),
            ("hash sha256:", "hash sha256:0"),
            ("path 1", "path 2"),
            ("-libc", "-li/bc"),
            (first, second),
            ("AAAA", "AA AA"),
            ("\nreference", "\nreferences"),
        ] {
            let wrong = text.replace(from, to);
            assert_ne!(wrong, text, "{from}");
            assert_eq!(PathInfo::decode(&info.path, &wrong), Err(NoPathInfo), "{from} -> {to}");
        }
    }

    #[test]
    fn what_is_signed_is_what_nix_signs() {
        let text = info().fingerprint();
        let (a, b) = ("a".repeat(32), "b".repeat(32));
        let hash = sha256(b"x");
        assert_eq!(
            text,
            format!("1;/nix/store/{b}-dns;{hash};1234;/nix/store/{a}-libc,/nix/store/{b}-dns")
        );
    }
}
