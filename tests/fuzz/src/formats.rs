//! Readers of the binary formats of `model`.

use engine::service::manage::Graph;
use model::bytes::{Reader, Writer};
use model::flash::image::{self, HEADER_BYTES, Image};
use model::log::request::{FromLogger, ToLogger};
use model::service::database::Database;
use model::service::manager_request::{FromManager, ToManager};
use model::service::request::{FromInit, ToInit};
use model::service::status::Status;
use xxhash_rust::xxh64::xxh64;

// Init and the manager read this file before anything can be printed or repaired.
// Once with the checksum that belongs to it: what is behind that must hold alone.
pub fn database(bytes: &[u8]) {
    assert!(Database::open(bytes).is_err() || !bytes.is_empty());
    let mut summed = bytes.to_vec();
    if let (Some(version), Some(body)) = (bytes.get(12..16), bytes.get(24..)) {
        let seed = version.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
        summed[16..24].copy_from_slice(&xxh64(body, seed).to_le_bytes());
    }
    let Ok(database) = Database::open(&summed) else { return };
    let contents = database.contents();
    let again = contents.encode();
    let reopened = Database::open(&again).expect("what was encoded opens");
    assert_eq!(reopened.contents(), contents);
    for name in database.names() {
        assert!(database.find(name).is_some());
    }
    let graph = Graph::from(&database);
    assert_eq!(graph.len(), database.len());
}

// `doorward vm` boots what a device has written into its flash, whole or not. Once with the
// checksums that belong to it, as above.
pub fn image(bytes: &[u8]) {
    assert!(Image::parse(bytes).is_err() || bytes.len() >= HEADER_BYTES);
    let mut summed = bytes.to_vec();
    if let Some((header, content)) = summed.split_first_chunk_mut::<HEADER_BYTES>() {
        let size = u32::from_be_bytes(header[12..16].try_into().expect("four bytes")) as usize;
        let content = &content[..size.min(content.len())];
        header[24..28].copy_from_slice(&crc32(content).to_be_bytes());
        header[4..8].fill(0);
        let sum = crc32(header);
        header[4..8].copy_from_slice(&sum.to_be_bytes());
    }
    let Ok(found) = Image::parse(&summed) else { return };
    assert!(found.parts.iter().map(|part| part.len()).sum::<usize>() < found.bytes);
    // Written again, it is read as before.
    let name = std::str::from_utf8(found.name).unwrap_or("other");
    let again = image::write(found.processor, name, &found.parts).expect("it was one");
    assert_eq!(Image::parse(&again).expect("it was written now").parts, found.parts);
}

/// Bit by bit, beside the table of the reader.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |sum: u32| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| bit(sum)))
}

/// Reads messages one behind the other. Each means one thing: written again, it
/// is read as before.
macro_rules! messages {
    ($bytes:ident, $message:ident) => {{
        let mut r = Reader::new($bytes);
        while let Ok(message) = $message::read(&mut r) {
            let mut w = Writer::new();
            message.write(&mut w);
            let mut again = Reader::new(w.as_bytes());
            assert_eq!($message::read(&mut again), Ok(message));
            assert_eq!(again.end(), Ok(()));
        }
    }};
}

// Init reads these from whoever may connect to its socket.
pub fn to_init(bytes: &[u8]) {
    messages!(bytes, ToInit);
}

// The manager and the logger read these.
pub fn from_init(bytes: &[u8]) {
    messages!(bytes, FromInit);
}

// The manager reads these from whoever may connect to its socket.
pub fn to_manager(bytes: &[u8]) {
    messages!(bytes, ToManager);
}

// Every client of the manager reads these.
pub fn from_manager(bytes: &[u8]) {
    messages!(bytes, FromManager);
}

// The logger reads these from whoever may connect to its socket.
pub fn to_logger(bytes: &[u8]) {
    messages!(bytes, ToLogger);
}

// Whoever follows the output of services reads these.
pub fn from_logger(bytes: &[u8]) {
    messages!(bytes, FromLogger);
}

// Every client reads this of a directory that anybody may have written.
pub fn status(bytes: &[u8]) {
    let Some(status) = Status::from_bytes(bytes) else { return };
    assert_eq!(Status::from_bytes(&status.to_bytes()), Some(status));
}
