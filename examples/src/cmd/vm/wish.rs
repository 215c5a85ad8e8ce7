//! Create, start, deallocate, delete: wishes like those of slurmctld, so that
//! the one converger does them and nobody works against it.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use slurmburst::app::log::Log;
use slurmburst::app::{Setup, kick};
use slurmburst::clock::Clock;
use slurmburst::converge::Journal;
use slurmburst::hostlist::{HostSet, NodeName};
use slurmburst::ledger::{Ledger, LedgerError, NewWish, Program, Wish};
use slurmburst::provider::{Direction, Generation, Lifecycle};

use super::verdict::{Verdict, Verdicts, Word};
use super::{ActArgs, Standing, confirm, doubts, standings, those};
use crate::failure::{BAD_NEWS, Failure, Outcome, USAGE};
use crate::out::Progress;
use crate::served::served;
use crate::{site, time};

/// How often the ledger is looked at for outcomes.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How much longer than its deadline a wish is waited for: a cloud may take
/// longer to let a machine go than Slurm waits for it.
const PATIENCE: Duration = Duration::from_secs(900);

/// What is wished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wished {
    Create,
    Start,
    Deallocate,
    Delete,
}

impl Wished {
    fn word(self) -> &'static str {
        match self {
            Wished::Create => "create",
            Wished::Start => "start",
            Wished::Deallocate => "deallocate",
            Wished::Delete => "delete",
        }
    }

    fn direction(self) -> Direction {
        match self {
            Wished::Create | Wished::Start => Direction::Up,
            Wished::Deallocate | Wished::Delete => Direction::Down,
        }
    }

    /// Why this is not for nodes of this lifecycle, if so.
    fn unfit(self, lifecycle: Lifecycle) -> Option<String> {
        let (own, other) = match self {
            Wished::Create => (Lifecycle::CreateDelete, "start"),
            Wished::Delete => (Lifecycle::CreateDelete, "deallocate"),
            Wished::Start => (Lifecycle::StartDeallocate, "create"),
            Wished::Deallocate => (Lifecycle::StartDeallocate, "delete"),
        };
        let word = match lifecycle {
            Lifecycle::CreateDelete => "create-delete",
            Lifecycle::StartDeallocate => "start-deallocate",
        };
        (own != lifecycle)
            .then(|| format!("its group has lifecycle = \"{word}\": `slurmburst vm {other}`"))
    }
}

pub(super) fn run(wished: Wished, args: &ActArgs, config: Option<&Path>) -> Outcome {
    let nodes = site::nodes(&args.hostlist)?;
    let setup = site::load(config)?;
    let up = wished.direction() == Direction::Up;
    if let Some(broken) = setup.broken.as_ref().filter(|_| up) {
        return Err(Failure::new(
            USAGE,
            format!("nothing new is started: {broken}"),
        ));
    }
    let mut verdicts = Verdicts::new(wished.word());
    let nodes = sort_out(wished, &setup, &nodes, args, &mut verdicts)?;
    if nodes.is_empty() {
        return verdicts.tell(args.common.json, true);
    }
    let mut ledger = Ledger::open(&setup.site.state_dir, Clock::system())?;
    if up && ledger.paused()? {
        let text = "paused: nothing new is started until `slurmburst unpause`";
        return Err(Failure::new(BAD_NEWS, text));
    }
    let standings = standings(&setup, &nodes)?;
    let named: HostSet = nodes.iter().collect();
    match wished {
        Wished::Delete => confirm(
            &format!("Delete the machines of {named}?"),
            &doubts(&standings),
            args.yes,
        )?,
        Wished::Deallocate => {
            let doubts = doubts(&standings);
            if !doubts.is_empty() {
                confirm(
                    &format!("Deallocate the machines of {named}?"),
                    &doubts,
                    args.yes,
                )?;
            }
        }
        Wished::Create | Wished::Start => {
            let off = those(&standings, Standing::Off);
            if !off.is_empty() {
                verdicts.notes.push(format!(
                    "Slurm keeps {off} powered down: what runs there is powered down again by reconcile after \
                     orphan_grace ({:?}), unless `scontrol update nodename={off} state=power_up`",
                    setup.site.orphan_grace
                ));
            }
        }
    }
    let wishes = record(&mut ledger, wished, &setup, &nodes)?;
    let log = Log::new(&setup.site.log_file, "slurmburst");
    let by =
        std::env::var("SUDO_USER").map_or_else(|_| String::new(), |user| format!(" by {user}"));
    log.note(&format!("vm {} {named}{by}", wished.word()));
    kick(&setup, &log);
    let what = format!("vm {}", wished.word());
    let limit = (!args.no_wait).then(|| until(&wishes));
    for verdict in follow(&ledger, &wishes, &what, limit)? {
        verdicts.push(verdict);
    }
    verdicts.tell(args.common.json, !args.no_wait)
}

