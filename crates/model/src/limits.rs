//! Every upper bound in one place, each with its reason.

use core::time::Duration;

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

/// Bytes of one file of settings of a controller: a rule for each of a few
/// hundred devices.
pub const CONTROLLER_FILE_BYTES_MAX: usize = 64 << 10;

/// Names that a mistake draws of a cycle; longer ones lose their middle.
pub const CYCLE_NAMES_MAX: usize = 20;

/// The highest number of a descriptor: `sysctl_nr_open` of Linux `fs/file.c`
/// less one.
pub const DESCRIPTOR_MAX: u32 = (1 << 20) - 1;

/// Bytes of a file that `s6-envdir` reads unless told otherwise: one less than
/// its page says, as Debian's does.
pub const ENVDIR_CLAMP_BYTES: usize = 4095;

/// Bytes of one `NAME=VALUE` with its end: `MAX_ARG_STRLEN`, Linux `binfmts.h`.
pub const ENVIRONMENT_STRING_BYTES_MAX: usize = 131_072;

/// Events of one fifodir that are remembered to match an expression against.
/// Services have a handful; what waits for ever on a busy one must not grow.
pub const EVENTS_KEPT_MAX: usize = 4096;

/// Entries of a fifodir that one notification looks at. Whoever may listen to
/// a service may fill its `event` directory; init must not spend more than a
/// few milliseconds on that. The fifos of listeners that died are removed as
/// they are met, so that what lies behind them is reached next time.
pub const FIFODIR_ENTRIES_MAX: usize = 4096;

/// Programs that follow the log at once.
pub const LOG_LISTENERS_MAX: usize = 64;

/// Services that one of them may follow. All oneshots of a large device.
pub const LOG_FOLLOWED_MAX: usize = 16_384;

/// Bytes of one line in the log of everything; a longer one is cut visibly.
/// The same as `s6-log -l` has without being told, and a quarter of the least
/// that one look at a pipe takes in.
pub const LOG_LINE_BYTES_MAX: usize = 8192;

/// Bytes that the logger takes from one service before the next one's turn:
/// half a pipe, so that a chatty service is drained faster than a page at a
/// time, and still small beside the memory of a router (the journal holds it twice).
pub const LOG_TURN_BYTES_MAX: usize = 32 << 10;

/// Bytes of the log of everything between two marks: `ward log` reads as much
/// to know where it is in a file, and a mark takes a hundred.
pub const LOG_MARK_BYTES_MAX: u64 = 1 << 20;

/// Bytes of each file of the boot before that are found again: it is as much memory that the device
/// has set aside, and more than that again while it is copied.
pub const LAST_BOOT_BYTES_MAX: usize = 1 << 20;

/// Bytes behind which the mark stands again in what the kernel keeps, so that there is one in
/// what is left of it.
pub const LAST_BOOT_MARK_BYTES_MAX: usize = 16 << 10;

/// Bytes of a line that `ward log` shows in one piece. The logger writes none
/// that is longer than a quarter of that, but `s6-log` may.
pub const LOG_SHOWN_BYTES_MAX: usize = 64 << 10;

/// Addresses of a host that are tried: more stand for the same server.
pub const HOST_ADDRESSES_MAX: usize = 8;

/// Name servers that are asked, as C libraries do (`resolv.conf(5)`, `MAXNS`).
pub const NAME_SERVERS_MAX: usize = 3;

/// Bytes of `/etc/hosts` and `/etc/resolv.conf` that are read. Some write long lists of
/// hosts that shall not be found into the first; what is meant stands at its beginning.
pub const ADDRESS_FILE_BYTES_MAX: usize = 64 << 10;

/// Bytes of lines that `ward ship` sends at once: what it needs of memory is a
/// few times that, and what it sends twice after a fall is no more.
pub const SHIPPED_BATCH_BYTES: usize = 64 << 10;

/// Lines that it sends at once.
pub const SHIPPED_LINES_MAX: usize = 1000;

/// Bytes of one datagram with a line: IPv4 carries 65,507 (RFC 768, RFC 791).
pub const SHIPPED_DATAGRAM_BYTES_MAX: usize = 65_507;

