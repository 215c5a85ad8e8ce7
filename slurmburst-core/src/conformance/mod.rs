//! [`conformance_tests!`](crate::conformance_tests): what every provider has to
//! keep to, one named test per property.
//!
//! A backend describes its cloud (or an emulator of it) by a [`Harness`], and
//! says `conformance_tests!(harness)` in an integration test. A property that
//! the provider does not offer, or that the harness cannot provoke, does not
//! apply; the test says so and why.
//!
//! ```ignore
//! mod conformance {
//!     slurmburst_core::conformance_tests!(crate::MyHarness::start().await);
//! }
//! ```

#[doc(hidden)]
pub mod properties;
#[doc(hidden)]
pub mod properties_errors;
mod steps;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::steps::settle;
use crate::hostlist::NodeName;
use crate::provider::{CloudProvider, Lifecycle, OpKind, Placement};

/// A provider under test, and the cloud behind it.
///
/// One harness serves one test. What has a default body answers that it cannot
/// do it; the properties that need it then do not apply.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The provider, wrapped or not.
    fn provider(&self) -> Arc<dyn CloudProvider>;

    /// The owner tag to use. Nothing else may use it at the same time.
    fn cluster_id(&self) -> String;

    /// So many names that were never used before in this cluster.
    fn nodes(&self, count: usize) -> Vec<NodeName>;

    /// Where to put nodes of this lifecycle, if they can be tested.
    fn placement(&self, lifecycle: Lifecycle) -> Option<Placement>;

    /// How many things of this cluster cost money, asked of the cloud itself
    /// and not of the provider. Disks of deallocated machines do not count.
    async fn remains(&self) -> usize;

    /// How long anything may take.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// So many machines that a listing needs more than one page for them.
    fn more_than_a_page(&self) -> usize {
        3
    }

    /// Every secret that the provider holds.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// How many requests have reached the cloud.
    async fn requests(&self) -> Option<u64> {
        None
    }

    /// Makes a deallocated machine for each node, as a person would.
    async fn prepare(&self, _nodes: &[NodeName]) -> bool {
        false
    }

    /// The next request of this kind acts and its reply is lost.
    async fn lose_next_reply(&self, _op: OpKind) -> bool {
        false
    }

    /// The next reply to a request of this kind is late by so much. The
    /// request acts at once.
    async fn slow_next(&self, _op: OpKind, _by: Duration) -> bool {
        false
    }

    /// The next request of this kind is throttled, to be tried again after this long.
    async fn throttle_next(&self, _op: OpKind, _after: Duration) -> bool {
        false
    }

    /// This node fails, with an error that is not worth a retry, when it is
    /// next powered up; others do not.
    async fn fail_next_for(&self, _node: &NodeName) -> bool {
        false
    }

    /// From now on there is no room at the placement.
    async fn exhaust_capacity(&self) -> bool {
        false
    }

    /// From now on the credential is refused.
    async fn bad_credentials(&self) -> bool {
        false
    }

    /// Makes a running machine of this node's name that belongs to another cluster.
    async fn other_clusters_instance(&self, _node: &NodeName) -> bool {
        false
    }

    /// Whether what [`Harness::other_clusters_instance`] made still runs.
    async fn other_clusters_instance_runs(&self) -> bool {
        true
    }

    /// From now on a part of the cloud does not answer listings.
    async fn gap(&self) -> bool {
        false
    }

    /// Ends all faults and removes what is left.
    async fn tear_down(&self) {}
}

/// How checking a property ended. A property that does not hold panics, with
/// what was expected and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Held,
    /// It does not apply, and why.
    DoesNotApply(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Held => f.write_str("held"),
            Verdict::DoesNotApply(why) => write!(f, "skipped: {why}"),
        }
    }
}

/// Checking a property, under way.
pub type Checking<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// A property and how to check it.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// Its name, which is the test's name too.
    pub name: &'static str,
    /// Checks it. Panics where it does not hold.
    pub check: for<'a> fn(&'a dyn Harness) -> Checking<'a>,
}

/// Hands the names of all properties to a macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __for_each_property {
    ([$($then:tt)+] $(, $harness:expr)?) => {
        $($then)+! {
            $($harness;)?
            the_same_call_twice_is_one_instance,
            a_lost_reply_and_a_replay_are_one_instance,
            power_down_of_an_absent_node_is_fine,
            nothing_is_left_after_terminate,
            start_after_deallocate_keeps_the_identity,
            one_outcome_per_node,
            list_returns_all_pages,
            list_reports_gaps,
            other_clusters_instances_are_not_ours,
            a_batch_over_the_maximum_is_refused,
            a_partial_failure_names_the_right_nodes,
            a_throttle_carries_its_delay,
            no_capacity_means_elsewhere,
            bad_credentials_are_never_retried,
            the_deadline_is_respected,
            no_secret_in_debug_or_errors,
        }
    };
}

macro_rules! table {
    ($($name:ident,)+) => {
        /// Every property.
        pub const PROPERTIES: &[Property] = &[
            $(Property { name: stringify!($name), check: |h| Box::pin(all::$name(h)) },)+
        ];
    };
}

mod all {
    pub(super) use super::properties::*;
    pub(super) use super::properties_errors::*;
}

__for_each_property!([table]);

/// A named test for each property that a provider has to keep to.
///
/// The expression makes a [`Harness`](crate::conformance::Harness), once for
/// each test; it may await.
#[macro_export]
macro_rules! conformance_tests {
    ($harness:expr) => {
        $crate::__for_each_property!([$crate::__conformance_test], $harness);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_test {
    ($harness:expr; $($name:ident,)+) => {
        $(
            #[test]
            fn $name() {
                $crate::conformance::run(stringify!($name), async { $harness });
            }
        )+
    };
}

/// Checks the property of this name, on a runtime of its own.
///
/// # Panics
/// The property does not hold, or there is none of that name.
#[allow(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails and reports like this"
)]
pub fn run<H: Harness>(name: &str, harness: impl Future<Output = H>) {
    let Some(property) = PROPERTIES.iter().find(|p| p.name == name) else {
        panic!("there is no property {name}");
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime: {error}"),
    };
    let verdict = runtime.block_on(async {
        let harness = harness.await;
        let verdict = (property.check)(&harness).await;
        harness.tear_down().await;
        verdict
    });
    println!("{name}: {verdict}");
}
