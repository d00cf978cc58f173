//! `vm.json`: what the build says of the device that is to run.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use cli::Failure;
use serde_json::Value;

use super::forward::Forward;
use crate::steps::attributes::{Attribute, Wrong};

/// How the flash file is given to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// As memory, of which each store lands in the file.
    Memory,
    /// As a disk.
    Disk,
    /// As a flash chip.
    Chip,
}

/// Who finds the kernel in the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rom {
    /// This program.
    Host,
    /// A boot loader that the machine's arguments name.
    Machine,
}

/// Where in the flash something is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub offset: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub hostname: String,
    pub emulator: String,
    pub arguments: Vec<String>,
    /// In MiB.
    pub memory: u64,
    pub attach: Attach,
    pub rom: Rom,
    pub flash_bytes: u64,
    pub kernel: Span,
    pub firmware: Span,
    /// The file that a new flash has there.
    pub image: PathBuf,
    /// Where ssh answers in the network at home, if it does.
    pub ssh: Option<(Ipv4Addr, u16)>,
    /// Ports of this machine that lead to it.
    pub forward: Vec<Forward>,
}

impl Description {
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let failure = |why: String| {
            Failure::usage(format!("cannot read {}: {why}", file.display()))
                .hint("`doorward build -A outputs.vm` makes a folder with a vm.json")
        };
        let text = fs::read(file).map_err(|error| failure(error.to_string()))?;
        let value: Value = serde_json::from_slice(&text).map_err(|e| failure(e.to_string()))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        Self::of(&Attribute::root(&value), folder).map_err(failure)
    }

    fn of(root: &Attribute<'_>, folder: &Path) -> Result<Self, Wrong> {
        let flash = root.get("flash")?;
        let flash_bytes = flash.get("size")?.number()?;
        let span = |name: &str| -> Result<Span, Wrong> {
            let partition = flash.get("partitions")?.get(name)?;
            let offset = partition.get("offset")?.number()?;
            let bytes = partition.get("size")?.number()?;
            match offset.checked_add(bytes) {
                Some(end) if end <= flash_bytes => Ok(Span { offset, bytes }),
                _ => Err(format!("the partition {name} ends behind the end of the flash")),
            }
        };
        let ssh = match root.maybe("ssh").and_then(|ssh| Some((ssh.maybe("address")?, ssh))) {
            None => None,
            Some((address, ssh)) => {
                let address = address.text()?;
                let address =
                    address.parse().map_err(|_| format!("{address} is no IPv4 address"))?;
                let port = ssh.get("port")?.number()?;
                let port = u16::try_from(port).map_err(|_| format!("{port} is no port"))?;
                Some((address, port))
            }
        };
        let forward = |text: &&str| {
            Forward::parse(text).map_err(|why| format!("cannot forward {text}: {why}"))
        };
        Ok(Self {
            hostname: root.get("hostname")?.text()?.to_owned(),
            emulator: root.get("emulator")?.text()?.to_owned(),
            arguments: root.get("arguments")?.texts()?.into_iter().map(str::to_owned).collect(),
            memory: root.get("memory")?.number()?,
            attach: match root.get("attach")?.text()? {
                "ivshmem" => Attach::Memory,
                "virtio-blk" => Attach::Disk,
                "pflash" => Attach::Chip,
                other => {
                    return Err(format!(
                        "attach should be ivshmem, virtio-blk or pflash, and is {other}"
                    ));
                }
            },
            rom: match root.get("rom")?.text()? {
                "host" => Rom::Host,
                "u-boot" => Rom::Machine,
                other => return Err(format!("rom should be host or u-boot, and is {other}")),
            },
            flash_bytes,
            kernel: span("kernel")?,
            firmware: span("firmware")?,
            image: folder.join(root.get("firmware")?.text()?),
            ssh,
            forward: root.get("forward")?.texts()?.iter().map(forward).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::forward::Protocol;
    use super::*;

    fn example() -> Value {
        json!({
            "hostname": "router", "device": "qemu-x86_64",
            "emulator": "qemu-system-x86_64", "arguments": ["-M", "q35"], "memory": 256,
            "attach": "ivshmem", "rom": "host",
            "flash": { "size": 1000, "eraseSize": 10, "partitions": {
                "kernel": { "offset": 100, "size": 400, "readOnly": false },
                "firmware": { "offset": 100, "size": 900, "readOnly": false },
            } },
            "firmware": "firmware.bin",
            "ssh": { "address": "192.168.8.1", "port": 22 },
            "forward": ["udp:5353:53"],
        })
    }

    #[test]
    fn what_the_build_says_is_understood() {
        let found = Description::of(&Attribute::root(&example()), Path::new("/vm"));
        let found = found.expect("it is right");
        assert_eq!(found.image, Path::new("/vm/firmware.bin"));
        assert_eq!(found.firmware, Span { offset: 100, bytes: 900 });
        assert_eq!(found.ssh, Some((Ipv4Addr::new(192, 168, 8, 1), 22)));
        assert_eq!(found.forward, [Forward::local(Protocol::Udp, 5353, 53)]);
    }

    #[test]
    fn a_device_need_not_say_where_its_ssh_is() {
        for place in ["/ssh", "/ssh/address"] {
            let mut json = example();
            *json.pointer_mut(place).expect("it is there") = Value::Null;
            let found = Description::of(&Attribute::root(&json), Path::new("."));
            assert_eq!(found.expect("it is right").ssh, None, "{place}");
        }
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (place, value, expected) in [
            ("/rom", json!("coreboot"), "rom should be host or u-boot, and is coreboot"),
            ("/memory", json!("much"), "memory should be a number from 0 on, and is \"much\""),
            ("/ssh/address", json!("home"), "home is no IPv4 address"),
            ("/ssh/port", json!(70000), "70000 is no port"),
            (
                "/forward/0",
                json!("80"),
                "cannot forward 80: it should be HOST:GUEST, as in 8080:80 or udp:5353:53",
            ),
            (
                "/flash/partitions/kernel/size",
                json!(u64::MAX),
                "the partition kernel ends behind the end of the flash",
            ),
        ] {
            let mut json = example();
            *json.pointer_mut(place).expect("it is there") = value;
            let found = Description::of(&Attribute::root(&json), Path::new("."));
            assert_eq!(found, Err(expected.to_owned()));
        }
    }
}
