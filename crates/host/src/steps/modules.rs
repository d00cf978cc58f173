//! The step `modules`: modules of a kernel, with all that they need, in the order of loading.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::attributes::{Attribute, Wrong, output};
use super::{make_folder, read, write};

/// The file that names them, a line each.
pub const ORDER: &str = "order";

pub fn make(attributes: &Attribute<'_>) -> Result<(), Wrong> {
    let out = output(attributes)?;
    let kernel = Kernel::read(attributes.get("kernel")?.path()?)?;
    let mut loaded = Loaded::default();
    for name in attributes.get("modules")?.texts()? {
        loaded.load(&kernel, name)?;
    }
    make_folder(&out)?;
    for name in &loaded.order {
        let (from, to) = (&kernel.modules[name], out.join(format!("{name}.ko")));
        fs::copy(from, &to).map_err(|error| at(from, &error))?;
    }
    let lines: String = loaded.order.iter().map(|name| format!("{name}\n")).collect();
    write(&out.join(ORDER), lines)
}

fn at(path: &Path, error: &std::io::Error) -> Wrong {
    format!("{}: {error}", path.display())
}

/// The modules that one kernel has.
pub struct Kernel {
    /// Those that are files, by their name.
    modules: BTreeMap<String, PathBuf>,
    /// Those that are a part of it.
    built_in: BTreeSet<String>,
}

impl Kernel {
    /// Reads the folder `modules` of an unpacked kernel.
    pub fn read(folder: &Path) -> Result<Self, Wrong> {
        let folder = folder.join("modules");
        let list = folder.join("modules.builtin");
        let list = fs::read_to_string(&list).map_err(|error| at(&list, &error))?;
        let built_in = list.lines().filter_map(module_name).collect();
        let mut modules = BTreeMap::new();
        let mut folders = vec![folder.join("kernel")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(|error| at(&folder, &error))? {
                let entry = entry.map_err(|error| at(&folder, &error))?;
                let path = entry.path();
                // Also behind links: to those of the kernel's package, and those that it lacks.
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(name) = path.to_str().and_then(module_name) {
                    modules.insert(name, path);
                }
            }
        }
        Ok(Self { modules, built_in })
    }

    /// The first module with this alias, which for algorithms begins with `crypto-`.
    fn find(&self, alias: &str) -> Result<Option<String>, Wrong> {
        for (name, file) in &self.modules {
            let module = read(file)?;
            let is_it =
                |found: &str| canonical(found.strip_prefix("crypto-").unwrap_or(found)) == alias;
            if values(&module, "alias").any(|found| is_it(&found)) {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    pub fn file(&self, name: &str) -> Option<&Path> {
        self.modules.get(&canonical(name)).map(PathBuf::as_path)
    }
}

/// Which modules are loaded by now, in the order of loading.
#[derive(Default)]
pub struct Loaded {
    pub order: Vec<String>,
    known: BTreeSet<String>,
}

impl Loaded {
    /// Loads what a module needs, and then the module itself.
    ///
    /// # Errors
    /// The kernel has no such module: with the names that are near to it.
    pub fn load(&mut self, kernel: &Kernel, name: &str) -> Result<(), Wrong> {
        let name = canonical(name);
        if kernel.built_in.contains(&name) || !self.known.insert(name.clone()) {
            return Ok(());
        }
        let Some(file) = kernel.modules.get(&name) else {
            let near = |other: &&String| other.contains(&name) || name.contains(other.as_str());
            let near: Vec<&str> =
                kernel.modules.keys().filter(near).take(5).map(String::as_str).collect();
            let hint = match near.is_empty() {
                true => String::new(),
                false => format!("; it has {}", near.join(", ")),
            };
            return Err(format!("the kernel has no module {name}{hint}"));
        };
        let module = read(file)?;
        for need in needs(&module) {
            self.load(kernel, &need)?;
        }
        for wish in wishes(&module) {
            // What fulfils it has that name, or another one and the wish as an alias.
            let known = kernel.built_in.contains(&wish) || kernel.modules.contains_key(&wish);
            if let Some(name) = if known { Some(wish) } else { kernel.find(&wish)? } {
                self.load(kernel, &name)?;
            }
        }
        self.order.push(name);
        Ok(())
    }
}

/// The values that a module gives for a name: `NAME=VALUE` in its section `.modinfo`, whose
/// strings end with a zero byte (Linux `include/linux/moduleparam.h`, `MODULE_INFO`).
fn values<'a>(module: &'a [u8], name: &str) -> impl Iterator<Item = std::borrow::Cow<'a, str>> {
    let mark = format!("\0{name}=").into_bytes();
    let starts: Vec<usize> = module
        .windows(mark.len())
        .enumerate()
        .filter(|(_, bytes)| *bytes == mark)
        .map(|(at, _)| at + mark.len())
        .collect();
    starts.into_iter().map(|at| {
        let rest = &module[at..];
        let end = rest.iter().position(|&byte| byte == 0).unwrap_or(0);
        String::from_utf8_lossy(&rest[..end])
    })
}

/// What a module needs: `depends=A,B`.
fn needs(module: &[u8]) -> Vec<String> {
    let lists: Vec<_> = values(module, "depends").collect();
    let names = lists.iter().flat_map(|list| list.split(','));
    names.filter(|name| !name.is_empty()).map(canonical).collect()
}

/// What a module finds by itself while it starts, and misses if it is not there:
/// `softdep=pre: A B post: C`, of which only the first part counts.
fn wishes(module: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for list in values(module, "softdep") {
        let mut before = false;
        for word in list.split_whitespace() {
            match word.strip_suffix(':') {
                Some(part) => before = part == "pre",
                None if before => found.push(canonical(word)),
                None => {}
            }
        }
    }
    found
}

/// `virtio-rng` and `virtio_rng` are the same module.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// `jffs2` of `kernel/fs/jffs2/jffs2.ko`.
fn module_name(path: &str) -> Option<String> {
    path.rsplit('/').next()?.strip_suffix(".ko").map(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_comes_before_it() {
        let folder = std::env::temp_dir().join(format!("doorward-modules-{}", std::process::id()));
        let inner = folder.join("modules/kernel/net");
        fs::create_dir_all(&inner).expect("a folder can be made");
        for (name, more) in [
            ("nft_masq", "depends=nf_tables,nf-nat"),
            ("nf_tables", "depends=\0softdep=pre: crc32c nothing post: other"),
            ("nf-nat", "softdep=pre: ipv6"),
            ("crc32c_generic", "alias=crc32c-generic\0alias=crypto-crc32c"),
            ("other", "alias=x"),
        ] {
            let text = format!("ELF\0license=GPL\0{more}\0name=x\0");
            fs::write(inner.join(format!("{name}.ko")), text).expect("a file can be written");
        }
        let list = "kernel/net/ipv6/ipv6.ko\n";
        fs::write(folder.join("modules/modules.builtin"), list).expect("a file can be written");
        let kernel = Kernel::read(&folder).expect("it can be read");
        let mut loaded = Loaded::default();
        for name in ["ipv6", "nft_masq", "nf_nat"] {
            assert_eq!(loaded.load(&kernel, name), Ok(()));
        }
        assert_eq!(loaded.order, ["crc32c_generic", "nf_tables", "nf_nat", "nft_masq"]);
        assert!(kernel.file("nf-nat").is_some_and(|file| file.ends_with("nf-nat.ko")));
        let wrong = loaded.load(&kernel, "nf_table").expect_err("there is none");
        assert_eq!(wrong, "the kernel has no module nf_table; it has nf_tables");
        fs::remove_dir_all(&folder).expect("it can be taken away");
    }
}
