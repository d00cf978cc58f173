//! The step `system`: a generation, which is a store path that holds or names all that a device
//! runs. docs/formats/system.md describes it.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use model::deploy::generation::{self, COMMAND_LINE, LOG_OPTIONS, Line, Preparation};

use super::attributes::{Attribute, Wrong, output};
use super::layout::{self, Content};
use super::modules;
use super::{make_folder, write};

pub fn make(attributes: &Attribute<'_>) -> Result<(), Wrong> {
    let out = output(attributes)?;
    let mut files = layout::read(&attributes.get("files")?)?;
    let link = |target: &str| layout::File {
        content: Content::Link(target.to_owned()),
        mode: None,
        user: 0,
        group: 0,
    };
    let services = attributes.get("services")?.text()?;
    files.insert("/etc/s6-rc/compiled/current".into(), link(services));
    // Programs have one folder, whatever it is called.
    for (path, target) in [("/sbin", "bin"), ("/usr/bin", "../bin"), ("/usr/sbin", "../bin")] {
        files.entry(path.into()).or_insert_with(|| link(target));
    }
    for (name, program) in profile(&attributes.get("profile")?)? {
        files.entry(format!("/bin/{name}")).or_insert_with(|| link(&program));
    }
    let laid_out = layout::lay_out(&files)?;

    make_folder(&out)?;
    let at = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    for (path, content) in &laid_out.tree {
        let place = out.join("root").join(&path[1..]);
        make_folder(place.parent().unwrap_or(&out))?;
        let made = match content {
            Content::Directory => fs::create_dir_all(&place),
            Content::Link(target) => symlink(target, &place),
            Content::Source(source) => symlink(source, &place),
            Content::Text { text, executable } => {
                let mode = if *executable { 0o755 } else { 0o644 };
                fs::write(&place, text)
                    .and_then(|()| fs::set_permissions(&place, fs::Permissions::from_mode(mode)))
            }
        };
        made.map_err(|error| at(&place, error))?;
    }
    let mut links = vec![("init", attributes.get("init")?.text()?), ("services", services)];
    if let Some(modules) = attributes.maybe("modules") {
        links.push(("modules", modules.text()?));
    }
    if let Some(levitate) = attributes.maybe("levitate") {
        links.push(("levitate", levitate.text()?));
    }
    for (name, target) in links {
        symlink(target, out.join(name)).map_err(|error| at(&out.join(name), error))?;
    }
    for (name, text) in [
        ("filesystem", text_of("filesystem", &laid_out.entries)?),
        ("boot", text_of("boot", &boot(attributes)?)?),
    ] {
        write(&out.join(name), text)?;
    }
    if let Some(words) = attributes.maybe("commandLine") {
        write(&out.join(COMMAND_LINE), words.texts()?.join(" ") + "\n")?;
    }
    Ok(())
}

/// The programs of packages; of two with the same name that of the earlier package.
fn profile(packages: &Attribute<'_>) -> Result<Vec<(String, String)>, Wrong> {
    let mut seen = BTreeSet::new();
    let mut programs = Vec::new();
    for package in packages.list()? {
        let folder = package.path()?.join("bin");
        let entries = match fs::read_dir(&folder) {
            // A package may have other things than programs.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.map_err(|error| format!("{}: {error}", folder.display()))?,
        };
        for entry in entries {
            let name = entry.map_err(|error| format!("{}: {error}", folder.display()))?.file_name();
            let name = name.to_string_lossy().into_owned();
            if seen.insert(name.clone()) {
                programs.push((name.clone(), folder.join(name).display().to_string()));
            }
        }
    }
    Ok(programs)
}

/// A line for each, of which the device reads the same again.
fn text_of<T: Line + Display>(name: &str, all: &[T]) -> Result<String, Wrong> {
    let text: String = all.iter().map(|one| format!("{one}\n")).collect();
    let wrong = generation::lines::<T>(&text).find_map(Result::err);
    match wrong {
        None => Ok(text),
        Some(error) => {
            let line = text.lines().nth(error.line - 1).unwrap_or_default();
            Err(format!("{name}: {:?}: {}", line.replace('\t', " "), error.wrong))
        }
    }
}

/// What early boot does before the first service.
fn boot(attributes: &Attribute<'_>) -> Result<Vec<Preparation>, Wrong> {
    let boot = attributes.get("boot")?;
    let mut all = Vec::new();
    if let Some(modules) = attributes.maybe("modules") {
        let order = modules.path()?.join(modules::ORDER);
        let order =
            fs::read_to_string(&order).map_err(|error| format!("{}: {error}", order.display()))?;
        let told = boot.get("moduleParameters")?;
        for name in order.lines() {
            let parameters = told.maybe(name).map_or(Ok(""), |told| told.text())?.to_owned();
            let name = name.to_owned();
            all.push(Preparation::Module { name, parameters });
        }
    }
    for mount in boot.get("mounts")?.list()? {
        let word = |name: &str| mount.get(name)?.text().map(str::to_owned);
        let (kind, source, path) = (word("type")?, word("source")?, word("target")?);
        let options = mount.get("options")?.texts()?.join(",");
        all.push(Preparation::Mount { kind, source, path, options });
    }
    let log = boot.get("log")?;
    let number = |name: &str| {
        let number = log.get(name)?.number()?;
        u32::try_from(number).map_err(|_| format!("logging: {number} is too many"))
    };
    let directory = log.get("directory")?.text()?.to_owned();
    let (archives, file_bytes) = (number("files")?, number("fileSize")?);
    all.push(Preparation::Log { directory, archives, file_bytes });
    let options = log.get("options")?;
    for letter in LOG_OPTIONS.chars() {
        let Some(value) = options.maybe(&letter.to_string()) else { continue };
        let value = value.text()?.to_owned();
        if value.contains(['\t', '\n']) {
            return Err(format!("logging: {value:?} does not fit a line"));
        }
        all.push(Preparation::LogOption { letter, value });
    }
    Ok(all)
}
