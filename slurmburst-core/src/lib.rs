//! Slurm power saving, without a cloud's name in it.
//!
//! The way in, by what you want:
//!
//! * read and write hostlists: [`hostlist`]. No feature, no dependency.
//! * write a backend: [`provider::CloudProvider`] and [`kind::ProviderKind`]
//!   (feature `provider`), proven by `conformance_tests!` (feature
//!   `conformance`).
//! * decide where nodes go: [`policy::PowerPolicy`] (feature `provider`).
//! * build a program like ours: [`app`], [`converge`], [`ledger`], [`site`]
//!   (feature `app`, the default).
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod error;
pub mod hostlist;
pub mod slurm;

#[cfg(feature = "app")]
pub mod app;
#[cfg(feature = "provider")]
pub mod bucket;
#[cfg(feature = "provider")]
pub mod clock;
#[cfg(feature = "provider")]
pub mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "app")]
pub mod converge;
#[cfg(feature = "provider")]
pub mod executor;
#[cfg(feature = "fake")]
pub mod fake;
#[cfg(feature = "provider")]
pub mod kind;
#[cfg(feature = "ledger")]
pub mod ledger;
#[cfg(feature = "mock")]
pub mod mock;
#[cfg(feature = "provider")]
pub mod outcome;
#[cfg(feature = "provider")]
pub mod policy;
#[cfg(feature = "provider")]
pub mod provider;
#[cfg(feature = "app")]
pub mod site;
#[cfg(feature = "provider")]
pub mod wrap;
