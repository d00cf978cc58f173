//! The step `kernel`: what lies in the flash for the boot loader. A kernel, its command line, and
//! a root directory in memory in which `ward` finds the real one.

use std::collections::BTreeMap;

use model::deploy::generation::{self, Line, Preparation};
use model::flash::image;

use super::attributes::{Attribute, Wrong, output};
use super::closure::grouped;
use super::modules::{Kernel, Loaded};
use super::{read, write};

/// What is there before anything is mounted.
const FOLDERS: [&str; 8] = ["dev", "lib", "lib/modules", "mnt", "proc", "run", "sys", "tmp"];

pub fn make(attributes: &Attribute<'_>) -> Result<(), Wrong> {
    let out = output(attributes)?;
    let folder = attributes.get("kernel")?.path()?;
    let plan = plan(&attributes.get("early")?, &Kernel::read(folder)?)?;
    let early: String = plan.steps.iter().map(|step| format!("{step}\n")).collect();
    let mut files = BTreeMap::from([("early".to_owned(), (0o644, early.into_bytes()))]);
    files.insert("init".into(), (0o755, read(attributes.get("ward")?.path()?)?));
    for (name, module) in plan.modules {
        files.insert(format!("lib/modules/{name}.ko"), (0o644, module));
    }
    let command_line = attributes.get("commandLine")?.texts()?.join(" ");
    let kernel = read(&folder.join("vmlinuz"))?;
    let parts = [&*kernel, &archive(&files), command_line.as_bytes()];
    let processor = processor(attributes)?;
    let bytes = image::write(processor, attributes.get("title")?.text()?, &parts)
        .map_err(|error| error.to_string())?;
    if let Some(partition) = attributes.maybe("partition") {
        let (size, partition) = (bytes.len() as u64, partition.number()?);
        if size > partition {
            return Err(format!(
                "the kernel has {} bytes with what starts it, and its partition {}: {} are the kernel, {} the rest",
                grouped(size),
                grouped(partition),
                grouped(kernel.len() as u64),
                grouped(size - kernel.len() as u64),
            ));
        }
    }
    write(&out, bytes)
}

fn processor(attributes: &Attribute<'_>) -> Result<image::Processor, Wrong> {
    match attributes.get("processor")?.text()? {
        "x86_64" => Ok(image::Processor::X86_64),
        "aarch64" => Ok(image::Processor::Arm64),
        "mipsel" => Ok(image::Processor::Mips),
        _ => Err(attributes.get("processor")?.unknown()),
    }
}

/// How the flash is found.
struct Plan {
    steps: Vec<Preparation>,
    /// The modules that it takes, by name.
    modules: BTreeMap<String, Vec<u8>>,
}

fn plan(early: &Attribute<'_>, kernel: &Kernel) -> Result<Plan, Wrong> {
    let mut plan = Plan { steps: Vec::new(), modules: BTreeMap::new() };
    let mut loaded = Loaded::default();
    for line in early.texts()? {
        let step =
            parse(line).map_err(|wrong| format!("hardware.kernel.early: {line:?}: {wrong}"))?;
        // A flash in memory is a module with an address that the device finds out.
        let module = match &step {
            Preparation::Module { name, .. } => Some(name.as_str()),
            Preparation::Memory { .. } => Some("phram"),
            _ => None,
        };
        let before = loaded.order.len();
        if let Some(name) = module {
            loaded.load(kernel, name)?;
        }
        let new = &loaded.order[before..];
        for name in new {
            let file = kernel.file(name).ok_or_else(|| format!("{name} is no file"))?;
            plan.modules.insert(name.clone(), read(file)?);
        }
        // All that it needs comes first.
        for name in new.split_last().map_or(&[][..], |(_, needs)| needs) {
            let (name, parameters) = (name.clone(), String::new());
            plan.steps.push(Preparation::Module { name, parameters });
        }
        match step {
            // What is a part of the kernel needs no line.
            Preparation::Module { .. } if new.is_empty() => {}
            Preparation::Module { parameters, .. } => {
                plan.steps
                    .push(Preparation::Module { name: new[new.len() - 1].clone(), parameters });
            }
            other => plan.steps.push(other),
        }
    }
    Ok(plan)
}

/// A line as people write it, with spaces between the words. Parameters of a module are the rest.
fn parse(line: &str) -> Result<Preparation, generation::Wrong> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["module", name, ref parameters @ ..] if !parameters.is_empty() => {
            Preparation::parse(&format!("module\t{name}\t{}", parameters.join(" ")))
        }
        _ => Preparation::parse(&words.join("\t")),
    }
}

/// Folders and files as the kernel unpacks them: the format "newc" of
/// `Documentation/driver-api/early-userspace/buffer-format.rst` in Linux.
fn archive(files: &BTreeMap<String, (u32, Vec<u8>)>) -> Vec<u8> {
    const FOLDER: u32 = 0o040_755;
    const FILE: u32 = 0o100_000;
    let mut archive = Vec::new();
    let mut number = 0;
    let mut add = |name: &str, mode: u32, bytes: &[u8]| {
        number += 1;
        let length = bytes.len();
        // Number, mode, owner, group, links, time, size, four of devices, length of the name, sum.
        let fields =
            [number, mode, 0, 0, 1, 1, length as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        archive.extend_from_slice(b"070701");
        for field in fields {
            archive.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        archive.extend_from_slice(name.as_bytes());
        archive.push(0);
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend_from_slice(bytes);
        archive.resize(archive.len().next_multiple_of(4), 0);
    };
    for folder in FOLDERS {
        add(folder, FOLDER, &[]);
    }
    for (name, (mode, bytes)) in files {
        add(name, FILE | mode, bytes);
    }
    add("TRAILER!!!", 0, &[]);
    archive
}
