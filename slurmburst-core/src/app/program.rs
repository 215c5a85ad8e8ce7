//! The three programs that slurmctld calls.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::converge::Journal;
use crate::converge::marks::mark_for;
use crate::error::{Error, ErrorKind};
use crate::hostlist::NodeName;
use crate::ledger::{Event, NewWish, Program, Wish};
use crate::ledger::{Lease, Ledger, LedgerError};
use crate::provider::Direction;
use crate::site::UnknownNodes;
use crate::slurm::invocation::{Environment, Invocation};
use crate::slurm::resume_file::{ResumeFile, ResumeHint};

use super::identity::user_name;
use super::log::{Log, syslog};
use super::{
    EXIT_NODE, EXIT_NOT_RECORDED, EXIT_OK, EXIT_USAGE, Kinds, Setup, converger, unblock_signals,
};

/// How often the ledger is looked at for outcomes.
const LOOK_EVERY: Duration = Duration::from_millis(40);
/// The code of a refusal because of a broken site file.
const BROKEN_CODE: &str = "SiteFileBroken";

pub(super) fn main(program: Program, kinds: &Kinds) -> ExitCode {
    let started = Instant::now();
    // 22.05 blocks twelve signals; first of all, and before any thread.
    let _ = unblock_signals();
    let env = Environment::read(|name| std::env::var_os(name));
    // It dies with slurmctld's call: read it before anything that takes time.
    let hint = match program {
        Program::Resume => Some(ResumeFile::read(env.resume_file.as_deref())),
        _ => None,
    };
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let request = match Invocation::parse(args) {
        Ok(request) => request,
        Err(error) => return complain(program, EXIT_USAGE, &error.to_string()),
    };
    let invocation = match request {
        Invocation::Help => return show(&help(program)),
        Invocation::Version => return show(concat!(env!("CARGO_PKG_VERSION"), "\n")),
        Invocation::Converge { config } => return converger::main(config.as_deref(), &env, kinds),
        Invocation::Run(run) => run,
    };
    let setup = match Setup::load(invocation.config.as_deref(), &env, kinds) {
        Ok(setup) => setup,
        Err(error) => return complain(program, EXIT_USAGE, &error.to_string()),
    };
    let log = Log::new(&setup.site.log_file, name_of(program));
    let shown: Vec<String> = std::env::args_os()
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    log.invoked(&user_name(), program.as_str(), &shown);
    if let Some(hint) = &hint {
        log.note(&hint_line(hint));
    }
    if let Some(broken) = &setup.broken {
        let text = format!(
            "SITE FILE BROKEN, working with the last good copy, and nothing new is started until it is mended: {broken}"
        );
        log.note(&text);
        complain(program, EXIT_USAGE, &text);
    }
    let run = Run {
        program,
        setup: &setup,
        log: &log,
        clock: Clock::system(),
    };
    let nodes: BTreeSet<NodeName> = invocation.nodes.iter().collect();
    match run.record(&nodes) {
        Ok(recorded) => {
            let until = (!invocation.wait).then(|| started + setup.site.return_after);
            let failed = run.await_outcomes(&recorded, until);
            let code = match (&setup.broken, recorded.refused || failed) {
                (Some(_), _) if program == Program::Resume => EXIT_USAGE,
                (_, true) => EXIT_NODE,
                (_, false) => EXIT_OK,
            };
            ExitCode::from(code)
        }
        Err(error) => {
            log.note(&format!("NOTHING WAS RECORDED: {error}"));
            complain(program, EXIT_NOT_RECORDED, &error.to_string())
        }
    }
}

/// What was recorded.
struct Recorded {
    ledger: Ledger,
    wishes: Vec<Wish>,
    refused: bool,
}

struct Run<'a> {
    program: Program,
    setup: &'a Setup,
    log: &'a Log,
    clock: Clock,
}

