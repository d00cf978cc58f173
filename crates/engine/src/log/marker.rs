//! When the logger has to write a mark ([`model::log::mark`]).

use model::limits::LOG_MARK_BYTES_MAX;
use model::log::line::Lines;
use model::log::mark::{Boot, Mark};
use model::time::{Date, Moment};

/// Knows the last mark. A new logger knows none, and begins with one.
#[derive(Debug)]
pub struct Marker {
    boot: Boot,
    last: Option<Mark>,
    /// Bytes of `current` when it was written.
    at: u64,
}

impl Marker {
    pub fn new(boot: Boot) -> Self {
        Self { boot, last: None, at: 0 }
    }

    /// Appends the mark that has to stand before what is written now into a
    /// `current` of `length` bytes, and answers it; call [`Self::written`] with it then.
    /// A new file begins with one, one stands wherever the clock was set, and one in every so many
    /// bytes, so that whoever looks somewhere into a file finds one near.
    ///
    /// `clocks` reads both at once; it is asked again before a step is believed.
    pub fn due(
        &self,
        clocks: &mut dyn FnMut(bool) -> (Date, Moment),
        length: u64,
        log: &mut Lines,
    ) -> (Date, Option<Mark>) {
        let (mut today, now) = clocks(false);
        let mut mark = Mark::new(self.boot, today, now);
        let mut step = 0;
        if let (Some(last), Some(new)) = (&self.last, &mark) {
            if last.step_to(new) != 0 {
                let (again, now) = clocks(true);
                today = again;
                mark = Mark::new(self.boot, today, now);
                step = mark.map_or(0, |new| last.step_to(&new));
            }
            let near = (self.at..self.at + LOG_MARK_BYTES_MAX).contains(&length) && length > 0;
            if step == 0 && near {
                return (today, None);
            }
        }
        if let Some(mark) = &mark {
            mark.write(today, step, log);
        }
        (today, mark)
    }

    /// The log has it, and is `length` bytes long with it.
    pub fn written(&mut self, mark: Mark, length: u64) {
        (self.last, self.at) = (Some(mark), length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::log::line::Line;

    const BOOT: Boot = *b"0a1b2c3d-1111-2222-3333-0123456789ab";
    const SECOND: u64 = 1_000_000_000;

    /// A marker, both clocks, and a log that only counts its bytes.
    struct World {
        marker: Marker,
        wall: i64,
        up: u64,
        length: u64,
    }

    impl World {
        /// What a line of this length has before it.
        fn line(&mut self, bytes: u64) -> String {
            let mut log = Lines::new(0);
            let both = (Date::from_nanos(self.wall), Moment::from_nanos(self.up));
            let (today, mark) = self.marker.due(&mut |_| both, self.length, &mut log);
            let log = log.as_bytes();
            assert_eq!((today, mark.is_some()), (both.0, !log.is_empty()));
            self.length += log.len() as u64;
            if let Some(mark) = mark {
                let line = Line::read(log.strip_suffix(b"\n").unwrap(), true);
                assert_eq!(Mark::read(&line), Some(mark));
                self.marker.written(mark, self.length);
            }
            self.length += bytes;
            String::from_utf8(log[log.len().min(26 + 8 + 5 + 37)..].to_vec()).unwrap()
        }

        fn pass(&mut self, nanos: u64) {
            self.wall += nanos as i64;
            self.up += nanos;
        }
    }

    use alloc::string::String;

    fn world() -> World {
        World { marker: Marker::new(BOOT), wall: 20 * SECOND as i64, up: 5 * SECOND, length: 900 }
    }

    #[test]
    fn a_mark_stands_first_in_each_file_where_the_clock_was_set_and_now_and_then() {
        let mut world = world();
        assert_eq!(world.line(50), "up 5.000000000\n", "a logger begins with one");
        world.pass(1_000 * SECOND);
        assert_eq!(world.line(50), "", "time passes");
        world.wall += 1_700_000_000 * SECOND as i64;
        assert_eq!(world.line(50), "up 1005.000000000 step +1700000000.000000000\n");
        assert_eq!(world.line(50), "", "it is said once");
        world.wall -= SECOND as i64;
        assert_eq!(world.line(50), "", "a second is no step");
        world.wall -= 500_000_000;
        assert_eq!(world.line(50), "up 1005.000000000 step -1.500000000\n", "small ones add up");
        world.length = 0;
        assert_eq!(world.line(50), "up 1005.000000000\n", "a new file");
        assert_eq!(world.line(LOG_MARK_BYTES_MAX - 1), "");
        assert_eq!(world.line(50), "up 1005.000000000\n", "far from the last one");
        world.length = 300;
        assert_eq!(world.line(50), "up 1005.000000000\n", "a shorter file is another");
    }

    #[test]
    fn clocks_that_were_read_far_apart_are_read_again() {
        let world = world();
        let mut marker = world.marker;
        let right = (Date::from_nanos(world.wall), Moment::from_nanos(world.up));
        let late = (Date::from_nanos(world.wall + 5 * SECOND as i64), right.1);
        let mut log = Lines::new(0);
        let (_, mark) = marker.due(&mut |_| right, 0, &mut log);
        marker.written(mark.unwrap(), 100);
        let mut asked = alloc::vec::Vec::new();
        let mut clocks = |again| {
            asked.push(again);
            if again { right } else { late }
        };
        log.clear();
        assert_eq!(marker.due(&mut clocks, 200, &mut log), (right.0, None));
        assert_eq!((asked, log.as_bytes()), (alloc::vec![false, true], &b""[..]));
    }

    #[test]
    fn a_clock_that_no_mark_can_say_is_no_reason_to_fail() {
        let marker = Marker::new(BOOT);
        let far = (Date { label: u64::MAX >> 1, nanos: 0 }, Moment::from_nanos(0));
        let mut log = Lines::new(0);
        assert_eq!(marker.due(&mut |_| far, 0, &mut log), (far.0, None));
        assert_eq!(log.as_bytes(), b"");
    }
}
