//! What the kernel says of devices: a message as one comes or goes, and a file of what it is.
//!
//! A message is `ACTION@PATH`, a zero byte, and `KEY=VALUE` with a zero byte each; the file
//! `uevent` below `/sys` has a line for each. Both come from the kernel, but a namespace has
//! more than one hand in it, so that nothing of them is believed to be well made.
//!
//! Source: Linux `lib/kobject_uevent.c`, `include/linux/kobject.h`.

use crate::limits::DEVICE_PATH_BYTES_MAX;

/// What has happened to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Add,
    Remove,
    Change,
    Move,
    Online,
    Offline,
    Bind,
    Unbind,
}

impl Action {
    pub const ALL: [(&'static str, Self); 8] = [
        ("add", Self::Add),
        ("remove", Self::Remove),
        ("change", Self::Change),
        ("move", Self::Move),
        ("online", Self::Online),
        ("offline", Self::Offline),
        ("bind", Self::Bind),
        ("unbind", Self::Unbind),
    ];
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceEvent<'a> {
    pub action: Action,
    /// Below `/sys`; begins with `/` and stays there.
    pub path: &'a [u8],
    /// Where a device was that has moved.
    pub old_path: Option<&'a [u8]>,
    pub subsystem: Option<&'a [u8]>,
}

impl<'a> DeviceEvent<'a> {
    /// Reads a message; `None` where it is none, or of an action that is not known.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let mut parts = message.split(|byte| *byte == 0);
        let head = parts.next()?;
        let at = head.iter().position(|byte| *byte == b'@')?;
        let (word, path) = (&head[..at], &head[at + 1..]);
        let (_, action) = Action::ALL.into_iter().find(|(name, _)| name.as_bytes() == word)?;
        let properties = Properties { text: &message[head.len()..], end: 0 };
        let old_path = properties.get("DEVPATH_OLD").filter(|path| is_device_path(path));
        is_device_path(path).then(|| Self {
            action,
            path,
            old_path,
            subsystem: properties.get("SUBSYSTEM"),
        })
    }
}

/// Whether `path` leads to a place below the folder that it is looked up in.
pub fn is_device_path(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/") else { return false };
    path.len() <= DEVICE_PATH_BYTES_MAX
        && !path.contains(&0)
        && rest.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}

/// Pairs of a key and a value.
#[derive(Clone, Copy, Debug)]
pub struct Properties<'a> {
    text: &'a [u8],
    end: u8,
}

impl<'a> Properties<'a> {
    /// Those of a file `uevent`.
    pub fn of_file(text: &'a [u8]) -> Self {
        Self { text, end: b'\n' }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let end = self.end;
        self.text.split(move |byte| *byte == end).filter_map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            (at > 0).then(|| (&pair[..at], &pair[at + 1..]))
        })
    }

    /// The first of this name.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
    }
}

/// The names of the network devices that messages about links speak of (`rtnetlink(7)`): those
/// that are there, and may have got or lost their carrier.
///
/// Source: Linux `include/uapi/linux/netlink.h`, `rtnetlink.h`, `if_link.h`.
pub fn changed_links(mut datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        loop {
            let length = u32::from_ne_bytes(*datagram.first_chunk()?) as usize;
            let message = datagram.get(..length).filter(|message| message.len() >= HEAD)?;
            datagram = datagram.get(aligned(length)..).unwrap_or_default();
            if u16::from_ne_bytes([message[4], message[5]]) == RTM_NEWLINK
                && let Some(name) = link_name(message.get(HEAD + LINK_HEAD..).unwrap_or_default())
            {
                return Some(name);
            }
        }
    })
}

/// Bytes of `struct nlmsghdr` and `struct ifinfomsg`.
const HEAD: usize = 16;
const LINK_HEAD: usize = 16;
const RTM_NEWLINK: u16 = 16;
const IFLA_IFNAME: u16 = 3;

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn link_name(mut attributes: &[u8]) -> Option<&[u8]> {
    loop {
        let [a, b, c, d] = *attributes.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([c, d]) == IFLA_IFNAME {
            let name = value.split(|byte| *byte == 0).next()?;
            let plain = !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/');
            return plain.then_some(name);
        }
        attributes = attributes.get(aligned(length)..)?;
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_message_is_an_action_a_path_and_properties() {
        let message = b"move@/devices/virtual/net/e0\0ACTION=move\0DEVPATH=/devices/virtual/net/e0\0SUBSYSTEM=net\0DEVPATH_OLD=/devices/virtual/net/t0\0SEQNUM=1\0";
        assert_eq!(
            DeviceEvent::read(message),
            Some(DeviceEvent {
                action: Action::Move,
                path: b"/devices/virtual/net/e0",
                old_path: Some(b"/devices/virtual/net/t0"),
                subsystem: Some(b"net"),
            })
        );
        for bad in [
            &b""[..],
            b"libudev\0\xfe\xed\xca\xfe",
            b"add",
            b"add@",
            b"add@devices/x\0",
            b"add@/devices/../../etc\0",
            b"add@/devices//x\0",
            b"explode@/devices/x\0",
            b"@/devices/x\0",
        ] {
            assert_eq!(DeviceEvent::read(bad), None, "{bad:?}");
        }
        // Where it was is not believed either.
        let event = DeviceEvent::read(b"move@/a\0DEVPATH_OLD=../b\0").expect("a message");
        assert_eq!((event.old_path, event.subsystem), (None, None));
    }

    #[test]
    fn properties_of_a_file_are_lines() {
        let file = Properties::of_file(b"MAJOR=8\nDEVNAME=sda1\n=x\nplain\nPARTNAME=a=b\n");
        let names: Vec<_> = file.iter().map(|(name, _)| name).collect();
        assert_eq!(names, [&b"MAJOR"[..], b"DEVNAME", b"PARTNAME"]);
        assert_eq!(file.get("PARTNAME"), Some(&b"a=b"[..]));
        assert_eq!(file.get("PART"), None);
    }

    #[test]
    fn links_are_found_by_their_names() {
        let message = |kind: u16, name: &[u8]| {
            let length = (32 + 8 + 4 + name.len()) as u32;
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.resize(32, 0);
            // An attribute of no interest before it.
            bytes.extend([8u16.to_ne_bytes(), 4u16.to_ne_bytes()].concat());
            bytes.extend([0; 4]);
            bytes.extend((4 + name.len() as u16).to_ne_bytes());
            bytes.extend(IFLA_IFNAME.to_ne_bytes());
            bytes.extend(name);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let datagram =
            [message(16, b"wan\0"), message(17, b"old\0"), message(16, b"lan0\0")].concat();
        assert_eq!(changed_links(&datagram).collect::<Vec<_>>(), [&b"wan"[..], b"lan0"]);
        for cut in 0..datagram.len() {
            assert!(changed_links(&datagram[..cut]).count() <= 2);
        }
        assert_eq!(changed_links(&[0; 64]).count(), 0);
        assert_eq!(changed_links(&message(16, b"../x\0")).count(), 0);
    }
}
