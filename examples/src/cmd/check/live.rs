//! What must answer now: scontrol, the ledger, each provider.

use std::time::Duration;

use slurmburst::clock::Clock;
use slurmburst::kind::Finding;
use slurmburst::ledger::{FILE_NAME, Lease, Ledger};
use slurmburst::site::{Site, SiteProvider};
use slurmburst::slurm::conf::SlurmConf;
use slurmburst::slurm::control::{SlurmControl, SlurmVersion, Which};
use slurmburst::slurm::scontrol::Scontrol;

use super::times;
use crate::served::Served;
use crate::time;

/// A provider's checks may ask a cloud for many things.
const PROVIDER_LIMIT: Duration = Duration::from_secs(60);
/// How far into the future a heartbeat may lie before a clock is wrong, and
/// how old one of a holder may be, in milliseconds.
const STALE_MS: i64 = 30_000;

pub(super) fn all(site: &Site, conf: Option<&SlurmConf>) -> Vec<Finding> {
    let mut findings = ledger(site);
    let runtime = match crate::runtime() {
        Ok(runtime) => runtime,
        Err(_) => {
            let fix = "ulimit -n 1024, and see that there is memory";
            findings.push(Finding::error(
                "runtime",
                "no runtime could be started",
                fix,
            ));
            return findings;
        }
    };
    runtime.block_on(async {
        findings.extend(slurm(site, conf).await);
        for p in &site.providers {
            findings.extend(provider(site, p, conf).await);
        }
    });
    findings
}

fn ledger(site: &Site) -> Vec<Finding> {
    let what = "ledger";
    let path = site.state_dir.join(FILE_NAME);
    if !path.try_exists().unwrap_or(true) {
        return vec![Finding::ok(what, "none yet; the first call makes it")];
    }
    let opened = Ledger::open(&site.state_dir, Clock::system()).and_then(|l| l.check().map(|()| l));
    let ledger = match opened {
        Ok(ledger) => ledger,
        Err(e) => {
            let fix = format!(
                "if it is damaged: move {0} aside, then `slurmburst reconcile`; what runs is found by its tags",
                path.display()
            );
            return vec![Finding::error(what, e.to_string(), fix)];
        }
    };
    let mut findings = vec![Finding::ok(what, format!("{}, whole", path.display()))];
    if let Ok(true) = ledger.paused() {
        findings.push(Finding::warning(
            "paused",
            "nothing new is started",
            "slurmburst unpause",
        ));
    }
    let working = Lease::is_held(&site.state_dir);
    if let Ok(Some(holder)) = ledger.holder() {
        let silent = time::now_ms().saturating_sub(holder.heartbeat_ms);
        findings.push(match working {
            true if silent > STALE_MS => Finding::warning(
                "converger",
                format!(
                    "pid {} holds the lease and has been silent for {}",
                    holder.pid,
                    time::length(silent)
                ),
                format!(
                    "see `slurmburst history`; `kill {}` frees the lease, and the timer goes on",
                    holder.pid
                ),
            ),
            true => Finding::ok("converger", format!("at work, pid {}", holder.pid)),
            false => Finding::ok(
                "converger",
                format!("last at work {} ago", time::length(silent)),
            ),
        });
    }
    findings
}

