//! The converger as a process, and the reconcile pass of the operator's command.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use crate::clock::Clock;
use crate::converge::{Converger, FullOptions, Journal, Parts, Report};
use crate::ledger::{Lease, Ledger, LedgerError};
use crate::site::{Site, load_or_last_good};
use crate::slurm::invocation::Environment;
use crate::slurm::scontrol::Scontrol;

use super::log::{Log, syslog};
use super::setup::context;
use super::{EXIT_NOT_RECORDED, EXIT_USAGE, Kinds, Setup};

const NAME: &str = "slurmburst-converge";
/// Somebody may be looking whether the lease is held; that takes no time.
const LEASE_TRIES: u32 = 10;
const LEASE_PAUSE: Duration = Duration::from_millis(20);

pub(super) fn main(config: Option<&Path>, env: &Environment, kinds: &Kinds) -> ExitCode {
    let setup = match Setup::load(config, env, kinds) {
        Ok(setup) => setup,
        Err(error) => {
            syslog(NAME, true, &error.to_string());
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let log = Arc::new(Log::new(&setup.site.log_file, NAME));
    match converge(&setup, kinds, &log, None) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            log.note(&format!(
                "the converger gave up; the timer goes on: {error}"
            ));
            ExitCode::from(EXIT_NOT_RECORDED)
        }
    }
}

/// What came of [`reconcile`].
#[derive(Debug)]
pub enum Converged {
    /// It was done here.
    Here(Box<Report>),
    /// A converger is at work; it was asked to make a full pass.
    Asked,
    /// A converger is at work, and what was wanted (a look without acting, or a
    /// person's word) cannot be handed to it. Nothing was done.
    Busy,
}

/// Why a reconcile pass could not be made.
#[derive(Debug)]
pub enum ReconcileError {
    /// The ledger could not be used.
    Ledger(LedgerError),
    /// The runtime could not be started.
    Runtime(std::io::Error),
}

impl fmt::Display for ReconcileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReconcileError::Ledger(e) => e.fmt(f),
            ReconcileError::Runtime(e) => write!(f, "the runtime could not be started: {e}"),
        }
    }
}

impl std::error::Error for ReconcileError {}

impl From<LedgerError> for ReconcileError {
    fn from(e: LedgerError) -> ReconcileError {
        ReconcileError::Ledger(e)
    }
}

/// A full pass over all nodes, here if no converger is at work. With
/// `options.wait`, waits for one that is.
///
/// # Errors
/// The ledger could not be used, or the runtime not be started.
pub fn reconcile(
    setup: &Setup,
    kinds: &Kinds,
    options: &FullOptions,
) -> Result<Converged, ReconcileError> {
    let log = Arc::new(Log::new(&setup.site.log_file, "slurmburst"));
    loop {
        if let Some(report) = converge(setup, kinds, &log, Some(options))? {
            return Ok(Converged::Here(Box::new(report)));
        }
        if !options.wait && (options.dry_run || options.confirm.is_some()) {
            return Ok(Converged::Busy);
        }
        if !options.wait {
            let mut ledger = Ledger::open(&setup.site.state_dir, Clock::system())?;
            ledger.set_meta(crate::converge::FULL_REQUESTED, "1")?;
            ledger.bump_wake()?;
            return Ok(Converged::Asked);
        }
        sleep(Duration::from_millis(200));
    }
}

/// Converges under the lease until nothing is left to do. `None` when somebody
/// else holds the lease.
fn converge(
    setup: &Setup,
    kinds: &Kinds,
    log: &Arc<Log>,
    full: Option<&FullOptions>,
) -> Result<Option<Report>, ReconcileError> {
    let dir = &setup.site.state_dir;
    let mut full = full;
    let mut report = None;
    loop {
        // First, since it makes the folder that the lease is in.
        let ledger = Ledger::open(dir, Clock::system())?;
        let Some(lease) = acquire(dir)? else {
            return Ok(report);
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ReconcileError::Runtime)?;
        let mut converger = Converger::new(Parts {
            lease,
            site: Arc::clone(&setup.site),
            conf: Arc::clone(&setup.conf),
            ledger,
            slurm: Arc::new(
                Scontrol::new(
                    setup.site.slurm.scontrol.clone(),
                    setup.site.slurm.conf.clone(),
                )
                .time_limit(setup.site.slurm.timeout),
            ),
            clock: Clock::system(),
            journal: Arc::clone(log) as Arc<dyn Journal>,
        })?;
        let mut reload = reloader(setup, kinds, log);
        let ended = runtime.block_on(converger.run(full, &mut reload));
        report.get_or_insert_with(|| converger.report().clone());
        ended?;
        converger.release();
        if full.is_some_and(|f| f.dry_run) {
            return Ok(report);
        }
        // A wish that was recorded between the last look and the release found the
        // lease held and started nobody: look once more.
        if !converger.has_work()? {
            return Ok(report);
        }
        full = None;
    }
}

fn acquire(dir: &Path) -> Result<Option<Lease>, LedgerError> {
    for _ in 0..LEASE_TRIES {
        if let Some(lease) = Lease::try_acquire(dir)? {
            return Ok(Some(lease));
        }
        sleep(LEASE_PAUSE);
    }
    Ok(None)
}

/// Answers with a new site when the file has changed and can be used.
fn reloader(
    setup: &Setup,
    kinds: &Kinds,
    log: &Arc<Log>,
) -> impl FnMut() -> Option<Arc<Site>> + Send + use<> {
    const EVERY: Duration = Duration::from_secs(1);
    let file = setup.site.file.clone();
    let context = context(&setup.site.slurm.conf, &setup.conf);
    let (kinds, log) = (kinds.clone(), Arc::clone(log));
    let stamp = |file: &Path| -> Option<(SystemTime, u64)> {
        let meta = std::fs::metadata(file).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    let mut seen = stamp(&file);
    let mut looked = Instant::now();
    move || {
        if looked.elapsed() < EVERY {
            return None;
        }
        looked = Instant::now();
        let now = stamp(&file);
        if now == seen {
            return None;
        }
        seen = now;
        match load_or_last_good(&file, &kinds, &context) {
            Ok(loaded) if loaded.broken.is_none() => {
                log.note("the site file has changed and is in use");
                Some(Arc::new(loaded.site))
            }
            Ok(loaded) => {
                let why = loaded.broken.map(|e| e.to_string()).unwrap_or_default();
                log.note(&format!(
                    "the site file has changed and cannot be used: {why}"
                ));
                None
            }
            Err(error) => {
                log.note(&format!(
                    "the site file has changed and cannot be used: {error}"
                ));
                None
            }
        }
    }
}
