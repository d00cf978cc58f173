//! Devices as `/sys` shows them, held against rules.
//!
//! The kernel lists every device in the folder of its class or bus, as a link: going through
//! those needs no recursion and meets no device twice.
//!
//! Source: Linux `Documentation/filesystems/sysfs.rst`, `Documentation/admin-guide/sysfs-rules.rst`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use engine::controller::hotplug::Hotplug;
use model::controller::device_event::{Action, DeviceEvent, Properties, is_device_path};
use model::controller::rule::{Look, Rule, Term};
use model::limits::DEVICE_MESSAGE_BYTES_MAX;
use model::time::Moment;

use crate::files;

/// All devices, and the rules that they are held against.
pub struct Devices<'a> {
    sys: &'a Path,
    rules: &'a [Rule],
    /// The only subsystems that any rule can mean; `None`: any.
    subsystems: Option<BTreeSet<&'a str>>,
    parents: bool,
}

impl<'a> Devices<'a> {
    /// Those below `sys`, which is `/sys`.
    pub fn new(sys: &'a Path, rules: &'a [Rule]) -> Self {
        let alternatives = rules.iter().flat_map(|rule| &rule.alternatives);
        let literals = alternatives.map(|terms| {
            terms.iter().find_map(|term| match term {
                Term::Subsystem(pattern) => pattern.literal(),
                _ => None,
            })
        });
        let parents = rules.iter().any(Rule::asks_for_parents);
        Self { sys, rules, subsystems: literals.collect(), parents }
    }

    /// Tells the machine of all devices that match a rule.
    pub fn walk(&self, now: Moment, machine: &mut Hotplug) {
        machine.walk(now);
        self.each(&mut |path| {
            self.look(now, machine, path);
        });
        machine.walk_ended(now);
    }

    /// Tells the machine what a message means. `true`: not all of that is known, and a walk says it.
    pub fn hear(&self, now: Moment, machine: &mut Hotplug, event: &DeviceEvent<'_>) -> bool {
        match event.action {
            Action::Remove => machine.removed(now, event.path),
            Action::Move => {
                let Some(old) = event.old_path else { return true };
                machine.moved(old, event.path);
                self.look(now, machine, event.path);
            }
            Action::Add => {
                let concerns = |rule: &Rule| rule.may_concern(event.subsystem);
                if event.subsystem.is_none() || self.rules.iter().any(concerns) {
                    self.look(now, machine, event.path);
                }
            }
            Action::Change | Action::Online | Action::Offline | Action::Bind | Action::Unbind => {
                self.look(now, machine, event.path);
                if self.parents {
                    self.each(&mut |path| {
                        let rest = path.strip_prefix(event.path);
                        if rest.is_some_and(|rest| rest.starts_with(b"/")) {
                            self.look(now, machine, path);
                        }
                    });
                }
            }
        }
        false
    }

    /// The state of this network device may have changed.
    pub fn hear_link(&self, now: Moment, machine: &mut Hotplug, name: &[u8]) {
        let link = self.sys.join("class/net").join(OsStr::from_bytes(name));
        if let Some(path) = device_path(&link) {
            self.look(now, machine, &path);
        }
    }

    /// Holds one device against every rule.
    fn look(&self, now: Moment, machine: &mut Hotplug, path: &[u8]) {
        let mut device = Device::new(self.sys, path);
        let instance = device.instance();
        for (at, rule) in self.rules.iter().enumerate() {
            match instance {
                Some(instance) if rule.matches(&mut device) => {
                    machine.present(now, at, path, instance);
                }
                _ => machine.absent(now, at, path),
            }
        }
    }

    /// Goes through the devices of all subsystems that count.
    fn each(&self, visit: &mut dyn FnMut(&[u8])) {
        let (classes, buses) = (self.sys.join("class"), self.sys.join("bus"));
        match &self.subsystems {
            Some(subsystems) => {
                for name in subsystems {
                    each_of(&classes.join(name), visit);
                    each_of(&buses.join(name).join("devices"), visit);
                }
            }
            None => {
                for name in entries(&classes) {
                    each_of(&classes.join(name), visit);
                }
                for name in entries(&buses) {
                    each_of(&buses.join(name).join("devices"), visit);
                }
            }
        }
    }
}

