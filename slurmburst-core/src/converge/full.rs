//! The reconcile pass: every node, every instance. It finds what no program was
//! called for, and hands it to the same machinery as a wish.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::ErrorKind;
use crate::executor::Work;
use crate::hostlist::{HostSet, NodeName};
use crate::ledger::{Changes, LedgerError, Mark, MarkStep, Wish};
use crate::provider::{Chore, Direction, Generation, Instance, InstanceState};
use crate::slurm::control::{SlurmNode, Which};

use super::decide::Listed;
use super::observe::{Clouds, FULL_PATIENCE};
use super::pass::by_node;
use super::report::Found;
use super::slurm_side::{Anomaly, FullView, REASON_PREFIX, anomaly};
use super::{Converger, millis};

/// A suspicion that is not about money is acted on when it is this old.
const GRACE_MS: i64 = 10_000;
/// Never more orphans in one pass than this many, or this share of what runs,
/// without a person's word.
const MAX_ORPHANS: usize = 10;
const MAX_ORPHAN_SHARE: usize = 5;
const KEEP_MS: i64 = 30 * 24 * 3_600_000;
const TIDY_LIMIT: Duration = Duration::from_secs(120);

/// How a full pass is made.
#[derive(Debug, Clone, Default)]
pub struct FullOptions {
    /// Look and report; record and do nothing.
    pub dry_run: bool,
    /// How many orphans a person has seen and wants gone.
    pub confirm: Option<usize>,
    /// Stay until every suspicion has been confirmed or dropped.
    pub wait: bool,
}

/// A suspicion, and since when there has been one.
#[derive(Debug)]
struct Suspect {
    node: NodeName,
    /// Its newest wish when it was looked at.
    generation: Generation,
    what: Anomaly,
    ripe: bool,
}

impl Converger {
    /// Looks at everything once. Answers when to look again, if suspicions are
    /// to be waited for.
    pub(super) async fn full_pass(
        &mut self,
        options: &FullOptions,
    ) -> Result<Option<i64>, LedgerError> {
        self.report.found.clear();
        self.report.held_back.clear();
        let providers: BTreeSet<String> = self.providers.keys().cloned().collect();
        let clouds = self.list(&providers, FULL_PATIENCE).await?;
        let gaps: Vec<String> = clouds
            .gaps()
            .map(|(name, error)| format!("provider {name} was left alone: {error}"))
            .collect();
        self.report.held_back.extend(gaps);
        let slurm = Arc::clone(&self.slurm);
        match self.meanwhile(slurm.ping()).await? {
            Ok(acting) if acting.is_this_host => {}
            Ok(acting) => {
                self.elsewhere = true;
                let text = format!(
                    "the acting controller is {}, not this host: nothing is done here",
                    acting.host
                );
                self.hold_back(text);
                return Ok(None);
            }
            Err(error) => {
                self.hold_back(format!(
                    "the controller did not answer, so nothing is done: {error}"
                ));
                return Ok(None);
            }
        }
        self.slurm_not_before = (0, 0);
        let Some(slurm) = self.ask_slurm(Which::All).await? else {
            self.hold_back("Slurm shows no nodes, so nothing is done".to_owned());
            return Ok(None);
        };
        self.sync()?;
        let suspects = self.suspects(&clouds, &slurm, options)?;
        let unripe = suspects.iter().any(|s| !s.ripe);
        let now = self.clock.now_ms();
        let suspects = self.hold_back_too_many(suspects, &clouds, options);
        for suspect in &suspects {
            let action = action_of(suspect);
            self.report.found.push(Found {
                node: suspect.node.clone(),
                what: word(suspect.what).to_owned(),
                action,
            });
        }
        if options.dry_run {
            for wish in self.ledger.open_wishes()? {
                let action = format!("{:?} wished by {}", wish.direction, wish.program.as_str());
                self.report.found.push(Found {
                    node: wish.node,
                    what: "open-wish".to_owned(),
                    action: action.to_lowercase(),
                });
            }
            return Ok(None);
        }
        self.act_on(suspects, &slurm)?;
        self.note_lost_addresses(&clouds, &slurm);
        self.tidy_leftovers(&clouds)?;
        self.ledger.prune(now.saturating_sub(KEEP_MS))?;
        Ok((options.wait && unripe).then(|| now.saturating_add(1_000)))
    }

    fn hold_back(&mut self, text: String) {
        self.journal.note(&text);
        self.report.held_back.push(text);
    }

