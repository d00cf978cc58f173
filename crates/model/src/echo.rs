//! Echoes: what a host is asked to send back, and whether it did (RFC 792, RFC 4443).

/// Bytes of an echo: as many as `ping` sends, so that what passes for one passes for the other.
pub const ECHO_BYTES: usize = HEAD_BYTES + 56;

const HEAD_BYTES: usize = 8;

/// Bytes that make an echo ours.
pub type Cookie = [u8; 16];

/// Of both versions: what is asked, and what is answered.
const KINDS_4: (u8, u8) = (8, 0);
const KINDS_6: (u8, u8) = (128, 129);

/// What a host is sent. The kernel writes the checksum where it is IPv6.
pub fn question(is_4: bool, identifier: u16, number: u16, cookie: &Cookie) -> [u8; ECHO_BYTES] {
    let mut bytes = [0; ECHO_BYTES];
    bytes[0] = if is_4 { KINDS_4.0 } else { KINDS_6.0 };
    bytes[4..6].copy_from_slice(&identifier.to_be_bytes());
    bytes[6..8].copy_from_slice(&number.to_be_bytes());
    bytes[HEAD_BYTES..HEAD_BYTES + cookie.len()].copy_from_slice(cookie);
    if is_4 {
        let sum = checksum(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// The number of the question with that cookie that this answers. `headed`: the
/// header of IPv4 stands before it, as raw sockets give it.
pub fn answer(is_4: bool, headed: bool, bytes: &[u8], cookie: &Cookie) -> Option<u16> {
    let bytes = match (headed, bytes.first()) {
        (true, Some(first)) => bytes.get(usize::from(first & 0x0f) * 4..),
        (true, None) => None,
        (false, _) => Some(bytes),
    };
    let kind = if is_4 { KINDS_4.1 } else { KINDS_6.1 };
    let (head, data) = bytes?.split_at_checked(HEAD_BYTES)?;
    let is_ours = head[..2] == [kind, 0] && data.starts_with(cookie);
    is_ours.then(|| u16::from_be_bytes([head[6], head[7]]))
}

/// The checksum of RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_known_by_its_cookie() {
        let cookie = *b"0123456789abcdef";
        for is_4 in [true, false] {
            let mut echo = question(is_4, 0x1234, 7, &cookie);
            assert_eq!(answer(is_4, false, &echo, &cookie), None, "that is the question");
            echo[0] = if is_4 { 0 } else { 129 };
            assert_eq!(answer(is_4, false, &echo, &cookie), Some(7));
            assert_eq!(answer(!is_4, false, &echo, &cookie), None);
            assert_eq!(answer(is_4, false, &echo, &[0; 16]), None);
            let long: &[u8] = &[&[0x46; 24][..], &echo[..]].concat();
            assert_eq!(answer(is_4, true, long, &cookie), Some(7), "behind a header of 24 bytes");
            for end in 0..long.len() - 40 {
                assert_eq!(answer(is_4, true, &long[..end], &cookie), None);
            }
            echo[1] = 1;
            assert_eq!(answer(is_4, false, &echo, &cookie), None);
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_internet() {
        // RFC 1071, 3: the sum of these is ddf2.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        let whole = question(true, 1, 2, &[0xff; 16]);
        assert_eq!(checksum(&whole), 0, "with its checksum the sum is nothing");
    }
}
