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

/// Bytes of a file that `s6-envdir` reads unless told otherwise: one less than
/// its page says, as Debian's does.
pub const ENVDIR_CLAMP_BYTES: usize = 4095;

/// Bytes of one `NAME=VALUE` with its end: `MAX_ARG_STRLEN`, Linux `binfmts.h`.
pub const ENVIRONMENT_STRING_BYTES_MAX: usize = 131_072;

/// Changes in one time zone file. The largest of tzdata has under 300.
pub const ZONE_TRANSITIONS_MAX: usize = 8192;

/// Bytes of a time zone file: room for that many changes.
pub const ZONE_FILE_BYTES_MAX: usize = 256 << 10;

/// Bytes of a line that wait for its end before it gets its label; the pipe
/// behind it holds 64 KiB (`pipe(7)`).
pub const STAMPED_LINE_BYTES: usize = 8192;
