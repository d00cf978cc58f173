//! `flashcp`: writes an image to a partition of the flash, as Debian's mtd-utils call it.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use cli::{Args, Command, Exit, Failure, Opt, text};
use engine::flash::plan::{self, Mismatch};
use engine::flash::write::{Event, Order, Outcome, Part, Progress, Tally, Why, Writer};
use model::deploy::trust::Signer;
use model::time::Moment;
use os::clock;
use os::flash::device::{self, Flash};
use os::flash::holders::{Holder, holders};
use os::flash::image_file::ImageFile;
use os::flash::partitions::Partition;
use os::sys::signals;

use super::image::{keys, signer_of, this_device, trouble_with};
use super::json::Object;

pub const COMMAND: Command = Command {
    name: "flashcp",
    summary: "Write an image to a partition of the flash, and prove that it is there",
    usage: "flashcp [-v] [-p] [-A] [--dry-run] [--json] [--any-device] [--bare] [--unsigned] IMAGE mtd:NAME|/dev/mtdN",
    options: &[
        Opt("-v, --verbose", "Tell how it goes"),
        Opt("-p, --partition", "Write only blocks that differ: this is always so"),
        Opt("-A, --erase-all", "Erase what is behind the image, too"),
        Opt("-n, --dry-run", "Tell what would be done, and change nothing"),
        Opt("--json", "Tell how it goes as objects, one a line"),
        Opt("--any-device", "Write an image though it is for another device"),
        Opt("--bare", "Write to `firmware` what does not say for which device it is"),
        Opt("--unsigned", "Write an image that no key of this device has signed"),
    ],
    about: "\
Each block is compared with the image. One that differs is erased, where it must \
be, written, read again and compared; it is tried three times, and on NAND then \
marked as bad, and the next one taken. Bad blocks are stepped over, within each \
part of the image. The kernel is last. Killed at any moment and started again, it \
goes on where it was.\n\n\
Nothing is erased unless all of this is so: the image is whole, for this device \
and its layout, signed with one of /etc/doorward/trusted-keys where there are some, and fits; and nobody uses the partition, or another one that \
shares blocks with it: no mount, process, swap, UBI or loop device.\n\n\
IMAGE `-` is standard input, which is kept in memory first: \
`ssh root@router flashcp -v - mtd:firmware < firmware.bin`. The end of the \
connection does not stop it, SIGINT and SIGTERM do, between two blocks. Exit codes: 0 the \
partition was read and is as the image, 1 it is not, 100 wrong usage.",
    run,
};

/// The partition that only images for this device go to.
const FIRMWARE: &str = "firmware";
/// How often lines tell of progress where there is no terminal, and where there is one.
const LINE_SECONDS: u64 = 5;
const TERMINAL_MILLIS: u64 = 200;

struct Options {
    verbose: bool,
    json: bool,
    all: bool,
    dry: bool,
    any_device: bool,
    bare: bool,
    unsigned: bool,
}

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut options = Options {
        verbose: false,
        json: false,
        all: false,
        dry: false,
        any_device: false,
        bare: false,
        unsigned: false,
    };
    while let Some(option) = args.option()? {
        match option.as_str() {
            "v" | "verbose" => options.verbose = true,
            "p" | "partition" => {}
            "A" | "erase-all" => options.all = true,
            "n" | "dry-run" => options.dry = true,
            "json" => options.json = true,
            "any-device" => options.any_device = true,
            "bare" => options.bare = true,
            "unsigned" => options.unsigned = true,
            other => return Err(args.unknown(other)),
        }
    }
    let words = args.rest();
    let [image, target] = &words[..] else {
        return Err(Failure::usage("it needs an image and a partition"));
    };
    let target = text(target)?;
    // Whoever watches may go away; what was begun is brought to its end.
    signals::ignore_pipe();
    let mut teller = Teller::new(out, &options);
    let outcome = copy(Path::new(image), target, &options, &mut teller);
    teller.end(&outcome);
    // The peer knows one code for all that went wrong.
    outcome.map(|_| Exit::DONE).map_err(|failure| Failure { exit: Exit::NOT_ACHIEVED, ..failure })
}

