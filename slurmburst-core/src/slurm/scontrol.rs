//! [`Scontrol`]: [`SlurmControl`] by running Slurm's `scontrol`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::control::{
    Acting, Change, SlurmControl, SlurmError, SlurmErrorKind, SlurmNode, SlurmVersion, Updates,
    Which,
};
use super::parse;
use super::plan::{Batch, batches, is_all, not_a_node, one_line, plan};
use crate::hostlist::{HostList, NodeName};

/// From this many nodes on, one question for all is cheaper than many.
const ASK_FOR_ALL: usize = 300;
/// Bytes of an answer. 50,000 nodes are 27 MB.
const ANSWER_BYTES: u64 = 64 << 20;
/// Bytes kept of what is said on standard error.
const COMPLAINT_BYTES: u64 = 16 << 10;
/// How long `scontrol` may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How long a killed child is waited for.
const REAP_LIMIT: Duration = Duration::from_secs(1);

/// Runs `scontrol`: no shell, no environment but `SLURM_CONF`, nothing on its
/// standard input, and never longer than the time limit.
#[derive(Debug, Clone)]
pub struct Scontrol {
    path: PathBuf,
    slurm_conf: PathBuf,
    time_limit: Duration,
    host: Option<String>,
}

impl Scontrol {
    /// Runs the `scontrol` at this absolute path, for the cluster of this
    /// slurm.conf, 10 s at most each time.
    #[must_use]
    pub fn new(path: PathBuf, slurm_conf: PathBuf) -> Scontrol {
        Scontrol {
            path,
            slurm_conf,
            time_limit: TIME_LIMIT,
            host: None,
        }
    }