/// Unknown names that get the nearest known one beside them. Each asks every
/// name; someone who misspelt more than these has another mistake.
pub const NEAREST_MAX: usize = 100;

/// Bytes of all words of a command, each with its zero byte: Linux gives
/// arguments and environment a quarter of the stack, which is 8 MiB
/// (`execve(2)`).
pub const SCRIPT_BYTES_MAX: usize = 2 << 20;

/// Bytes of all source directories of one compilation, names included.
pub const SOURCE_BYTES_MAX: usize = 256 << 20;

/// Folders inside each other in `data`, `env` and the like.
pub const SOURCE_DEPTH_MAX: usize = 32;

/// Files and folders of all source directories of one compilation.
pub const SOURCE_ENTRIES_MAX: usize = 4 << 20;

/// Bytes of one file of a source directory. `run` may be a program itself;
/// what is larger than this was not meant to be there.
pub const SOURCE_FILE_BYTES_MAX: usize = 16 << 20;

/// Bytes of a line that wait for its end before it gets its label; the pipe
/// behind it holds 64 KiB (`pipe(7)`).
pub const STAMPED_LINE_BYTES: usize = 8192;

/// Bytes of one word of a command: `MAX_ARG_STRLEN` of Linux
/// `include/uapi/linux/binfmts.h` (131,072) less the zero byte behind it.
pub const WORD_BYTES_MAX: usize = 131_071;

/// Bytes of a time zone file: room for that many changes.
pub const ZONE_FILE_BYTES_MAX: usize = 256 << 10;

/// Changes in one time zone file. The largest of tzdata has under 300.
pub const ZONE_TRANSITIONS_MAX: usize = 8192;

/// Programs that are connected to the manager at once: more than any device
/// runs, few enough for an ordinary limit of descriptors (1024).
pub const MANAGER_CLIENTS_MAX: usize = 512;

/// The same, of those who may look and not change anything: whoever may only
/// look cannot keep others out.
pub const MANAGER_LOOKERS_MAX: usize = 64;

/// Bytes that wait for one client of the manager: all steps of starting a few
/// thousand services, beside one list of how all of them are. One that does
/// not read is let go, comes again and asks again.
pub const MANAGER_BACKLOG_BYTES_MAX: usize = 1 << 20;

/// Bytes of lines that `s6-log` keeps for one target that does not take them;
/// then it reads no more. Much more than a burst, much less than a router has.
pub const LOG_KEPT_BYTES_MAX: usize = 1 << 20;

/// Conditions that the manager keeps of one controller for one service: more
/// than anybody wants to read.
pub const CONDITIONS_MAX: usize = 32;

/// Bytes of the label of a condition, and of its value: a line of a terminal.
pub const CONDITION_BYTES_MAX: usize = 120;

/// Bytes of one output of a service: a list of servers, not a database.
pub const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// Outputs of one service.
pub const OUTPUTS_MAX: usize = 256;

/// Requests of which the manager remembers who made them, for `ward why`:
/// what a person wonders about is among the last of them.
pub const ASKERS_MAX: usize = 64;

/// Times that services were brought up or down which the manager remembers, for `ward chart`: the
/// start of a large router and some changes behind it, in 36 KiB.
pub const SPANS_MAX: usize = 512;

/// Bytes of the file in which it writes these down, with names of 255 bytes.
pub const RECORD_BYTES_MAX: usize = SPANS_MAX * 300 + ASKERS_MAX * (ASKER_BYTES_MAX + 100);

/// Ends of processes and scripts which it remembers, for `ward why`.
pub const RUNS_MAX: usize = 64;

/// Bytes of what it remembers of one: a line of a terminal.
pub const ASKER_BYTES_MAX: usize = 120;

/// Parts of an image in a kernel partition: kernel, initial file system and
/// command line, and room for what another device may need, such as its tree.
pub const IMAGE_PARTS_MAX: usize = 8;

/// Bytes of a file of a generation that says what to do: a line for each file
/// that is not simply a part of the generation, of which a device has dozens.
pub const GENERATION_FILE_BYTES_MAX: usize = 256 << 10;

