//! A provider of your own, in one file: `kind = "folder"`, whose machines are
//! files in a folder. Put your cloud in place of the files and it is a backend.
//!
//! ```toml
//! cluster_id = "hpc1-7f3a9c"
//! [provider.mine]
//! kind = "folder"
//! dir = "/var/lib/slurmburst/machines"
//! [[nodes]]
//! hostlist = "c[1-3]"
//!   [[nodes.placement]]
//!   provider = "mine"
//!   size = "small"
//! ```
//!
//! Built once, it is all three programs, by the name that it is called by:
//!
//! ```sh
//! cargo build --release -p slurmburst-programs --example custom_provider
//! install target/release/examples/custom_provider /usr/sbin/mine-resume
//! ln -s mine-resume /usr/sbin/mine-suspend
//! ln -s mine-resume /usr/sbin/mine-resume-fail     # then ResumeProgram=/usr/sbin/mine-resume etc.
//! ```
//!
//! What a provider promises is checked at the end of this file, by the same
//! tests that every provider has to pass.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind as Io, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use slurmburst::config::{ConfigError, ConfigTable};
use slurmburst::error::{Error, ErrorKind, Result};
use slurmburst::hostlist::NodeName;
use slurmburst::kind::{Operator, ProviderKind, Surroundings};
use slurmburst::outcome::{Machine, Outcome, Outcomes};
use slurmburst::provider::{
    Call, Capabilities, Chore, CloudProvider, Context, Gap, Generation, Instance, InstanceState,
    Lifecycle, Listing, Owner, Pending, Placement, PowerDown, Rendered, Template,
};

fn main() -> ExitCode {
    let mut kinds = slurmburst::kinds();
    kinds.push(Arc::new(FolderKind));
    let name = std::env::args_os()
        .next()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    match name {
        name if name.ends_with("resume-fail") => slurmburst::app::resume_fail(&kinds),
        name if name.ends_with("suspend") => slurmburst::app::suspend(&kinds),
        // The converger too, which is this program started again by itself.
        _ => slurmburst::app::resume(&kinds),
    }
}

/// From the site file to a provider. No call is made here.
struct FolderKind;

impl ProviderKind for FolderKind {
    fn name(&self) -> &'static str {
        "folder"
    }

    fn provider(
        &self,
        config: &ConfigTable,
        around: &Surroundings,
    ) -> Result<Arc<dyn CloudProvider>, ConfigError> {
        config.only(&["dir"])?;
        let dir = config.path_of("dir")?;
        let dir = dir.unwrap_or_else(|| around.state_dir.join(&around.provider));
        Ok(Arc::new(Folder::new(dir)))
    }

    /// A placement's own keys. `size` and `zone` make its name in logs.
    fn template(&self, config: &ConfigTable, _: Lifecycle) -> Result<Template, ConfigError> {
        config.only(&["size"])?;
        Ok(Template {
            size: config.str("size")?.map(str::to_owned),
            ..Template::default()
        })
    }

    /// What `slurmburst check` could ask it. It has nothing to say.
    fn operator(
        &self,
        _: &ConfigTable,
        _: &Surroundings,
    ) -> Result<Option<Arc<dyn Operator>>, ConfigError> {
        Ok(None)
    }
}

/// The cloud: a folder per cluster, a file per machine.
#[derive(Debug)]
struct Folder {
    dir: PathBuf,
    capabilities: Capabilities,
}

/// What a machine's tags are in a real cloud: whose it is and which call made it.
#[derive(Debug, Serialize, Deserialize)]
struct Tags {
    id: String,
    call: String,
    generation: Generation,
    size: Option<String>,
}

impl Folder {
    fn new(dir: PathBuf) -> Folder {
        let mut capabilities = Capabilities::new("this folder");
        capabilities.max_batch = 100;
        Folder { dir, capabilities }
    }

    /// Only our own cluster's machines are ever looked at.
    fn of(&self, cx: &Context) -> PathBuf {
        self.dir.join(cx.cluster_id())
    }