    /// Another time limit for each run.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Scontrol {
        self.time_limit = limit;
        self
    }

    /// This machine's name, if it is not the one that the kernel says.
    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Scontrol {
        self.host = Some(name.into());
        self
    }

    /// Runs it once.
    async fn run(&self, args: &[OsString]) -> Result<Answer, SlurmError> {
        if !self.path.is_absolute() {
            let message = format!("{}: not an absolute path", self.path.display());
            return Err(SlurmError::new(SlurmErrorKind::NotRunnable, message));
        }
        let mut child = Command::new(&self.path)
            .args(args)
            .env_clear()
            .env("SLURM_CONF", &self.slurm_conf)
            // Times are printed by scontrol itself; this makes them UTC.
            .env("TZ", "UTC0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| {
                let message = format!("{}: {e}", self.path.display());
                SlurmError::new(SlurmErrorKind::NotRunnable, message)
            })?;
        let result = match timeout(self.time_limit, answer(&mut child)).await {
            Ok(result) => result,
            Err(_) => {
                let message = format!("no answer within {:?}", self.time_limit);
                Err(SlurmError::new(SlurmErrorKind::Timeout, message))
            }
        };
        if result.is_err() {
            // Kills and reaps; should even that hang, dropping it does the rest.
            let _ = timeout(REAP_LIMIT, child.kill()).await;
        }
        result
    }

    async fn show(&self, nodes: &[NodeName]) -> Result<BTreeMap<NodeName, SlurmNode>, SlurmError> {
        // After `--`, so that a name with a hyphen in front is no option.
        let mut args = words(&["-o", "--", "show", "node"]);
        let list = fold(nodes);
        if !nodes.is_empty() {
            args.push(list.as_str().into());
        }
        let asked = if nodes.is_empty() { "all nodes" } else { &list };
        let what = format!("scontrol show node ({})", shorten(asked));
        let answer = self.run(&args).await.map_err(|e| e.during(&what))?;
        let read = answer.text().and_then(parse::shown);
        let shown = match (answer.status.success(), read) {
            (true, read) => read.map_err(|e| e.during(&what))?,
            // It ends with 1 when one of many is not found, and shows the rest.
            (false, Ok(shown)) if !shown.not_found.is_empty() && !nodes.is_empty() => shown,
            (false, _) => return Err(answer.refused().during(&what)),
        };
        if shown.said_no_nodes || (shown.nodes.is_empty() && shown.not_found.is_empty()) {
            let said = if shown.said_no_nodes {
                "`No nodes in the system`"
            } else {
                "nothing"
            };
            let message = format!("{what}: Slurm said {said}");
            return Err(SlurmError::new(SlurmErrorKind::Empty, message));
        }
        if let Some(missing) = nodes.iter().find(|n| {
            !shown.nodes.contains_key(*n) && !shown.not_found.iter().any(|m| m == n.as_str())
        }) {
            let message = format!("{what}: the answer says nothing of {missing}");
            return Err(SlurmError::new(SlurmErrorKind::Garbage, message));
        }
        Ok(shown.nodes)
    }

    /// One `scontrol update`.
    async fn update_once(&self, batch: &Batch) -> Result<(), SlurmError> {
        let list = fold(&batch.nodes);
        let mut args = words(&["--", "update"]);
        args.push(format!("nodename={list}").into());
        args.extend(batch.words.iter().map(OsString::from));
        let what = format!(
            "scontrol update nodename={} {}",
            shorten(&list),
            batch.verb()
        );
        let answer = self.run(&args).await.map_err(|e| e.during(&what))?;
        if answer.status.success() {
            Ok(())
        } else {
            Err(answer.refused().during(&what))
        }
    }

    /// One batch. Slurm stops at a node that it does not know and leaves out
    /// all after it, so those that it does not know are found and the rest is
    /// sent again; each of the changes may be repeated.
    async fn update_batch(&self, batch: Batch, updates: &mut Updates) {
        let error = match self.update_once(&batch).await {
            Err(e) if e.kind() == SlurmErrorKind::NoSuchNode && batch.nodes.len() > 1 => e,
            result => return updates.push((batch.nodes, result)),
        };
        let Ok(known) = self.show(&batch.nodes).await else {
            return updates.push((batch.nodes, Err(error)));
        };
        let (rest, unknown) = batch.split(|n| known.contains_key(n));
        if unknown.nodes.is_empty() {
            return updates.push((rest.nodes, Err(error)));
        }
        let message = format!(
            "scontrol update: Slurm shows no node {}",
            fold(&unknown.nodes)
        );
        let none = SlurmError::new(SlurmErrorKind::NoSuchNode, message);
        updates.push((unknown.nodes.clone(), Err(none)));
        if !rest.nodes.is_empty() {
            let result = self.update_once(&rest).await;
            updates.push((rest.nodes, result));
        }
    }

    fn this_host(&self) -> Result<String, SlurmError> {
        if let Some(host) = &self.host {
            return Ok(host.clone());
        }
        const FILE: &str = "/proc/sys/kernel/hostname";
        let name = std::fs::read_to_string(FILE).map_err(|e| {
            SlurmError::new(
                SlurmErrorKind::Invalid,
                format!("this host's name: {FILE}: {e}"),
            )
        })?;
        Ok(name.trim().to_owned())
    }
}

#[async_trait]
impl SlurmControl for Scontrol {
    async fn nodes(&self, which: Which<'_>) -> Result<BTreeMap<NodeName, SlurmNode>, SlurmError> {
        let Which::Some(nodes) = which else {
            return self.show(&[]).await;
        };
        if let Some(name) = nodes.iter().find(|n| is_all(n)) {
            return Err(not_a_node(name));
        }
        let wanted: BTreeSet<NodeName> = nodes.iter().cloned().collect();
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        if wanted.len() > ASK_FOR_ALL {
            let mut all = self.show(&[]).await?;
            all.retain(|name, _| wanted.contains(name));
            return Ok(all);
        }
        let mut found = BTreeMap::new();
        for batch in batches(&wanted.into_iter().collect::<Vec<_>>(), |_| 0) {
            found.append(&mut self.show(batch).await?);
        }
        Ok(found)
    }

    async fn update(&self, nodes: &[NodeName], change: &Change) -> Updates {
        let mut updates = Vec::new();
        match plan(nodes, change) {
            Ok(batches) => {
                for batch in batches {
                    self.update_batch(batch, &mut updates).await;
                }
            }
            Err(error) => updates.push((nodes.to_vec(), Err(error))),
        }
        updates
    }