/// The nodes that this can be wished of; the others are refused.
fn sort_out(
    wished: Wished,
    setup: &Setup,
    nodes: &HostSet,
    args: &ActArgs,
    verdicts: &mut Verdicts,
) -> Result<Vec<NodeName>, Failure> {
    let served = served(&setup.site, args.common.provider.as_deref())?;
    let mut fit = Vec::new();
    for node in nodes {
        let why = match setup.site.group_of(&node) {
            None => Some(site::in_no_group(&setup.site)),
            Some(group) => wished.unfit(group.lifecycle).or_else(|| {
                let here = served.iter().any(|s| s.nodes().contains(&node));
                (!here).then(|| "its group has no placement at that provider".to_owned())
            }),
        };
        match why {
            Some(why) => verdicts.push(Verdict::refused(&node, why)),
            None => fit.push(node),
        }
    }
    Ok(fit)
}

/// One wish per node. Where the same is wished already, that one is followed.
fn record(
    ledger: &mut Ledger,
    wished: Wished,
    setup: &Setup,
    nodes: &[NodeName],
) -> Result<Vec<Wish>, LedgerError> {
    let direction = wished.direction();
    let (mut wishes, mut new) = (Vec::new(), Vec::new());
    let open: BTreeMap<NodeName, Wish> = (ledger.wishes(Some(nodes))?.into_iter())
        .filter(|w| w.settled.is_none() && w.direction == direction)
        .map(|w| (w.node.clone(), w))
        .collect();
    for node in nodes {
        if let Some(wish) = open.get(node) {
            wishes.push(wish.clone());
            continue;
        }
        let limit = match direction {
            Direction::Up => {
                let timeout = setup.conf.resume_timeout(node);
                timeout.saturating_sub(setup.site.margin(timeout))
            }
            Direction::Down => setup.conf.suspend_timeout(node),
        };
        let limit = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        new.push(NewWish {
            node: node.clone(),
            direction,
            deadline_ms: time::now_ms().saturating_add(limit),
            program: Program::Reconcile,
        });
    }
    wishes.extend(ledger.record(&new)?);
    Ok(wishes)
}

/// How long the slowest of these is waited for.
fn until(wishes: &[Wish]) -> Instant {
    let last = wishes.iter().map(|w| w.deadline_ms).max().unwrap_or(0);
    let left = last.saturating_sub(time::now_ms()).clamp(0, 86_400_000);
    Instant::now() + Duration::from_millis(left.unsigned_abs()) + PATIENCE
}

/// What becomes of the wishes; as they stand, where nobody waits.
fn follow(
    ledger: &Ledger,
    wishes: &[Wish],
    what: &str,
    until: Option<Instant>,
) -> Result<Vec<Verdict>, LedgerError> {
    let mine: BTreeMap<&NodeName, Generation> =
        wishes.iter().map(|w| (&w.node, w.generation)).collect();
    let nodes: Vec<NodeName> = wishes.iter().map(|w| w.node.clone()).collect();
    let progress = until.map(|_| Progress::of(what, nodes.len()));
    loop {
        let now = ledger.wishes(Some(&nodes))?;
        let is_mine = |w: &Wish| mine.get(&w.node) == Some(&w.generation);
        let open = now
            .iter()
            .filter(|w| w.settled.is_none() && is_mine(w))
            .count();
        if open == 0 || until.is_none_or(|at| Instant::now() >= at) {
            let verdict = |wish: &Wish| match &wish.settled {
                _ if !is_mine(wish) => overtaken(ledger, &wish.node, mine.get(&wish.node)),
                None => Ok(Verdict::new(&wish.node, Word::UnderWay)),
                Some(settled) => Ok(match &settled.result {
                    Ok(()) => Verdict::new(&wish.node, Word::Done),
                    Err(error) => Verdict::failed(&wish.node, error),
                }),
            };
            return now.iter().map(verdict).collect();
        }
        if let Some(progress) = &progress {
            progress.done(nodes.len() - open);
        }
        sleep(LOOK_EVERY);
    }
}

/// A newer wish stands in the place of ours: somebody's, or the one that clears
/// away what ours left when it failed. What became of ours the events tell.
fn overtaken(
    ledger: &Ledger,
    node: &NodeName,
    mine: Option<&Generation>,
) -> Result<Verdict, LedgerError> {
    const ENOUGH: usize = 50;
    let events = ledger.events(Some(std::slice::from_ref(node)), ENOUGH)?;
    let mut ours = events
        .into_iter()
        .rev()
        .filter(|e| e.generation.as_ref() == mine);
    let failed = ours.find(|e| e.what == "failed");
    Ok(match failed {
        Some(event) => Verdict {
            why: event.detail,
            ..Verdict::new(node, Word::Failed)
        },
        None => Verdict::new(node, Word::Superseded),
    })
}
