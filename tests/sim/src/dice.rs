//! A small generator of chance: the same seed throws the same.

use std::cell::Cell;
use std::sync::Once;
use std::time::Duration;

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014).
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d }
    }

    /// Any number.
    pub fn throw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0..end; 0 where `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.throw() % end as u64) as usize }
    }

    /// True so many times out of a hundred.
    pub fn percent(&mut self, chance: u32) -> bool {
        self.below(100) < chance as usize
    }

    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.throw() % (to - from + 1))
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { Some(&of[self.below(of.len())]) }
    }
}

/// The seeds a test plays: all below `count`, `SEEDS` times as many, or the one
/// that `SEED` names.
pub fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let range = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..count * number("SEEDS").unwrap_or(1),
    };
    say_how_to_play_it_again();
    range.inspect(|seed| CURRENT.set(*seed))
}

/// The seed that is being played, for messages.
pub fn current_seed() -> u64 {
    CURRENT.get()
}

thread_local! {
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

/// Whatever breaks a story off, also a panic of the machine itself, is followed
/// by the command that plays it again.
fn say_how_to_play_it_again() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            let thread = std::thread::current();
            let test = thread.name().unwrap_or_default();
            eprintln!("play it again: cargo xtask sim --seed {} {test}", current_seed());
            if std::env::var_os("FIRST").is_some() {
                std::process::exit(101);
            }
        }));
    });
}
