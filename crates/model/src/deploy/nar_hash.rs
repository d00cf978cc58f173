//! The hash by which a store path is known to be whole: SHA-256 over its archive, and the ways to write it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::base64;
use super::store_path::ALPHABET;

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

/// SHA-256 (FIPS 180-4) of bytes as they come. In ordinary instructions, and small: a device hashes
/// as fast as its flash is read, and no faster.
#[derive(Clone)]
pub struct Sha256 {
    state: [u32; 8],
    block: [u8; 64],
    filled: usize,
    bytes: u64,
}

impl Default for Sha256 {
    fn default() -> Self {
        Self { state: START, block: [0; 64], filled: 0, bytes: 0 }
    }
}

impl Sha256 {
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.bytes = self.bytes.wrapping_add(bytes.len() as u64);
        if self.filled > 0 {
            let count = bytes.len().min(64 - self.filled);
            self.block[self.filled..self.filled + count].copy_from_slice(&bytes[..count]);
            self.filled += count;
            bytes = &bytes[count..];
            if self.filled < 64 {
                return;
            }
            compress(&mut self.state, &self.block);
            self.filled = 0;
        }
        let (blocks, rest) = bytes.as_chunks::<64>();
        for block in blocks {
            compress(&mut self.state, block);
        }
        self.block[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
    }

    pub fn end(mut self) -> NarHash {
        let bits = self.bytes.wrapping_mul(8);
        let mut padding = [0; 72];
        padding[0] = 0x80;
        // Up to 8 bytes before the end of a block, and then the length.
        let count = (55_usize.wrapping_sub(self.filled) & 63) + 1;
        padding[count..count + 8].copy_from_slice(&bits.to_be_bytes());
        self.push(&padding[..count + 8]);
        let mut digest = [0; 32];
        for (place, word) in digest.chunks_mut(4).zip(self.state) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        NarHash(digest)
    }
}

/// The hash of all bytes at once.
pub fn sha256(bytes: &[u8]) -> NarHash {
    let mut hash = Sha256::default();
    hash.push(bytes);
    hash.end()
}

/// Fractions of the square roots of the first eight primes.
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Fractions of the cube roots of the first 64 primes.
#[rustfmt::skip]
const ROUNDS: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

fn compress(state: &mut [u32; 8], block: &[u8; 64]) {
    let mut words = [0_u32; 64];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    for t in 16..64 {
        let (a, b) = (words[t - 15], words[t - 2]);
        let a = a.rotate_right(7) ^ a.rotate_right(18) ^ a >> 3;
        let b = b.rotate_right(17) ^ b.rotate_right(19) ^ b >> 10;
        words[t] = words[t - 16].wrapping_add(a).wrapping_add(words[t - 7]).wrapping_add(b);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (round, word) in ROUNDS.iter().zip(words) {
        let one = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = e & f ^ !e & g;
        let first =
            h.wrapping_add(one).wrapping_add(choice).wrapping_add(*round).wrapping_add(word);
        let two = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let second = two.wrapping_add(a & b ^ a & c ^ b & c);
        (h, g, f, e, d, c, b, a) =
            (g, f, e, d.wrapping_add(first), c, b, a, first.wrapping_add(second));
    }
    for (kept, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *kept = kept.wrapping_add(new);
    }
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