/// The devices that a folder has links to, by their names.
fn each_of(folder: &Path, visit: &mut dyn FnMut(&[u8])) {
    for name in entries(folder) {
        if let Some(path) = device_path(&folder.join(name)) {
            visit(&path);
        }
    }
}

/// What a folder holds; nothing where there is none, which is how a class looks without devices.
fn entries(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into()).collect()
}

/// The path of a device below `/sys`, from a link to it.
fn device_path(link: &Path) -> Option<Vec<u8>> {
    let target = fs::read_link(link).ok()?.into_os_string().into_vec();
    let mut rest = &target[..];
    while let Some(further) = rest.strip_prefix(b"../") {
        rest = further;
    }
    let path = [b"/", rest].concat();
    (path.starts_with(b"/devices/") && is_device_path(&path)).then_some(path)
}

/// One device, of which only that is read which somebody asks for.
pub struct Device<'a> {
    folder: PathBuf,
    path: &'a [u8],
    sys: &'a Path,
    properties: Option<Vec<u8>>,
    subsystem: Option<Option<Vec<u8>>>,
    value: Vec<u8>,
}

impl<'a> Device<'a> {
    pub fn new(sys: &'a Path, path: &'a [u8]) -> Self {
        let folder = below(sys, path);
        Self { folder, path, sys, properties: None, subsystem: None, value: Vec::new() }
    }

    /// The number of its folder, which no device after it has; `None`: it is gone.
    pub fn instance(&self) -> Option<u64> {
        let found = fs::symlink_metadata(&self.folder).ok()?;
        found.is_dir().then(|| found.ino())
    }

    /// Its file `uevent`.
    pub fn properties(&mut self) -> Properties<'_> {
        let text = self.properties.get_or_insert_with(|| {
            let file = self.folder.join("uevent");
            files::read_up_to(&file, DEVICE_MESSAGE_BYTES_MAX).unwrap_or_default()
        });
        Properties::of_file(text)
    }
}

fn below(sys: &Path, path: &[u8]) -> PathBuf {
    sys.join(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path)))
}

/// A page: no attribute has more.
const ATTRIBUTE_BYTES_MAX: usize = 4096;

fn attribute(folder: &Path, name: &str) -> Option<Vec<u8>> {
    // Some cannot be read while a device is down, or off: then they have no value.
    let mut value = files::read_up_to(&folder.join(name), ATTRIBUTE_BYTES_MAX).ok()?;
    while value.last().is_some_and(|byte| matches!(byte, b'\n' | 0)) {
        value.pop();
    }
    Some(value)
}

impl Look for Device<'_> {
    fn path(&self) -> &[u8] {
        self.path
    }

    fn subsystem(&mut self) -> Option<&[u8]> {
        let found = self.subsystem.get_or_insert_with(|| {
            let target = fs::read_link(self.folder.join("subsystem")).ok()?;
            Some(target.file_name()?.as_bytes().to_vec())
        });
        found.as_deref()
    }

    fn property(&mut self, name: &str) -> Option<&[u8]> {
        match name {
            "DEVPATH" => Some(self.path),
            "SUBSYSTEM" => self.subsystem(),
            _ => self.properties().get(name),
        }
    }

    fn attribute(&mut self, name: &str) -> Option<&[u8]> {
        self.value = attribute(&self.folder, name)?;
        Some(&self.value)
    }

    fn parent_attribute(&mut self, name: &str, fits: &dyn Fn(&[u8]) -> bool) -> bool {
        let mut path = self.path;
        while let Some(end) = path.iter().rposition(|byte| *byte == b'/').filter(|end| *end > 0) {
            path = &path[..end];
            if attribute(&below(self.sys, path), name).is_some_and(|value| fits(&value)) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests;
