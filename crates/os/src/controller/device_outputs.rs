//! What a service is told of the device that it is there for, and the link in `/dev`.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use model::controller::rule::Look;

use super::devices::Device;
use crate::service::outputs::Outputs;

/// Of which device, and which time it was plugged in, the outputs speak.
pub const PATH: &str = "devpath";
pub const INSTANCE: &str = "instance";

/// What a service is told of the device at `path`: the name of a value, and the value.
/// `None` where it is gone.
pub fn values(sys: &Path, path: &[u8]) -> Option<Vec<(&'static str, Vec<u8>)>> {
    let mut device = Device::new(sys, path);
    let instance = device.instance()?.to_string().into_bytes();
    let mut values = vec![(PATH, path.to_vec()), (INSTANCE, instance)];
    if let Some(subsystem) = device.subsystem() {
        values.push(("subsystem", subsystem.to_vec()));
    }
    let properties = device.properties();
    for (name, property) in [("devtype", "DEVTYPE"), ("ifname", "INTERFACE")] {
        values.extend(properties.get(property).map(|value| (name, value.to_vec())));
    }
    values.extend(properties.get("DEVNAME").map(|name| ("devname", [b"/dev/", name].concat())));
    let lines = properties.iter().map(|(name, value)| [name, b"=", value].concat());
    values.push(("properties", lines.collect::<Vec<_>>().join(&b'\n')));
    Some(values)
}

/// What only some devices have.
const OPTIONAL: [&str; 4] = ["subsystem", "devtype", "ifname", "devname"];

/// Tells a service, which may not have begun to start.
pub fn publish(
    outputs: &Outputs,
    service: &str,
    values: &[(&'static str, Vec<u8>)],
) -> io::Result<()> {
    if !outputs.path(service).is_dir() {
        outputs.make(service, None)?;
    }
    for (key, value) in values {
        outputs.set(service, key, value)?;
    }
    let missing = |key: &&str| !values.iter().any(|(name, _)| name == key);
    OPTIONAL.iter().filter(|key| missing(key)).try_for_each(|key| outputs.forget(service, key))
}

/// Has `link` below `dev` lead to the node of a device, or to none.
///
/// # Errors
/// Something else is there, or the system refuses.
pub fn link(dev: &Path, name: &str, node: Option<&[u8]>) -> io::Result<()> {
    let place = dev.join(name);
    let found = fs::symlink_metadata(&place);
    if found.as_ref().is_ok_and(|found| !found.is_symlink()) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let Some(node) = node else {
        return if found.is_ok() { fs::remove_file(place) } else { Ok(()) };
    };
    let node = PathBuf::from(std::ffi::OsStr::from_bytes(node));
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut new = place.clone().into_os_string();
    new.push(".new");
    let _ = fs::remove_file(&new);
    symlink(node, &new)?;
    fs::rename(new, place)
}
