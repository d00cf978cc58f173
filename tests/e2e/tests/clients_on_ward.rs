//! Every test of the clients again, with `ward` as the supervisor: Debian's
//! clients and ours must find in it what they find in Debian's.

#[path = "clients.rs"]
mod clients;
