//! The pretend world: time that jumps, processes that die on dice, messages
//! that come late.

pub mod dice;
pub mod services;
pub mod town;