/// Bytes of the name of a partition: one less than `BLKPG_DEVNAMELTH` of Linux
/// `include/uapi/linux/blkpg.h`.
pub const PARTITION_NAME_BYTES_MAX: usize = 63;

/// Bytes of a device's path below `/sys`: what the kernel has for all of a
/// message (`UEVENT_BUFFER_SIZE`, Linux `include/linux/kobject.h`).
pub const DEVICE_PATH_BYTES_MAX: usize = 2048;

/// Bytes of the name of an attribute or a property of a device, and of a link
/// to it. Names in `/sys` have a dozen.
pub const ATTRIBUTE_NAME_BYTES_MAX: usize = 255;

/// Alternatives in one rule: whoever writes more means a pattern.
pub const ALTERNATIVES_MAX: usize = 64;

/// Bytes of one message of the kernel about a device or a link, of a file
/// `uevent`, or of an attribute that a rule asks for: a page, and `uevent` in
/// `/sys` has no more (`sysfs.rst`). Messages about links have a few kB.
pub const DEVICE_MESSAGE_BYTES_MAX: usize = 16 << 10;

/// Devices that one rule counts. Ports of large switches are a few hundred;
/// the rest of what a rule matches that is true of everything is not kept.
pub const DEVICES_OF_A_RULE_MAX: usize = 4096;

/// Services that one round-robin takes in turn.
pub const MEMBERS_MAX: usize = 64;
/// Checks of one service: a round asks all of them at once, each with a socket or two, and each
/// is a condition beside the one that says what comes of all.
pub const CHECKS_MAX: usize = CONDITIONS_MAX - 1;

/// How often a probe asks within one round: more is a flood, and finds nothing more.
pub const CHECK_TRIES_MAX: u32 = 20;

/// Bytes that are kept of the last line that a check prints, and of what its failure is told as.
pub const CHECK_TEXT_BYTES_MAX: usize = 200;

/// Bytes of the name of a network interface: `IFNAMSIZ` of Linux `if.h` less one.
pub const INTERFACE_BYTES_MAX: usize = 15;
/// Bytes of one value in a file about generations and trials: a few lines of a terminal.
pub const FIELD_BYTES_MAX: usize = 400;

/// Bytes of such a file. It is read before the first service.
pub const FIELD_FILE_BYTES_MAX: usize = 16 << 10;

/// The highest number of a generation: one every ten minutes, for nineteen years.
pub const GENERATION_NUMBER_MAX: u32 = 999_999;

/// Generations that are kept; each is a link and a file in the folder that boots.
pub const GENERATIONS_MAX: usize = 999;

/// Lines of the log that are kept of a trial that failed.
pub const RECORD_LINES_MAX: usize = 30;

/// Bytes of the name of a trial: a UUID has 36.
pub const TRIAL_ID_BYTES_MAX: usize = 64;

/// How long a trial may wait to be confirmed: somebody may have to go there.
pub const TRIAL_DEADLINE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Starts of a generation on trial that may end in a crash or a power cut. One may be bad luck.
pub const TRIAL_ATTEMPTS_MAX: u32 = 3;

/// All starts of a generation on trial: one that restarts itself in good order must not do so for ever.
pub const TRIAL_BOOTS_MAX: u32 = 10;

/// How often the process that owns a trial begins a phase again after it was killed.
pub const TRIAL_RESUMES_MAX: u32 = 3;

/// Bytes of the story of one trial: a line for each service of a large device.
pub const TRIAL_LOG_BYTES_MAX: u64 = 128 << 10;

/// How long a generation on trial may take to start before it counts as one that hangs, at least: the
/// clock of a device that starts within a second is no measure for one that makes its keys.
pub const TRIAL_START_MIN: Duration = Duration::from_secs(20);

/// The same at most: a device that took longer has not started at all.
pub const TRIAL_START_MAX: Duration = Duration::from_secs(600);

/// Folders inside each other in a store path. The deepest of Debian's packages has a dozen.
pub const NAR_DEPTH_MAX: usize = 64;

/// Bytes of the name of a file: `NAME_MAX` of Linux `limits.h`.
pub const NAR_NAME_BYTES_MAX: usize = 255;