    /// The same call twice is the same machine: the name is what the cloud keeps
    /// unique, and the call in the tags says whether it is ours.
    fn make(
        &self,
        cx: &Context,
        call: &Call,
        node: &NodeName,
        generation: Generation,
    ) -> Result<Outcome> {
        let id = format!("{node}@{}", call.id);
        let size = call
            .request
            .get("size")
            .and_then(|s| s.as_str())
            .map(str::to_owned);
        let tags = Tags {
            id,
            call: call.id.clone(),
            generation,
            size,
        };
        let dir = self.of(cx);
        match publish(&dir, node.as_str(), &tags) {
            Ok(()) => {}
            Err(e) if e.kind() == Io::AlreadyExists => {
                let there = read(&dir.join(node.as_str())).map_err(|e| failed(&dir, &e))?;
                if there.call != call.id {
                    let text = format!("{node} is there already, made by call {}", there.call);
                    return Err(Error::new(ErrorKind::Conflict, text).code("FileExists"));
                }
            }
            Err(e) => return Err(failed(&dir, &e)),
        }
        Ok(Outcome::Done(Machine {
            instance: Some(tags.id),
            ..Machine::default()
        }))
    }

    fn unmake(&self, cx: &Context, down: &PowerDown) -> Result<Outcome> {
        plain(&down.node)?;
        let path = self.of(cx).join(down.node.as_str());
        let there = match read(&path) {
            Err(e) if e.kind() == Io::NotFound => return Ok(Outcome::AlreadyDone),
            there => there.map_err(|e| failed(&path, &e))?,
        };
        // Another machine of this name is none of this call's business.
        if down.instance.as_ref().is_some_and(|id| *id != there.id) {
            return Ok(Outcome::AlreadyDone);
        }
        fs::remove_file(&path).map_err(|e| failed(&path, &e))?;
        Ok(Outcome::Done(Machine::default()))
    }

    /// What is true of every batch: not too large, not too late.
    fn refused(&self, cx: &Context, nodes: usize) -> Option<Outcome> {
        let most = self.capabilities.max_batch;
        if nodes > most {
            let text = format!("{nodes} nodes in one batch, {most} are the most");
            return Some(Outcome::Failed(Error::new(ErrorKind::Invalid, text)));
        }
        cx.remaining()
            .is_zero()
            .then(|| Outcome::Skipped("the deadline had passed".into()))
    }
}

#[async_trait]
impl CloudProvider for Folder {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn list(&self, cx: &Context) -> Result<Listing> {
        let dir = self.of(cx);
        let mut listing = Listing::default();
        let entries = match fs::read_dir(&dir) {
            Err(e) if e.kind() == Io::NotFound => return Ok(listing),
            entries => entries.map_err(|e| failed(&dir, &e))?,
        };
        for entry in entries {
            let path = entry.map_err(|e| failed(&dir, &e))?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            // What is being written has a dot in front.
            let Some(node) = NodeName::new(&name).ok().filter(|n| plain(n).is_ok()) else {
                continue;
            };
            match read(&path) {
                Ok(tags) => listing.instances.push(Instance {
                    node,
                    id: tags.id,
                    state: InstanceState::Running,
                    owner: Owner::Created,
                    generation: Some(tags.generation),
                    call: Some(tags.call),
                    address: None,
                    launched_ms: None,
                    expires_ms: None,
                }),
                Err(e) if e.kind() == Io::NotFound => {}
                // Never leave out in silence what may exist.
                Err(e) => listing.gaps.push(Gap {
                    scope: name,
                    error: failed(&path, &e),
                }),
            }
        }
        Ok(listing)
    }

    async fn power_up(&self, cx: &Context, calls: &[Call]) -> Outcomes {
        let mut outcomes = Outcomes::new(calls.iter().flat_map(Call::names).cloned());
        for call in calls {
            let refused = self.refused(cx, call.nodes.len());
            for node in &call.nodes {
                let outcome = refused.clone().unwrap_or_else(|| {
                    self.make(cx, call, &node.name, node.generation)
                        .unwrap_or_else(Outcome::Failed)
                });
                outcomes.set(&node.name, outcome);
            }
        }
        outcomes
    }

    async fn power_down(&self, cx: &Context, batch: &[PowerDown]) -> Outcomes {
        let mut outcomes = Outcomes::new(batch.iter().map(|d| d.node.clone()));
        let refused = self.refused(cx, batch.len());
        for down in batch {
            let outcome = refused.clone();
            let outcome =
                outcome.unwrap_or_else(|| self.unmake(cx, down).unwrap_or_else(Outcome::Failed));
            outcomes.set(&down.node, outcome);
        }
        outcomes
    }

    /// Nothing is ever merely accepted here, so nothing is asked for later.
    async fn poll(&self, _: &Context, pending: &[Pending]) -> Outcomes {
        Outcomes::all(
            pending.iter().map(|p| p.node.clone()),
            &Outcome::AlreadyDone,
        )
    }

