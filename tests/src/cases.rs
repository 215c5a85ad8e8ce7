//! One test for each Slurm, from one case.

/// Makes of `fn CASE(SlurmVersion)` the tests `CASE::packaged` and `CASE::newer`.
#[macro_export]
macro_rules! on_both {
    ($($(#[$meta:meta])* $case:ident),+ $(,)?) => {$(
        $(#[$meta])*
        mod $case {
            use $crate::SlurmVersion::{Newer, Packaged};

            #[test]
            fn packaged() {
                super::$case(Packaged);
            }

            #[test]
            fn newer() {
                super::$case(Newer);
            }
        }
    )+};
}

/// Makes of `fn CASE(SlurmVersion, bool)` four tests: on each Slurm, with and
/// without `idle_on_node_suspend`.
#[macro_export]
macro_rules! on_both_and_idle {
    ($($(#[$meta:meta])* $case:ident),+ $(,)?) => {$(
        $(#[$meta])*
        mod $case {
            use $crate::SlurmVersion::{Newer, Packaged};

            #[test]
            fn packaged_idle_on_node_suspend() {
                super::$case(Packaged, true);
            }

            #[test]
            fn packaged_plain() {
                super::$case(Packaged, false);
            }

            #[test]
            fn newer_idle_on_node_suspend() {
                super::$case(Newer, true);
            }

            #[test]
            fn newer_plain() {
                super::$case(Newer, false);
            }
        }
    )+};
}
