//! Slurm's timeouts against how long a provider's machines take.

use std::time::Duration;

use slurmburst::kind::{Finding, Usual};
use slurmburst::policy::Group;
use slurmburst::provider::Lifecycle;
use slurmburst::site::Site;
use slurmburst::slurm::conf::SlurmConf;

/// Booting, setting up and registering, once the machine runs.
const BOOT: Duration = Duration::from_secs(120);

/// What a node may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    resume: Duration,
    /// Of which we leave Slurm so much.
    margin: Duration,
    suspend: Duration,
}

/// For each lifecycle of these groups whose usual times are known.
pub(super) fn findings(
    site: &Site,
    conf: &SlurmConf,
    groups: &[Group],
    usual: impl Fn(Lifecycle) -> Option<Usual>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for lifecycle in [Lifecycle::CreateDelete, Lifecycle::StartDeallocate] {
        let nodes = || {
            groups
                .iter()
                .filter(|g| g.lifecycle == lifecycle)
                .flat_map(|g| &g.nodes)
        };
        let resume = nodes().map(|n| conf.resume_timeout(&n)).min();
        let suspend = nodes().map(|n| conf.suspend_timeout(&n)).min();
        if let (Some(resume), Some(suspend), Some(usual)) = (resume, suspend, usual(lifecycle)) {
            let limits = Limits {
                resume,
                margin: site.margin(resume),
                suspend,
            };
            let file = site.slurm.conf.display().to_string();
            findings.extend(judge(&file, lifecycle, limits, usual));
        }
    }
    findings
}

fn judge(file: &str, lifecycle: Lifecycle, limits: Limits, usual: Usual) -> Vec<Finding> {
    let (resume, suspend) = (limits.resume.as_secs(), limits.suspend.as_secs());
    let (up, down) = (usual.up.as_secs(), usual.down.as_secs());
    let (comes, goes) = match lifecycle {
        Lifecycle::CreateDelete => ("a create", "a delete"),
        Lifecycle::StartDeallocate => ("a start", "a deallocate"),
    };
    let time = limits.resume.saturating_sub(limits.margin);
    // In whole minutes.
    let minutes = |time: Duration| time.as_secs().div_ceil(60).saturating_mul(60);
    let ready = usual.up.saturating_add(BOOT);
    let enough = minutes(ready.saturating_add(limits.margin)).max(600);
    let fix = format!("in {file}: ResumeTimeout={enough}");
    let found =
        format!("ResumeTimeout is {resume} s; {comes} takes about {up} s, and then it boots");
    let mut findings = vec![if time <= usual.up {
        Finding::error(
            "ResumeTimeout",
            format!("{found}: no node will come up in time"),
            fix,
        )
    } else if time < ready {
        Finding::warning("ResumeTimeout", found, fix)
    } else {
        Finding::ok("ResumeTimeout", found)
    }];
    // Once SuspendTimeout is over Slurm may want the node again, whose old
    // machine has to go first.
    let left = usual.down.saturating_sub(limits.suspend);
    let both = left.saturating_add(ready);
    let found = format!("SuspendTimeout is {suspend} s; {goes} takes about {down} s");
    findings.push(if time < both && !left.is_zero() {
        Finding::warning(
            "SuspendTimeout",
            format!(
                "{found}: a node that is wanted again at once waits for its old machine up to {} s of its ResumeTimeout",
                left.as_secs()
            ),
            format!(
                "in {file}: SuspendTimeout={}, or ResumeTimeout={}",
                minutes(usual.down),
                minutes(both.saturating_add(limits.margin))
            ),
        )
    } else {
        Finding::ok("SuspendTimeout", found)
    });
    findings
}

#[cfg(test)]
mod tests {
    use slurmburst::kind::Level;

    use super::*;

    #[test]
    fn timeouts_that_are_too_short_are_seen() {
        let s = Duration::from_secs;
        let usual = Usual {
            up: s(88),
            down: s(330),
        };
        let levels = |resume, suspend| -> Vec<Level> {
            let limits = Limits {
                resume: s(resume),
                margin: s(5),
                suspend: s(suspend),
            };
            let all = judge("slurm.conf", Lifecycle::CreateDelete, limits, usual);
            all.iter().map(|f| f.level).collect()
        };
        use Level::{Error, Ok, Warning};
        assert_eq!(levels(60, 30), [Error, Warning]);
        assert_eq!(levels(93, 360), [Error, Ok]);
        assert_eq!(levels(150, 360), [Warning, Ok]);
        assert_eq!(levels(300, 30), [Ok, Warning]);
        assert_eq!(levels(600, 30), [Ok, Ok]);
        assert_eq!(levels(300, 330), [Ok, Ok]);
    }
}