    async fn ping(&self) -> Result<Acting, SlurmError> {
        let host = self.this_host()?;
        let answer = self
            .run(&words(&["ping"]))
            .await
            .map_err(|e| e.during("scontrol ping"))?;
        // It ends with 1 when all are down, and says so.
        match answer.text().and_then(|text| parse::ping(text, &host)) {
            Err(e) if e.kind() == SlurmErrorKind::Garbage && !answer.status.success() => {
                Err(answer.refused().during("scontrol ping"))
            }
            read => read.map_err(|e| e.during("scontrol ping")),
        }
    }

    async fn version(&self) -> Result<SlurmVersion, SlurmError> {
        let what = "scontrol --version";
        let answer = self
            .run(&words(&["--version"]))
            .await
            .map_err(|e| e.during(what))?;
        if !answer.status.success() {
            return Err(answer.refused().during(what));
        }
        answer
            .text()
            .and_then(parse::version)
            .map_err(|e| e.during(what))
    }
}

/// Slurm's fold of these names. Only the last number is folded and nothing
/// stands after a bracket, which all versions read.
fn fold(nodes: &[NodeName]) -> String {
    nodes.iter().cloned().collect::<HostList>().to_string()
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// At most 80 characters, for messages.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// What a run of `scontrol` left.
#[derive(Debug)]
struct Answer {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Answer {
    fn text(&self) -> Result<&str, SlurmError> {
        str::from_utf8(&self.stdout).map_err(|e| {
            SlurmError::new(
                SlurmErrorKind::Garbage,
                format!("the answer is not UTF-8: {e}"),
            )
        })
    }

    /// The error behind an exit status that is not 0.
    fn refused(&self) -> SlurmError {
        let said = [&self.stderr, &self.stdout]
            .into_iter()
            .map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned())
            .find(|text| !text.is_empty())
            .unwrap_or_else(|| "it said nothing".to_owned());
        let has = |words: &str| said.contains(words);
        let kind = if has("Invalid node name") {
            SlurmErrorKind::NoSuchNode
        } else if has("Unable to contact") || has("timed out") || has("onnection refused") {
            SlurmErrorKind::Unreachable
        } else {
            SlurmErrorKind::Refused
        };
        // The last line says what it came to; those before repeat themselves.
        let last = said.lines().next_back().map(one_line).unwrap_or_default();
        SlurmError::new(
            kind,
            format!("{} ({})", shorten_to(&last, 300), self.status),
        )
    }
}

fn shorten_to(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

/// Waits for the child and reads what it says, both at once, so that neither
/// pipe fills up.
async fn answer(child: &mut Child) -> Result<Answer, SlurmError> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let read = async { read_all(stdout, ANSWER_BYTES).await };
    let complaints = async { Ok(read_some(stderr, COMPLAINT_BYTES).await) };
    let wait = async {
        child
            .wait()
            .await
            .map_err(|e| SlurmError::new(SlurmErrorKind::Garbage, e.to_string()))
    };
    let (stdout, stderr, status) = tokio::try_join!(read, complaints, wait)?;
    Ok(Answer {
        status,
        stdout,
        stderr,
    })
}

/// All of it; more than `limit` is an error.
async fn read_all(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> Result<Vec<u8>, SlurmError> {
    let mut bytes = Vec::new();
    let Some(pipe) = pipe else { return Ok(bytes) };
    let read = pipe.take(limit + 1).read_to_end(&mut bytes).await;
    read.map_err(|e| SlurmError::new(SlurmErrorKind::Garbage, e.to_string()))?;
    if bytes.len() as u64 > limit {
        let message = format!("an answer of more than {limit} bytes");
        return Err(SlurmError::new(SlurmErrorKind::TooLong, message));
    }
    Ok(bytes)
}

/// The first `limit` bytes of it; the rest is read and dropped.
async fn read_some(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Some(mut pipe) = pipe else { return bytes };
    // What cannot be read is missing in a message, and that is all.
    let _ = (&mut pipe).take(limit).read_to_end(&mut bytes).await;
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    bytes
}

#[cfg(test)]
#[path = "scontrol_tests.rs"]
mod tests;
