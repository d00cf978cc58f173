//! What a binary cache says of a store path: the file `HASH.narinfo`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::nar_hash::NarHash;
use super::path_info::PathInfo;
use super::store_path::StorePath;
use crate::limits::PATH_INFO_BYTES_MAX;

/// How an archive is compressed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Xz,
    /// What nobody here can read.
    Other(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NarInfo {
    pub info: PathInfo,
    /// Where the archive lies, relative to the cache.
    pub url: String,
    pub compression: Compression,
    /// Bytes of it as it lies there, where that is said.
    pub file_size: Option<u64>,
}

/// Why such a file is of no use: the line that is missing or wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoNarInfo(pub &'static str);

impl fmt::Display for NoNarInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its {} is missing or makes no sense", self.0)
    }
}

impl NarInfo {
    /// Reads what the cache says of the path that was asked for.
    ///
    /// Lines that nobody here knows are passed over. Source: Nix, `nar-info.cc`.
    pub fn parse(asked: &StorePath, text: &str) -> Result<Self, NoNarInfo> {
        if text.len() > PATH_INFO_BYTES_MAX {
            return Err(NoNarInfo("length"));
        }
        let value =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        let path = value("StorePath").and_then(|text| StorePath::parse_full(text).ok());
        let path = path.filter(|path| path == asked).ok_or(NoNarInfo("StorePath"))?;
        let hash = value("NarHash").and_then(NarHash::parse).ok_or(NoNarInfo("NarHash"))?;
        let size =
            value("NarSize").and_then(|text| text.parse().ok()).ok_or(NoNarInfo("NarSize"))?;
        let references = value("References").unwrap_or("").split_ascii_whitespace();
        let references: Result<Vec<_>, _> = references.map(StorePath::parse).collect();
        let references = references.map_err(|_| NoNarInfo("References"))?;
        let signatures = text.lines().filter_map(|line| line.strip_prefix("Sig: "));
        let signatures = signatures.map(String::from).collect();
        let info = PathInfo { path, hash, size, references, signatures };
        let info = info.checked().map_err(|_| NoNarInfo("References, NarSize or Sig"))?;
        let url = value("URL").filter(|url| is_relative(url)).ok_or(NoNarInfo("URL"))?;
        let compression = match value("Compression") {
            Some("none") => Compression::None,
            Some("xz") => Compression::Xz,
            // What Nix takes it for where nothing is said.
            other => Compression::Other(other.unwrap_or("bzip2").into()),
        };
        let file_size = value("FileSize").and_then(|text| text.parse().ok());
        Ok(Self { info, url: url.into(), compression, file_size })
    }
}

/// Whether it stays within the cache, and within a line of a request.
fn is_relative(url: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic();
    !url.is_empty()
        && url.len() <= 1024
        && url.bytes().all(plain)
        && !url.starts_with('/')
        && !url.contains("://")
        && url.split('/').all(|part| part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const TEXT: &str = "StorePath: /nix/store/00000000000000000000000000000000-dns\n\
        URL: nar/1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s.nar.xz\nCompression: xz\n\
        FileHash: sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s\nFileSize: 100\n\
        NarHash: sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s\nNarSize: 240\n\
        References: 11111111111111111111111111111111-libc 00000000000000000000000000000000-dns\n\
        Deriver: x.drv\nSig: cache-1:AAAA\nSig: other-1:BBBB\n";

    #[test]
    fn what_a_cache_says_is_read() {
        let asked = StorePath::parse("00000000000000000000000000000000-dns").unwrap();
        let found = NarInfo::parse(&asked, TEXT).expect("it is whole");
        assert_eq!(found.compression, Compression::Xz);
        assert_eq!((found.file_size, found.info.size), (Some(100), 240));
        assert_eq!(found.info.signatures, ["cache-1:AAAA", "other-1:BBBB"]);
        let names: Vec<&str> = found.info.references.iter().map(StorePath::name).collect();
        assert_eq!(names, ["dns", "libc"]);
        let other = TEXT.replace("Compression: xz\n", "");
        let other = NarInfo::parse(&asked, &other).expect("it is whole").compression;
        assert_eq!(other, Compression::Other("bzip2".to_string()));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let asked = StorePath::parse("00000000000000000000000000000000-dns").unwrap();
        for (from, to, expected) in [
            ("-dns\nURL", "-other\nURL", "StorePath"),
            ("NarHash: sha256:", "NarHash: sha256:0", "NarHash"),
            ("NarHash", "Nar", "NarHash"),
            ("NarSize: 240", "NarSize: -1", "NarSize"),
            ("-libc", "-li/bc", "References"),
            ("nar/", "../", "URL"),
            ("nar/", "/nar/", "URL"),
            ("nar/", "http://elsewhere/", "URL"),
            ("URL: nar/", "URL: nar/ ", "URL"),
        ] {
            let wrong = TEXT.replace(from, to);
            assert_ne!(wrong, TEXT);
            let found = NarInfo::parse(&asked, &wrong);
            assert_eq!(found, Err(NoNarInfo(expected)), "{from} -> {to}");
        }
    }
}
