//! The process that outlives a test which is killed, and ends what the test started.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::version::search_path;

/// See `keeper.sh`.
#[derive(Debug)]
pub(crate) struct Keeper {
    child: Child,
    /// Closing it is the sign to end everything.
    stdin: Option<ChildStdin>,
}

impl Keeper {
    /// For the cluster in `dir`; with `tree`, in a mount namespace with that tree's `/usr`.
    pub(crate) fn start(dir: &Path, tree: Option<&Path>) -> Self {
        let mut command = match tree {
            None => Command::new("sh"),
            Some(_) => {
                let mut unshare = Command::new("unshare");
                unshare.args(["--mount", "--propagation", "private", "sh"]);
                unshare
            }
        };
        command
            .args(["-c", include_str!("keeper.sh"), "keeper"])
            .arg(dir)
            .arg(std::process::id().to_string());
        let mut child = command
            .arg(tree.unwrap_or(Path::new("")))
            .env("PATH", search_path())
            .current_dir("/")
            // Not ended by a Ctrl-C that ends the test.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh or unshare");
        let stdin = child.stdin.take();
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("keeper's answer");
        assert_eq!(
            line.trim(),
            "ready",
            "the keeper did not start; its messages are above"
        );
        Self { child, stdin }
    }

    /// What a command has to be prefixed with to run in the namespace.
    pub(crate) fn enter(&self) -> Vec<String> {
        vec![
            "nsenter".to_owned(),
            format!("--mount=/proc/{}/ns/mnt", self.child.id()),
        ]
    }

    /// Ends every process of the cluster, and returns when they are gone.
    pub(crate) fn end_all(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
