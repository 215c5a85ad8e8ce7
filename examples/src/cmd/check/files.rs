//! What SlurmUser must be able to run, to write and to keep.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{FsType, statfs};
use nix::unistd::{AccessFlags, Uid, User, access};
use slurmburst::kind::Finding;
use slurmburst::site::Site;

/// Filesystems of which SQLite's locks cannot be trusted, or that several
/// controllers would share, by the kernel's magic numbers.
const SHARED: [(i64, &str); 10] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x00c3_6400, "Ceph"),
    (0x1983_0326, "BeeGFS"),
    (0x5346_414f, "AFS"),
    (0x0102_1997, "9P"),
    (0x0116_1970, "GFS2"),
];
const TMPFS: i64 = 0x0102_1994;

fn me() -> String {
    let user = User::from_uid(Uid::effective()).ok().flatten();
    user.map_or_else(|| format!("uid {}", Uid::effective()), |u| u.name)
}

/// Whether this process may run, as the programs will.
pub(super) fn executable(file: &Path) -> bool {
    file.is_file() && access(file, AccessFlags::X_OK).is_ok()
}

/// Whether what follows is about the right user.
pub(super) fn user(slurm_user: &str) -> Option<Finding> {
    let me = me();
    (me != slurm_user
        && !slurm_user
            .parse::<u32>()
            .is_ok_and(|uid| Uid::effective().as_raw() == uid))
    .then(|| {
        let found = format!(
            "this runs as {me}, and SlurmUser is {slurm_user}: what follows is what {me} may do"
        );
        Finding::warning("user", found, "sudo slurmburst check")
    })
}

/// The first folder from here up that exists.
fn existing(path: &Path) -> PathBuf {
    let mut at = path;
    while !at.exists() {
        match at.parent() {
            Some(parent) => at = parent,
            None => break,
        }
    }
    at.to_owned()
}

pub(super) fn state_dir(site: &Site, slurm_user: &str) -> Vec<Finding> {
    let dir = &site.state_dir;
    let shown = dir.display();
    let what = "state_dir";
    let make = format!("install -d -o {slurm_user} -m 700 {shown}");
    let mut findings = Vec::new();
    match fs::metadata(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            findings.push(Finding::error(what, format!("{shown}: {e}"), make));
        }
        Err(_) => {
            let parent = existing(dir);
            if access(&parent, AccessFlags::W_OK | AccessFlags::X_OK).is_ok() {
                findings.push(Finding::ok(
                    what,
                    format!("{shown} is not there yet, and will be made"),
                ));
            } else {
                let found = format!("{shown} is not there, and {} may not make it", me());
                findings.push(Finding::error(what, found, make));
            }
        }
        Ok(meta) if !meta.is_dir() => {
            findings.push(Finding::error(
                what,
                format!("{shown} is no folder"),
                "set another state_dir",
            ));
        }
        Ok(meta) => {
            let mode = meta.permissions().mode() & 0o777;
            let all = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
            if access(dir, all).is_err() {
                let found = format!("{shown} is not {}'s to write to", me());
                findings.push(Finding::error(
                    what,
                    found,
                    format!("chown -R {slurm_user} {shown}"),
                ));
            } else if meta.uid() != Uid::effective().as_raw() {
                let found = format!("{shown} belongs to uid {}, not to {}", meta.uid(), me());
                findings.push(Finding::warning(
                    what,
                    found,
                    format!("chown -R {slurm_user} {shown}"),
                ));
            } else if mode & 0o077 != 0 {
                let found = format!("{shown} has mode {mode:04o}: others may look into the ledger");
                findings.push(Finding::warning(what, found, format!("chmod 700 {shown}")));
            } else {
                findings.push(Finding::ok(what, shown.to_string()));
            }
        }
    }
    findings.extend(filesystem(dir));
    findings
}

