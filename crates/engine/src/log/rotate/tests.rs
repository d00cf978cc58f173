//! Rotation that is interrupted at any step.

use super::*;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

/// A directory in which the power of the one who rotates ends at a chosen step.
#[derive(Clone, Default)]
struct Pretend {
    current: Option<String>,
    closed: bool,
    archives: BTreeMap<Archive, String>,
    sizes: Vec<(Archive, u64)>,
    now: u64,
    steps_left: Option<u32>,
}

struct Killed;

impl Pretend {
    fn live(&mut self) -> Result<(), Killed> {
        match &mut self.steps_left {
            Some(0) => Err(Killed),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn all(&self) -> String {
        let mut all: String = self.archives.values().cloned().collect();
        all.extend(self.current.clone());
        all
    }
}

impl Directory for Pretend {
    type Error = Killed;

    fn today(&mut self) -> Date {
        Date { label: self.now, nanos: 999_999_999 }
    }
    fn archives(&self) -> &[(Archive, u64)] {
        &self.sizes
    }
    fn close_current(&mut self) -> Result<(), Killed> {
        self.live()?;
        self.closed = true;
        Ok(())
    }
    fn archive_current(&mut self, archive: Archive) -> Result<(), Killed> {
        self.live()?;
        let text = self.current.take().expect("current is there");
        self.sizes.push((archive, text.len() as u64));
        assert_eq!(self.archives.insert(archive, text), None, "an archive was replaced");
        Ok(())
    }
    fn open_current(&mut self) -> Result<(), Killed> {
        self.live()?;
        self.current.get_or_insert_default();
        self.closed = false;
        Ok(())
    }
    fn remove(&mut self, archive: Archive) -> Result<(), Killed> {
        self.live()?;
        self.archives.remove(&archive);
        self.sizes.retain(|(other, _)| *other != archive);
        Ok(())
    }
}

#[test]
fn a_rotation_killed_anywhere_loses_and_doubles_nothing() {
    let policy = Policy::default();
    for killed_at in 0..4 {
        let mut directory = Pretend { current: Some("1".into()), ..Pretend::default() };
        directory.steps_left = Some(killed_at);
        let died = rotate(&mut directory, &policy).is_err();
        assert_eq!(died, killed_at < 3);
        directory.steps_left = None;
        assert!(directory.open_current().is_ok());
        assert!(!directory.closed, "nobody may take a growing file for a closed one");
        directory.current.as_mut().expect("it was opened").push('2');
        assert!(rotate(&mut directory, &policy).is_ok());
        assert_eq!(directory.all(), "12", "killed at {killed_at}");
    }
}

#[test]
fn a_clock_set_back_keeps_the_order_of_archives() {
    let mut directory = Pretend { now: 1 << 62, ..Pretend::default() };
    for round in 0..30 {
        if round == 10 {
            directory.now = 5;
        }
        directory.current = Some(round.to_string());
        assert!(rotate(&mut directory, &Policy { archives: 4, ..Policy::default() }).is_ok());
    }
    assert_eq!(directory.all(), "26272829");
}

#[test]
fn the_oldest_go_first_when_there_are_too_many_or_too_much() {
    for (archives, total_bytes, left) in
        [(10, 0, "abbcccdddd"), (2, 0, "cccdddd"), (0, 0, ""), (10, 7, "cccdddd"), (10, 6, "dddd")]
    {
        let mut directory = Pretend::default();
        for (label, text) in ["a", "bb", "ccc", "dddd"].into_iter().enumerate() {
            let date = Date { label: label as u64, nanos: 0 };
            directory.current = Some(text.into());
            assert!(directory.archive_current(Archive { date, finished: true }).is_ok());
        }
        let policy = Policy { archives, total_bytes, ..Policy::default() };
        assert!(trim(&mut directory, &policy).is_ok());
        assert_eq!(directory.all(), left);
    }
}
