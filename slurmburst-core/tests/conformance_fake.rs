//! The simulated cloud keeps to what every provider has to keep to, by itself
//! and with everything around it.
#![cfg(all(feature = "fake", feature = "conformance"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails like this"
)]

mod support;

mod bare {
    slurmburst_core::conformance_tests!(crate::support::FakeHarness::bare());
}

mod stacked {
    slurmburst_core::conformance_tests!(crate::support::FakeHarness::stacked());
}
