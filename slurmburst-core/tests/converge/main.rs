//! The converger with a simulated Slurm and simulated clouds, in virtual time.
#![cfg(all(feature = "app", feature = "fake"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails like this"
)]

mod cycle;
mod failures;
mod faults;
mod killed;
mod reconcile;

#[path = "../world/mod.rs"]
mod world;
