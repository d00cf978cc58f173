//! The pretend world: the real machines of init and of the manager among
//! pretend processes, sockets, clients and time.
//!
//! `laws` says what must hold. `linux` has the processes; `streets` is what
//! init sees of them; `root` is init, `office` the manager, `wire` the socket
//! between them; `judge` watches; `town` puts them together. `chip` is a flash
//! of its own, with the machine that writes images.

pub mod chip;
pub mod dice;
pub mod judge;
pub mod laws;
pub mod linux;
pub mod office;
pub mod root;
pub mod services;
pub mod story;
pub mod streets;
pub mod town;
pub mod wire;