impl Run<'_> {
    /// One transaction of wishes, then the refusals, then the kick.
    fn record(&self, nodes: &BTreeSet<NodeName>) -> Result<Recorded, LedgerError> {
        let site = &self.setup.site;
        let mut ledger = Ledger::open(&site.state_dir, self.clock.clone())?;
        let (known, unknown): (Vec<&NodeName>, Vec<&NodeName>) = nodes
            .iter()
            .partition(|n| site.policy.group_of(n).is_some());
        let mut refuse: Vec<(&NodeName, Error)> = Vec::new();
        if site.unknown_nodes == UnknownNodes::Refuse {
            refuse.extend(unknown.into_iter().map(|n| (n, self.unknown(n))));
        }
        let mut accept = known;
        if let (Some(broken), Program::Resume) = (&self.setup.broken, self.program) {
            let error = Error::new(
                ErrorKind::Invalid,
                format!("the site file is broken: {broken}"),
            )
            .code(BROKEN_CODE);
            refuse.extend(accept.drain(..).map(|n| (n, error.clone())));
        }
        let wishes: Vec<NewWish> = accept.into_iter().map(|n| self.wish(n)).collect();
        let wishes = ledger.record(&wishes)?;
        for wish in &wishes {
            self.log.event(&event(wish, "recorded", None));
        }
        let refused = !refuse.is_empty();
        self.refuse(&mut ledger, refuse)?;
        kick(self.setup, self.log);
        Ok(Recorded {
            ledger,
            wishes,
            refused,
        })
    }

    fn unknown(&self, node: &NodeName) -> Error {
        let file = self.setup.site.file.display();
        Error::new(
            ErrorKind::Invalid,
            format!("{node} is in no [[nodes]] group of {file}: add it there, or set unknown_nodes = \"ignore\" if another program owns it"),
        )
        .code("UnknownNode")
    }

    fn wish(&self, node: &NodeName) -> NewWish {
        let (direction, limit) = match self.program {
            Program::Resume => {
                let timeout = self.setup.conf.resume_timeout(node);
                (
                    Direction::Up,
                    timeout.saturating_sub(self.setup.site.margin(timeout)),
                )
            }
            _ => (Direction::Down, self.setup.conf.suspend_timeout(node)),
        };
        let limit = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        NewWish {
            node: node.clone(),
            direction,
            deadline_ms: self.clock.now_ms().saturating_add(limit),
            program: self.program,
        }
    }

    /// Nodes that are not even tried: logged by name and, where Slurm waits for
    /// them, told to Slurm.
    fn refuse(
        &self,
        ledger: &mut Ledger,
        refused: Vec<(&NodeName, Error)>,
    ) -> Result<(), LedgerError> {
        if self.program != Program::Resume {
            for (node, error) in refused {
                self.log.note(&format!("{node}: {error}"));
            }
            return Ok(());
        }
        let wishes: Vec<NewWish> = refused.iter().map(|(n, _)| self.wish(n)).collect();
        let wishes = ledger.record(&wishes)?;
        let now = self.clock.now_ms();
        let mut marks = Vec::new();
        let mut settled = Vec::new();
        let mut events = Vec::new();
        for (wish, (node, error)) in wishes.iter().zip(refused) {
            let cool_off = &self.setup.site.cool_off;
            marks.push(mark_for(
                cool_off,
                node,
                wish.generation,
                &error,
                self.whereabouts(&error).as_deref(),
                now,
            ));
            events.push(event(wish, "failed", Some(error.to_string())));
            settled.push((node.clone(), wish.generation, Err(error)));
        }
        ledger.settle(&settled)?;
        ledger.set_marks(&marks)?;
        ledger.add_events(&events)?;
        for event in &events {
            self.log.event(event);
        }
        ledger.bump_wake()
    }

    /// For Slurm's reason, in the place of a placement: where to look.
    fn whereabouts(&self, error: &Error) -> Option<String> {
        let broken = self.setup.broken.as_ref()?;
        let name = Path::new(broken.file()).file_name()?.to_string_lossy();
        (error.cloud_code() == Some(BROKEN_CODE))
            .then(|| format!("{name}:{}:{}", broken.line(), broken.column()))
    }

    /// Waits until every wish is settled or `until` has come. Answers whether
    /// one failed so far.
    fn await_outcomes(&self, recorded: &Recorded, until: Option<Instant>) -> bool {
        let terminal = io::stderr().is_terminal();
        loop {
            let (open, failed) = match self.progress(recorded) {
                Ok(progress) => progress,
                Err(error) => {
                    self.log
                        .note(&format!("the ledger could not be read: {error}"));
                    return false;
                }
            };
            let left = until.map(|at| at.saturating_duration_since(Instant::now()));
            if open == 0 || left.is_some_and(|l| l.is_zero()) {
                if terminal {
                    let total = recorded.wishes.len();
                    let _ = writeln!(
                        io::stderr(),
                        "{}: {total} nodes recorded, {failed} failed, {open} still under way; see `slurmburst status`",
                        name_of(self.program)
                    );
                }
                return failed > 0;
            }
            sleep(left.unwrap_or(LOOK_EVERY).min(LOOK_EVERY));
        }
    }

    /// How many wishes are open, and how many failed.
    fn progress(&self, recorded: &Recorded) -> Result<(usize, usize), LedgerError> {
        let nodes: Vec<NodeName> = recorded.wishes.iter().map(|w| w.node.clone()).collect();
        let (mut open, mut failed) = (0, 0);
        let now = recorded.ledger.wishes(Some(&nodes))?;
        for (mine, now) in recorded.wishes.iter().zip(now) {
            match &now.settled {
                _ if now.generation != mine.generation => {
                    // A newer wish took over; what became of ours the mark tells.
                    let mark = recorded.ledger.mark(&mine.node)?;
                    failed += usize::from(mark.is_some_and(|m| m.generation == mine.generation));
                }
                None => open += 1,
                Some(settled) => failed += usize::from(settled.result.is_err()),
            }
        }
        Ok((open, failed))
    }
}