    /// What is wrong, and whether it was wrong long enough.
    fn suspects(
        &mut self,
        clouds: &Clouds,
        slurm: &BTreeMap<NodeName, SlurmNode>,
        options: &FullOptions,
    ) -> Result<Vec<Suspect>, LedgerError> {
        let mut nodes: BTreeSet<NodeName> = self.site.nodes().iter().collect();
        nodes.extend(clouds.iter().map(|(n, _)| n.clone()));
        let wishes: BTreeMap<NodeName, Wish> = self
            .ledger
            .wishes(None)?
            .into_iter()
            .map(|w| (w.node.clone(), w))
            .collect();
        let now = self.clock.now_ms();
        let mut found = Vec::new();
        for node in nodes {
            let instances: Vec<&Instance> = clouds.of(&node).iter().map(|(_, i)| i).collect();
            let wish = wishes.get(&node);
            let overdue = instances.iter().any(|i| i.is_overdue(now));
            let view = FullView {
                wish,
                marked: self.marks.has(&node),
                instances: &instances,
                listed: matches!(
                    self.listing_of(clouds, &node, &self.providers_of(&node)),
                    Listed::Complete
                ),
                slurm: slurm
                    .get(&node)
                    .map(|n| (&n.state, n.reason.as_ref().map(|r| r.text.as_str()))),
                attempted: wish.is_some(),
                now_ms: now,
            };
            if let Some(what) = anomaly(&view) {
                let state = slurm.get(&node).map(|n| &n.state);
                let grace = match what {
                    // It had its time.
                    Anomaly::Orphan if overdue => 0,
                    _ => self.grace_ms(&node, what, state.is_some_and(|s| s.is_powering_down())),
                };
                let generation = wish.map_or(Generation(0), |w| w.generation);
                found.push((
                    sighting(what, &node, generation, &instances),
                    node,
                    generation,
                    what,
                    grace,
                ));
            }
        }
        let keys: Vec<String> = found.iter().map(|(key, ..)| key.clone()).collect();
        let since = if options.dry_run {
            self.ledger.sightings()?
        } else {
            self.ledger.forget_sightings_except(&keys)?;
            let first = self.ledger.sight_all(&keys, now)?;
            keys.iter().cloned().zip(first).collect()
        };
        Ok(found
            .into_iter()
            .map(|(key, node, generation, what, grace)| {
                let seen_for = since
                    .get(&key)
                    .map_or(0, |first| now.saturating_sub(*first));
                Suspect {
                    node,
                    generation,
                    what,
                    ripe: seen_for >= grace,
                }
            })
            .collect())
    }

    fn grace_ms(&self, node: &NodeName, what: Anomaly, powering_down: bool) -> i64 {
        let window = self.consistency_ms(&self.providers_of(node));
        match what {
            Anomaly::Orphan => {
                // While Slurm is powering down, SuspendProgram may still be on its way.
                let suspend = if powering_down {
                    millis(self.conf.suspend_timeout(node))
                } else {
                    0
                };
                millis(self.site.orphan_grace).saturating_add(suspend)
            }
            Anomaly::Unbacked => GRACE_MS.max(window.saturating_mul(2)),
            Anomaly::LostPowerUp => GRACE_MS,
            Anomaly::LostMark | Anomaly::TimedOut | Anomaly::Overdue => 0,
        }
    }

    /// Many orphans at once are more likely a mistake of ours, or of Slurm's,
    /// than orphans.
    fn hold_back_too_many(
        &mut self,
        suspects: Vec<Suspect>,
        clouds: &Clouds,
        options: &FullOptions,
    ) -> Vec<Suspect> {
        let orphans = suspects
            .iter()
            .filter(|s| s.what == Anomaly::Orphan && s.ripe)
            .count();
        let running = clouds
            .iter()
            .flat_map(|(_, i)| i)
            .filter(|(_, i)| i.state.is_billed())
            .count();
        if orphans <= MAX_ORPHANS.max(running / MAX_ORPHAN_SHARE)
            || options.confirm == Some(orphans)
        {
            return suspects;
        }
        self.hold_back(format!(
            "{orphans} of {running} instances are wanted by no node, which is more than can be a mistake of theirs: none is touched. Look at `slurmburst reconcile --dry-run`, then say `slurmburst reconcile --confirm {orphans}`"
        ));
        suspects
            .into_iter()
            .filter(|s| s.what != Anomaly::Orphan)
            .collect()
    }

    fn act_on(
        &mut self,
        suspects: Vec<Suspect>,
        slurm: &BTreeMap<NodeName, SlurmNode>,
    ) -> Result<(), LedgerError> {
        let now = self.clock.now_ms();
        let mut changes = Changes::default();
        let mut overdue = Vec::new();
        for Suspect {
            node,
            generation,
            what,
            ..
        } in suspects.into_iter().filter(|s| s.ripe)
        {
            let reason = slurm
                .get(&node)
                .and_then(|n| n.reason.as_ref())
                .map_or(String::new(), |r| r.text.clone());
            let mark = |step, reason: String, until_ms, kind| Mark {
                node: node.clone(),
                generation,
                step,
                reason,
                until_ms,
                kind,
                created_ms: now,
            };
            match what {
                Anomaly::Orphan => {
                    let limit = millis(self.conf.suspend_timeout(&node));
                    let down = self.follow_up(&node, Direction::Down, limit);
                    changes.wishes.push((down, generation));
                }
                Anomaly::LostPowerUp => {
                    let limit = self.conf.resume_timeout(&node);
                    let limit = millis(limit.saturating_sub(self.site.margin(limit)));
                    let up = self.follow_up(&node, Direction::Up, limit);
                    changes.wishes.push((up, generation));
                }
                Anomaly::Unbacked => changes.marks.push(mark(
                    MarkStep::Force,
                    format!("{REASON_PREFIX}its instance is gone"),
                    0,
                    ErrorKind::NotFound,
                )),
                Anomaly::LostMark => {
                    let until = now.saturating_add(millis(self.site.cool_off.capacity));
                    changes
                        .marks
                        .push(mark(MarkStep::Hold, reason, until, ErrorKind::Unexpected));
                }
                Anomaly::TimedOut => {
                    changes
                        .marks
                        .push(mark(MarkStep::Hold, reason, now, ErrorKind::Timeout));
                }
                Anomaly::Overdue => overdue.push(node),
            }
        }
        if !overdue.is_empty() {
            let nodes: HostSet = overdue.into_iter().collect();
            self.journal.note(&format!(
                "{nodes}: the lifetime is over and Slurm has them still, so nothing is done; `{}` lets their jobs end and powers them down",
                power_down_asap(&nodes)
            ));
        }
        self.record(&changes)
    }

