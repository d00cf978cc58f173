//! From a system on flash to one in memory, without the boot loader: every service is down already.
//!
//! It ends in the system in memory, once nothing at all holds the flash, or in a restart of the
//! machine, which finds the system on flash as it was. In the midst of it the program becomes
//! another one: the machine is in two halves, of which the second knows nothing of the first.

use core::time::Duration;

use model::time::Moment;

/// What to do now. But for those that say otherwise, each is answered by [`SoftRestart::done`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// No memory lies on a disk or in flash any more.
    EndSwap,
    /// Take what the kernel shows (devices, processes) along to the new root.
    TakeAlong,
    /// Make the new root the root. The old one is seen below it from then on.
    Enter,
    /// Become the program in the new root: an answer says that it failed.
    Become,
    /// Signal every process that there is.
    Signal(u8),
    /// Let go of files that are used as disks.
    FreeLoops,
    /// Unmount all of the old root, the last that was mounted first.
    Unmount,
    /// Look for anything that holds flash.
    Prove,
    /// Nothing to do before this moment, or before something happens. Not answered.
    Wait(Moment),
    /// All is well: start the services of the new system. The last one; not answered.
    Serve,
    /// Restart the machine: this is what could not be done. The last one; not answered.
    Reboot(Step),
}

/// What a soft restart can fail at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    EndSwap,
    TakeAlong,
    Enter,
    Become,
    Unmount,
    Prove,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It cannot be done, or something is still in use.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    EndSwap,
    TakeAlong,
    Enter,
    Become,
    /// Processes were told to end, with this signal.
    Processes {
        signal: u8,
        deadline: Moment,
    },
    Loops {
        deadline: Moment,
    },
    Unmount {
        deadline: Moment,
    },
    Prove {
        deadline: Moment,
    },
    /// What is in use may be let go.
    Pause {
        until: Moment,
        deadline: Moment,
    },
    Over,
    Failed(Step),
}

const TERM: u8 = 15;
const KILL: u8 = 9;

/// How long a process that was asked to end has, and one that was killed: only the kernel can hold
/// that.
const AFTER_TERM: Duration = Duration::from_secs(1);
const AFTER_KILL: Duration = Duration::from_secs(3);

/// How long something may be in use that nobody uses any more, and how often is looked after it.
const IN_USE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);

#[derive(Clone, Debug)]
pub struct SoftRestart {
    stage: Stage,
    /// The order of this stage was given.
    asked: bool,
}

impl SoftRestart {
    /// In the old system, once all is down.
    pub fn leave() -> Self {
        Self { stage: Stage::EndSwap, asked: false }
    }

    /// In the new root, as the program that the old one has become.
    pub fn arrive(now: Moment) -> Self {
        let stage = Stage::Processes { signal: TERM, deadline: now + AFTER_TERM };
        Self { stage, asked: false }
    }

    /// The next thing to do. `processes`: there is any process besides this one.
    pub fn next(&mut self, now: Moment, processes: bool) -> Order {
        loop {
            match self.stage {
                Stage::EndSwap => return Order::EndSwap,
                Stage::TakeAlong => return Order::TakeAlong,
                Stage::Enter => return Order::Enter,
                Stage::Become => return Order::Become,
                Stage::Processes { .. } if !processes => {
                    self.enter(Stage::Loops { deadline: now + IN_USE });
                }
                Stage::Processes { signal, .. } if !self.asked => {
                    return Order::Signal(signal);
                }
                Stage::Processes { signal: TERM, deadline } if deadline <= now => {
                    self.enter(Stage::Processes { signal: KILL, deadline: now + AFTER_KILL });
                }
                // It may hold nothing of the old root: what follows shows that.
                Stage::Processes { deadline, .. } if deadline <= now => {
                    self.enter(Stage::Loops { deadline: now + IN_USE });
                }
                Stage::Processes { deadline, .. } => return Order::Wait(deadline.min(now + LOOK)),
                Stage::Loops { .. } => return Order::FreeLoops,
                Stage::Unmount { .. } => return Order::Unmount,
                Stage::Prove { .. } => return Order::Prove,
                Stage::Pause { until, deadline } if until <= now => {
                    self.enter(Stage::Loops { deadline });
                }
                Stage::Pause { until, .. } => return Order::Wait(until),
                Stage::Over => return Order::Serve,
                Stage::Failed(step) => return Order::Reboot(step),
            }
        }
    }

