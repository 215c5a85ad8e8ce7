//! The provider over the emulator. Requests are handed to it in the process, and
//! both go by tokio's clock, which stands still while somebody works: hours of
//! Azure take seconds.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test program uses its own part"
)]

mod by_hand;
mod cost;
mod harness;
mod pipe;
mod plan;
mod world;

pub(crate) use cost::{Cost, Measured, bound};
pub(crate) use harness::Emulated;
pub(crate) use pipe::Pipe;
pub(crate) use plan::{CLUSTER, Plan};
pub(crate) use world::World;

use slurmburst_core::hostlist::{HostList, NodeName};

pub(crate) fn list(nodes: &str) -> Vec<NodeName> {
    nodes.parse::<HostList>().unwrap().iter().collect()
}

pub(crate) fn name(node: &str) -> NodeName {
    NodeName::new(node).unwrap()
}
