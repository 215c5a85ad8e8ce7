//! slurmburst lets a Slurm cluster grow into clouds and shrink back.
//!
//! This crate is the facade: it re-exports the core and, by feature, the
//! backends. The programs in `examples/` of the repository are what a site
//! installs; they are thin, and this is what they are made of:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     slurmburst::app::resume(&slurmburst::kinds())
//! }
//! ```
//!
//! A provider of your own joins by being added to [`kinds`]:
//!
//! ```no_run
//! # fn mine() -> std::sync::Arc<dyn slurmburst::kind::ProviderKind> { unimplemented!() }
//! fn main() -> std::process::ExitCode {
//!     let mut kinds = slurmburst::kinds();
//!     kinds.push(mine());
//!     slurmburst::app::resume(&kinds)
//! }
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

use std::sync::Arc;

pub use slurmburst_core::*;

/// Nodes that are Azure virtual machines.
#[cfg(feature = "azure")]
#[cfg_attr(docsrs, doc(cfg(feature = "azure")))]
pub mod azure {
    pub use slurmburst_azure::*;
}

/// Nodes that are `slurmd` processes on this machine.
#[cfg(feature = "local")]
#[cfg_attr(docsrs, doc(cfg(feature = "local")))]
pub mod local {
    pub use slurmburst_local::*;
}

/// The kinds of provider that this build has, by its features.
pub fn kinds() -> app::Kinds {
    let kinds: Vec<Arc<dyn kind::ProviderKind>> = vec![
        #[cfg(feature = "azure")]
        Arc::new(slurmburst_azure::AzureKind::default()),
        #[cfg(feature = "local")]
        Arc::new(slurmburst_local::LocalKind),
        #[cfg(feature = "fake")]
        Arc::new(slurmburst_core::fake::FakeKind),
    ];
    kinds
}