fn copy(
    path: &Path,
    word: &str,
    options: &Options,
    teller: &mut Teller<'_>,
) -> Result<Tally, Failure> {
    let to = |error: io::Error| Failure::refused(format!("cannot write to {word}: {error}"));
    let all = device::all().map_err(to)?;
    let partition = device::find(word, &all).map_err(to)?;
    // What cannot go there for other reasons is said before anything is read through a pipe.
    refuse_if_used(word, partition, &all, options)?;
    let mut flash = Flash::open(partition, !options.dry).map_err(|error| {
        let failure = to(error);
        match failure.message.contains("denied") || failure.message.contains("only be read") {
            true => failure.hint("the partition can only be read, or nobody but root may write"),
            false => failure,
        }
    })?;
    let mut image = ImageFile::open(path).map_err(|trouble| trouble_with(path, &trouble))?;
    let parts = planned(path, &image, &flash, &all, options)?;
    let keys = match keys() {
        // No reason to trust everybody.
        Err(failure) if !options.unsigned => return Err(failure.hint("nothing was changed")),
        keys => keys.unwrap_or_default(),
    };
    let signer = signer_of(image.manifest.as_ref(), &keys);
    if !options.unsigned && !signer.is_enough(&keys) {
        let message = format!("cannot use the image {}: it is {signer}", path.display());
        let hint = "nothing was changed. `doorward image sign` signs it; --unsigned writes it all the same";
        return Err(Failure::refused(message).hint(hint));
    }
    teller.begin(path, &image, &flash, &signer);
    image
        .check(flash.partition().erase_bytes, &mut |_| {})
        .map_err(|trouble| trouble_with(path, &trouble))?;
    // Once more where checking took its time.
    if image.manifest.is_some() {
        refuse_if_used(word, partition, &all, options)?;
    }
    let ended = write(parts.clone(), &mut flash, &image, options, teller)?;
    let tally = ended.tally();
    match ended.outcome() {
        Some(Outcome::Done) => Ok(tally),
        Some(outcome) => Err(unfinished(word, path, &outcome, &ended, &parts, &mut flash, &image)),
        None => Err(Failure::refused("there is nothing to do, and no outcome")),
    }
}

fn refuse_if_used(
    word: &str,
    partition: &Partition,
    all: &[Partition],
    options: &Options,
) -> Result<(), Failure> {
    if options.dry {
        return Ok(());
    }
    let found = holders(partition, all).map_err(|error| {
        Failure::refused(format!("cannot write to {word}: who uses it is not known: {error}"))
    })?;
    if found.is_empty() {
        return Ok(());
    }
    let is_mounted = found.iter().any(|(_, holder)| matches!(holder, Holder::Mount(_)));
    let mut lines = Vec::new();
    for (of, holder) in found {
        match of.number == partition.number {
            true => lines.push(format!("it is {holder}")),
            false => lines.push(format!("{}, which shares its blocks, is {holder}", of.name)),
        }
    }
    let failure = Failure::refused(format!("cannot write to {word}: {}", lines.join("; ")));
    Err(failure.hint(match is_mounted {
        true => "nothing was changed. `levitate` moves the running system into memory",
        false => "nothing was changed",
    }))
}

