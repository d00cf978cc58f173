//! Users and groups, as `/etc/passwd` and `/etc/group` list them.

use alloc::vec::Vec;

/// The numbers of a user. Source: `passwd(5)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    pub user: u32,
    pub group: u32,
}

/// The first user of this name in the text of `/etc/passwd`.
pub fn find_user(passwd: &[u8], name: &[u8]) -> Option<User> {
    entries(passwd, name).find_map(|mut rest| {
        let _password = rest.next()?;
        Some(User { user: number(rest.next()?)?, group: number(rest.next()?)? })
    })
}

/// The number of the first group of this name in the text of `/etc/group`.
pub fn find_group(group: &[u8], name: &[u8]) -> Option<u32> {
    entries(group, name).find_map(|mut rest| {
        let _password = rest.next()?;
        number(rest.next()?)
    })
}

/// The numbers of all groups that list this user among their members, in the
/// order of the text of `/etc/group`; their primary group only if it does too.
pub fn groups_of(group: &[u8], name: &[u8]) -> Vec<u32> {
    if name.is_empty() {
        return Vec::new();
    }
    lines(group)
        .filter_map(|line| {
            let mut fields = line.split(|&b| b == b':');
            let number = number(fields.nth(2)?)?;
            let mut members = fields.next()?.split(|&b| b == b',');
            members.any(|member| without_blanks(member) == name).then_some(number)
        })
        .collect()
}

/// A number of 32 bits in decimal digits, and nothing else.
pub fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// Group numbers between commas; nothing between two of them means nothing.
pub fn number_list(text: &[u8]) -> Option<Vec<u32>> {
    text.split(|&b| b == b',').filter(|part| !part.is_empty()).map(number).collect()
}

/// The fields behind the name, of the lines that begin with it. An empty name
/// is nobody's, whatever a line says.
fn entries<'a>(
    text: &'a [u8],
    name: &'a [u8],
) -> impl Iterator<Item = impl Iterator<Item = &'a [u8]>> {
    lines(text).filter_map(move |line| {
        let mut fields = line.split(|&b| b == b':');
        (fields.next()? == name && !name.is_empty()).then_some(fields)
    })
}

/// Lines that are not comments.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| b == b'\n').map(without_blanks).filter(|line| !line.starts_with(b"#"))
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    &text[blanks..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nbroken\nx:y\nbad:x:a:1::/:\n\
        :x:5:5::/:\n+nis\ndup:x:1:2::/:\ndup:x:3:4::/:\n#c:x:6:6::/:\n big:x:4294967296:1\nlast:x:8:9";

    #[test]
    fn a_user_is_the_first_whole_line_of_that_name() {
        let user = |user, group| Some(User { user, group });
        for (name, expected) in [
            ("root", user(0, 0)),
            ("dup", user(1, 2)),
            ("last", user(8, 9)),
            ("", None), // or a half-written line would make somebody root
            ("x", None),
            ("bad", None),
            ("broken", None),
            ("big", None),
            ("#c", None),
            ("roo", None),
        ] {
            assert_eq!(find_user(PASSWD, name.as_bytes()), expected, "{name:?}");
        }
    }

    #[test]
    fn groups_are_those_that_list_the_user() {
        let group =
            b"u:x:7:u\nh1:x:8:a,u,b\nh2:x:9:uu\nbad:x:z:u\nnone:x:10\nsp:x:11: u\n#c:x:1:u\n";
        assert_eq!(groups_of(group, b"u"), [7, 8, 11]);
        assert_eq!(groups_of(group, b""), []);
        assert_eq!(find_group(group, b"none"), Some(10));
        assert_eq!(find_group(group, b"bad"), None);
        assert_eq!(number_list(b"3,,4,"), Some(alloc::vec![3, 4]));
        assert_eq!(number_list(b"3,x"), None);
    }
}
