//! The lock file: which packages of Debian's builds are made of, by version and checksum.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use cli::Failure;
use serde_json::Value;

/// One package, as the archive's index describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    pub version: String,
    /// The name that apt gives its file.
    pub file: String,
    pub size: u64,
    /// Of the file, in hexadecimal.
    pub sha256: String,
    /// Packages in the same lock whose libraries it is linked with.
    pub needs: Vec<String>,
}

/// The packages of one of Debian's architectures, by name.
pub type Packages = BTreeMap<String, Package>;

/// The packages of all architectures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock(pub BTreeMap<String, Packages>);

impl Lock {
    /// # Errors
    /// Unreadable, or no lock file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|error| wrong(path, &error))?;
        Self::parse(&text)
            .map_err(|reason| wrong(path, &reason).hint("`doorward packages lock` writes it anew"))
    }

    /// An empty one where there is none yet.
    pub fn read_if_there(path: &Path) -> Result<Self, Failure> {
        match path.try_exists() {
            Ok(false) => Ok(Self::default()),
            _ => Self::read(path),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut lock = Self::default();
        for (architecture, packages) in object(&json, "it")? {
            let mut known = Packages::new();
            for (name, package) in object(packages, architecture)? {
                known.insert(name.clone(), read_package(package, name)?);
            }
            lock.0.insert(architecture.clone(), known);
        }
        for (architecture, packages) in &lock.0 {
            for (name, package) in packages {
                if let Some(need) = package.needs.iter().find(|n| !packages.contains_key(*n)) {
                    return Err(format!(
                        "{name} ({architecture}) needs {need}, which is not in it"
                    ));
                }
            }
        }
        Ok(lock)
    }

    /// As it is written: the same packages give the same bytes, a package a line.
    pub fn text(&self) -> String {
        let mut text = String::from("{");
        let mut first = true;
        for (architecture, packages) in &self.0 {
            let _ = write!(text, "{}\n{}: {{", comma(&mut first), Value::from(&**architecture));
            let mut first = true;
            for (name, package) in packages {
                let line = serde_json::json!({
                    "version": package.version, "file": package.file, "size": package.size,
                    "sha256": package.sha256, "needs": package.needs,
                });
                let _ = write!(text, "{}\n  {}: {line}", comma(&mut first), Value::from(&**name));
            }
            text.push_str("\n}");
        }
        text.push_str("\n}\n");
        text
    }

    /// # Errors
    /// The old file is still there.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        replace(path, self.text().as_bytes()).map_err(|error| wrong(path, &error))
    }
}

/// Writes a file as nobody sees it half written.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    fs::write(&partial, bytes)?;
    fs::rename(&partial, path).inspect_err(|_| drop(fs::remove_file(&partial)))
}

fn comma(first: &mut bool) -> &'static str {
    if std::mem::take(first) { "" } else { "," }
}

fn read_package(json: &Value, name: &str) -> Result<Package, String> {
    let text = |field: &str| match &json[field] {
        Value::String(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err(format!("{name} has no {field}")),
    };
    let package = Package {
        version: text("version")?,
        file: text("file")?,
        size: json["size"].as_u64().ok_or_else(|| format!("{name} has no size"))?,
        sha256: text("sha256")?,
        needs: names(&json["needs"]).ok_or_else(|| format!("{name} has no list of needs"))?,
    };
    let is_sum = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if package.sha256.len() != 64 || !package.sha256.chars().all(is_sum) {
        return Err(format!("the sha256 of {name} is no checksum"));
    }
    if package.file.contains('/') || !package.file.ends_with(".deb") {
        return Err(format!("the file of {name} is no name of a package's file"));
    }
    Ok(package)
}

fn object<'a>(json: &'a Value, what: &str) -> Result<&'a serde_json::Map<String, Value>, String> {
    json.as_object().ok_or_else(|| format!("{what} should be an object"))
}

fn names(json: &Value) -> Option<Vec<String>> {
    json.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

fn wrong(path: &Path, reason: &dyn std::fmt::Display) -> Failure {
    Failure::refused(format!("{}: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(needs: &[&str]) -> Package {
        Package {
            version: "1:2.36-9+deb12u1".into(),
            file: "libc6_1%3a2.36-9+deb12u1_amd64.deb".into(),
            size: 2_000_000,
            sha256: "0f".repeat(32),
            needs: needs.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn lock(needs: &[&str]) -> Lock {
        let packages = [("libc6".to_owned(), package(&[])), ("busybox".to_owned(), package(needs))];
        Lock([("amd64".to_owned(), packages.into())].into())
    }

    #[test]
    fn a_lock_reads_back_what_it_wrote() {
        assert_eq!(Lock::parse(&lock(&["libc6"]).text()), Ok(lock(&["libc6"])));
        assert_eq!(Lock::parse(&Lock::default().text()), Ok(Lock::default()));
    }

    #[test]
    fn a_lock_says_what_is_wrong_in_it() {
        let good = lock(&["libc6"]).text();
        for (text, expected) in [
            (lock(&["libc7"]).text(), "busybox (amd64) needs libc7, which is not in it"),
            (good.replace("\"size\":2000000,", ""), "busybox has no size"),
            (good.replace("0f0f", "0F0F"), "the sha256 of busybox is no checksum"),
            (good.replace("libc6_1", "../x"), "the file of busybox is no name of a package's file"),
            ("[]".into(), "it should be an object"),
        ] {
            assert_eq!(Lock::parse(&text), Err(expected.to_owned()), "{text}");
        }
    }
}
