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

/// Who answers for something: the key by which a signature says that it was made, and the signature.
pub type Signed<'a> = Option<(&'a [u8; 32], &'a [u8; 64])>;

/// What a signature is worth here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer<'a> {
    /// There is none.
    Nobody,
    /// There is one, and it is not of this.
    Forged,
    /// It is of this, and of a key in which nobody here trusts: as people write it.
    Stranger(String),
    /// A key of this name.
    Known(&'a str),
}

/// Finds out who has signed this.
pub fn signer<'a>(text: &[u8], signed: Signed<'_>, keys: &'a [TrustedKey]) -> Signer<'a> {
    let Some((key, signature)) = signed else { return Signer::Nobody };
    let (public, signature) = (PublicKey::new(*key), Signature::new(*signature));
    if public.verify(text, &signature).is_err() {
        return Signer::Forged;
    }
    match keys.iter().find(|known| known.key == public) {
        Some(known) => Signer::Known(&known.name),
        None => Signer::Stranger(base64::encode(key)),
    }
}

impl Signer<'_> {
    /// Whether that will do: where there are keys, one of them must have signed.
    pub fn is_enough(&self, keys: &[TrustedKey]) -> bool {
        match self {
            Self::Known(_) => true,
            Self::Forged => false,
            Self::Nobody | Self::Stranger(_) => keys.is_empty(),
        }
    }
}

impl fmt::Display for Signer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("not signed"),
            Self::Forged => f.write_str("signed, but not as it is now"),
            Self::Stranger(key) => write!(f, "signed with {key}, a key that nobody vouches for"),
            Self::Known(name) => write!(f, "signed with the key {name}"),
        }
    }
}

impl SigningKey {
    /// Signs what is no store path: the key by which others check it, and the signature.
    pub fn sign_bytes(&self, text: &[u8]) -> ([u8; 32], [u8; 64]) {
        (*self.key.public_key(), *self.key.sign(text, None))
    }

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
    fn who_has_signed_an_image_is_told_apart() {
        let keys = keys(&format!("{PUBLIC}\n")).expect("a key");
        let (key, signature) = SigningKey::parse(SECRET).expect("a key").sign_bytes(b"an image");
        assert_eq!(base64::encode(&key), PUBLIC[7..]);
        let ask = |text: &[u8], signed| signer(text, signed, &keys);
        assert_eq!(ask(b"an image", Some((&key, &signature))), Signer::Known("test-1"));
        assert_eq!(ask(b"an image", None), Signer::Nobody);
        assert_eq!(ask(b"another", Some((&key, &signature))), Signer::Forged);
        // A stranger's name counts for nothing; and no signature is lent to another key.
        let other = KeyPair::from_seed(ed25519_compact::Seed::new([7; 32]));
        assert_eq!(ask(b"an image", Some((&other.pk, &signature))), Signer::Forged);
        let theirs = *other.sk.sign(b"an image", None);
        let stranger = Signer::Stranger(base64::encode(&other.pk[..]));
        assert_eq!(ask(b"an image", Some((&other.pk, &theirs))), stranger);
        assert_eq!(
            signer(b"an image", Some((&key, &signature)), &[]),
            Signer::Stranger(PUBLIC[7..].into())
        );
        for (signer, with, without) in [
            (Signer::Known("x"), true, true),
            (Signer::Nobody, false, true),
            (Signer::Stranger(String::new()), false, true),
            (Signer::Forged, false, false),
        ] {
            assert_eq!((signer.is_enough(&keys), signer.is_enough(&[])), (with, without));
        }
        // Keys that would accept much: points of small order.
        for weak in [[0; 32], core::array::from_fn(|at| u8::from(at == 0))] {
            assert_eq!(signer(b"an image", Some((&weak, &[0; 64])), &keys), Signer::Forged);
        }
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
