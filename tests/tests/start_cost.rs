//! What one call of a program costs, beside `scontrol ping` in the same run. Not a test but a measurement:
//! `tests/bench.sh start` runs it and writes docs/PERFORMANCE.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use slurmburst_tests::burst::{Build, Burst, local_site};
use slurmburst_tests::{Cluster, SlurmVersion};

/// Each command is run this often in a row, and all of them in turn this often: what else the machine does meets all alike.
const RUNS: usize = 20;
const ROUNDS: usize = 5;

/// What the helper is told, one argument a line.
const COMMAND: &str = "SLURMBURST_MEASURE";
/// A folder whose converger has to be gone before each run.
const QUIET: &str = "SLURMBURST_MEASURE_QUIET";

/// A process of its own, since the peak memory of children is one number for all of them.
#[test]
#[ignore = "a helper of start_cost"]
fn helper() {
    let Ok(command) = std::env::var(COMMAND) else {
        return;
    };
    let quiet = std::env::var(QUIET).ok();
    let args: Vec<&str> = command.lines().collect();
    for _ in 0..RUNS {
        if let Some(dir) = &quiet {
            wait_for_no_converger(Path::new(dir));
        }
        let mut command = Command::new(args[0]);
        command
            .args(&args[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let begun = Instant::now();
        let status = command.status().expect("the command");
        println!("took {}", begun.elapsed().as_micros());
        assert!(status.success(), "{args:?}: {status}");
    }
    println!(
        "peak {}",
        getrusage(UsageWho::RUSAGE_CHILDREN)
            .expect("getrusage")
            .max_rss()
    );
}

fn wait_for_no_converger(dir: &Path) {
    let dir = dir.display().to_string();
    let is_one = |entry: &std::fs::DirEntry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.contains("--converge") && line.contains(&dir)
    };
    while std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .any(|entry| is_one(&entry))
    {
        sleep(Duration::from_millis(20));
    }
}

struct Row {
    name: &'static str,
    args: Vec<String>,
    quiet: bool,
    micros: Vec<u64>,
    peak_kib: u64,
}

impl Row {
    fn new(name: &'static str, program: &Path, args: &[&str], quiet: bool) -> Row {
        let mut all = vec![program.display().to_string()];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        Row {
            name,
            args: all,
            quiet,
            micros: Vec::new(),
            peak_kib: 0,
        }
    }

    fn measure(&mut self, conf: &Path, dir: &Path) {
        let mut helper = Command::new(std::env::current_exe().expect("this test"));
        helper.args(["--ignored", "--exact", "helper", "--nocapture"]);
        helper
            .env(COMMAND, self.args.join("\n"))
            .env("SLURM_CONF", conf);
        if self.quiet {
            helper.env(QUIET, dir);
        }
        let out = helper.output().expect("helper");
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{}: {text}", self.name);
        for line in text.lines() {
            // The first line follows libtest's `test helper ... `.
            if let Some((_, took)) = line.split_once("took ") {
                self.micros.push(took.parse().expect("a number"));
            } else if let Some((_, peak)) = line.split_once("peak ") {
                self.peak_kib = self.peak_kib.max(peak.parse().expect("a number"));
            }
        }
    }

    fn print(&mut self) {
        self.micros.sort_unstable();
        let at = |part: f64| {
            let last = self.micros.len() - 1;
            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss
            )]
            let index = (last as f64 * part).round() as usize;
            format!(
                "{}.{} ms",
                self.micros[index] / 1000,
                self.micros[index] % 1000 / 100
            )
        };
        let peak = format!(
            "{}.{} MiB",
            self.peak_kib / 1024,
            self.peak_kib % 1024 * 10 / 1024
        );
        println!("| {} | {} | {} | {} |", self.name, at(0.5), at(0.9), peak);
    }
}

#[test]
#[ignore = "a measurement: tests/bench.sh start"]
fn start_cost() {
    let bin = Build::Site.dir().expect("the programs");
    let release = SlurmVersion::Packaged.available().expect("a Slurm");
    let builder = Cluster::builder(SlurmVersion::Packaged).suspend_time(3600);
    let site = local_site(
        builder.dir(),
        "c[1-3]",
        "return_after = \"0s\"\nmax_power_ups_per_hour = 0",
    );
    let burst = Burst::start(builder, &bin, &site);
    let (cluster, dir) = (&burst.cluster, burst.cluster.dir());
    cluster.scontrol(&["update", "nodename=c1", "state=power_up"]);
    cluster.wait_for_nodes("c1 to be up", Duration::from_secs(30), &["c1"], |node| {
        !node.is(&["POWERED_DOWN"]) && !node.is(&["POWERING_UP"])
    });

    let resume = burst.program("slurmburst-resume");
    let mut rows = [
        Row::new(
            "`scontrol ping`",
            Path::new("/usr/bin/scontrol"),
            &["ping"],
            false,
        ),
        Row::new(
            "`slurmburst-resume c1`, starts a converger",
            &resume,
            &["c1"],
            true,
        ),
        Row::new(
            "`slurmburst-resume c1`, a converger is at work",
            &resume,
            &["c1"],
            false,
        ),
        Row::new(
            "`slurmburst-resume --version`",
            &resume,
            &["--version"],
            false,
        ),
    ];
    for _ in 0..ROUNDS {
        for row in &mut rows {
            row.measure(&cluster.conf_path(), dir);
        }
    }
    println!(
        "| {} calls each, Slurm {release} | median | 9 of 10 | peak memory |",
        RUNS * ROUNDS
    );
    println!("|---|---|---|---|");
    for row in &mut rows {
        row.print();
    }
}
