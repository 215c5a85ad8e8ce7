//! An Azure on loopback, for tests: tokens, Resource Manager, Compute, and the
//! parts of Network that virtual machines need.
//!
//! It keeps Azure's awkward habits: rate limits as token buckets, operations
//! that end minutes later and whose addresses are long and signed, lists in
//! pages without power states, one operation at a time on each VM, failed
//! creates that leave things behind, deletes of five minutes. Its time is its
//! own ([`Clock`]), so a thousand VMs need no real minutes. What goes wrong is
//! scripted ([`Fault`]), what was done is in the [`Books`].
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use slurmburst_azure_emulator::{Clock, Emulator, Fault, Settings};
//!
//! let azure = Emulator::start(Settings::default(), Clock::wall(100.0)).await?;
//! azure.cloud().fault(Fault::allocation_failed().on("PUT", "virtualMachines/n1").times(1));
//! azure.cloud().on_power_state(|vm, running| { /* start or stop a slurmd */ });
//! // ... a client of azure.endpoint(), trusting azure.ca_file() ...
//! assert_eq!(azure.cloud().books().vms, 0);
//! # Ok(()) }
//! ```
//!
//! Clients that cannot speak through a socket under a paused clock hand their
//! requests to [`Cloud::respond`].

mod aad;
mod addresses;
mod admission;
mod books;
mod buckets;
mod by_hand;
mod catalogue;
mod clock;
mod cloud;
mod control;
mod faults;
mod groups;
mod lists;
mod network;
mod operations;
mod routes;
mod server;
mod settings;
mod tls;
mod vm_put;
mod vm_work;
mod vnets;
mod wire;
mod world;

pub use books::{Books, Entry};
pub use buckets::{Bucket, Class, Policy};
pub use clock::Clock;
pub use cloud::{Cloud, PowerHook};
pub use faults::{Act, Debris, Fault};
pub use server::Emulator;
pub use settings::{Settings, Timings};

/// A name that no resolver knows and the server's certificate is good for: a
/// test's proxy takes it to the emulator's port.
pub const PROXIED_HOST: &str = "management.emulator.test";