    /// Addresses that a killed converger has not told: Slurm still waits for the
    /// node, and takes it for somewhere else.
    fn note_lost_addresses(&mut self, clouds: &Clouds, slurm: &BTreeMap<NodeName, SlurmNode>) {
        for (node, list) in clouds.iter() {
            let Some(shown) = slurm.get(node).filter(|n| n.state.is_powering_up()) else {
                continue;
            };
            let running = list.iter().find(|(_, i)| i.state == InstanceState::Running);
            if let Some(address) = running.and_then(|(_, i)| i.address)
                && shown
                    .addr
                    .as_ref()
                    .is_some_and(|has| *has != address.to_string())
            {
                self.note_address(node, address);
            }
        }
    }

    fn tidy_leftovers(&mut self, clouds: &Clouds) -> Result<(), LedgerError> {
        let live = by_node(self.ledger.live_attempts()?);
        let mut chores: BTreeMap<String, Vec<Chore>> = BTreeMap::new();
        for (provider, leftover) in &clouds.leftovers {
            // What a power-up makes first may look like what a dead node left.
            let busy = self.agenda.is_busy(&leftover.node)
                || self.agenda.has(&leftover.node)
                || clouds.gaps().any(|(name, _)| name == provider)
                || live.contains_key(&leftover.node)
                || clouds
                    .of(&leftover.node)
                    .iter()
                    .any(|(_, i)| !i.state.is_gone());
            // Of a node that was taken out of the site file it may be kept on purpose.
            let certain = leftover.certain && self.site.nodes().contains(&leftover.node);
            let action = match (busy, certain) {
                (true, _) => continue,
                (false, true) => {
                    let list = chores.entry(provider.clone()).or_default();
                    list.push(Chore::Delete(leftover.clone()));
                    format!("{} {} is deleted", leftover.kind, leftover.id)
                }
                (false, false) => format!(
                    "{} {} is not certainly ours: look at it and delete it by hand",
                    leftover.kind, leftover.id
                ),
            };
            self.report.found.push(Found {
                node: leftover.node.clone(),
                what: "leftover".to_owned(),
                action,
            });
        }
        let deadline = Instant::now() + TIDY_LIMIT;
        for (name, chores) in chores {
            if let Some(provider) = self.providers.get(&name).map(Arc::clone) {
                self.executor.submit(
                    Work::Tidy {
                        provider,
                        name,
                        chores,
                    },
                    deadline,
                );
            }
        }
        Ok(())
    }
}

/// What a suspicion is remembered by. Another wish or another machine makes it another one.
fn sighting(
    what: Anomaly,
    node: &NodeName,
    generation: Generation,
    instances: &[&Instance],
) -> String {
    let mut key = format!("{} {node} {generation}", word(what));
    if what == Anomaly::Orphan {
        for instance in instances.iter().filter(|i| i.state.is_billed()) {
            key.push(' ');
            key.push_str(&instance.id);
        }
    }
    key
}

fn word(what: Anomaly) -> &'static str {
    match what {
        Anomaly::Orphan => "orphan",
        Anomaly::Unbacked => "unbacked",
        Anomaly::LostPowerUp => "lost-power-up",
        Anomaly::LostMark => "lost-mark",
        Anomaly::TimedOut => "timed-out",
        Anomaly::Overdue => "overdue",
    }
}

fn power_down_asap(nodes: &impl Display) -> String {
    format!("scontrol update nodename={nodes} state=power_down_asap")
}

fn action_of(suspect: &Suspect) -> String {
    if !suspect.ripe {
        return "seen; acted on when it is seen again long enough after".to_owned();
    }
    let action = match suspect.what {
        Anomaly::Orphan => "powered down",
        Anomaly::Unbacked => "Slurm is told to power it down",
        Anomaly::LostPowerUp => "powered up",
        Anomaly::LostMark => "returned to service after the cool-off",
        Anomaly::TimedOut => "returned to service",
        Anomaly::Overdue => {
            return format!(
                "nothing, it may have jobs: `{}`",
                power_down_asap(&suspect.node)
            );
        }
    };
    action.to_owned()
}
