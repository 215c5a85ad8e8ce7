//! [`MockCloudProvider`], for tests that expect certain calls.
//!
//! ```
//! use slurmburst_core::mock::MockCloudProvider;
//! use slurmburst_core::provider::{Capabilities, CloudProvider};
//!
//! let mut mock = MockCloudProvider::new();
//! mock.expect_capabilities().return_const(Capabilities::new("me"));
//! assert_eq!(mock.capabilities().principal, "me");
//! ```

use std::fmt;

pub use crate::provider::MockCloudProvider;

impl fmt::Display for MockCloudProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mock")
    }
}
