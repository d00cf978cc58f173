//! Readers of what a shipper meets: servers, files on flash, and what was kept.

use model::dns::{self, ADDRESS_4, MESSAGE_BYTES_MAX};
use model::limits::{HOST_ADDRESSES_MAX, NAME_SERVERS_MAX};
use model::log::answer::{Answer, Outcome};
use model::log::entry::Entry;
use model::log::packed;
use model::log::place::Place;
use model::log::target::{Server, Target};
use model::log::{shipped, syslog};
use model::time::Date;

// A server answers whatever it likes, in pieces of any size.
pub fn log_answer(bytes: &[u8]) {
    let mut whole = Answer::default();
    let outcome = whole.push(bytes);
    let mut pieces = Answer::default();
    let mut last = Outcome::Unfinished;
    for piece in bytes.chunks(3) {
        last = pieces.push(piece);
    }
    assert_eq!(last, outcome, "however it comes, it means the same");
    for answer in [&mut whole, &mut pieces] {
        match answer.end() {
            Outcome::Over { status, keeps } => assert!(!keeps && (100..1000).contains(&status)),
            ended => assert_eq!(ended, Outcome::Wrong),
        }
    }
}

// `ward log` and the shipper read what lies on flash, whatever became of it. Once as it is, and
// once as a block of a frame that is all right up to there.
pub fn log_packed(bytes: &[u8]) {
    for name in bytes.split(|byte| *byte == b'\n') {
        if let Some(date) = packed::parse_name(name) {
            assert_eq!(packed::name(date), *name);
        }
    }
    let mut rest = bytes;
    while let Ok((place, text, taken)) = packed::read(rest) {
        assert!(taken > 0 && text.len() <= packed::RECORD_TEXT_MAX);
        let mut again = Vec::new();
        packed::append(place, &text, &mut again);
        assert_eq!(packed::read(&again), Ok((place, text, again.len())));
        rest = &rest[taken..];
    }
    const BEFORE_BLOCK: usize = 51;
    let [low, high, block @ ..] = bytes else { return };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    let mut record = Vec::new();
    packed::append(Place::default(), &vec![0; length], &mut record);
    record.truncate(BEFORE_BLOCK);
    record.extend_from_slice(&(block.len() as u32).to_le_bytes());
    record.extend_from_slice(block);
    record.extend_from_slice(&[0; 8]);
    assert!(packed::read(&record).is_err() || length == 0 || !block.is_empty());
}

// Name servers, whoever answers in their place, and files that others write.
pub fn dns(bytes: &[u8]) {
    let mut found = Vec::new();
    let asked = dns::question(0x3030, "vl.lan", ADDRESS_4).expect("it is a name");
    dns::answer(&asked, bytes, &mut found);
    // As an answer to what was asked.
    let mut answer = asked.clone();
    answer[2] |= 0x80;
    answer.extend_from_slice(bytes);
    assert!(dns::answer(&asked, &answer, &mut found));
    assert!(found.len() <= HOST_ADDRESSES_MAX);
    let text = String::from_utf8_lossy(bytes);
    assert!(dns::in_hosts(&text, "vl").len() <= HOST_ADDRESSES_MAX);
    assert!(dns::servers(&text).0.len() <= NAME_SERVERS_MAX);
    if let Some(question) = dns::question(1, &text, ADDRESS_4) {
        assert!(question.len() <= MESSAGE_BYTES_MAX);
    }
}

// The file with the place may be anything after a loss of power.
pub fn log_place(bytes: &[u8]) {
    if let Some(place) = Place::parse(bytes) {
        let mut text = Vec::new();
        place.append(&mut text);
        assert_eq!(Place::parse(&text), Some(place));
    }
    if let Ok(place) = Place::from_bytes(bytes) {
        assert_eq!(place.to_bytes(), bytes);
    }
}

// What somebody wrote as a target goes into a request.
pub fn log_target(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(target) = Target::parse(text) else { return };
    let (server, kind) = match target {
        Target::Directory(path) => return assert!(path.starts_with('/')),
        Target::SyslogTcp(server) => (server, "syslog+tcp"),
        Target::SyslogUdp(server) => (server, "syslog+udp"),
        Target::Http { server, path, .. } => {
            assert!(path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()));
            (server, "http")
        }
    };
    let Server { host, port } = server;
    assert!(!host.is_empty() && port > 0);
    let again = format!("{kind}://{server}");
    match Target::parse(&again) {
        Ok(
            Target::SyslogTcp(again)
            | Target::SyslogUdp(again)
            | Target::Http { server: again, .. },
        ) => {
            // An address in brackets that needs none loses them.
            assert_eq!(again, server);
        }
        other => panic!("{again}: {other:?}"),
    }
}

/// All forms of an entry are text in one line.
pub fn shipped(entry: &Entry<'_>) {
    let (mut message, mut object, mut stream) = (Vec::new(), Vec::new(), Vec::new());
    syslog::append_message(entry, b"host", &mut message);
    let message = std::str::from_utf8(&message).expect("a message is text");
    assert!(message.starts_with('<') && message.splitn(8, ' ').count() == 8, "{message:?}");
    shipped::append_object(entry, b"host", &mut object);
    let object = std::str::from_utf8(&object).expect("an object is text");
    assert!(object.ends_with("}\n") && object.matches('\n').count() == 1, "{object:?}");
    shipped::append_stream(entry, b"host", Date::default(), true, &mut stream);
    let stream = std::str::from_utf8(&stream).expect("a stream is text");
    assert!(!stream.contains('\n') && stream.ends_with("\"]]}"), "{stream:?}");
}
