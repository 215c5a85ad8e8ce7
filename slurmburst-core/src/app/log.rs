//! The log: a line as administrators know it from the classic script for each
//! run, then a JSON line for each event. Where it cannot be written: syslog.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::converge::Journal;
use crate::ledger::Event;

/// Syslog's `daemon.info` and `daemon.err`.
const DAEMON_INFO: u8 = 30;
const DAEMON_ERR: u8 = 27;
/// A syslog datagram holds about this much on every system.
const SYSLOG_LIMIT: usize = 1_000;

/// Appends to the log file, which is opened for every line: a rotated file is
/// left behind at once, and nothing is ever held open across a fork.
#[derive(Debug, Clone)]
pub struct Log {
    file: PathBuf,
    program: &'static str,
}

impl Log {
    /// A log for `program` in `file`.
    pub fn new(file: &Path, program: &'static str) -> Log {
        Log {
            file: file.to_owned(),
            program,
        }
    }

    /// The first line of a run: date, user, action, program, arguments.
    pub fn invoked(&self, user: &str, action: &str, args: &[String]) {
        let date = jiff::Zoned::now()
            .strftime("%a %b %e %H:%M:%S %Z %Y")
            .to_string();
        let line = format!("{date} User {user} invoked {action} {}", args.join(" "));
        self.write(&printable(&line), false);
    }

    fn json<T: Serialize>(&self, value: &T, failed: bool) {
        if let Ok(line) = serde_json::to_string(value) {
            self.write(&line, failed);
        }
    }

    /// One line, in one write: lines of several processes never mix.
    fn write(&self, line: &str, failed: bool) {
        let opened = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .open(&self.file);
        let written = opened.and_then(|mut f| f.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            syslog(
                self.program,
                failed,
                &format!("{}: {error}: {line}", self.file.display()),
            );
        }
    }
}

#[derive(Serialize)]
struct EventLine<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

#[derive(Serialize)]
struct NoteLine<'a> {
    time: String,
    note: &'a str,
}

fn now() -> String {
    jiff::Zoned::now()
        .strftime("%Y-%m-%dT%H:%M:%S%.3f%:z")
        .to_string()
}

impl Journal for Log {
    fn event(&self, event: &Event) {
        let failed = matches!(
            event.what.as_str(),
            "failed" | "down-failed" | "slurm-refused"
        );
        self.json(&EventLine { time: now(), event }, failed);
    }

    fn note(&self, text: &str) {
        self.json(
            &NoteLine {
                time: now(),
                note: text,
            },
            true,
        );
    }
}

/// Sends one line to the system's log, if there is one. Nothing can be done
/// about a failure.
pub fn syslog(program: &str, failed: bool, text: &str) {
    let priority = if failed { DAEMON_ERR } else { DAEMON_INFO };
    let mut line = format!(
        "<{priority}>{program}[{}]: {}",
        std::process::id(),
        printable(text)
    );
    let mut end = line.len().min(SYSLOG_LIMIT);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    if let Ok(socket) = UnixDatagram::unbound() {
        let _ = socket.set_nonblocking(true);
        let _ = socket.send_to(line.as_bytes(), "/dev/log");
    }
}

/// Control characters would let an argument forge a line.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended_and_survive_a_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("power_save.log");
        let log = Log::new(&file, "slurmburst-resume");
        log.invoked(
            "slurm",
            "resume",
            &["/usr/sbin/slurmburst-resume".into(), "c[1-3]".into()],
        );
        let first = std::fs::read_to_string(&file).unwrap();
        assert!(
            first.contains(" User slurm invoked resume /usr/sbin/slurmburst-resume c[1-3]\n"),
            "{first}"
        );
        std::fs::rename(&file, dir.path().join("power_save.log.1")).unwrap();
        log.note("a \"note\"\nof two lines");
        let second = std::fs::read_to_string(&file).unwrap();
        let json: serde_json::Value = serde_json::from_str(second.trim_end()).unwrap();
        assert_eq!(json["note"], "a \"note\"\nof two lines");
        assert_eq!(second.lines().count(), 1);
    }

    #[test]
    fn an_argument_cannot_forge_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        Log::new(&file, "x").invoked("slurm", "resume", &["c1\n{\"node\":\"c2\"}".into()]);
        assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 1);
    }
}
