//! What the kernel says stands in the log, too.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use engine::log::keep::Recent;
use engine::log::step::Stuck;
use model::limits::LOG_TURN_BYTES_MAX;
use model::log::journal::{KERNEL, Record as Plan};
use model::log::kernel::{RECORD_BYTES_MAX, Record, SERVICE};
use model::log::line::head;
use model::log::{loss, mark};
use rustix::fs::{Mode, OFlags, SeekFrom, open, seek};
use rustix::io::{Errno, read};

use super::{Collector, Written};

/// Bytes that each line has beside its text: more than a label, a name and a newline.
const HEAD_BYTES: usize = 40;

/// Bytes of a record's number, with its newline.
const NUMBER_BYTES_MAX: usize = 21;

/// `/dev/kmsg`: each read takes one record, which stays there for others. Which was logged last is
/// in the journal.
pub struct Kernel {
    pub(super) file: OwnedFd,
    pub(super) queued: bool,
    pub(super) recent: Recent,
}

impl Kernel {
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = open(path, flags, Mode::empty())?;
        Ok(Self { file, queued: true, recent: Recent::default() })
    }
}

impl Collector {
    /// The kernel's turn: some of what it said since the last one.
    pub(super) fn turn_of_kernel(&mut self) {
        let Some(mut kernel) = self.kernel.take_if(|kernel| kernel.queued) else { return };
        match self.log_records(&mut kernel) {
            Ok(more) => kernel.queued = more,
            Err(_) => {
                // From the oldest on: what was logged is known by its number.
                let _ = seek(&kernel.file, SeekFrom::Start(0));
                self.stall();
            }
        }
        self.kernel = Some(kernel);
    }

    /// Logs records as far as `current` has room; says whether there may be more.
    fn log_records(&mut self, kernel: &mut Kernel) -> Result<bool, Stuck<io::Error>> {
        let mut more = true;
        let mut numbers = Vec::new();
        // Where each line ends, and whether it is the kernel's.
        let (mut lines, mut ends) = (Vec::new(), Vec::new());
        let mut bytes = [0; RECORD_BYTES_MAX];
        let mut next = self.journal.next_record();
        let limit = self.room_in_current();
        while lines.len() + HEAD_BYTES * ends.len() < limit
            && numbers.len() + 2 * NUMBER_BYTES_MAX <= LOG_TURN_BYTES_MAX
        {
            let record = match read(&kernel.file, &mut bytes) {
                Ok(count) if count > 0 => Record::read(&bytes[..count]),
                // It was overwritten, which the next number says, or does not fit.
                Err(Errno::PIPE | Errno::INTR | Errno::INVAL) => None,
                _ => {
                    more = false;
                    break;
                }
            };
            let Some(record) = record.filter(|record| record.number >= next) else { continue };
            let missing = record.number - next;
            if missing > 0 && next > 0 {
                lines.extend_from_slice(loss::text(missing, SERVICE).as_bytes());
                ends.push((lines.len(), false));
                model::label::append(record.number - 1, 1, &mut numbers);
                numbers.push(b'\n');
            }
            record.append_text(&mut lines);
            ends.push((lines.len(), true));
            model::label::append(record.number, 1, &mut numbers);
            numbers.push(b'\n');
            next = record.number.saturating_add(1);
        }
        if numbers.is_empty() {
            return Ok(more);
        }
        let label = self.mark()?.label_text();
        let (head, own) = (head(&label, SERVICE), head(&label, mark::SERVICE));
        self.text.clear();
        let mut start = 0;
        for (end, is_kernels) in ends {
            self.text.push(if is_kernels { &head } else { &own }, &lines[start..end], false);
            start = end;
        }
        // In the place of bytes in a pipe: a line of the log for each line here.
        self.journal.expected_mut()[..numbers.len()].copy_from_slice(&numbers);
        let plan = Plan { pipe: KERNEL, ..Plan::default() };
        let Written { taken, from, bytes } = self.write(plan, None, numbers.len())?;
        kernel.recent.said(from, bytes, self.room().each);
        if taken < numbers.len() {
            return Err(Stuck::Short);
        }
        self.rotate_if_full()?;
        Ok(more)
    }
}
