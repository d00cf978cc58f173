//! Debian's apt, asked for packages of any architecture with lists of its own.
//!
//! Where the archive is, and whose signature counts, is taken from this
//! machine's settings; what is installed here, and what for, is not touched.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cli::Failure;

/// What the index of the archive says of one package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza(Vec<(String, String)>);

impl Stanza {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The descriptions that `apt-cache show` prints, in its order.
    pub fn parse(text: &str) -> Vec<Self> {
        let stanza = |paragraph: &str| {
            let mut fields: Vec<(String, String)> = Vec::new();
            for line in paragraph.lines() {
                // What begins with a blank goes on with the field before; none of those is read.
                if let Some((name, value)) = line.split_once(':')
                    && !line.starts_with([' ', '\t'])
                {
                    fields.push((name.to_owned(), value.trim().to_owned()));
                }
            }
            Self(fields)
        };
        text.split("\n\n").map(stanza).filter(|stanza| !stanza.0.is_empty()).collect()
    }
}

pub struct Apt {
    architecture: String,
    /// For lists and what is being downloaded.
    folder: PathBuf,
}

impl Apt {
    /// # Errors
    /// There is no apt here, or the folder cannot be made.
    pub fn new(architecture: &str, folder: &Path) -> Result<Self, Failure> {
        let folder = folder.join(architecture);
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part)).map_err(|error| refused(&folder, &error))?;
        }
        fs::write(folder.join("status"), "").map_err(|error| refused(&folder, &error))?;
        Ok(Self { architecture: architecture.to_owned(), folder })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let mut set = |name: &str, value: &str| {
            command.arg("-o").arg(format!("{name}={value}"));
        };
        let below = |part: &str| self.folder.join(part).display().to_string();
        set("APT::Architecture", &self.architecture);
        set("APT::Architectures::", &self.architecture);
        set("Dir::State::lists", &below("lists"));
        set("Dir::State::status", &below("status"));
        set("Dir::Cache", &below("cache"));
        // As root it would become a user that may not write into the folder.
        set("APT::Sandbox::User", "root");
        set("Acquire::Languages", "none");
        // Descriptions with pictures, for people.
        set("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false");
        command.env("LC_ALL", "C");
        command
    }

    fn run(&self, mut command: Command, what: &str) -> Result<Output, Failure> {
        command.output().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Failure::refused(format!("cannot {what}: there is no apt on this machine"))
                    .hint("packages come from Debian's archive; with nixpkgs none are needed")
            }
            _ => Failure::refused(format!("cannot {what}: {error}")),
        })
    }

    /// Gets the lists of what the archive has.
    pub fn update(&self) -> Result<(), Failure> {
        let mut command = self.command("apt-get");
        command.args(["-qq", "update"]);
        let output = self.run(command, "get the lists of packages")?;
        // A source that does not answer, or has nothing for this architecture, is no
        // reason to stop: what is wanted may be in the others.
        let lists = fs::read_dir(self.folder.join("lists")).map_err(|e| refused(&self.folder, &e));
        let is_list = |name: &std::ffi::OsStr| name.to_string_lossy().contains("_Packages");
        if lists?.flatten().any(|entry| is_list(&entry.file_name())) {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "apt found no packages for the architecture {}",
            self.architecture
        ))
        .hint(last_lines(&output.stderr)))
    }

    /// What the archive has under these names: every version, the newest first.
    pub fn show(&self, names: &[String]) -> Result<Vec<Stanza>, Failure> {
        let mut command = self.command("apt-cache");
        command.args(["--all-versions", "show"]).args(names);
        // It fails when one of the names is nothing; the caller sees what is missing.
        let output = self.run(command, "ask apt for packages")?;
        Ok(Stanza::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Downloads packages, `NAME=VERSION` each, and gives the folder they are in.
    pub fn download(&self, packages: &[String]) -> Result<PathBuf, Failure> {
        let folder = self.folder.join("debs");
        fs::create_dir_all(&folder).map_err(|error| refused(&folder, &error))?;
        let mut command = self.command("apt-get");
        command.args(["-qq", "download"]).args(packages).current_dir(&folder);
        let output = self.run(command, "download packages")?;
        if output.status.success() {
            return Ok(folder);
        }
        Err(Failure::refused("apt cannot download the packages").hint(last_lines(&output.stderr)))
    }
}

fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n  ")
}

fn refused(path: &Path, error: &io::Error) -> Failure {
    Failure::refused(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_are_separated_by_empty_lines() {
        let text = "Package: a\nVersion: 1:2\nDescription: x\n more: of it\n\nPackage: b\n\n";
        let stanzas = Stanza::parse(text);
        assert_eq!(stanzas.len(), 2);
        assert_eq!(stanzas[0].field("Version"), Some("1:2"));
        assert_eq!(stanzas[0].field(" more"), None);
        assert_eq!(stanzas[1].field("Package"), Some("b"));
    }
}