async fn slurm(site: &Site, conf: Option<&SlurmConf>) -> Vec<Finding> {
    let slurm = &site.slurm;
    let scontrol =
        Scontrol::new(slurm.scontrol.clone(), slurm.conf.clone()).time_limit(slurm.timeout);
    let shown = slurm.scontrol.display();
    let version = match scontrol.version().await {
        Ok(version) => version,
        Err(e) => {
            let fix = "in the site file: [slurm] scontrol = \"the absolute path of scontrol\"";
            return vec![Finding::error("scontrol", e.to_string(), fix)];
        }
    };
    let mut findings = vec![Finding::ok("scontrol", format!("{shown}, Slurm {version}"))];
    if let Some(conf) = conf {
        findings.push(shows_powered_down(conf, version));
        findings.extend(addresses(conf, version));
    }
    match scontrol.ping().await {
        Err(e) => {
            let fix = format!(
                "systemctl status slurmctld munge; then SLURM_CONF={} {shown} ping",
                slurm.conf.display()
            );
            findings.push(Finding::error("slurmctld", e.to_string(), fix));
            return findings;
        }
        Ok(acting) if acting.is_this_host => {
            findings.push(Finding::ok(
                "slurmctld",
                format!("{} acts, this host", acting.host),
            ));
        }
        Ok(acting) => {
            let found = format!(
                "{} acts ({}), not this host: nothing is done here meanwhile",
                acting.host, acting.role
            );
            findings.push(Finding::warning(
                "slurmctld",
                found,
                "nothing, if this is a backup controller",
            ));
        }
    }
    findings.push(match scontrol.nodes(Which::All).await {
        Ok(nodes) => {
            let hidden = site.nodes().iter().filter(|n| !nodes.contains_key(n)).count();
            match hidden {
                0 => Finding::ok("node states", format!("Slurm shows {} nodes, all of ours among them", nodes.len())),
                n => Finding::warning(
                    "node states",
                    format!("Slurm does not show {n} nodes of the site file"),
                    "PrivateData=cloud in slurm.conf; and `scontrol reconfigure` after a change of nodes",
                ),
            }
        }
        Err(e) => Finding::error("node states", e.to_string(), "PrivateData=cloud in slurm.conf"),
    });
    findings
}

/// Without PrivateData=cloud, 22.05 hides nodes that are powered down, from
/// root too, and says so with exit status 0. 24.11 shows them.
fn shows_powered_down(conf: &SlurmConf, version: SlurmVersion) -> Finding {
    let what = "PrivateData";
    let fix = "in slurm.conf: PrivateData=cloud, then `scontrol reconfigure`";
    if conf.shows_powered_down() {
        return Finding::ok(what, "cloud: nodes that are powered down are shown");
    }
    let found = format!("no `cloud`: Slurm {version} hides nodes that are powered down");
    match version.major {
        ..=22 => Finding::error(what, found, fix),
        23 => Finding::warning(what, found.replace("hides", "may hide"), fix),
        24.. => Finding::ok(
            what,
            format!("no `cloud`, which Slurm {version} does not need"),
        ),
    }
}

/// cloud_reg_addrs has to be asked for in old versions, and is complained about
/// in new ones.
fn addresses(conf: &SlurmConf, version: SlurmVersion) -> Option<Finding> {
    let what = "SlurmctldParameters";
    match (conf.cloud_reg_addrs(), version.major) {
        (true, 24..) => Some(Finding::warning(
            what,
            format!("cloud_reg_addrs does nothing in Slurm {version}, which complains of it"),
            "in slurm.conf: take cloud_reg_addrs out of SlurmctldParameters",
        )),
        _ => None,
    }
}

/// What the provider says of itself, for the nodes that may come to it.
async fn provider(site: &Site, p: &SiteProvider, conf: Option<&SlurmConf>) -> Vec<Finding> {
    let what = format!("provider {}", p.name);
    let served = Served::new(site, p);
    let operator = match served.asked() {
        Ok(Some(operator)) => operator,
        Ok(None) => {
            return vec![Finding::ok(
                what,
                format!("{} has no checks of its own", p.kind),
            )];
        }
        Err(e) => {
            return vec![Finding::error(
                what,
                e.to_string(),
                "correct the site file there",
            )];
        }
    };
    let checked = tokio::time::timeout(PROVIDER_LIMIT, operator.check(&served.groups)).await;
    let mut findings = match checked {
        Ok(findings) => findings,
        Err(_) => {
            let found = format!("its checks took longer than {} s", PROVIDER_LIMIT.as_secs());
            return vec![Finding::error(
                what,
                found,
                "see that its cloud can be reached from here",
            )];
        }
    };
    if let Some(conf) = conf {
        let usual = |lifecycle| operator.usual(lifecycle);
        findings.extend(times::findings(site, conf, &served.groups, usual));
    }
    for finding in &mut findings {
        finding.what = format!("{what}: {}", finding.what);
    }
    findings
}