/// Bytes of what a link leads to: `PATH_MAX` of Linux `limits.h`, less its zero byte.
pub const NAR_LINK_BYTES_MAX: usize = 4095;

/// Store paths that one store path refers to. A generation refers to all of its packages, of which a
/// router has a hundred; a message with all of them stays small beside the memory of a receiver.
pub const REFERENCES_MAX: usize = 1024;

/// Signatures of one store path: one for each key that signs for somebody.
pub const SIGNATURES_MAX: usize = 16;

/// Bytes of a file about one store path, and of a `.narinfo`: that many references and signatures.
pub const PATH_INFO_BYTES_MAX: usize = 512 << 10;

/// Store paths of one device, and of one copy: a router has a hundred; a list of these takes the
/// receiver two megabytes.
pub const STORE_PATHS_MAX: usize = 8192;

/// Bytes of one message between sender and receiver: all about a path with that many references.
pub const TRANSFER_MESSAGE_BYTES_MAX: usize = 256 << 10;

/// Bytes of the window of a compressed path, which the receiver holds in memory. Twice as much saves
/// 1 % of a large library.
pub const WINDOW_BYTES_MAX: u32 = 2 << 20;

/// The same, of what web servers have: Nix compresses so without being told otherwise (`xz -6`).
pub const PULLED_WINDOW_BYTES_MAX: u32 = 8 << 20;

/// Bytes of the archive of one store path. Larger ones are images for computers with disks, and sizes
/// stay far from where arithmetic ends.
pub const NAR_BYTES_MAX: u64 = 1 << 40;

/// Keys whose signatures count.
pub const TRUSTED_KEYS_MAX: usize = 64;
/// Bytes of a file that is taken along into maintenance: a key, of which the
/// longest have some kilobytes.
pub const CARRIED_BYTES_MAX: usize = 64 << 10;

/// Bytes of what an image says of itself: the smallest block that flashes erase, less the two
/// frames around it. A device with eight parts needs a quarter of it.
pub const IMAGE_MANIFEST_BYTES_MAX: usize = 4096 - 44;

/// Bytes of a block that is erased at once: NAND of today has up to 4 MiB.
pub const ERASE_BYTES_MAX: u32 = 16 << 20;

/// Bytes of the name of a device.
pub const DEVICE_NAME_BYTES_MAX: usize = 255;

/// Blocks of a flash: 4 GiB of the smallest ones, or 128 GiB of those that such flashes have.
pub const FLASH_BLOCKS_MAX: u32 = 1 << 20;

/// How often a block of a flash is written that does not read as it should: what is worn fails
/// again, what was disturbed does not.
pub const BLOCK_TRIES_MAX: u32 = 3;
/// Bytes of one file that is imported: scripts and units have some thousand, and each line of one
/// may become a remark.
pub const IMPORT_FILE_BYTES_MAX: usize = 1 << 20;

/// Files that one import reads: all units of a large machine with their drop-ins several times over.
pub const IMPORT_FILES_MAX: usize = 16_384;

/// How deep commands of an imported script may lie in each other. Each level takes several frames of
/// the stack; nobody reads a script that is nested half as deep.
pub const IMPORT_DEPTH_MAX: usize = 64;

/// Commands of an imported script that are gone through: functions that call each other twice would
/// otherwise take for ever.
pub const IMPORT_STEPS_MAX: usize = 20_000;

/// Bytes of the head of a request to the status page. Browsers send one or two thousand, and whatever
/// cookies another server at the same address has left with them.
pub const REQUEST_HEAD_BYTES_MAX: usize = 8 << 10;

/// Callers of the status page at once: a browser opens six connections, and a household has a few.
pub const PAGE_CALLERS_MAX: usize = 32;

/// Lines of the log that the status page shows at once: a few screens.
pub const PAGE_LINES_MAX: usize = 300;

/// Bytes of these lines: as much as a router can have in memory for each of those callers.
pub const PAGE_LINES_BYTES_MAX: usize = 64 << 10;

/// File systems whose fill is told. A router has five.
pub const PAGE_FILE_SYSTEMS_MAX: usize = 16;
