//! The control socket of init, as the real one is: in each direction nothing
//! overtakes anything; what was sent before one end closed arrives, unless
//! that end was the one to read it.

use std::collections::{BTreeMap, VecDeque};

use model::service::database::Script;
use model::service::request::{Slot, SlotState};

/// From the manager to init.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    Hello,
    Want { slot: Slot, up: bool, ticket: u32 },
    Run { slot: Slot, script: Script, ticket: u32 },
    Signal { slot: Slot, signal: u8 },
    AllDown,
}

/// From init to the manager.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    Slot { slot: Slot, service: usize },
    State { slot: Slot, state: SlotState },
    Welcome,
    StopAll,
}

#[derive(Default)]
pub struct Connection {
    pub to_init: VecDeque<Order>,
    pub to_manager: VecDeque<Told>,
    /// What init says with its next turn.
    pub filling: Vec<Told>,
    pub greeted: bool,
    /// It was asked to stop everything and has not said that it has.
    pub busy: bool,
    pub init_gone: bool,
    pub manager_gone: bool,
}

/// All connections, the oldest first.
#[derive(Default)]
pub struct Wire {
    connections: BTreeMap<u32, Connection>,
    last: u32,
}

impl Wire {
    pub fn connect(&mut self) -> u32 {
        self.last += 1;
        self.connections.insert(self.last, Connection::default());
        self.last
    }

    pub fn get(&mut self, number: u32) -> Option<&mut Connection> {
        self.connections.get_mut(&number)
    }

    /// Those that init has open.
    pub fn open(&mut self) -> impl Iterator<Item = (u32, &mut Connection)> {
        self.connections
            .iter_mut()
            .filter(|(_, connection)| !connection.init_gone)
            .map(|(number, connection)| (*number, connection))
    }

    pub fn is_open(&self) -> impl Iterator<Item = &Connection> {
        self.connections.values().filter(|connection| !connection.init_gone)
    }

    /// Init closes one: what it has not read is lost, what it sent arrives.
    pub fn close_at_init(&mut self, number: u32) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.init_gone = true;
            connection.to_init.clear();
            connection.filling.clear();
        }
        self.forget();
    }

    /// The manager closes one, or dies.
    pub fn close_at_manager(&mut self, number: u32) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.manager_gone = true;
            connection.to_manager.clear();
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.connections.retain(|_, connection| !connection.init_gone || !connection.manager_gone);
    }
}
