//! Readers of the binary formats of `model`.

use engine::service::manage::Graph;
use model::bytes::{Reader, Writer};
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
