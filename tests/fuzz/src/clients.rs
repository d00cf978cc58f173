//! Readers of what a supervisor left in a service directory.

use model::service::status::{DEATH_BYTES, Exit, deaths};

// s6-svdt and s6-permafailon read this of a directory that anybody may have written.
pub fn death_tally(bytes: &[u8]) {
    let found = deaths(bytes);
    assert_eq!(found.len(), bytes.len() / DEATH_BYTES);
    for (death, entry) in found.zip(bytes.chunks_exact(DEATH_BYTES)) {
        let again = death.to_bytes();
        assert_eq!(again[..12], entry[..12]);
        // Of a signal the code says nothing that its number does not.
        match death.exit {
            Exit::Code(_) => assert_eq!(again, *entry),
            Exit::Signal(signal) => assert_eq!(signal, entry[13]),
        }
    }
}
