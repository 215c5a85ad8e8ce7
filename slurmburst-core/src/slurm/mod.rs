//! The Slurm side: how slurmctld calls us, what its configuration says, how to
//! ask it and tell it something.
//!
//! - [`node_state`]: a node's `State=`, as a type. Always here, without dependencies.
//! - [`control`]: [`SlurmControl`](control::SlurmControl), the questions and
//!   changes that the converger needs, and what can go wrong.
//! - [`scontrol`]: the real one, by running `scontrol`; [`parse`] reads its output.
//! - [`conf`]: the few things of `slurm.conf` that matter here.
//! - [`invocation`]: argv and environment of ResumeProgram and its kind.
//! - [`resume_file`]: the JSON that goes with ResumeProgram; a hint only.
//! - [`fake`]: a Slurm in memory for tests.

pub mod node_state;

#[cfg(feature = "provider")]
pub mod control;
#[cfg(feature = "fake")]
pub mod fake;

#[cfg(feature = "app")]
pub mod conf;
#[cfg(feature = "app")]
mod conf_text;
#[cfg(feature = "app")]
pub mod invocation;
#[cfg(feature = "app")]
pub mod parse;
#[cfg(feature = "app")]
mod plan;
#[cfg(feature = "app")]
pub mod resume_file;
#[cfg(feature = "app")]
pub mod scontrol;

#[cfg(test)]
#[cfg(feature = "app")]
mod samples;
