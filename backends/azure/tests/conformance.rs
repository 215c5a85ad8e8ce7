//! Every property that a provider has to keep to, bare and wrapped: over an
//! Azure in memory, which is small, and over the emulator, which is faithful.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_arguments,
    clippy::unwrap_used,
    reason = "a test fails like this"
)]

mod common;
mod emulated;
mod memory;

mod bare {
    slurmburst_core::conformance_tests!(crate::common::Memory::new(false));
}

mod wrapped {
    slurmburst_core::conformance_tests!(crate::common::Memory::new(true));
}

mod emulator_bare {
    slurmburst_core::conformance_tests!(crate::emulated::Emulated::new(false));
}

mod emulator_wrapped {
    slurmburst_core::conformance_tests!(crate::emulated::Emulated::new(true));
}
