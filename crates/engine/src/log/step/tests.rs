//! A logger that is killed at any step.

use super::*;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use model::log::journal::{RECORD_BYTES, count_taken};

const BOOT: u64 = 77;
const PIPE: u64 = 5;
const FILE: u64 = 9;

/// What outlives the logger, and the moment at which it is killed: `left`
/// counts down with every byte that moves and before and after every call.
#[derive(Clone)]
struct Pretend {
    log: Vec<u8>,
    pipe: VecDeque<u8>,
    record: [u8; RECORD_BYTES],
    expected: Vec<u8>,
    taken: Vec<u8>,
    left: Option<u32>,
    lost: u64,
    /// Bytes that the disk still takes.
    disk: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Killed,
    DiskFull,
}

impl Pretend {
    fn new(pipe: &[u8]) -> Self {
        Self {
            log: b"older\n".to_vec(),
            pipe: pipe.iter().copied().collect(),
            record: [0xaa; RECORD_BYTES],
            expected: vec![0; 64],
            taken: vec![0; 64],
            left: None,
            lost: 0,
            disk: usize::MAX,
        }
    }

    /// `false`: killed here.
    fn live(&mut self) -> bool {
        match &mut self.left {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    /// One life of the logger: ends what was under way, then logs lines until
    /// the pipe is empty.
    fn life(&mut self) -> Result<(), Stuck<Wrong>> {
        recover(self, BOOT)?;
        while !self.pipe.is_empty() {
            // Two lines a step, from a pipe that may have just got more.
            let ends: Vec<usize> =
                (0..self.pipe.len()).filter(|&at| self.pipe[at] == b'\n').take(2).collect();
            let count = ends.last().expect("only whole lines here") + 1;
            for at in 0..count {
                if !self.live() {
                    return Err(Stuck::World(Wrong::Killed));
                }
                self.expected[at] = self.pipe[at];
            }
            let mut text = Vec::new();
            for line in self.expected[..count].split_inclusive(|&byte| byte == b'\n') {
                text.push(b'>');
                text.extend_from_slice(line);
            }
            step(self, Record { boot: BOOT, pipe: PIPE, ..Record::default() }, count, &text)?;
        }
        Ok(())
    }
}

impl World for Pretend {
    type Error = Wrong;

    fn record(&mut self) -> Record {
        Record::from_bytes(&self.record).unwrap_or_default()
    }

    fn set_record(&mut self, record: Record) {
        for (at, byte) in record.to_bytes().into_iter().enumerate() {
            if !self.live() {
                return;
            }
            self.record[at] = byte;
        }
    }

    fn oppose(&mut self, count: usize) {
        for at in 0..count {
            if !self.live() {
                return;
            }
            self.taken[at] = !self.expected[at];
        }
    }

    fn taken(&mut self, count: usize) -> usize {
        count_taken(&self.expected[..count], &self.taken[..count])
    }

    fn log(&mut self) -> Result<(u64, u64), Wrong> {
        if !self.live() {
            return Err(Wrong::Killed);
        }
        Ok((FILE, self.log.len() as u64))
    }

    fn append(&mut self, text: &[u8]) -> Result<usize, Wrong> {
        if self.left != Some(0) && self.disk == 0 {
            return Err(Wrong::DiskFull);
        }
        for (count, byte) in text.iter().enumerate() {
            if self.disk == 0 {
                return Ok(count);
            }
            if !self.live() {
                return Err(Wrong::Killed);
            }
            self.log.push(*byte);
            self.disk -= 1;
        }
        Ok(text.len())
    }

    fn truncate(&mut self, length: u64) -> Result<(), Wrong> {
        if !self.live() {
            return Err(Wrong::Killed);
        }
        self.disk = self.disk.saturating_add(self.log.len() - length as usize);
        self.log.truncate(length as usize);
        Ok(())
    }

    fn whole_lines(&mut self, before: u64, count: usize) -> Result<(u32, u32), Wrong> {
        if !self.live() {
            return Err(Wrong::Killed);
        }
        let added = &self.log[before as usize..];
        let end = added.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let lines = added[..end].iter().filter(|&&byte| byte == b'\n').count();
        let held = self.expected[..count].split_inclusive(|&byte| byte == b'\n').take(lines);
        Ok((end as u32, held.map(<[u8]>::len).sum::<usize>() as u32))
    }

    fn take(&mut self, pipe: u64, from: usize, until: usize) -> Result<usize, Wrong> {
        assert_eq!(pipe, PIPE);
        for at in from..until {
            if !self.live() {
                return Err(Wrong::Killed);
            }
            self.taken[at] = self.pipe.pop_front().expect("the bytes are still there");
        }
        Ok(until - from)
    }

    fn set_lost(&mut self, pipe: u64, lines: u64) {
        assert_eq!(pipe, PIPE);
        if self.live() {
            self.lost = lines;
        }
    }
}

/// Equal lines, so that comparing bytes alone could not tell what was taken.
const LINES: &[u8] = b"aa\naa\naa\n\naa\nb\n";
const LOGGED: &[u8] = b"older\n>aa\n>aa\n>aa\n>\n>aa\n>b\n";

#[test]
fn killed_at_any_step_and_again_while_recovering_each_line_is_there_once() {
    let mut lives = 0_u32;
    let mut first_kill = 0;
    loop {
        let mut killed_once = Pretend::new(LINES);
        killed_once.left = Some(first_kill);
        if killed_once.life() == Ok(()) && killed_once.left != Some(0) {
            break; // It lived to the end.
        }
        for second_kill in 0..200 {
            let mut world = killed_once.clone();
            world.left = Some(second_kill);
            let survived = world.life() == Ok(()) && world.left != Some(0);
            world.left = None;
            assert_eq!(world.life(), Ok(()));
            assert_eq!(
                world.log.escape_ascii().to_string(),
                LOGGED.escape_ascii().to_string(),
                "killed at {first_kill}, then at {second_kill}"
            );
            lives += 1;
            if survived {
                break;
            }
        }
        first_kill += 1;
    }
    assert!(lives > 10_000, "only {lives} lives were tried");
}

#[test]
fn a_whole_line_that_a_reader_has_seen_is_never_taken_back() {
    for kill in 0..400 {
        let mut world = Pretend::new(LINES);
        world.left = Some(kill);
        let _ = world.life();
        let end = world.log.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let seen = world.log[..end].to_vec();
        for again in 0..60 {
            let mut world = world.clone();
            world.left = Some(again);
            let _ = world.life();
            assert!(world.log.starts_with(&seen), "killed at {kill}, then at {again}");
        }
    }
}

#[test]
fn what_is_written_while_the_logger_is_dead_comes_after_what_was_there() {
    for kill in 0..400 {
        let mut world = Pretend::new(b"aa\naa\n");
        world.left = Some(kill);
        let _ = world.life();
        world.left = None;
        world.pipe.extend(b"aa\nzz\n");
        assert_eq!(world.life(), Ok(()));
        assert_eq!(world.log, b"older\n>aa\n>aa\n>aa\n>zz\n", "killed at {kill}");
    }
}

#[test]
fn a_full_disk_leaves_no_half_line_and_takes_no_other() {
    for room in 0..LOGGED.len() - 6 {
        let mut world = Pretend::new(LINES);
        world.disk = room;
        let stuck = world.life().expect_err("it cannot hold everything");
        assert!(matches!(stuck, Stuck::Short | Stuck::World(Wrong::DiskFull)));
        assert!(LOGGED.starts_with(&world.log), "{}", world.log.escape_ascii());
        assert_eq!(world.log.last(), Some(&b'\n'));
        let lines = |text: &[u8]| text.iter().filter(|&&byte| byte == b'\n').count();
        let left: Vec<u8> = world.pipe.iter().copied().collect();
        assert_eq!(lines(&world.log) - 1 + lines(&left), 6, "room for {room}");
        world.disk = usize::MAX;
        assert_eq!(world.life(), Ok(()));
        assert_eq!(world.log, LOGGED, "room for {room}");
    }
}

#[test]
fn the_pipe_of_another_boot_keeps_its_bytes() {
    let mut world = Pretend::new(b"new\n");
    let record = Record { boot: 1, pipe: PIPE, taken: 4, under_way: true, ..Record::default() };
    world.record = record.to_bytes();
    world.taken.fill(1);
    assert_eq!(world.life(), Ok(()));
    assert_eq!(world.log, b"older\n>new\n");
}

#[test]
fn a_log_that_somebody_moved_away_is_not_cut() {
    let mut world = Pretend::new(b"new\n");
    let record = Record {
        boot: BOOT,
        pipe: PIPE,
        file: 1,
        written: 9,
        taken: 4,
        under_way: true,
        before: 2,
        lost: 0,
    };
    world.record = record.to_bytes();
    world.taken.fill(1);
    assert_eq!(world.life(), Ok(()));
    assert_eq!(world.log, b"older\n>new\n");
}

#[test]
fn lines_that_are_given_up_are_counted_and_told_once_whenever_it_is_killed() {
    const GIVEN_UP: usize = 6; // two lines
    let plan = |lost| Record { boot: BOOT, pipe: PIPE, lost, ..Record::default() };
    for kill in 0..400 {
        for again in [Some(kill / 3), None] {
            let mut world = Pretend::new(LINES);
            for left in [Some(kill), again, None, None, None] {
                world.left = left;
                if recover(&mut world, BOOT).is_ok() && world.left != Some(0) {
                    if world.lost > 0 {
                        let text = format!("{} lost\n", world.lost);
                        let _ = step(&mut world, plan(0), 0, text.as_bytes());
                    } else if world.pipe.len() == LINES.len() && world.log.len() == 6 {
                        world.expected[..GIVEN_UP].copy_from_slice(&LINES[..GIVEN_UP]);
                        let _ = step(&mut world, plan(2), GIVEN_UP, b"");
                    }
                }
            }
            assert_eq!(world.life(), Ok(()));
            let log = world.log.escape_ascii().to_string();
            assert!(log == r"older\n2 lost\n>aa\n>\n>aa\n>b\n", "killed at {kill}: {log}");
            assert_eq!((world.lost, world.record().under_way), (0, false));
        }
    }
}
