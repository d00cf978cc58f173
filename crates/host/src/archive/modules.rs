//! Modules that a kernel of Debian's lacks, built of its sources.
//!
//! Those come through apt in the very version of the kernel, and nothing of them is kept or
//! installed. The compiler for the device's processor is this machine's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cli::Failure;

use super::apt::Apt;
use super::lock::Lock;
use super::resolve::ARCHITECTURES;
use super::store::{Store, refused};

/// Architectures of Debian's that there are such modules for, and how the names of their compilers
/// begin.
pub const COMPILERS: [(&str, &str); 2] =
    [("amd64", "x86_64-linux-gnu-"), ("arm64", "aarch64-linux-gnu-")];

/// The folders of a kernel's sources that they come from.
const PARTS: [&str; 2] = ["drivers/mtd", "fs/pstore"];
/// What says which ones: above those folders, and beside those that were built.
const LIST: &str = "Kbuild";
/// The part that is ours.
const OWN: &str = "pmsg_front.c";

/// What is not the kernel's.
struct Sources {
    list: Vec<u8>,
    own: Vec<u8>,
}

impl Sources {
    fn write(&self, folder: &Path) -> Result<(), Failure> {
        let written = fs::write(folder.join(LIST), &self.list)
            .and_then(|()| fs::write(folder.join(OWN), &self.own));
        written.map_err(|error| refused(folder, &error))
    }
}

/// A kernel, and the packages of Debian's that modules for it are built with.
struct Kernel {
    /// Such as 6.1.0-56-arm64.
    release: String,
    /// Debian's, such as 6.1.192-2.
    version: String,
}

impl Kernel {
    fn headers(&self) -> [String; 2] {
        let common = self.release.rsplit_once('-').map_or(&*self.release, |(common, _)| common);
        [format!("linux-headers-{}", self.release), format!("linux-headers-{common}-common")]
    }

    fn source(&self) -> String {
        format!("linux-source-{}", self.series())
    }

    /// Programs that run on this machine.
    fn programs(&self) -> String {
        format!("linux-kbuild-{}", self.series())
    }

    fn series(&self) -> String {
        self.release.split('.').take(2).collect::<Vec<_>>().join(".")
    }
}

impl Store {
    /// Sees to it that the modules of `ARCHITECTURE.kbuild` in `lists` are there for the kernel
    /// that was fetched, in `ARCHITECTURE/modules-VERSION`: names it, and says whether they were built now.
    ///
    /// # Errors
    /// The kernel was not fetched, its sources have left the archive, or there is no compiler.
    pub fn modules(
        &self,
        lists: &Path,
        architecture: &str,
        compiler: &str,
    ) -> Result<(String, bool), Failure> {
        let read = |name: &str| {
            let file = lists.join(name);
            fs::read(&file).map_err(|error| refused(&file, &error))
        };
        let sources = Sources { list: read(&format!("{architecture}.kbuild"))?, own: read(OWN)? };
        let _alone = self.alone()?;
        let kernel = self.kernel(architecture)?;
        let name = format!("{} {}", kernel.release, kernel.version);
        let place = self.folder.join(architecture).join(format!("modules-{}", kernel.version));
        if fs::read(place.join(LIST)).is_ok_and(|built| built == sources.list)
            && fs::read(place.join(OWN)).is_ok_and(|built| built == sources.own)
        {
            return Ok((name, false));
        }
        let gcc = format!("{compiler}gcc");
        run(Command::new(&gcc).arg("--version"), "build modules")
            .map_err(|failure| failure.hint("`./setup` installs it"))?;
        // Others are told of it who work elsewhere.
        let work = std::path::absolute(self.folder.join("modules"));
        let work = work.map_err(|error| refused(&self.folder, &error))?;
        remove(&work)?;
        fs::create_dir_all(&work).map_err(|error| refused(&work, &error))?;
        self.unpack(architecture, &kernel, &work)?;
        let built = build(compiler, &kernel, &sources, &work)?;
        remove(&place)?;
        fs::rename(&built, &place).map_err(|error| refused(&place, &error))?;
        remove(&work)?;
        Ok((name, true))
    }

    /// The one that was fetched.
    fn kernel(&self, architecture: &str) -> Result<Kernel, Failure> {
        let lock = Lock::read_if_there(&self.lock_path())?;
        let packages = lock.0.get(architecture).into_iter().flatten();
        let mut kernels = packages.filter_map(|(name, package)| {
            // The general name has no number.
            let release = name.strip_prefix("linux-image-")?;
            release
                .starts_with(|first: char| first.is_ascii_digit())
                .then(|| Kernel { release: release.to_owned(), version: package.version.clone() })
        });
        kernels.next().ok_or_else(|| {
            Failure::refused(format!("there is no kernel among the packages for {architecture}"))
        })
    }

