//! [`ResumeFile`]: the JSON that slurmctld gives to ResumeProgram.
//!
//! It is a hint: it does not name every job, dies with the program that it was
//! given to, and has other keys in every version. The nodes to start are
//! those of argv. So there is no error here, only a reason for having none.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;
use serde_json::{Map, Value};

use crate::hostlist::{Dialect, HostList, Limits};

/// Bytes that are read at most. 4,681 names that do not fold are 262 kB.
const BYTES: u64 = 16 << 20;

/// What became of reading the resume file.
#[derive(Debug, Clone, PartialEq)]
pub enum ResumeHint {
    /// It was read.
    Read(ResumeFile),
    /// There is none, or none that can be read; normal, and why.
    Missing(String),
}

impl ResumeHint {
    /// The jobs it names; none when there is no file.
    #[must_use]
    pub fn jobs(&self) -> &[Job] {
        match self {
            ResumeHint::Read(file) => &file.jobs,
            ResumeHint::Missing(_) => &[],
        }
    }
}

/// What a resume file says.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ResumeFile {
    /// Every node of this call, if it says so. When that is not what argv
    /// says, the file belongs to another call.
    pub all_nodes: Option<HostList>,
    /// Jobs that wait for these nodes. Not all of them.
    pub jobs: Vec<Job>,
}

/// A job of a resume file. What a version does not have is none.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Job {
    /// The job's number.
    pub job_id: u64,
    /// All of the job's nodes. In 22.05 only those of this call.
    pub nodes_alloc: Option<HostList>,
    /// Those of its nodes that this call starts.
    pub nodes_resume: Option<HostList>,
    /// `--constraint`, as written.
    pub features: Option<String>,
    /// `--extra`.
    pub extra: Option<String>,
    /// The reservation it runs in.
    pub reservation: Option<String>,
    /// The partition chosen.
    pub partition: Option<String>,
    /// `OK`, `NO` or `YES`.
    pub oversubscribe: Option<String>,
    /// `NO` or `NODE`.
    pub exclusive: Option<String>,
}

impl ResumeFile {
    /// Reads the file that `SLURM_RESUME_FILE` names. Do it first: it is gone
    /// once the program that was called ends.
    #[must_use]
    pub fn read(path: Option<&Path>) -> ResumeHint {
        let Some(path) = path else {
            return ResumeHint::Missing("SLURM_RESUME_FILE is not set".to_owned());
        };
        match read_bytes(path).and_then(|bytes| ResumeFile::parse(&bytes)) {
            Ok(file) => ResumeHint::Read(file),
            Err(why) => ResumeHint::Missing(format!("{}: {why}", path.display())),
        }
    }

    /// Reads its text, of any version.
    ///
    /// # Errors
    /// Why it is none. A job without a number is left out, and so is a
    /// hostlist that is none.
    pub fn parse(json: &[u8]) -> Result<ResumeFile, String> {
        let value: Value = serde_json::from_slice(json).map_err(|e| format!("no JSON: {e}"))?;
        let Value::Object(file) = value else {
            return Err("no JSON object".to_owned());
        };
        let jobs = match file.get("jobs") {
            Some(Value::Array(jobs)) => jobs.iter().filter_map(job).collect(),
            _ => Vec::new(),
        };
        let all_nodes =
            hostlist(&file, "all_nodes_resume").or_else(|| hostlist(&file, "all_nodes"));
        Ok(ResumeFile { all_nodes, jobs })
    }
}

fn job(value: &Value) -> Option<Job> {
    let Value::Object(job) = value else {
        return None;
    };
    let text = |key| job.get(key).and_then(Value::as_str).map(str::to_owned);
    // 22.05 has one key for both.
    let nodes = |key| hostlist(job, key).or_else(|| hostlist(job, "nodes"));
    Some(Job {
        job_id: job.get("job_id")?.as_u64()?,
        nodes_alloc: nodes("nodes_alloc"),
        nodes_resume: nodes("nodes_resume"),
        features: text("features"),
        extra: text("extra"),
        reservation: text("reservation"),
        partition: text("partition"),
        oversubscribe: text("oversubscribe"),
        exclusive: text("exclusive"),
    })
}