    /// Nor is anything left behind.
    async fn tidy(&self, _: &Context, chores: &[Chore]) -> Outcomes {
        Outcomes::all(
            chores.iter().map(|c| c.node().clone()),
            &Outcome::AlreadyDone,
        )
    }

    /// The requests as they will be stored and sent. Pure.
    fn render(&self, placement: &Placement, nodes: &[NodeName]) -> Result<Vec<Rendered>> {
        nodes.iter().try_for_each(plain)?;
        let request = json!({ "size": placement.template.size });
        let batches = nodes.chunks(self.capabilities.max_batch);
        Ok(batches
            .map(|nodes| Rendered {
                nodes: nodes.to_vec(),
                request: request.clone(),
            })
            .collect())
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("folder")
    }
}

/// A node's name becomes a file's name: it must not lead elsewhere.
fn plain(node: &NodeName) -> Result<()> {
    match node.as_str() {
        name if name.starts_with('.') || name.contains('/') => {
            let text = format!("{node} cannot be a file's name: rename the node");
            Err(Error::new(ErrorKind::Invalid, text))
        }
        _ => Ok(()),
    }
}

fn read(path: &Path) -> io::Result<Tags> {
    serde_json::from_slice(&fs::read(path)?).map_err(|e| io::Error::new(Io::InvalidData, e))
}

/// A new file, whole or not at all, and never in place of another: a program may
/// be killed anywhere in here.
fn publish(dir: &Path, name: &str, tags: &Tags) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let new = dir.join(format!(".{name}.{}", std::process::id()));
    let mut file = fs::File::create(&new)?;
    file.write_all(&serde_json::to_vec(tags)?)?;
    file.sync_all()?;
    let linked = fs::hard_link(&new, dir.join(name));
    fs::remove_file(&new)?;
    linked
}

/// The table from a cloud's errors to kinds. It decides what is tried again, what
/// is tried elsewhere, and what a person must look at.
fn failed(path: &Path, e: &io::Error) -> Error {
    let kind = match e.kind() {
        Io::PermissionDenied => ErrorKind::Auth,
        Io::StorageFull => ErrorKind::Capacity,
        Io::QuotaExceeded => ErrorKind::Quota,
        Io::InvalidData | Io::NotADirectory => ErrorKind::Invalid,
        _ => ErrorKind::Unexpected,
    };
    Error::new(kind, format!("{}: {e}", path.display()))
}

/// The promises. A harness tells the tests what they cannot ask a provider.
#[cfg(test)]
mod tests {
    use super::*;
    use slurmburst_core::conformance::Harness;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Here {
        dir: tempfile::TempDir,
        named: AtomicUsize,
    }

    #[async_trait]
    impl Harness for Here {
        fn provider(&self) -> Arc<dyn CloudProvider> {
            Arc::new(Folder::new(self.dir.path().to_owned()))
        }

        fn cluster_id(&self) -> String {
            "ours".into()
        }

        fn nodes(&self, count: usize) -> Vec<NodeName> {
            let first = self.named.fetch_add(count, Ordering::Relaxed);
            (first..first + count)
                .map(|n| NodeName::new(&format!("c{n}")).unwrap())
                .collect()
        }

        fn placement(&self, lifecycle: Lifecycle) -> Option<Placement> {
            (lifecycle == Lifecycle::CreateDelete).then(|| Placement {
                name: "mine".into(),
                provider: "mine".into(),
                lifecycle,
                template: Template::default(),
            })
        }

        async fn remains(&self) -> usize {
            fs::read_dir(self.dir.path().join("ours")).map_or(0, Iterator::count)
        }

        async fn other_clusters_instance(&self, node: &NodeName) -> bool {
            let tags = Tags {
                id: "x".into(),
                call: "x".into(),
                generation: Generation(1),
                size: None,
            };
            publish(&self.dir.path().join("theirs"), node.as_str(), &tags).unwrap();
            true
        }

        async fn other_clusters_instance_runs(&self) -> bool {
            fs::read_dir(self.dir.path().join("theirs")).is_ok_and(|files| files.count() == 1)
        }

        async fn gap(&self) -> bool {
            fs::write(self.dir.path().join("ours/broken"), "{").unwrap();
            true
        }

        async fn tear_down(&self) {
            _ = fs::remove_file(self.dir.path().join("ours/broken"));
        }
    }

    slurmburst_core::conformance_tests!(Here {
        dir: tempfile::tempdir().unwrap(),
        named: AtomicUsize::new(0),
    });
}
