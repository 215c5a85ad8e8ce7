//! Slurm power saving, without a cloud's name in it.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod error;
pub mod hostlist;

#[cfg(feature = "provider")]
pub mod bucket;
#[cfg(feature = "provider")]
pub mod clock;
#[cfg(feature = "provider")]
pub mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "provider")]
pub mod executor;
#[cfg(feature = "fake")]
pub mod fake;
#[cfg(feature = "provider")]
pub mod kind;
#[cfg(feature = "mock")]
pub mod mock;
#[cfg(feature = "provider")]
pub mod outcome;
#[cfg(feature = "provider")]
pub mod policy;
#[cfg(feature = "provider")]
pub mod provider;
#[cfg(feature = "provider")]
pub mod wrap;
