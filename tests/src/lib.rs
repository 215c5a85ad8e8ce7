//! A real Slurm on loopback, for tests: [`Cluster`].
//!
//! ```no_run
//! use slurmburst_tests::{Cluster, SlurmVersion};
//!
//! let cluster = Cluster::builder(SlurmVersion::Packaged).nodes("c[1-3]").start();
//! println!("{:?}", cluster.node_states());
//! ```
//!
//! See `README.md` in this folder for what it starts, where the logs are and how everything ends.

// Test code through and through: it says what is wrong by panicking.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

pub mod azure;
mod builder;
pub mod burst;
mod call;
mod cases;
mod cluster;
mod conf;
pub mod instances;
mod keeper;
pub mod local;
mod nodes;
mod ports;
mod processes;
mod version;

pub use builder::{ClusterBuilder, SlurmUser};
pub use call::{BLOCKED, Ended};
pub use cluster::{Cluster, stdout};
pub use nix::sys::signal::Signal;
pub use nodes::NodeInfo;
pub use version::{Release, SlurmVersion};
