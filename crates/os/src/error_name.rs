//! The names of the errors of the system, as this processor numbers them.

use rustix::io::Errno;

/// The errors of [`WORDS`], in its order.
const NUMBERS: &[Errno] = &[
    Errno::PERM,
    Errno::NOENT,
    Errno::SRCH,
    Errno::INTR,
    Errno::IO,
    Errno::NXIO,
    Errno::TOOBIG,
    Errno::NOEXEC,
    Errno::BADF,
    Errno::CHILD,
    Errno::AGAIN,
    Errno::NOMEM,
    Errno::ACCESS,
    Errno::FAULT,
    Errno::BUSY,
    Errno::EXIST,
    Errno::XDEV,
    Errno::NODEV,
    Errno::NOTDIR,
    Errno::ISDIR,
    Errno::INVAL,
    Errno::NFILE,
    Errno::MFILE,
    Errno::NOTTY,
    Errno::TXTBSY,
    Errno::FBIG,
    Errno::NOSPC,
    Errno::ROFS,
    Errno::PIPE,
    Errno::RANGE,
    Errno::DEADLK,
    Errno::NAMETOOLONG,
    Errno::NOSYS,
    Errno::NOTEMPTY,
    Errno::LOOP,
    Errno::NODATA,
    Errno::PROTO,
    Errno::OVERFLOW,
    Errno::ILSEQ,
    Errno::NOTSOCK,
    Errno::MSGSIZE,
    Errno::PROTONOSUPPORT,
    Errno::OPNOTSUPP,
    Errno::AFNOSUPPORT,
    Errno::ADDRINUSE,
    Errno::ADDRNOTAVAIL,
    Errno::NETDOWN,
    Errno::NETUNREACH,
    Errno::CONNRESET,
    Errno::NOBUFS,
    Errno::NOTCONN,
    Errno::TIMEDOUT,
    Errno::CONNREFUSED,
    Errno::HOSTDOWN,
    Errno::HOSTUNREACH,
    Errno::ALREADY,
    Errno::STALE,
    Errno::UCLEAN,
    Errno::DQUOT,
];

/// A line for each: its name without the `E`, and what may be behind it on a device; nothing where
/// the system's own words say it. One text, since each pointer would take 40 bytes of the program.
const WORDS: &str = "\
PERM it takes root, or a capability that was given up\n\
NOENT a path is misspelt or not mounted yet; of a program, perhaps the one in its first line\n\
SRCH the process has ended meanwhile\n\
INTR\n\
IO the flash or disk fails: `dmesg`, and a copy of what matters\n\
NXIO nobody reads the fifo, or the device is gone\n\
2BIG\n\
NOEXEC the program is for another processor, or a script without #!\n\
BADF\n\
CHILD\n\
AGAIN somebody holds it, or a limit on processes is reached: `ulimit -u`\n\
NOMEM memory is full: `free`, and `ward status` for what restarts\n\
ACCES permissions of the file, or of a folder above it; of a program: chmod +x\n\
FAULT\n\
BUSY something uses it: unmount, or stop what has it open\n\
EXIST\n\
XDEV\n\
NODEV the driver is missing: a module, or the kernel's configuration\n\
NOTDIR\n\
ISDIR\n\
INVAL the kernel takes no such value, or lacks what is asked for\n\
NFILE\n\
MFILE the process has too many files open: a larger limit (s6-softlimit -o), or it leaks\n\
NOTTY\n\
TXTBSY the program is being written: try again, or replace it by a rename\n\
FBIG\n\
NOSPC the file system is full: `df`, also `df -i`; logs and old generations\n\
ROFS it is mounted for reading; after errors of the flash the kernel does that itself\n\
PIPE whoever read has ended\n\
RANGE\n\
DEADLK\n\
NAMETOOLONG a name has 255 bytes at most, the path of a socket 107\n\
NOSYS the kernel is too old, or built without it\n\
NOTEMPTY\n\
LOOP\n\
NODATA\n\
PROTO\n\
OVERFLOW\n\
ILSEQ\n\
NOTSOCK\n\
MSGSIZE the packet does not fit: the MTU of the way\n\
PROTONOSUPPORT the kernel lacks the protocol: a module\n\
OPNOTSUPP this file system or driver cannot do that\n\
AFNOSUPPORT the kernel lacks this kind of address, such as IPv6: a module\n\
ADDRINUSE another program has the port: `ss -lntup`, or the service runs twice\n\
ADDRNOTAVAIL no interface has this address yet: what sets it is a need\n\
NETDOWN the interface is down: `ip link`\n\
NETUNREACH no route leads there: is the uplink up? `ip route`\n\
CONNRESET the other end has died, or something between cut it\n\
NOBUFS\n\
NOTCONN\n\
TIMEDOUT nothing answers: a firewall, a cable, or the other end is off\n\
CONNREFUSED nothing listens there: the service is not up, or on another port or path\n\
HOSTDOWN\n\
HOSTUNREACH nobody in that network has the address, or a firewall says so\n\
ALREADY\n\
STALE\n\
UCLEAN the file system is damaged: check it while it is not mounted\n\
DQUOT\n\
";

/// The first line of a text whose place or first word is the wanted one: its place, its first word,
/// and the rest. One function for all such texts, since each kind of search costs half a kilobyte.
#[inline(never)]
pub fn entry(
    text: &'static str,
    wanted: &dyn Fn(usize, &str) -> bool,
) -> Option<(usize, &'static str, &'static str)> {
    let (mut place, mut left) = (0, text);
    while !left.is_empty() {
        let end = left.bytes().position(|byte| byte == b'\n').unwrap_or(left.len());
        let line = &left[..end];
        let blank = line.bytes().position(|byte| byte == b' ').unwrap_or(end);
        if wanted(place, &line[..blank]) {
            return Some((place, &line[..blank], line[blank..].trim_start()));
        }
        left = left.get(end + 1..).unwrap_or("");
        place += 1;
    }
    None
}

/// What may be behind the error of this number: its name without the `E`, and a hint.
pub fn of_number(number: i32) -> Option<(&'static str, &'static str)> {
    let at = NUMBERS.iter().position(|error| error.raw_os_error() == number)?;
    entry(WORDS, &|place, _| place == at).map(|(_, name, hint)| (name, hint))
}

/// The number of a name, with or without the `E`, in any case.
pub fn number(text: &str) -> Option<i32> {
    let bare = text.strip_prefix(['E', 'e']).unwrap_or(text);
    let same = |_, name: &str| name.eq_ignore_ascii_case(bare) || name.eq_ignore_ascii_case(text);
    entry(WORDS, &same).map(|(place, ..)| NUMBERS[place].raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_belong_together() {
        assert_eq!(number("ENOENT"), Some(2));
        assert_eq!(number("noent"), Some(2));
        assert_eq!(number("exist"), Some(17)); // no `E` in front, but of its own
        assert_eq!(number("E2BIG"), Some(7));
        assert_eq!(number("ENOTHING"), None);
        assert_eq!(of_number(111).map(|(name, _)| name), Some("CONNREFUSED"));
        assert_eq!(of_number(0), None);
        assert_eq!(NUMBERS.len(), WORDS.lines().count());
        for (error, name) in NUMBERS.iter().zip(WORDS.lines()) {
            let name = name.split(' ').next().unwrap();
            assert_eq!(number(&format!("e{name}")), Some(error.raw_os_error()), "{name}");
            assert_eq!(of_number(error.raw_os_error()).unwrap().0, name);
        }
    }
}
