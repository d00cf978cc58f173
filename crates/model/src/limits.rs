//! Every upper bound in one place, each with its reason.

/// Bytes of a service name. A name is a file name (`NAME_MAX` is 255, Linux
/// `limits.h`), and the live directory puts a suffix such as `.new` behind it.
pub const NAME_BYTES_MAX: usize = 240;

/// Services and bundles in one database. Twice what anybody was seen to
/// compile; keeps every offset of the database well inside 32 bits.
pub const SERVICES_MAX: usize = 65_536;

/// Bytes of one database file.
pub const DATABASE_BYTES_MAX: usize = 64 << 20;

/// Bytes of one message on a control socket. A `SOCK_SEQPACKET` message must
/// fit the default socket buffer (212,992 bytes) several times over.
pub const MESSAGE_BYTES_MAX: usize = 32 << 10;

/// Descriptors in one message: `SCM_MAX_FD` of Linux `include/net/scm.h`.
pub const MESSAGE_DESCRIPTORS_MAX: usize = 253;

/// Live directories that one init serves at once: the device's own and a few
/// for trials beside it.
pub const LIVE_DIRS_MAX: usize = 8;

/// Deaths that a service directory can ask to remember
/// (s6 `servicedir.html`, `max-death-tally`).
pub const DEATH_TALLY_MAX: u32 = 4096;

/// Bytes of a file that holds one number or one word (`timeout-up`, `type`).
pub const SETTING_BYTES_MAX: usize = 64;

/// Bytes of one line's worth of text about a failure that a message carries.
pub const REASON_BYTES_MAX: usize = 512;

/// Bytes of one line in the log of everything; a longer one is cut visibly.
/// The same as `s6-log -l` has without being told, and a quarter of the least
/// that one look at a pipe takes in.
pub const LOG_LINE_BYTES_MAX: usize = 8192;

/// Bytes that the logger takes from one service before the next one's turn:
/// half a pipe, so that a chatty service is drained faster than a page at a
/// time, and still small beside the memory of a router (the journal holds it twice).
pub const LOG_TURN_BYTES_MAX: usize = 32 << 10;

/// Archives that one log directory may be asked to keep (`n` of `s6-log`).
pub const LOG_ARCHIVES_MAX: u32 = 1_000_000;

/// Programs that follow the log at once.
pub const LOG_LISTENERS_MAX: usize = 64;

/// Services that one of them may follow. All oneshots of a large device.
pub const LOG_FOLLOWED_MAX: usize = 16_384;
