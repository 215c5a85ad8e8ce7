//! The provider over an Azure in memory: every property that a provider has to
//! keep to, bare and wrapped.
#![allow(
    clippy::panic,
    clippy::too_many_arguments,
    clippy::unwrap_used,
    reason = "a test fails like this"
)]

mod common;
mod memory;

mod bare {
    slurmburst_core::conformance_tests!(crate::common::Memory::new(false));
}

mod wrapped {
    slurmburst_core::conformance_tests!(crate::common::Memory::new(true));
}