/// Where what goes, or why it may not.
fn planned(
    path: &Path,
    image: &ImageFile,
    flash: &Flash,
    all: &[Partition],
    options: &Options,
) -> Result<Vec<Part>, Failure> {
    let target = flash.target(all);
    let device = this_device();
    let planned = match &image.manifest {
        Some(manifest) => {
            if device.is_none() && !options.any_device {
                let message = format!(
                    "cannot use the image {}: it is for {}, and this system does not say in /etc/device what it runs on",
                    path.display(),
                    manifest.device
                );
                return Err(Failure::refused(message).hint("--any-device writes it all the same"));
            }
            let device = device.as_deref().filter(|_| !options.any_device);
            plan::parts(manifest, device, &target, options.all)
        }
        None if target.name == FIRMWARE && device.is_some() && !options.bare => {
            let message = format!(
                "cannot use the image {}: it has no manifest, so that nobody knows whether it is whole and for this device",
                path.display()
            );
            let hint = "copy it again: it may have been cut off; --bare writes it all the same";
            return Err(Failure::refused(message).hint(hint));
        }
        None => plan::whole(image.bytes, &target, options.all),
    };
    planned.map_err(|mismatch| {
        let message = format!("cannot use the image {}: {mismatch}", path.display());
        let failure = Failure::refused(message);
        match mismatch {
            Mismatch::OtherDevice { .. } => {
                failure.hint("nothing was changed. --any-device writes it all the same")
            }
            Mismatch::OtherPartition { image } => {
                failure.hint(format!("nothing was changed. mtd:{image} is where it belongs"))
            }
            _ => failure.hint("nothing was changed"),
        }
    })
}

/// Has the machine do its work.
fn write(
    parts: Vec<Part>,
    flash: &mut Flash,
    image: &ImageFile,
    options: &Options,
    teller: &mut Teller<'_>,
) -> Result<Writer, Failure> {
    // The end of the terminal, or of the connection, is not the end of this.
    let asked = signals::read_from(&[signal::HUP, signal::INT, signal::TERM])
        .map_err(|error| Failure::refused(format!("cannot wait for signals: {error}")))?;
    let mut writer = Writer::new(flash.chip(), parts, options.dry);
    while let Some(order) = writer.order() {
        let event = flash.act(order, image);
        teller.trouble(&order, &event);
        let now = clock::now();
        writer.heard(now, event);
        while let Ok(Some(came)) = signals::next(asked.as_fd()) {
            if came != signal::HUP {
                writer.stop();
            }
        }
        teller.progress(now, &writer.progress());
    }
    Ok(writer)
}

/// Numbers that are the same for all processors.
mod signal {
    pub const HUP: i32 = 1;
    pub const INT: i32 = 2;
    pub const TERM: i32 = 15;
}

/// Why the flash is not as the image, and what it is now.
fn unfinished(
    word: &str,
    path: &Path,
    outcome: &Outcome,
    writer: &Writer,
    parts: &[Part],
    flash: &mut Flash,
    image: &ImageFile,
) -> Failure {
    let Progress { blocks, of, .. } = writer.progress();
    let is_changed = writer.tally().written + writer.tally().erased + writer.tally().repeated > 0;
    let state = match is_changed {
        false => "nothing was changed".to_owned(),
        true => {
            format!("{blocks} of {of} blocks are as in the image; started again, it goes on there")
        }
    };
    let system = |errno: u16| io::Error::from_raw_os_error(errno.into());
    let size = flash.partition().erase_bytes;
    let (message, help) = match outcome {
        Outcome::Done => unreachable!("it is finished"),
        Outcome::Stopped => (format!("writing to {word} was stopped"), ""),
        Outcome::NoRoom { part, good } => {
            let part = parts[*part];
            let message = format!(
                "cannot write {} to {word}: of the {} blocks from {} on {good} are good, and it has {}",
                path.display(),
                part.blocks,
                part.first,
                part.pieces
            );
            (message, "a smaller image may fit. ")
        }
        Outcome::Failed { block, why } => {
            let at = format!("block {block} of {word}, at {}", u64::from(*block) * u64::from(size));
            let (what, help) = match why {
                Why::Erase { errno } => (
                    format!("cannot erase {at}: {}", system(*errno)),
                    "it is worn, or locked: `flash_unlock` of mtd-utils opens it. ",
                ),
                Why::Write { errno } => (format!("cannot write {at}: {}", system(*errno)), ""),
                Why::Read { errno } => (format!("cannot read {at}: {}", system(*errno)), ""),
                Why::Differs => (
                    format!("{at} does not keep what is written to it"),
                    "it is worn, or locked: `flash_unlock` of mtd-utils opens it. ",
                ),
                Why::Look { errno } => {
                    (format!("cannot ask whether {at} is bad: {}", system(*errno)), "")
                }
                Why::Mark { errno } => (format!("cannot mark {at} as bad: {}", system(*errno)), ""),
                Why::NoRoomLeft => {
                    (format!("{at} has failed, and no other is left in its part"), "")
                }
                Why::TooManyBad => (
                    format!("{at} has failed after many others: it is not the blocks"),
                    "the flash, its driver or its power is at fault. ",
                ),
                Why::Image => {
                    let held = image_trouble(flash, image, parts);
                    (format!("cannot read the image {}{held}", path.display()), "")
                }
            };
            (what, help)
        }
    };
    Failure::not_achieved(message).hint(format!("{help}{state}"))
}

