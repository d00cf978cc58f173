//! One core for what is measured, and another, where there is one, for the
//! bench while it watches.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

#[derive(Clone, Copy)]
pub struct Cores {
    measured: usize,
    watching: usize,
}

impl Cores {
    /// Takes the last core for what is measured: the first one has most of
    /// the machine's own work.
    pub fn choose() -> Self {
        let allowed = sched_getaffinity(None).expect("a process knows its own cores");
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let watching = cores.next().expect("this runs somewhere");
        let cores = Self { measured: cores.next_back().unwrap_or(watching), watching };
        go_to(cores.watching);
        cores
    }

    /// Runs `work` on the core that is measured. What it starts stays there.
    pub fn measured<T>(&self, work: impl FnOnce() -> T) -> T {
        go_to(self.measured);
        let done = work();
        go_to(self.watching);
        done
    }
}

fn go_to(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).expect("a core that is allowed can be chosen");
}
