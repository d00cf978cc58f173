//! The pretend world: the real machines of init and of the manager among
//! pretend processes, sockets, clients and time.
//!
//! `laws` says what must hold. `linux` has the processes; `streets` is what
//! init sees of them; `root` is init, `office` the manager, `wire` the socket
//! between them; `judge` watches; `town` puts them together.
//!
//! Controllers have a smaller one: `clerk` is the manager as they see it, `plugs`
//! has devices that come and go, `uplinks` has services in turn.
//! `surgery` is a world of its own: the health check with its targets. `trial` is
//! another: a device that goes from one generation to another. `chip` is a flash,
//! with the machine that writes images; `disk` forgets what was not synced.

pub mod chip;
pub mod clerk;
pub mod dice;
pub mod disk;
pub mod judge;
pub mod laws;
pub mod linux;
pub mod office;
pub mod plugs;
pub mod root;
pub mod services;
pub mod story;
pub mod streets;
pub mod surgery;
pub mod town;
pub mod trial;
pub mod uplinks;
pub mod wire;
