//! What the manager knows of one service.

use model::service::database::Index;
use model::service::live_state::{
    AGAIN, AWAITED, RUN_SHIFT, STARTING, STOPPING, TICKET_SCRIPT_BITS, UP, WANTED,
};
use model::service::reason::Reason;
use model::service::request::{Phase, SlotState};
use model::time::Moment;

use super::links::NONE;

/// What a service is, as far as the graph goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Actual {
    #[default]
    Down,
    /// Ordered to start.
    Starting,
    /// Its start was called off; what it left is being ended. Counts as down.
    Failing,
    /// Up. Its process may die and be restarted by init: it stays up.
    Up,
    /// Up, but init held it down; it is being brought back.
    Reviving,
    /// Up; its reload script runs.
    Reloading,
    /// Ordered to stop.
    Stopping,
    /// Up: it did not stop in time. What was ordered goes on.
    Lingering,
}

impl Actual {
    /// For everybody who asks: up or down.
    pub fn is_up(self) -> bool {
        use Actual::*;
        matches!(self, Up | Reviving | Reloading | Stopping | Lingering)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Unit {
    /// What init last said.
    pub state: SlotState,
    pub has_slot: bool,
    pub oneshot: bool,
    pub actual: Actual,
    /// It shall be up.
    pub goal: bool,
    /// It is being restarted and has not begun to start yet.
    pub again: bool,
    /// Asked for by name.
    pub wanted: bool,
    /// Asked for by the name of a bundle, and up to controllers.
    pub awaited: bool,
    /// A longrun that serves: its start number; 0: that is not known.
    pub served: u32,
    /// It is in the list of work.
    pub queued: bool,
    /// A longrun: init knows what it was last ordered. From here on what init
    /// says of it is an answer.
    pub confirmed: bool,
    /// Init was told a second time, because somebody else interfered.
    pub insisted: bool,
    /// `Reviving`: the order has been given.
    pub ordered: bool,
    /// The time for ending it is over.
    pub late: bool,
    /// A longrun: the order that init has not confirmed.
    pub asked: Option<bool>,
    /// The ticket of that order, or of the script of a oneshot that is under
    /// way; 0: none.
    pub ticket: u32,
    /// This connection has carried the order to run it.
    pub sent: bool,
    /// Times that a script was tried again because init fell.
    pub tries: u8,
    /// Needs that are not up.
    pub unmet: u32,
    /// Services that need it and are not down.
    pub live: u32,
    pub deadline: Option<Moment>,
    /// The newest request that said what it shall be.
    pub claim: u32,
    /// The process that made it.
    pub claim_pid: u32,
    /// The first of the links to requests that wait for it.
    pub waiters: u32,
    /// What the state file says.
    pub byte: u8,
    pub trouble: Option<Reason<Index>>,
}

impl Unit {
    /// As its state byte says.
    pub fn restore(byte: u8, oneshot: bool) -> Self {
        let actual = match (byte & UP != 0, byte & STARTING != 0, byte & STOPPING != 0) {
            (true, _, false) => Actual::Up,
            (true, _, true) => Actual::Stopping,
            (false, true, _) => Actual::Starting,
            (false, false, true) => Actual::Failing,
            (false, false, false) => Actual::Down,
        };
        let again = byte & AGAIN != 0;
        Self {
            state: SlotState::default(),
            has_slot: false,
            oneshot,
            actual,
            goal: again || matches!(actual, Actual::Up | Actual::Starting),
            again,
            wanted: byte & WANTED != 0,
            awaited: byte & AWAITED != 0,
            served: 0,
            queued: false,
            confirmed: false,
            insisted: false,
            ordered: false,
            late: false,
            asked: None,
            ticket: 0,
            sent: false,
            tries: 0,
            unmet: 0,
            live: 0,
            deadline: None,
            claim: 0,
            claim_pid: 0,
            waiters: NONE,
            byte,
            trouble: None,
        }
    }

    /// What needs it may start.
    pub fn met(&self) -> bool {
        matches!(self.actual, Actual::Up | Actual::Reloading) && !self.again
    }

    /// What it needs may not stop.
    pub fn holds_needs(&self) -> bool {
        match self.actual {
            Actual::Down => false,
            Actual::Failing => !self.late,
            _ => true,
        }
    }

    /// It is what it shall be, and no order is under way.
    pub fn settled(&self) -> bool {
        match self.actual {
            Actual::Down => !self.goal,
            Actual::Up => self.goal && !self.again,
            _ => false,
        }
    }

    /// A request that it be up has nothing to wait for. (That its reload
    /// script runs does not matter to it.)
    pub fn is_simply_up(&self) -> bool {
        self.met() && self.goal
    }

    /// Init keeps it down although it is up here: it failed for good, or
    /// somebody used `s6-svc -d`.
    pub fn held_down(&self) -> bool {
        self.has_slot && (self.state.gave_up.is_some() || !self.state.wanted_up)
    }

    /// A script of this oneshot runs.
    pub fn busy(&self) -> bool {
        self.state.phase == Phase::Up
    }

    /// The state byte that says all this.
    pub fn to_byte(&self) -> u8 {
        let mut byte = self.byte & (3 << RUN_SHIFT);
        if self.ticket != 0 && self.oneshot {
            byte = ((self.ticket >> TICKET_SCRIPT_BITS) as u8) << RUN_SHIFT;
        }
        if self.actual.is_up() {
            byte |= UP;
        }
        if self.wanted {
            byte |= WANTED;
        }
        if self.awaited {
            byte |= AWAITED;
        }
        // Somebody wants it up while it stops: it comes back like one that is
        // restarted.
        let comes_back = self.goal && matches!(self.actual, Actual::Stopping | Actual::Lingering);
        if self.again || comes_back {
            byte |= AGAIN;
        }
        byte | match self.actual {
            Actual::Starting => STARTING,
            Actual::Failing | Actual::Stopping | Actual::Lingering => STOPPING,
            _ => 0,
        }
    }
}
