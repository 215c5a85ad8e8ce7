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
#[cfg(feature = "provider")]
pub mod kind;
#[cfg(feature = "ledger")]
pub mod ledger;
#[cfg(feature = "provider")]
pub mod outcome;
#[cfg(feature = "provider")]
pub mod policy;
#[cfg(feature = "provider")]
pub mod provider;
