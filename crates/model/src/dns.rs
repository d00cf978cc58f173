//! Names of hosts: what a name server is asked, what it answers (RFC 1035, 4.1), and the two files that say where to
//! look.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::{HOST_ADDRESSES_MAX, NAME_SERVERS_MAX};

/// Bytes of a message over UDP.
pub const MESSAGE_BYTES_MAX: usize = 512;

/// Bytes of a label, and of a whole name (RFC 1035, 2.3.4).
const LABEL_BYTES_MAX: usize = 63;
const NAME_BYTES_MAX: usize = 253;

/// The kinds of records that hold addresses.
pub const ADDRESS_4: u16 = 1;
pub const ADDRESS_6: u16 = 28;

/// Where name servers listen.
pub const PORT: u16 = 53;

const INTERNET: u16 = 1;
const HEAD_BYTES: usize = 12;

/// What is asked for the addresses of a host; `None` where that cannot be its name.
pub fn question(number: u16, host: &str, kind: u16) -> Option<Vec<u8>> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut bytes = number.to_be_bytes().to_vec();
    // It shall ask others; one question.
    bytes.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in host.split('.') {
        if label.is_empty() || label.len() > LABEL_BYTES_MAX {
            return None;
        }
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&INTERNET.to_be_bytes());
    Some(bytes)
}

/// Whether this is the answer to `question`, and what it says: `Ok` that all went well, else its code (RFC 1035, 4.1.1).
pub fn verdict(question: &[u8], bytes: &[u8]) -> Option<Result<(), u8>> {
    answer(question, bytes, &mut Vec::new()).then(|| match bytes[3] & 0x0f {
        0 => Ok(()),
        code => Err(code),
    })
}

/// Adds the addresses that an answer to `question` holds. `false`: it is none, and another may come.
pub fn answer(question: &[u8], bytes: &[u8], addresses: &mut Vec<IpAddr>) -> bool {
    // The same number, and the question again; whoever answers may write names in other letters.
    let Some((head, rest)) = bytes.split_at_checked(HEAD_BYTES) else { return false };
    let Some((number, asked)) = question.split_at_checked(HEAD_BYTES) else { return false };
    let is_answer = head[..2] == number[..2] && head[2] & 0x80 != 0 && head[4..6] == [0, 1];
    let Some((again, mut rest)) = rest.split_at_checked(asked.len()) else { return false };
    if !is_answer || !again.eq_ignore_ascii_case(asked) {
        return false;
    }
    // What is broken off is an answer as far as it goes.
    while let Some((kind, data, next)) = record(rest) {
        let address = match kind {
            ADDRESS_4 => <[u8; 4]>::try_from(data).ok().map(|it| IpAddr::V4(Ipv4Addr::from(it))),
            ADDRESS_6 => <[u8; 16]>::try_from(data).ok().map(|it| IpAddr::V6(Ipv6Addr::from(it))),
            _ => None,
        };
        addresses.extend(address.filter(|_| addresses.len() < HOST_ADDRESSES_MAX));
        rest = next;
    }
    true
}

/// The record that bytes begin with: its kind, its data, and what follows.
fn record(mut bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    // Its name does not matter: it was asked for, or is another name of the same.
    loop {
        let (&length, rest) = bytes.split_first()?;
        bytes = rest;
        match length {
            0 => break,
            1..=63 => bytes = bytes.get(usize::from(length)..)?,
            // It goes on somewhere before.
            192.. => {
                bytes = bytes.get(1..)?;
                break;
            }
            _ => return None,
        }
    }
    let (head, rest) = bytes.split_first_chunk::<10>()?;
    let kind = u16::from_be_bytes([head[0], head[1]]);
    let length = u16::from_be_bytes([head[8], head[9]]);
    let (data, rest) = rest.split_at_checked(length.into())?;
    Some((kind, data, rest))
}

