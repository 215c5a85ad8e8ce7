//! Slurm power saving, without a cloud's name in it.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod error;
pub mod hostlist;
pub mod slurm;

#[cfg(feature = "provider")]
pub mod clock;
#[cfg(feature = "provider")]
pub mod config;
#[cfg(feature = "provider")]
pub mod kind;
#[cfg(feature = "provider")]
pub mod outcome;
#[cfg(feature = "provider")]
pub mod policy;
#[cfg(feature = "provider")]
pub mod provider;
