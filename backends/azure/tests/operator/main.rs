//! What a person may ask of Azure, over the emulator and its TLS.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails like this")]

mod acts;
mod check;
mod world;