fn filesystem(dir: &Path) -> Option<Finding> {
    let FsType(magic) = statfs(&existing(dir)).ok()?.filesystem_type();
    // Its width differs between machines, and so does its sign.
    #[allow(
        clippy::unnecessary_cast,
        reason = "not the same type on every machine"
    )]
    let magic = magic as i64 & 0xffff_ffff;
    let what = "state_dir";
    if let Some((_, name)) = SHARED.iter().find(|(m, _)| *m == magic) {
        let found = format!(
            "{} is on {name}; SQLite's locks cannot be trusted there",
            dir.display()
        );
        let fix = "set state_dir to a folder on a local disk of this controller";
        return Some(Finding::error(what, found, fix));
    }
    (magic == TMPFS).then(|| {
        let found = format!(
            "{} is in memory: a reboot forgets what was wished and tried",
            dir.display()
        );
        Finding::warning(what, found, "set state_dir to a folder on a local disk")
    })
}

pub(super) fn log_file(site: &Site, slurm_user: &str) -> Finding {
    let file = &site.log_file;
    let (what, shown) = ("log_file", file.display());
    let folder = file.parent().unwrap_or(Path::new("/"));
    if file.exists() {
        return if file.is_file() && access(file, AccessFlags::W_OK).is_ok() {
            Finding::ok(what, shown.to_string())
        } else {
            let found = format!(
                "{shown} is not {}'s to write to; until then it goes to syslog",
                me()
            );
            Finding::error(what, found, format!("chown {slurm_user} {shown}"))
        };
    }
    if access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok() {
        return Finding::ok(what, format!("{shown} is not there yet, and will be made"));
    }
    let found = format!(
        "{shown} cannot be made by {}; until then it goes to syslog",
        me()
    );
    let fix = match folder.is_dir() {
        true => format!("install -o {slurm_user} -m 640 /dev/null {shown}"),
        false => format!("install -d -o {slurm_user} -m 755 {}", folder.display()),
    };
    Finding::error(what, found, fix)
}

/// Whether something runs the reconcile pass, and whether a restart of
/// slurmctld leaves the converger alone.
pub(super) fn units(site: &Site) -> Vec<Finding> {
    const WANTED: &str = "/etc/systemd/system/timers.target.wants/slurmburst-reconcile.timer";
    const DROP_INS: [&str; 3] = [
        "/etc/systemd/system/slurmctld.service.d",
        "/run/systemd/system/slurmctld.service.d",
        "/usr/lib/systemd/system/slurmctld.service.d",
    ];
    let cron = format!(
        "run `slurmburst --config {} reconcile --quiet` every minute",
        site.file.display()
    );
    if !Path::new("/run/systemd/system").is_dir() {
        let found = "no systemd here, so no timer of ours";
        return vec![Finding::warning("timer", found, cron)];
    }
    let mut findings = Vec::new();
    findings.push(match Path::new(WANTED).symlink_metadata() {
        Ok(_) => Finding::ok("timer", "slurmburst-reconcile.timer is enabled"),
        Err(_) => Finding::warning(
            "timer",
            "slurmburst-reconcile.timer is not enabled: what a killed program left behind stays",
            "systemctl enable --now slurmburst-reconcile.timer (`slurmburst init` writes it)",
        ),
    });
    let drop_ins = DROP_INS
        .iter()
        .filter_map(|dir| fs::read_dir(dir).ok())
        .flatten()
        .flatten();
    let mut texts = drop_ins.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let keeps = |text: String| text.lines().any(|l| l.trim() == "KillMode=process");
    findings.push(if texts.any(keeps) {
        Finding::ok("slurmctld.service", "KillMode=process")
    } else {
        Finding::warning(
            "slurmctld.service",
            "no KillMode=process: a restart of slurmctld ends the converger; the timer goes on a minute later",
            "add the drop-in slurmctld.service.d/slurmburst.conf (`slurmburst init` writes it)",
        )
    });
    findings
}
