//! slurm.conf: the programs, the times, and whether it and the site file mean
//! the same nodes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use slurmburst::hostlist::HostSet;
use slurmburst::kind::Finding;
use slurmburst::site::{Site, UnknownNodes};
use slurmburst::slurm::conf::SlurmConf;

use super::files::executable;

/// The longest argument that the kernel takes, without the byte that ends it.
const LONGEST_ARGUMENT: usize = 131_071;
/// What Slurm takes where slurm.conf says nothing.
const DEFAULT_RESUME_TIMEOUT: Duration = Duration::from_secs(60);

/// Slurm turns power saving off, or calls nobody, if one of them is not as it
/// likes it; all that it says is a line in its log.
pub(super) fn programs(conf: &SlurmConf, path: &Path) -> Vec<Finding> {
    let set = [
        ("ResumeProgram", &conf.resume_program, "slurmburst-resume"),
        (
            "SuspendProgram",
            &conf.suspend_program,
            "slurmburst-suspend",
        ),
        (
            "ResumeFailProgram",
            &conf.resume_fail_program,
            "slurmburst-resume-fail",
        ),
    ];
    set.into_iter()
        .map(|(key, value, ours)| program(key, value.as_deref(), ours, path))
        .collect()
}

fn program(key: &str, value: Option<&str>, ours: &str, path: &Path) -> Finding {
    let conf = path.display();
    let fix = |value: &str| format!("in {conf}: {key}={value}, then `scontrol reconfigure`");
    let Some(value) = value else {
        let consequence = match key {
            "ResumeFailProgram" => "what came too late keeps running until the next reconcile",
            _ => "Slurm turns power saving off",
        };
        let found = format!("not set in {conf}: {consequence}");
        return match key {
            "ResumeFailProgram" => Finding::warning(key, found, fix(&installed(ours))),
            _ => Finding::error(key, found, fix(&installed(ours))),
        };
    };
    let file = Path::new(value);
    if !file.is_absolute() {
        return Finding::error(
            key,
            format!("{value} is no absolute path"),
            fix(&installed(ours)),
        );
    }
    if value.contains(char::is_whitespace) {
        let found = format!(
            "{value}: Slurm gives it no arguments of yours and takes the blank for part of the name"
        );
        return Finding::error(key, found, fix(&installed(ours)));
    }
    let mode = match std::fs::metadata(file) {
        Err(e) => return Finding::error(key, format!("{value}: {e}"), fix(&installed(ours))),
        Ok(meta) => meta.permissions().mode() & 0o7777,
    };
    if mode & 0o022 != 0 {
        let found = format!(
            "{value} may be written to by others (mode {mode:04o}): Slurm refuses to run it"
        );
        return Finding::error(key, found, format!("chmod go-w {value}"));
    }
    if !executable(file) {
        let found = format!("{value} is not executable for SlurmUser");
        return Finding::error(key, found, format!("chmod 755 {value}"));
    }
    let name = file
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    if name.starts_with("slurmburst-") && name != ours {
        return Finding::error(
            key,
            format!("{value} is the wrong one of ours"),
            fix(&installed(ours)),
        );
    }
    Finding::ok(key, value)
}

/// Where a program of ours is likely to be: beside this one.
fn installed(program: &str) -> String {
    let here = std::env::current_exe().ok();
    let beside = here
        .and_then(|p| Some(p.parent()?.join(program)))
        .filter(|p| p.is_file());
    beside.map_or_else(
        || format!("/usr/sbin/{program}"),
        |p| p.display().to_string(),
    )
}

/// Times, and what SlurmctldParameters must not lack. What depends on Slurm's
/// version is looked at when it has said which one it is.
pub(super) fn settings(conf: &SlurmConf, path: &Path, site: Option<&Site>) -> Vec<Finding> {
    let shown = path.display();
    let mut findings = Vec::new();
    // A machine of this host is there at once; a cloud's takes minutes.
    let far = site.is_some_and(|s| {
        s.providers
            .iter()
            .any(|p| p.provider.capabilities().needs_cluster_id)
    });
    let times = format!(
        "ResumeTimeout {} s, SuspendTimeout {} s",
        conf.resume_timeout.as_secs(),
        conf.suspend_timeout.as_secs()
    );
    findings.push(if far && conf.resume_timeout <= DEFAULT_RESUME_TIMEOUT {
        let fix = format!("in {shown}: ResumeTimeout=600, more than a boot ever takes");
        Finding::warning("times", format!("{times}: few clouds boot that fast"), fix)
    } else {
        Finding::ok("times", times)
    });
    findings.push(match conf.suspend_time {
        Some(time) => Finding::ok("SuspendTime", format!("{} s", time.as_secs())),
        None => Finding::warning(
            "SuspendTime",
            format!("not set in {shown}: only partitions that set their own power nodes down"),
            format!("in {shown}: SuspendTime=600"),
        ),
    });
    if let Some(site) = site {
        let margin = site.margin(conf.resume_timeout);
        if conf.resume_timeout.saturating_sub(margin) < site.return_after {
            let found = format!(
                "return_after is {:?}, longer than a node has time to come up",
                site.return_after
            );
            findings.push(Finding::warning(
                "return_after",
                found,
                "set return_after = \"1s\" in the site file",
            ));
        }
    }
    findings
}

