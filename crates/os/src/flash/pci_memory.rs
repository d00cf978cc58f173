//! Memory of a PCI device, which can be used as flash.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const DEVICES: &str = "/sys/bus/pci/devices";

/// Switches a device on and tells where one of its regions begins, and how many bytes it has.
///
/// Source: Linux `Documentation/PCI/sysfs-pci.rst`.
pub fn region(vendor: u16, device: u16, region: u8) -> io::Result<(u64, u64)> {
    let folder = find(Path::new(DEVICES), vendor, device)?;
    fs::write(folder.join("enable"), "1")?;
    span(&fs::read_to_string(folder.join("resource"))?, region)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the device has no such region"))
}

/// The folder of the first device that is one of these.
fn find(devices: &Path, vendor: u16, device: u16) -> io::Result<PathBuf> {
    let says = |folder: &Path, name: &str, number: u16| {
        let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
        text.trim_end() == format!("{number:#06x}")
    };
    let mut folders: Vec<PathBuf> =
        fs::read_dir(devices)?.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let found = folders
        .into_iter()
        .find(|folder| says(folder, "vendor", vendor) && says(folder, "device", device));
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such PCI device"))
}

/// First address and size of a region: a line each of first and last address and flags.
fn span(resource: &str, region: u8) -> Option<(u64, u64)> {
    let mut numbers = resource.lines().nth(region.into())?.split(' ');
    let mut next = || u64::from_str_radix(numbers.next()?.strip_prefix("0x")?, 16).ok();
    let (first, last) = (next()?, next()?);
    let bytes = last.checked_sub(first)?.checked_add(1)?;
    (last != 0).then_some((first, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_its_line() {
        let resource = "0x00000000feb80000 0x00000000feb800ff 0x0000000000040200\n\
                        0x0000000000000000 0x0000000000000000 0x0000000000000000\n\
                        0x000000fd00000000 0x000000fd03ffffff 0x000000000014220c\n\
                        0x0000000000000000 0xffffffffffffffff 0x0\n";
        assert_eq!(span(resource, 0), Some((0xfeb8_0000, 0x100)));
        assert_eq!(span(resource, 1), None); // the device does not have it
        assert_eq!(span(resource, 2), Some((0xfd_0000_0000, 64 << 20)));
        assert_eq!(span(resource, 3), None); // more than there are addresses
        assert_eq!(span(resource, 4), None);
        assert_eq!(span("0x5 0x4 0x0", 0), None);
        assert_eq!(span("nonsense", 0), None);
    }

    #[test]
    fn a_device_is_found_by_vendor_and_device() {
        let devices = std::env::temp_dir().join(format!("doorward-pci-{}", std::process::id()));
        for (name, vendor, device) in
            [("0000:00:01.0", "0x8086", "0x1110"), ("0000:00:02.0", "0x1af4", "0x1110")]
        {
            let folder = devices.join(name);
            fs::create_dir_all(&folder).expect("a folder can be made");
            fs::write(folder.join("vendor"), format!("{vendor}\n")).expect("a file can be written");
            fs::write(folder.join("device"), format!("{device}\n")).expect("a file can be written");
        }
        let found = find(&devices, 0x1af4, 0x1110).expect("it is there");
        assert!(found.ends_with("0000:00:02.0"));
        assert!(find(&devices, 0x1af4, 0x1111).is_err());
        fs::remove_dir_all(devices).expect("it can be removed");
    }
}
