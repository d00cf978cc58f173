//! Devices in QEMU. All in one program, as each test keeps one processor busy: the next one begins where
//! another has ended.

mod devices;
mod doctor;
mod failover;
mod flash;
mod hotplug;
mod levitate;
mod person;
mod pppoe;
mod router;
mod services;
mod status_page;
mod update;
