//! The hash by which a store path is known to be whole: SHA-256 over its archive, and the ways to write it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::base64;
use super::store_path::ALPHABET;
use crate::digest::Hasher;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NarHash(pub [u8; 32]);

/// Letters of it as Nix writes it: five bits each.
const LETTERS: usize = 52;

impl NarHash {
    /// Reads `sha256:` with Nix's letters or hexadecimal digits behind it, or `sha256-` and base 64.
    ///
    /// A digest of another length is none: nothing that is short, or missing, is ever a match.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(text) = text.strip_prefix("sha256-") {
            return Some(Self(base64::decode(text)?.try_into().ok()?));
        }
        let text = text.strip_prefix("sha256:")?;
        match text.len() {
            LETTERS => from_letters(text.as_bytes()),
            64 => from_digits(text.as_bytes()),
            _ => None,
        }
        .map(Self)
    }
}

impl fmt::Display for NarHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        let mut text = String::with_capacity(LETTERS);
        for place in (0..LETTERS).rev() {
            let (byte, bit) = (place * 5 / 8, place * 5 % 8);
            let pair = u16::from(self.0[byte])
                | u16::from(self.0.get(byte + 1).copied().unwrap_or(0)) << 8;
            text.push(char::from(ALPHABET[usize::from(pair >> bit & 31)]));
        }
        f.write_str(&text)
    }
}

impl fmt::Debug for NarHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn from_letters(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 33];
    for (place, letter) in text.iter().rev().enumerate() {
        let value = ALPHABET.iter().position(|known| known == letter)? as u16;
        let (byte, bit) = (place * 5 / 8, place * 5 % 8);
        let pair = value << bit;
        bytes[byte] |= pair as u8;
        bytes[byte + 1] |= (pair >> 8) as u8;
    }
    // The highest letter has four bits too many.
    let (last, bytes) = bytes.split_last()?;
    (*last == 0).then(|| bytes.try_into().ok())?
}

fn from_digits(text: &[u8]) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    let bytes: Option<Vec<u8>> =
        text.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect();
    bytes?.try_into().ok()
}

/// Makes one of bytes that come one after the other.
#[derive(Clone, Default)]
pub struct Sha256(Hasher);

impl Sha256 {
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn end(self) -> NarHash {
        NarHash(self.0.finish().0)
    }
}

/// The hash of all bytes at once.
pub fn sha256(bytes: &[u8]) -> NarHash {
    let mut hash = Sha256::default();
    hash.push(bytes);
    hash.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;

    fn digits(hash: NarHash) -> String {
        hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn it_is_sha256() {
        // FIPS 180-4's examples (NIST, "SHA256.pdf"), and the empty message.
        for (text, expected) in [
            (&b""[..], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ] {
            assert_eq!(digits(sha256(text)), expected);
        }
        let mut hash = Sha256::default();
        let piece = vec![b'a'; 997];
        let mut left = 1_000_000;
        while left > 0 {
            hash.push(&piece[..left.min(997)]);
            left -= left.min(997);
        }
        assert_eq!(
            digits(hash.end()),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        );
    }

    #[test]
    fn however_the_bytes_come_the_hash_is_the_same() {
        let bytes: Vec<u8> = (0..300_u32).map(|n| (n * 7) as u8).collect();
        for length in 0..200 {
            let whole = sha256(&bytes[..length]);
            for cut in [0, 1, length / 2, length] {
                let cut = cut.min(length);
                let mut hash = Sha256::default();
                hash.push(&bytes[..cut]);
                hash.push(&bytes[cut..length]);
                assert_eq!(hash.end(), whole, "{length} bytes, cut at {cut}");
            }
        }
    }

    #[test]
    fn it_is_written_as_nix_does_and_read_in_each_of_its_ways() {
        // `nix-hash --type sha256 --flat --base32` and `--to-sri` of Debian's Nix, of "abc".
        let hash = sha256(b"abc");
        let text = "sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s";
        assert_eq!(format!("{hash}"), text);
        assert_eq!(NarHash::parse(text), Some(hash));
        let sri = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        assert_eq!(NarHash::parse(sri), Some(hash));
        let hex = format!("sha256:{}", digits(hash));
        assert_eq!(NarHash::parse(&hex), Some(hash));
        for wrong in ["", "sha256:", &text[..58], &hex[..70], "sha256-", "md5:abc", &text[7..]] {
            assert_eq!(NarHash::parse(wrong), None, "{wrong:?}");
        }
        // The first letter stands for one bit only.
        assert_eq!(NarHash::parse(&format!("sha256:z{}", &text[8..])), None);
    }
}
