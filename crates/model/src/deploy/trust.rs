//! Who may say what a store path holds: keys, and signatures in Nix's form.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use ed25519_compact::{KeyPair, PublicKey, SecretKey, Signature};

use super::base64;
use super::path_info::PathInfo;
use crate::limits::TRUSTED_KEYS_MAX;

/// A key that signatures are held against: `NAME:BASE64`.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustedKey {
    name: String,
    key: PublicKey,
}

/// A key that signs: the same, of 64 bytes.
pub struct SigningKey {
    name: String,
    key: SecretKey,
}

/// Why a line is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// It is not `NAME:` and base 64 of as many bytes as a key has.
    Form,
    /// More than anybody needs.
    TooMany,
}

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => {
                "a key is NAME:BASE64, as `nix-store --generate-binary-cache-key` writes it"
            }
            Self::TooMany => "there are too many keys",
        })
    }
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, base64::encode(&self.key[..]))
    }
}

/// Reads a file of keys: some on each line, and comments behind `#`.
///
/// # Errors
/// One that cannot be read is no reason to trust less: nothing is trusted then.
pub fn keys(text: &str) -> Result<Vec<TrustedKey>, NoKey> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or(line));
    let mut keys = Vec::new();
    for word in lines.flat_map(str::split_ascii_whitespace) {
        let (name, key) = parts(word).ok_or(NoKey::Form)?;
        let key = PublicKey::from_slice(&key).map_err(|_| NoKey::Form)?;
        if keys.len() == TRUSTED_KEYS_MAX {
            return Err(NoKey::TooMany);
        }
        keys.push(TrustedKey { name: name.into(), key });
    }
    Ok(keys)
}

fn parts(word: &str) -> Option<(&str, Vec<u8>)> {
    let (name, key) = word.split_once(':').filter(|(name, _)| !name.is_empty())?;
    Some((name, base64::decode(key)?))
}

/// Whether one of the keys has signed this.
pub fn is_signed(info: &PathInfo, keys: &[TrustedKey]) -> bool {
    let text = info.fingerprint();
    info.signatures.iter().any(|signature| {
        let Some((name, bytes)) = parts(signature) else { return false };
        let Ok(signature) = Signature::from_slice(&bytes) else { return false };
        let known = keys.iter().filter(|known| known.name == name);
        known.into_iter().any(|known| known.key.verify(text.as_bytes(), &signature).is_ok())
    })
}

impl SigningKey {
    /// Reads a file with one secret key.
    pub fn parse(text: &str) -> Result<Self, NoKey> {
        let (name, key) = parts(text.trim()).ok_or(NoKey::Form)?;
        let key = SecretKey::from_slice(&key).map_err(|_| NoKey::Form)?;
        // The half of it that is known to all must be that of the other half.
        if KeyPair::from_seed(key.seed()).pk != key.public_key() {
            return Err(NoKey::Form);
        }
        Ok(Self { name: name.into(), key })
    }

    /// Adds its signature.
    pub fn sign(&self, info: &mut PathInfo) {
        let signature = self.key.sign(info.fingerprint().as_bytes(), None);
        let text = alloc::format!("{}:{}", self.name, base64::encode(&signature[..]));
        if !info.signatures.contains(&text) {
            info.signatures.insert(0, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::nar_hash::NarHash;
    use crate::deploy::store_path::StorePath;
    use alloc::format;
    use alloc::vec;

    /// `nix-store --generate-binary-cache-key`, and what `nix store sign` and `nix path-info --json`
    /// say of a path then.
    const SECRET: &str = "test-1:wV7Jn0NFD3Pf0ntGs8XBGDNs6fJMT9+rNvp2DbSKZAc4xCN/foesq32ESA6mUWXkSCZr9afWIDRMiiOP0qk/3w==";
    const PUBLIC: &str = "test-1:OMQjf36HrKt9hEgOplFl5Egma/Wn1iA0TIojj9KpP98=";
    const SIGNATURE: &str = "test-1:es9jPgiQWyr+UI51vzBd678c2y7gJ7Bylamcy8J89q9loJEckDpJn/2BqsHYtbfg8QqnDXUBu+8EJqhNdnf1Cg==";

    fn info() -> PathInfo {
        let path = |text| StorePath::parse(text).expect("it is one");
        PathInfo {
            path: path("b1iawcsszjv573gfhw997hh4k159b5gb-libcap2-1-2.66-4+deb12u3+b1"),
            hash: NarHash::parse("sha256-KKyHiU6HSmVwNQ/viLqCggEL7IBBDj4nxWtSA3E2OT4=").unwrap(),
            size: 86_768,
            references: vec![path("bics5y3kxqx7n2s4b00hiq76abg58lia-glibc-2.36-9+deb12u14")],
            signatures: vec![SIGNATURE.into()],
        }
    }

    #[test]
    fn what_nix_has_signed_counts_and_nothing_else() {
        let keys = keys(&format!("# ours\n  {PUBLIC} # of the build machine\n")).expect("a key");
        let info = info();
        assert!(is_signed(&info, &keys));
        assert!(!is_signed(&info, &[]));
        let hash = crate::deploy::nar_hash::sha256(b"another");
        for other in [
            PathInfo { size: 86_769, ..info.clone() },
            PathInfo { hash, ..info.clone() },
            PathInfo { references: vec![], ..info.clone() },
            PathInfo { path: info.references[0].clone(), ..info.clone() },
            PathInfo { signatures: vec![], ..info.clone() },
            PathInfo { signatures: vec![SIGNATURE.replace("test-1", "test-2")], ..info.clone() },
            PathInfo { signatures: vec![SIGNATURE.replace("es9", "fs9")], ..info.clone() },
            PathInfo {
                signatures: vec!["test-1:".into(), "test-1".into(), ":".into()],
                ..info.clone()
            },
        ] {
            assert!(!is_signed(&other, &keys), "{other:?}");
        }
    }

    #[test]
    fn we_sign_as_nix_does() {
        let key = SigningKey::parse(SECRET).expect("a key");
        let mut info = PathInfo { signatures: vec![], ..info() };
        key.sign(&mut info);
        key.sign(&mut info);
        assert_eq!(info.signatures, [SIGNATURE]);
    }

    #[test]
    fn what_is_no_key_makes_the_file_one_of_no_keys() {
        for wrong in ["x", "x:", ":OMQj", &PUBLIC[..50], SECRET, &format!("{PUBLIC}\nx")] {
            assert_eq!(keys(wrong), Err(NoKey::Form), "{wrong:?}");
        }
        assert_eq!(keys("\n# none\n"), Ok(vec![]));
        let many = format!("{PUBLIC}\n").repeat(TRUSTED_KEYS_MAX + 1);
        assert_eq!(keys(&many), Err(NoKey::TooMany));
        for wrong in [PUBLIC, "", &SECRET.replace("3w==", "4w==")] {
            assert!(SigningKey::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