fn image_trouble(flash: &mut Flash, image: &ImageFile, parts: &[Part]) -> String {
    let mut pieces = parts.iter().flat_map(|part| part.piece..part.piece + part.pieces);
    let trouble = pieces.find_map(|piece| flash.image_trouble(image, piece));
    trouble.map_or(String::new(), |error| format!(": {error}"))
}

/// Tells how it goes, as it was asked to; that nobody listens any more is no failure.
struct Teller<'a> {
    out: &'a mut dyn Write,
    verbose: bool,
    json: bool,
    dry: bool,
    terminal: bool,
    block_bytes: u64,
    /// Where and how: for the end.
    began: Moment,
    told: Moment,
    percent: u64,
    /// A line on the terminal waits to be written over.
    open: bool,
}

impl<'a> Teller<'a> {
    fn new(out: &'a mut dyn Write, options: &Options) -> Self {
        let now = clock::now();
        Self {
            out,
            verbose: options.verbose || options.dry,
            json: options.json,
            dry: options.dry,
            terminal: io::stdout().is_terminal(),
            block_bytes: 0,
            began: now,
            told: now,
            percent: 0,
            open: false,
        }
    }

    fn line(&mut self, line: &str) {
        let before = if std::mem::take(&mut self.open) { "\r\x1b[K" } else { "" };
        let _ = writeln!(self.out, "{before}{line}");
        let _ = self.out.flush();
    }

    fn begin(&mut self, path: &Path, image: &ImageFile, flash: &Flash, signer: &Signer<'_>) {
        let partition = flash.partition();
        self.block_bytes = partition.erase_bytes.into();
        let name: PathBuf =
            if path == Path::new("-") { "standard input".into() } else { path.into() };
        if self.json {
            let mut object = Object::begin();
            object.text("event", "start");
            object.text("image", &name.to_string_lossy());
            object.number("bytes", image.bytes);
            object.text("partition", &partition.name);
            object.text("device", &format!("/dev/mtd{}", partition.number));
            object.number("block_bytes", partition.erase_bytes.into());
            if let Some(manifest) = &image.manifest {
                object.text("for", &manifest.device);
                object.text("system", &manifest.generation);
                object.text("signature", &signer.to_string());
            }
            self.line(&object.end());
        } else if self.verbose {
            let of = match &image.manifest {
                Some(manifest) => format!("for {}, {signer}", manifest.device),
                None => "without a manifest".into(),
            };
            self.line(&format!(
                "{}: {} bytes, {of}; to {} (/dev/mtd{}), in blocks of {} bytes",
                name.display(),
                image.bytes,
                partition.name,
                partition.number,
                partition.erase_bytes
            ));
        }
    }

