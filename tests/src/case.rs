//! A case of the real-Slurm suite: one function, run on each Slurm.

use std::path::Path;

use crate::builder::ClusterBuilder;
use crate::burst::{Build, Burst, local_site};
use crate::cluster::Cluster;
use crate::version::SlurmVersion;

/// On which Slurm a case runs, and how it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Which Slurm.
    pub version: SlurmVersion,
    /// Whether `SlurmctldParameters` has `idle_on_node_suspend`.
    pub idle_on_node_suspend: bool,
}

impl Case {
    /// A cluster of this kind, with times that keep a test short; `None`, and a printed line, where the Slurm or the
    /// programs are missing.
    pub fn builder(self) -> Option<(ClusterBuilder, std::path::PathBuf)> {
        let (Some(_), Some(built)) = (self.version.or_skip(), Build::Site.or_skip()) else {
            return None;
        };
        let builder = Cluster::builder(self.version)
            .idle_on_node_suspend(self.idle_on_node_suspend)
            .suspend_time(300)
            .suspend_timeout(2)
            .resume_timeout(30);
        Some((builder, built))
    }

    /// A running cluster with our programs, and local nodes. `configure` changes the cluster, `site` gives lines for
    /// `[provider.here]` from the cluster's folder.
    pub fn burst(
        self,
        configure: impl FnOnce(ClusterBuilder) -> ClusterBuilder,
        site: impl FnOnce(&Path) -> String,
    ) -> Option<Burst> {
        let (builder, built) = self.builder()?;
        let builder = configure(builder);
        let text = local(builder.dir(), &builder.nodes, &site(builder.dir()));
        Some(Burst::start(builder, &built, &text))
    }
}

/// A site of local nodes, with these lines in `[provider.here]` and suspicions that ripen soon.
pub fn local(dir: &Path, hostlist: &str, provider: &str) -> String {
    let kind = "kind = \"local\"\n";
    local_site(dir, hostlist, "orphan_grace = \"2s\"").replace(kind, &format!("{kind}{provider}\n"))
}

/// Makes tests of functions that take a [`Case`]: `NAME::packaged` and `NAME::newer`.
///
/// After `both:`, also `NAME::packaged_without_idle` and `NAME::newer_without_idle`, without `idle_on_node_suspend`.
#[macro_export]
macro_rules! on_each_slurm {
    (both: $($case:ident),+ $(,)?) => {$(
        mod $case {
            $crate::on_each_slurm!(@ $case packaged Packaged true);
            $crate::on_each_slurm!(@ $case newer Newer true);
            $crate::on_each_slurm!(@ $case packaged_without_idle Packaged false);
            $crate::on_each_slurm!(@ $case newer_without_idle Newer false);
        }
    )+};
    (@ $case:ident $name:ident $version:ident $idle:literal) => {
        #[test]
        fn $name() {
            super::$case($crate::case::Case {
                version: $crate::SlurmVersion::$version,
                idle_on_node_suspend: $idle,
            });
        }
    };
    ($($case:ident),+ $(,)?) => {$(
        mod $case {
            $crate::on_each_slurm!(@ $case packaged Packaged true);
            $crate::on_each_slurm!(@ $case newer Newer true);
        }
    )+};
}