    /// What was ordered last has been tried.
    pub fn done(&mut self, now: Moment, outcome: Outcome) {
        let next = match (self.stage, outcome) {
            (Stage::EndSwap, Outcome::Done) => Stage::TakeAlong,
            (Stage::TakeAlong, Outcome::Done) => Stage::Enter,
            (Stage::Enter, Outcome::Done) => Stage::Become,
            // Who has become another program does not come back.
            (Stage::Become, _) => Stage::Failed(Step::Become),
            (Stage::EndSwap, Outcome::Failed) => Stage::Failed(Step::EndSwap),
            (Stage::TakeAlong, Outcome::Failed) => Stage::Failed(Step::TakeAlong),
            (Stage::Enter, Outcome::Failed) => Stage::Failed(Step::Enter),
            (Stage::Processes { .. }, _) => {
                self.asked = true;
                return;
            }
            // One that is left is found again by the proof.
            (Stage::Loops { deadline }, _) => Stage::Unmount { deadline },
            (Stage::Unmount { deadline }, Outcome::Done) => Stage::Prove { deadline },
            (Stage::Unmount { deadline }, Outcome::Failed) => {
                Self::again(now, deadline, Step::Unmount)
            }
            (Stage::Prove { .. }, Outcome::Done) => Stage::Over,
            (Stage::Prove { deadline }, Outcome::Failed) => Self::again(now, deadline, Step::Prove),
            (Stage::Pause { .. } | Stage::Over | Stage::Failed(_), _) => return,
        };
        self.enter(next);
    }

    fn again(now: Moment, deadline: Moment, step: Step) -> Stage {
        match deadline <= now {
            true => Stage::Failed(step),
            false => Stage::Pause { until: now + LOOK, deadline },
        }
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.asked = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn what_cannot_be_done_in_the_old_system_restarts_the_machine() {
        let steps = [
            (Order::EndSwap, Step::EndSwap),
            (Order::TakeAlong, Step::TakeAlong),
            (Order::Enter, Step::Enter),
            (Order::Become, Step::Become),
        ];
        let now = Moment::from_nanos(1);
        for (fails, step) in steps {
            let mut machine = SoftRestart::leave();
            let mut orders = Vec::new();
            let last = loop {
                let order = machine.next(now, false);
                if matches!(order, Order::Reboot(_) | Order::Serve) {
                    break order;
                }
                orders.push(order);
                let outcome = if order == fails { Outcome::Failed } else { Outcome::Done };
                machine.done(now, outcome);
            };
            assert_eq!(last, Order::Reboot(step));
            assert_eq!(orders.last(), Some(&fails), "nothing follows what has failed");
        }
    }

    #[test]
    fn in_the_new_root_all_goes_in_order() {
        let mut machine = SoftRestart::arrive(Moment::ZERO);
        let mut now = Moment::ZERO;
        let mut orders = Vec::new();
        loop {
            // One process needs to be killed.
            let processes = !orders.contains(&Order::Signal(KILL));
            match machine.next(now, processes) {
                Order::Wait(until) => now = until,
                Order::Serve => break,
                order => {
                    orders.push(order);
                    machine.done(now, Outcome::Done);
                }
            }
        }
        use Order::{FreeLoops, Prove, Signal, Unmount};
        assert_eq!(orders, [Signal(TERM), Signal(KILL), FreeLoops, Unmount, Prove]);
        assert_eq!(now, Moment::ZERO + AFTER_TERM);
    }

    #[test]
    fn what_stays_in_use_restarts_the_machine_in_good_time() {
        for (fails, step) in [(Order::Unmount, Step::Unmount), (Order::Prove, Step::Prove)] {
            let mut machine = SoftRestart::arrive(Moment::ZERO);
            let mut now = Moment::ZERO;
            let end = loop {
                match machine.next(now, true) {
                    Order::Wait(until) => now = until,
                    order @ (Order::Serve | Order::Reboot(_)) => break order,
                    order if order == fails => machine.done(now, Outcome::Failed),
                    _ => machine.done(now, Outcome::Done),
                }
            };
            assert_eq!(end, Order::Reboot(step));
            assert!(now <= Moment::ZERO + AFTER_TERM + AFTER_KILL + IN_USE + LOOK, "{now:?}");
        }
    }
}