    /// A block that fails is worth a line, also where it fares better next time.
    fn trouble(&mut self, order: &Order, event: &Event) {
        let Event::Failed { errno, .. } = event else { return };
        if !self.verbose || self.json {
            return;
        }
        let (what, block) = match order {
            Order::Look(block) => ("asking whether it is bad", block),
            Order::Compare { block, .. } => ("reading", block),
            Order::Erase(block) => ("erasing", block),
            Order::Write { block, .. } => ("writing", block),
            Order::Mark(block) => ("marking as bad", block),
        };
        let error = io::Error::from_raw_os_error((*errno).into());
        self.line(&format!("block {block}: {what} failed: {error}"));
    }

    fn progress(&mut self, now: Moment, progress: &Progress) {
        if !self.verbose && !self.json {
            return;
        }
        let percent = (u64::from(progress.blocks) * 100).checked_div(progress.of.into());
        let percent = percent.unwrap_or(100);
        let millis = now.since(self.told).as_millis() as u64;
        let due = match self.terminal && !self.json {
            true => millis >= TERMINAL_MILLIS,
            false => millis >= LINE_SECONDS * 1000 || percent / 10 != self.percent / 10,
        };
        if !due {
            return;
        }
        (self.told, self.percent) = (now, percent);
        let rate = progress.rate * self.block_bytes / 1000;
        if self.json {
            let mut object = Object::begin();
            object.text("event", "progress");
            object.number("blocks", progress.blocks.into());
            object.number("of", progress.of.into());
            object.number("bytes", u64::from(progress.blocks) * self.block_bytes);
            object.number("bytes_per_second", rate);
            if let Some(left) = progress.left {
                object.millis("left_ms", left);
            }
            return self.line(&object.end());
        }
        let left = progress.left.map_or(String::new(), |left| {
            format!(", {}.{} s left", left.as_secs(), left.subsec_millis() / 100)
        });
        let text = format!(
            "{percent:3} %: {} of {} blocks, {}, {} in a second{left}",
            progress.blocks,
            progress.of,
            megabytes(u64::from(progress.blocks) * self.block_bytes),
            megabytes(rate)
        );
        match self.terminal {
            true => {
                self.open = true;
                let _ = write!(self.out, "\r\x1b[K{text}");
                let _ = self.out.flush();
            }
            false => self.line(&text),
        }
    }

    fn end(&mut self, outcome: &Result<Tally, Failure>) {
        let millis = clock::now().since(self.began).as_millis();
        if self.json {
            let mut object = Object::begin();
            object.text("event", "end");
            match outcome {
                Ok(tally) => {
                    object.truth("ok", true);
                    for (key, value) in [
                        ("same", tally.same),
                        ("written", tally.written),
                        ("erased", tally.erased),
                        ("repeated", tally.repeated),
                        ("bad", tally.bad),
                        ("marked", tally.marked),
                        ("corrected_bits", tally.corrected),
                    ] {
                        object.number(key, value.into());
                    }
                }
                Err(failure) => {
                    object.truth("ok", false);
                    object.text("why", &failure.message);
                    object.text("hint", failure.hint.as_deref().unwrap_or_default());
                }
            }
            object.number("ms", millis as u64);
            return self.line(&object.end());
        }
        if let (true, Ok(tally)) = (self.verbose, outcome) {
            let mut text = match self.dry {
                true => format!(
                    "nothing was changed: {} blocks are the same, {} would be written, {} erased",
                    tally.same, tally.written, tally.erased
                ),
                false => format!(
                    "done: all blocks were read and are as in the image; {} were before, {} were written, {} erased",
                    tally.same, tally.written, tally.erased
                ),
            };
            for (count, what) in [
                (tally.repeated, "writes repeated"),
                (tally.bad, "bad blocks stepped over"),
                (tally.marked, "blocks marked as bad"),
                (tally.corrected, "bits corrected by the flash"),
            ] {
                if count > 0 {
                    text += &format!(", {count} {what}");
                }
            }
            self.line(&format!("{text}; {}.{:02} s", millis / 1000, millis % 1000 / 10));
        } else if self.open {
            self.line("");
        }
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}
