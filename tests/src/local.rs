//! Clusters with our programs and local nodes.

use std::path::{Path, PathBuf};

use crate::builder::ClusterBuilder;
use crate::burst::{Build, Burst, local_site};
use crate::cluster::Cluster;
use crate::version::SlurmVersion;

/// A cluster with times that keep a test short, and where the programs are; `None`, and a printed line, where the Slurm or
/// the programs are missing.
pub fn builder(
    version: SlurmVersion,
    idle_on_node_suspend: bool,
) -> Option<(ClusterBuilder, PathBuf)> {
    let (Some(_), Some(built)) = (version.or_skip(), Build::Site.or_skip()) else {
        return None;
    };
    let builder = Cluster::builder(version)
        .idle_on_node_suspend(idle_on_node_suspend)
        .suspend_time(300)
        .suspend_timeout(2)
        .resume_timeout(30);
    Some((builder, built))
}

/// [`builder`], changed by `configure` and started. `provider` gives lines for `[provider.here]` from the cluster's folder.
pub fn burst(
    version: SlurmVersion,
    idle_on_node_suspend: bool,
    configure: impl FnOnce(ClusterBuilder) -> ClusterBuilder,
    provider: impl FnOnce(&Path) -> String,
) -> Option<Burst> {
    let (builder, built) = builder(version, idle_on_node_suspend)?;
    let builder = configure(builder);
    let text = site(builder.dir(), &builder.nodes, &provider(builder.dir()));
    Some(Burst::start(builder, &built, &text))
}

/// A site file with local nodes, with these lines in `[provider.here]` and suspicions that ripen soon.
pub fn site(dir: &Path, hostlist: &str, provider: &str) -> String {
    let kind = "kind = \"local\"\n";
    local_site(dir, hostlist, "orphan_grace = \"2s\"").replace(kind, &format!("{kind}{provider}\n"))
}