    /// Unpacks all that modules are built with into a folder.
    fn unpack(&self, architecture: &str, kernel: &Kernel, folder: &Path) -> Result<(), Failure> {
        let version = &kernel.version;
        let headers = download(&self.apt(architecture)?, &kernel.headers(), version)?;
        let source = download(&self.apt(architecture)?, &[kernel.source()], version)?;
        let programs = download(&self.apt(ARCHITECTURES[0])?, &[kernel.programs()], version)?;
        for deb in headers.iter().chain(&programs) {
            run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(folder), "unpack a package")?;
        }
        // An archive in another one; nobody reads on once it has the folder.
        let script = "dpkg-deb --fsys-tarfile \"$1\" |
            tar -xO --occurrence=1 \"./usr/src/$2.tar.xz\" |
            tar -xJ --occurrence=1 -C \"$3\" \"$2/$4\" \"$2/$5\"";
        let mut unpack = Command::new("sh");
        unpack
            .args(["-c", script, "sh"])
            .args(&source)
            .arg(kernel.source())
            .arg(folder)
            .args(PARTS);
        run(&mut unpack, "unpack the sources of the kernel")?;
        for deb in headers.iter().chain(&source).chain(&programs) {
            let _ = fs::remove_file(deb);
        }
        Ok(())
    }
}

/// Gets packages in one version, and gives their files.
fn download(apt: &Apt, names: &[String], version: &str) -> Result<Vec<PathBuf>, Failure> {
    let words: Vec<String> = names.iter().map(|name| format!("{name}={version}")).collect();
    // What apt knows of the archive may be old, or nothing.
    let folder = apt.download(&words).or_else(|_| {
        apt.update()?;
        apt.download(&words)
    })?;
    let files = fs::read_dir(&folder).map_err(|error| refused(&folder, &error))?;
    let files: Vec<PathBuf> = files.flatten().map(|entry| entry.path()).collect();
    let file = |name: &String| {
        // The processor is the rest: it may be `all`.
        let begin = format!("{name}_{}_", version.replace(':', "%3a"));
        let is_it = |path: &&PathBuf| {
            path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&begin))
        };
        let none = || Failure::refused(format!("apt put no {name} into {}", folder.display()));
        files.iter().find(is_it).cloned().ok_or_else(none)
    };
    names.iter().map(file).collect()
}

/// Builds them where all that takes was unpacked, and gives the folder with them and their list.
fn build(
    compiler: &str,
    kernel: &Kernel,
    listed: &Sources,
    work: &Path,
) -> Result<PathBuf, Failure> {
    let sources = work.join(kernel.source());
    listed.write(&sources)?;
    // It names the place where it would be installed.
    let headers = work.join("usr/src").join(&kernel.headers()[0]);
    let makefile = headers.join("Makefile");
    let text = fs::read_to_string(&makefile).map_err(|error| refused(&makefile, &error))?;
    let text = text.replace("/usr/src/", &format!("{}/usr/src/", work.display()));
    fs::write(&makefile, text).map_err(|error| refused(&makefile, &error))?;

    let mut make = Command::new("make");
    make.arg("--silent").arg("-C").arg(&headers).arg(format!("M={}", sources.display()));
    make.arg(format!("CROSS_COMPILE={compiler}")).arg(format!("CC={compiler}gcc"));
    // The same sources give the same bytes, wherever they lie.
    make.arg(format!("KCFLAGS=-g0 -ffile-prefix-map={}=.", work.display())).arg("modules");
    // What calls this program may be another `make`.
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    run(&mut make, "build modules")?;

    let built = work.join("built");
    fs::create_dir(&built).map_err(|error| refused(&built, &error))?;
    listed.write(&built)?;
    let order = sources.join("modules.order");
    let order = fs::read_to_string(&order).map_err(|error| refused(&order, &error))?;
    for module in order.lines().map(Path::new) {
        let to = built.join(module.file_name().unwrap_or_default());
        fs::rename(module, &to).map_err(|error| refused(module, &error))?;
    }
    Ok(built)
}

fn remove(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(refused(folder, &error)),
        _ => Ok(()),
    }
}

fn run(command: &mut Command, what: &str) -> Result<(), Failure> {
    let program = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output();
    let output =
        output.map_err(|error| Failure::refused(format!("cannot {what}: {program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(5)..].join("\n  ");
    Err(Failure::refused(format!("cannot {what}: {program}: {}", output.status)).hint(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_by_the_release_of_the_kernel() {
        let kernel = Kernel { release: "6.1.0-56-arm64".into(), version: "6.1.192-2".into() };
        assert_eq!(
            kernel.headers(),
            ["linux-headers-6.1.0-56-arm64", "linux-headers-6.1.0-56-common"]
        );
        assert_eq!(kernel.source(), "linux-source-6.1");
        assert_eq!(kernel.programs(), "linux-kbuild-6.1");
    }
}
