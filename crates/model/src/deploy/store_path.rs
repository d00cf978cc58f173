//! The name of a store path: 32 letters that say which, and what people call it.

use alloc::string::String;
use core::fmt;

/// Where store paths lie, on every device and every build machine.
pub const STORE: &str = "/nix/store";

/// The letters that Nix writes hashes with.
pub const ALPHABET: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

/// How many of them begin a name.
pub const HASH_LETTERS: usize = 32;

/// Bytes of the part behind them: `StorePath::MaxPathLen` of Nix's `path.hh`.
const NAME_BYTES_MAX: usize = 211;

/// The last part of a store path, such as `hccx…-dnsmasq-2.90`: a plain file name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePath(String);

/// Why something is no store path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAStorePath {
    /// It does not begin with `/nix/store/`.
    Elsewhere,
    /// It does not begin with 32 letters of a hash and a dash.
    Hash,
    /// Nothing is behind them, or too much.
    Length,
    /// It has a character that no name has, or would mean a folder.
    Forbidden,
}

impl fmt::Display for NotAStorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elsewhere => "it does not lie in /nix/store",
            Self::Hash => "it does not begin with the 32 letters of a hash and a dash",
            Self::Length => "its name is empty or too long",
            Self::Forbidden => "its name has a character that no store path has",
        })
    }
}

impl StorePath {
    /// Reads `HASH-NAME`.
    pub fn parse(text: &str) -> Result<Self, NotAStorePath> {
        let bytes = text.as_bytes();
        let (hash, rest) = bytes.split_at_checked(HASH_LETTERS).ok_or(NotAStorePath::Hash)?;
        if !hash.iter().all(|letter| ALPHABET.contains(letter)) || rest.first() != Some(&b'-') {
            return Err(NotAStorePath::Hash);
        }
        let name = &rest[1..];
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(NotAStorePath::Length);
        }
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b"+-._?=".contains(b);
        if !name.iter().all(plain) || matches!(name, b"." | b"..") {
            return Err(NotAStorePath::Forbidden);
        }
        Ok(Self(text.into()))
    }

    /// Reads `/nix/store/HASH-NAME`.
    pub fn parse_full(text: &str) -> Result<Self, NotAStorePath> {
        let rest = text.strip_prefix(STORE).and_then(|rest| rest.strip_prefix('/'));
        Self::parse(rest.ok_or(NotAStorePath::Elsewhere)?)
    }

    /// The store path that a path leads into, such as that of `/nix/store/HASH-NAME/bin/x`.
    pub fn of(path: &str) -> Result<Self, NotAStorePath> {
        let rest = path.strip_prefix(STORE).and_then(|rest| rest.strip_prefix('/'));
        let rest = rest.ok_or(NotAStorePath::Elsewhere)?;
        Self::parse(rest.split('/').next().unwrap_or(rest))
    }

    /// `HASH-NAME`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 32 letters.
    pub fn hash(&self) -> &[u8] {
        &self.0.as_bytes()[..HASH_LETTERS]
    }

    /// What is behind them.
    pub fn name(&self) -> &str {
        &self.0[HASH_LETTERS + 1..]
    }

    /// Its name up to the version: `openssl` of `openssl-3.0.17`.
    pub fn stem(&self) -> &str {
        let name = self.name();
        let is_version = |(at, _): &(usize, &str)| {
            name.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit) && *at > 0
        };
        name.match_indices('-').find(is_version).map_or(name, |(at, _)| &name[..at])
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use std::string::ToString;

    extern crate std;

    const HASH: &str = "hccx0m3yqz1p2s4v6w8a9b7c5d0f1g2h";

    #[test]
    fn names_are_plain_file_names_behind_a_whole_hash() {
        use NotAStorePath::*;
        for (text, expected) in [
            (format!("{HASH}-dnsmasq-2.90"), None),
            (format!("{HASH}-a+b?c=d_e"), None),
            (format!("{HASH}-.hidden"), None), // A name in the store begins with its hash.
            (format!("{HASH}-."), Some(Forbidden)),
            (format!("{HASH}-.."), Some(Forbidden)),
            (format!("{HASH}-../x"), Some(Forbidden)),
            (format!("{HASH}-a/b"), Some(Forbidden)),
            (format!("{HASH}-a b"), Some(Forbidden)),
            (format!("{HASH}-a\n"), Some(Forbidden)),
            (format!("{HASH}-ä"), Some(Forbidden)),
            (format!("{HASH}-a\0"), Some(Forbidden)),
            (format!("{HASH}-"), Some(Length)),
            (format!("{HASH}-{}", "x".repeat(211)), None),
            (format!("{HASH}-{}", "x".repeat(212)), Some(Length)),
            (HASH.to_string(), Some(Hash)),
            (format!("{}-x", &HASH[1..]), Some(Hash)),
            (format!("e{}-x", &HASH[1..]), Some(Hash)), // Nix's hashes have no e, o, t, u.
            (format!("{}ä-x", &HASH[..31]), Some(Hash)),
            (String::new(), Some(Hash)),
            ("..".to_string(), Some(Hash)),
        ] {
            assert_eq!(StorePath::parse(&text).err(), expected, "{text:?}");
        }
        assert_eq!(StorePath::parse_full("/etc/passwd"), Err(Elsewhere));
        assert_eq!(StorePath::parse_full(&format!("/nix/store/{HASH}-a/b")), Err(Forbidden));
        let inside = StorePath::of(&format!("/nix/store/{HASH}-a/b")).unwrap();
        assert_eq!((inside.hash(), inside.name()), (HASH.as_bytes(), "a"));
    }

    #[test]
    fn a_stem_ends_where_a_version_begins() {
        for (name, stem) in [
            ("openssl-3.0.17-1-deb12u2", "openssl"),
            ("libc6", "libc6"),
            ("router-services", "router-services"),
            ("lib-2ping", "lib"),
            ("-1", "-1"),
        ] {
            assert_eq!(StorePath::parse(&format!("{HASH}-{name}")).unwrap().stem(), stem);
        }
    }
}
