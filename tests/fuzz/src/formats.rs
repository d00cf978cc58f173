//! Readers of the binary formats of `model`.

use model::bytes::{Reader, Writer};
use model::service::database::Database;
use model::service::request::{FromInit, ToInit};
use model::service::status::Status;

// Init and the manager read this file before anything can be printed or repaired.
pub fn database(bytes: &[u8]) {
    let Ok(database) = Database::open(bytes) else { return };
    let contents = database.contents();
    let again = contents.encode();
    let reopened = Database::open(&again).expect("what was encoded opens");
    assert_eq!(reopened.contents(), contents);
    for name in database.names() {
        assert!(database.find(name).is_some());
    }
}

// Init reads these from whoever may connect to its socket.
pub fn to_init(bytes: &[u8]) {
    let mut r = Reader::new(bytes);
    while let Ok(message) = ToInit::read(&mut r) {
        let mut w = Writer::new();
        message.write(&mut w);
        assert_eq!(ToInit::read(&mut Reader::new(w.as_bytes())), Ok(message));
    }
}

// The manager and the logger read these.
pub fn from_init(bytes: &[u8]) {
    let mut r = Reader::new(bytes);
    while let Ok(message) = FromInit::read(&mut r) {
        let mut w = Writer::new();
        message.write(&mut w);
        assert_eq!(FromInit::read(&mut Reader::new(w.as_bytes())), Ok(message));
    }
}

// Every client reads this of a directory that anybody may have written.
pub fn status(bytes: &[u8]) {
    let Some(status) = Status::from_bytes(bytes) else { return };
    assert_eq!(Status::from_bytes(&status.to_bytes()), Some(status));
}