/// The nodes of the groups against those of slurm.conf, and whether a call can
/// name them all.
pub(super) fn nodes(conf: &SlurmConf, path: &Path, site: &Site) -> Vec<Finding> {
    let (shown, file) = (path.display(), site.file.display());
    let ours = site.nodes();
    let all = |cloud: bool| {
        let lines = conf.nodes.iter().filter(|line| !cloud || line.is_cloud());
        lines.fold(HostSet::default(), |all, line| &all | &line.nodes)
    };
    let (known, cloud) = (all(false), all(true));
    let mut findings = Vec::new();
    let missing = &ours - &known;
    if !missing.is_empty() {
        findings.push(Finding::error(
            "nodes",
            format!(
                "{}: in {file}, and on no NodeName line of {shown}",
                brief(&missing)
            ),
            format!("in {shown}: NodeName={} State=CLOUD ...", brief(&missing)),
        ));
    }
    let fixed = &(&ours & &known) - &cloud;
    if !fixed.is_empty() {
        findings.push(Finding::warning(
            "nodes",
            format!(
                "{}: not State=CLOUD in {shown}, so that Slurm takes them for up when it starts",
                brief(&fixed)
            ),
            format!("in {shown}: State=CLOUD on their NodeName line"),
        ));
    }
    let foreign = &cloud - &ours;
    if !foreign.is_empty() {
        let found = format!(
            "{}: State=CLOUD in {shown}, and in no group of {file}",
            brief(&foreign)
        );
        findings.push(match site.unknown_nodes {
            UnknownNodes::Ignore => Finding::ok("nodes", format!("{found}; left to another program")),
            UnknownNodes::Refuse => Finding::error(
                "nodes",
                format!("{found}; a power-up would be refused"),
                format!("add a [[nodes]] group with hostlist = \"{}\", or set unknown_nodes = \"ignore\"", brief(&foreign)),
            ),
        });
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            "nodes",
            format!("{} in both files", ours.len()),
        ));
    }
    findings.extend(call_length(&ours));
    findings
}

/// Slurm passes all nodes of a call as one argument, and starts no program at
/// all if that is too long. Names with text after their number do not fold.
fn call_length(ours: &HostSet) -> Option<Finding> {
    let whole = ours.to_slurm().len();
    // Every other node folds worst.
    let scattered = ours.iter().step_by(2).collect::<HostSet>().to_slurm().len();
    let longest = whole.max(scattered);
    (longest > LONGEST_ARGUMENT).then(|| {
        let names = ours.len();
        let most = u64::try_from(LONGEST_ARGUMENT).unwrap_or(u64::MAX).saturating_mul(names)
            / u64::try_from(longest).unwrap_or(u64::MAX).max(1);
        Finding::warning(
            "call length",
            format!(
                "{names} nodes in one call are up to {longest} bytes, and the kernel takes {LONGEST_ARGUMENT}: \
                 Slurm would start no program at all, and the nodes would wait for ResumeTimeout"
            ),
            format!(
                "end node names in a number, which folds; or set ResumeRate and SuspendRate in slurm.conf to under {most}"
            ),
        )
    })
}

/// A list that fits into a line.
fn brief(nodes: &HostSet) -> String {
    const LENGTH: usize = 80;
    let text = nodes.to_string();
    match text.char_indices().nth(LENGTH) {
        None => text,
        Some((at, _)) => format!("{}... ({} nodes)", &text[..at], nodes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_too_long_is_seen() {
        let set = |text: &str| text.parse::<HostSet>().unwrap();
        assert!(call_length(&set("c[1-4000]")).is_none());
        let suffixed = set("queue1-dy-c5xlarge-[00001-04681]-ib");
        assert!(
            call_length(&suffixed).is_none(),
            "4,681 are the most that Slurm was seen to pass"
        );
        assert!(call_length(&set("queue1-dy-c5xlarge-[00001-04682]-ib")).is_some());
        assert!(
            call_length(&set("c[1-60000]")).is_some(),
            "every other one of them"
        );
    }
}
