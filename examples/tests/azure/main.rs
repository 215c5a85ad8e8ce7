//! The commands as processes, against an emulated Azure over TLS.
#![cfg(feature = "azure")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: what is wrong ends the test"
)]

mod azure_asked;
mod azure_vm;
mod azure_wished;
mod world;

#[path = "../support/mod.rs"]
mod support;