fn hostlist(object: &Map<String, Value>, key: &str) -> Option<HostList> {
    let text = object.get(key)?.as_str()?;
    HostList::parse_with(text, Dialect::SlurmCompat, &Limits::slurm()).ok()
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    // The number in /proc/PID/fd may belong to something else by now; a pipe
    // must not make us wait.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(|e| e.to_string())?;
    if !file.metadata().map_err(|e| e.to_string())?.is_file() {
        return Err("not a file (any more)".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| e.to_string())?;
    if bytes.len() as u64 > BYTES {
        return Err(format!("longer than {BYTES} bytes"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(list: &Option<HostList>) -> Option<String> {
        list.as_ref().map(HostList::to_string)
    }

    #[test]
    fn each_versions_form_is_read() {
        let old = br#"{"jobs":[{"job_id":7,"nodes":"c[1-3]"}],"all_nodes":"c[1-3]"}"#;
        let file = ResumeFile::parse(old).unwrap();
        assert_eq!(text(&file.all_nodes).as_deref(), Some("c[1-3]"));
        assert_eq!(file.jobs[0].job_id, 7);
        assert_eq!(text(&file.jobs[0].nodes_alloc).as_deref(), Some("c[1-3]"));
        assert_eq!(text(&file.jobs[0].nodes_resume).as_deref(), Some("c[1-3]"));
        assert_eq!(file.jobs[0].partition, None);

        let new = br#"{"jobs":[{"exclusive":"NODE","extra":null,"job_id":1,"priority":1,
            "features":"gpu&f2","nodes_alloc":"c[1-9]","nodes_resume":"c1","oversubscribe":"NO",
            "partition":"p","reservation":"r1"}],"all_nodes_resume":"c1","what":{"comes":[1]}}"#;
        let file = ResumeFile::parse(new).unwrap();
        let job = &file.jobs[0];
        assert_eq!(text(&job.nodes_alloc).as_deref(), Some("c[1-9]"));
        assert_eq!(text(&job.nodes_resume).as_deref(), Some("c1"));
        assert_eq!(
            (job.features.as_deref(), &job.extra),
            (Some("gpu&f2"), &None)
        );
        assert_eq!(job.exclusive.as_deref(), Some("NODE"));
        assert_eq!(job.reservation.as_deref(), Some("r1"));
        assert_eq!(text(&file.all_nodes).as_deref(), Some("c1"));
    }

    #[test]
    fn what_is_odd_is_left_out() {
        let odd = br#"{"jobs":[null,{"job_id":"x"},{"job_id":3,"nodes_alloc":"c[","features":5}]}"#;
        let file = ResumeFile::parse(odd).unwrap();
        assert_eq!(
            file.jobs,
            [Job {
                job_id: 3,
                ..Job::default()
            }]
        );
        assert_eq!(
            ResumeFile::parse(br#"{"jobs":null}"#).unwrap(),
            ResumeFile::default()
        );
    }

    #[test]
    fn no_file_is_normal_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let why = |path: Option<&Path>| match ResumeFile::read(path) {
            ResumeHint::Missing(why) => why,
            ResumeHint::Read(_) => panic!("read"),
        };
        assert!(why(None).contains("SLURM_RESUME_FILE"));
        assert!(why(Some(&path)).contains("No such file"));
        assert!(why(Some(dir.path())).contains("not a file"));
        std::fs::write(&path, "{\"jobs\":").unwrap();
        assert!(why(Some(&path)).contains("JSON"));
        std::fs::write(&path, "[]").unwrap();
        assert!(why(Some(&path)).contains("object"));
        std::fs::write(&path, vec![b' '; 1 << 24 | 1]).unwrap();
        assert!(why(Some(&path)).contains("longer"));
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(why(Some(&path)).contains("not a file"));
        assert!(ResumeFile::read(None).jobs().is_empty());
    }

    #[test]
    fn every_sample_is_read() {
        let Some(samples) = crate::slurm::samples::samples("resume_") else {
            return;
        };
        let mut read = 0;
        for path in samples
            .iter()
            .filter(|p| p.extension().is_some_and(|e| e == "json"))
        {
            let ResumeHint::Read(file) = ResumeFile::read(Some(path)) else {
                panic!("{}", path.display())
            };
            assert!(
                file.all_nodes.is_some_and(|n| !n.is_empty()),
                "{}",
                path.display()
            );
            assert!(
                file.jobs.iter().all(|j| j.nodes_resume.is_some()),
                "{}",
                path.display()
            );
            read += 1;
        }
        assert!(read > 20, "{read} samples");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ResumeFile::parse(&bytes);
        }
    }
}
