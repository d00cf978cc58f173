//! The order in which a tree comes down.

use core::time::Duration;

use model::service::request::End;
use model::time::Moment;

/// Which of init's children something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// What the tree is for.
    Service,
    /// Reads what a service of the scandir says (`NAME/log`): it ends when
    /// there is nothing more to read.
    Reader,
    /// Knows the order; goes when nothing is left to order.
    Manager,
    /// Hears everyone, so goes last.
    Logger,
}

/// How things are while a tree comes down.
#[derive(Clone, Copy, Debug, Default)]
pub struct View {
    /// A manager is between two starts and must be waited for.
    pub managers_away: bool,
    /// A manager has not said yet that all is down.
    pub managers_busy: bool,
    pub services_alive: bool,
    pub readers_alive: bool,
    pub managers_alive: bool,
    pub logger_alive: bool,
    /// Any process at all; only pid 1 looks.
    pub processes_alive: bool,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Tell every manager to bring its services down in order.
    AskManagers,
    Down(Class),
    /// They had their time.
    Kill(Class),
    /// Signal every process there is.
    SignalAll(u8),
    /// Everything is down: end like this.
    Finish(End),
}

/// Stages, each with the time it has before force is used, and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Return,
    Graph,
    Services,
    Readers,
    Managers,
    Logger,
    Processes,
    Over,
}

impl Stage {
    fn patience(self) -> Duration {
        Duration::from_secs(match self {
            // Every service has its own `timeout-down` and `timeout-kill`;
            // this is for the manager that cannot go on.
            Self::Graph => 60,
            Self::Services => 10,
            Self::Return | Self::Readers | Self::Managers | Self::Logger => 5,
            Self::Processes => 3,
            Self::Over => 0,
        })
    }

    fn next(self) -> Self {
        match self {
            Self::Return => Self::Graph,
            Self::Graph => Self::Services,
            Self::Services => Self::Readers,
            Self::Readers => Self::Managers,
            Self::Managers => Self::Logger,
            Self::Logger => Self::Processes,
            Self::Processes | Self::Over => Self::Over,
        }
    }

    fn done(self, view: &View) -> bool {
        match self {
            Self::Return => !view.managers_away,
            Self::Graph => !view.managers_busy,
            Self::Services => !view.services_alive,
            Self::Readers => !view.readers_alive,
            Self::Managers => !view.managers_alive,
            Self::Logger => !view.logger_alive,
            Self::Processes => !view.processes_alive,
            Self::Over => true,
        }
    }

    fn begin(self) -> Option<Order> {
        Some(match self {
            Self::Graph => Order::AskManagers,
            Self::Services => Order::Down(Class::Service),
            Self::Readers => Order::Down(Class::Reader),
            Self::Managers => Order::Down(Class::Manager),
            Self::Logger => Order::Down(Class::Logger),
            Self::Processes => Order::SignalAll(15),
            Self::Return | Self::Over => return None,
        })
    }

    fn force(self) -> Option<Order> {
        Some(match self {
            Self::Services => Order::Kill(Class::Service),
            Self::Readers => Order::Kill(Class::Reader),
            Self::Managers => Order::Kill(Class::Manager),
            Self::Logger => Order::Kill(Class::Logger),
            Self::Processes => Order::SignalAll(9),
            Self::Return | Self::Graph | Self::Over => return None,
        })
    }
}

/// After SIGKILL a process can only be held by the kernel; no longer than this.
const AFTER_FORCE: Duration = Duration::from_secs(2);

/// A tree that comes down.
#[derive(Clone, Debug)]
pub struct Ending {
    end: End,
    stage: Stage,
    forced: bool,
    deadline: Moment,
    asked: bool,
}

impl Ending {
    pub fn new(end: End, now: Moment) -> Self {
        let stage = Stage::Return;
        Self { end, stage, forced: false, deadline: now + stage.patience(), asked: false }
    }

    pub fn end(&self) -> End {
        self.end
    }

    /// A later word on how it shall end.
    pub fn set_end(&mut self, end: End) {
        self.end = end;
    }

    pub fn deadline(&self) -> Moment {
        self.deadline
    }

    /// Nothing may be started any more ([`crate::service::init::Init::close`]):
    /// all goes down without the managers. What one of them, or anybody,
    /// orders late would start something that nobody ends.
    pub fn is_past_managers(&self) -> bool {
        !matches!(self.stage, Stage::Return | Stage::Graph)
    }

    /// The next thing to do, `None` where there is only waiting until
    /// something changes or the deadline comes. To be called until `None`.
    pub fn next(&mut self, now: Moment, view: &View) -> Option<Order> {
        loop {
            if !self.asked {
                self.asked = true;
                // Nothing to ask of a stage that has nobody.
                if (!self.stage.done(view) || self.stage == Stage::Graph)
                    && let Some(order) = self.stage.begin()
                {
                    return Some(order);
                }
            }
            if self.stage == Stage::Over {
                return Some(Order::Finish(self.end));
            }
            if self.stage.done(view) || (self.forced && self.deadline <= now) {
                self.enter(self.stage.next(), now);
                continue;
            }
            if self.deadline > now {
                return None;
            }
            self.forced = true;
            self.deadline = now + AFTER_FORCE;
            match self.stage.force() {
                Some(order) => return Some(order),
                None => self.enter(self.stage.next(), now),
            }
        }
    }

    fn enter(&mut self, stage: Stage, now: Moment) {
        self.stage = stage;
        self.forced = false;
        self.asked = false;
        self.deadline = now + stage.patience();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn orders(ending: &mut Ending, now: Moment, view: &View) -> Vec<Order> {
        core::iter::from_fn(|| ending.next(now, view)).take(10).collect()
    }

    #[test]
    fn each_class_goes_once_the_one_before_is_gone() {
        let now = Moment::from_nanos(0);
        let mut ending = Ending::new(End::Halt, now);
        let mut view = View {
            managers_busy: true,
            managers_alive: true,
            logger_alive: true,
            ..View::default()
        };
        assert_eq!(orders(&mut ending, now, &view), [Order::AskManagers]);
        view.managers_busy = false;
        assert_eq!(orders(&mut ending, now, &view), [Order::Down(Class::Manager)]);
        view.managers_alive = false;
        assert_eq!(orders(&mut ending, now, &view), [Order::Down(Class::Logger)]);
        view.logger_alive = false;
        assert_eq!(ending.next(now, &view), Some(Order::Finish(End::Halt)));
    }

    #[test]
    fn nobody_can_keep_it_from_ending() {
        let mut now = Moment::from_nanos(0);
        let mut ending = Ending::new(End::Reboot, now);
        let view = View {
            managers_away: true,
            managers_busy: true,
            services_alive: true,
            readers_alive: true,
            managers_alive: true,
            logger_alive: true,
            processes_alive: true,
        };
        let mut seen = Vec::new();
        for _ in 0..40 {
            while let Some(order) = ending.next(now, &view) {
                if order == Order::Finish(End::Reboot) {
                    assert!(seen.contains(&Order::Kill(Class::Service)));
                    assert_eq!(seen.last(), Some(&Order::SignalAll(9)));
                    return;
                }
                seen.push(order);
            }
            now = ending.deadline();
        }
        panic!("it never ended: {seen:?}");
    }
}