/// Starts a converger in its own process group, unless one is at work: that one
/// notices the ledger's wake-up counter by itself.
pub fn kick(setup: &Setup, journal: &dyn Journal) {
    if Lease::is_held(&setup.site.state_dir) {
        return;
    }
    // The link works even when the file was replaced by an upgrade meanwhile.
    let spawned = Command::new("/proc/self/exe")
        .arg0("slurmburst-converge")
        .arg("--converge")
        .arg("--config")
        .arg(&setup.site.file)
        .env_clear()
        .env("SLURM_CONF", &setup.site.slurm.conf)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Newer slurmctlds end the program's process group when the program exits.
        .process_group(0)
        .spawn();
    if let Err(error) = spawned {
        journal.note(&format!(
            "the converger could not be started; the timer will: {error}"
        ));
    }
}

fn event(wish: &Wish, what: &str, detail: Option<String>) -> Event {
    Event {
        at_ms: wish.created_ms,
        node: wish.node.clone(),
        generation: Some(wish.generation),
        what: what.to_owned(),
        placement: None,
        call: None,
        request_id: None,
        duration_ms: None,
        detail,
    }
}

fn name_of(program: Program) -> &'static str {
    match program {
        Program::Resume => "slurmburst-resume",
        Program::Suspend => "slurmburst-suspend",
        Program::ResumeFail => "slurmburst-resume-fail",
        Program::Reconcile => "slurmburst",
    }
}

/// What the resume file says, in a line for the log. It is a hint: argv decides.
fn hint_line(hint: &ResumeHint) -> String {
    match hint {
        ResumeHint::Read(file) => {
            let jobs: Vec<String> = file
                .jobs
                .iter()
                .take(20)
                .map(|j| j.job_id.to_string())
                .collect();
            let more = if file.jobs.len() > jobs.len() {
                ", ..."
            } else {
                ""
            };
            format!(
                "resume file: {} jobs: {}{more}",
                file.jobs.len(),
                jobs.join(", ")
            )
        }
        ResumeHint::Missing(why) => format!("no resume file: {why}"),
    }
}

/// To syslog, and to a person if there is one.
fn complain(program: Program, code: u8, text: &str) -> ExitCode {
    syslog(name_of(program), true, text);
    if io::stderr().is_terminal() {
        let _ = writeln!(io::stderr(), "{}: {text}", name_of(program));
    }
    ExitCode::from(code)
}

fn show(text: &str) -> ExitCode {
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn help(program: Program) -> String {
    let name = name_of(program);
    let (key, what) = match program {
        Program::Resume => ("ResumeProgram", "Wishes the nodes up"),
        Program::Suspend => ("SuspendProgram", "Wishes the nodes down"),
        _ => (
            "ResumeFailProgram",
            "Wishes nodes down that did not come up in time",
        ),
    };
    format!(
        "{name} - {key} of slurm.conf

USAGE
    {name} [--config FILE] [--wait] HOSTLIST [IGNORED]

{what}: records that in the ledger, starts the converger unless one
is at work, waits up to `return_after` for outcomes, and exits. slurmctld calls
it with the hostlist alone; the options are for hands.

OPTIONS
    --config FILE   the site file. Otherwise $SLURMBURST_CONFIG, slurmburst.toml
                    beside $SLURM_CONF, or /etc/slurm/slurmburst.toml
    --wait          stay until every node is settled
    --help          this text
    --version       the version

EXIT STATUS
    0   recorded, and nothing failed so far
    1   a node was refused or failed
    2   wrong usage, or a wrong site file
    3   nothing could be recorded

FILES
    Everything goes to `log_file` of the site file, or to syslog where that cannot
    be opened. Nothing is printed unless standard error is a terminal.

SEE ALSO
    slurmburst status, slurmburst history, slurmburst reconcile
"
    )
}