/// The lines of a file without their comments, as words.
fn lines(text: &str) -> impl Iterator<Item = core::str::SplitAsciiWhitespace<'_>> {
    let lines = text.lines().map(|line| line.split(['#', ';']).next().unwrap_or(""));
    lines.map(str::split_ascii_whitespace)
}

/// The addresses that a file `hosts` has for a host (`hosts(5)`).
pub fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let found = lines(text).filter_map(|mut words| {
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(host)).then_some(address)
    });
    found.take(HOST_ADDRESSES_MAX).collect()
}

/// The name servers of a file `resolv.conf`, and the domain that stands behind short names (`resolv.conf(5)`).
pub fn servers(text: &str) -> (Vec<IpAddr>, Option<&str>) {
    let (mut servers, mut domain) = (Vec::new(), None);
    for mut words in lines(text) {
        match (words.next(), words.next()) {
            (Some("nameserver"), Some(word)) if servers.len() < NAME_SERVERS_MAX => {
                servers.extend(word.parse::<IpAddr>());
            }
            (Some("search" | "domain"), Some(word)) => domain = Some(word),
            _ => {}
        }
    }
    (servers, domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_name_in_labels() {
        let mut expected = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02vl\x03lan\0\0\x1c\0\x01".to_vec();
        assert_eq!(question(0x1234, "vl.lan", ADDRESS_6), Some(expected.clone()));
        expected[1] = 0x35;
        assert_eq!(question(0x1235, "vl.lan.", ADDRESS_6), Some(expected));
        for host in ["", ".", "a..b", &"x".repeat(64), &"x.".repeat(128)] {
            assert_eq!(question(1, host, ADDRESS_4), None, "{host}");
        }
    }

    #[test]
    fn an_answer_has_the_addresses_of_all_its_records() {
        let asked = question(7, "Vl.lan", ADDRESS_4).unwrap();
        let mut said = asked.clone();
        said[2] = 0x81;
        said[7] = 2;
        said[13] = b'v';
        // Another name of the same, and its address.
        said.extend_from_slice(b"\xc0\x0c\0\x05\0\x01\0\0\0\x09\0\x04\x01a\xc0\x0f");
        said.extend_from_slice(b"\x01a\xc0\x0f\0\x01\0\x01\0\0\0\x09\0\x04\x0a\0\0\x01");
        said.extend_from_slice(
            b"\0\0\x1c\0\x01\0\0\0\x09\0\x10\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01",
        );
        let mut found = Vec::new();
        assert!(answer(&asked, &said, &mut found));
        let expected: Vec<IpAddr> = ["10.0.0.1", "fd00::1"].map(|it| it.parse().unwrap()).to_vec();
        assert_eq!(found, expected);
        for end in 0..said.len() {
            let mut found = Vec::new();
            assert_eq!(answer(&asked, &said[..end], &mut found), end >= asked.len());
            assert!(found.len() < 2);
        }
        for (at, byte) in [(1, 8), (2, 1), (5, 2), (13, b'w'), (20, 28)] {
            let mut other = said.clone();
            other[at] = byte;
            assert!(!answer(&asked, &other, &mut found), "byte {at}");
        }
    }

    #[test]
    fn files_say_where_to_look() {
        let text =
            "127.0.0.1 localhost\n# 10.0.0.9 vl\n10.0.0.1 x VL # y\nfd00::1\tvl\nnonsense vl\n";
        let expected: Vec<IpAddr> = ["10.0.0.1", "fd00::1"].map(|it| it.parse().unwrap()).to_vec();
        assert_eq!(in_hosts(text, "vl"), expected);
        assert!(in_hosts(text, "y").is_empty());
        let text = "search lan home\nnameserver 10.0.0.1\nnameserver x\nnameserver fd00::1 ; z\n";
        assert_eq!(servers(text), (expected, Some("lan")));
        assert_eq!(servers("nameserver"), (Vec::new(), None));
    }
}
