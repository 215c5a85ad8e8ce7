//! `slurmburst check`: every finding with what to do about it. It goes on
//! behind what is wrong, as far as the rest does not depend on it.
//!
//! * `conf`: slurm.conf, and whether it and the site file mean the same nodes.
//! * `files`: what SlurmUser must be able to run, to write and to keep.
//! * `live`: what must answer now: scontrol, the ledger, each provider.
//! * `times`: Slurm's timeouts against how long a provider's machines take.

mod conf;
mod files;
mod live;
mod times;

use std::path::{Path, PathBuf};

use serde::Serialize;
use slurmburst::app::become_slurm_user;
use slurmburst::kind::{Finding, Level};
use slurmburst::site::{
    DEFAULT_SLURM_CONF, Glimpse, Loaded, Site, SiteContext, load_or_last_good, locate,
};
use slurmburst::slurm::conf::SlurmConf;

use crate::failure::{BAD_NEWS, Outcome};
use crate::out::{Colour, Out, Progress, plural};
use crate::site::environment;
use crate::table::{Cell, Table};

const AFTER: &str = "\
Looked at: the site file; slurm.conf (programs, times, the nodes of both files);
state_dir and log_file as SlurmUser finds them; scontrol; the ledger; the systemd
units; and what each provider says of itself. Nothing is changed and nothing is
started. Run it as root or as SlurmUser: as somebody else it can only say what that
user may do.

EXIT STATUS
    0   it would work; there may be warnings
    1   it would not work: there is an error

SEE ALSO
    slurmburst plan, which shows what would be called";

/// Whether this site would work, and what to do where it would not
#[derive(clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// For programs; see docs/json.md
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Checked<'a> {
    ok: bool,
    errors: usize,
    warnings: usize,
    findings: &'a [Finding],
}

pub(crate) fn run(args: &Args, config: Option<&Path>) -> Outcome {
    let findings = {
        let _progress = Progress::new("checking");
        check(config)
    };
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    let mut out = Out::new();
    if args.json {
        out.json(&Checked {
            ok: errors == 0,
            errors,
            warnings,
            findings: &findings,
        })?;
    } else {
        print(&mut out, &findings)?;
        let words = match (errors, warnings) {
            (0, 0) => "this would work".to_owned(),
            (0, w) => format!("this would work; {}", plural(w, "warning")),
            (e, w) => format!(
                "this would not work: {}, {}",
                plural(e, "error"),
                plural(w, "warning")
            ),
        };
        out.line(&words)?;
    }
    out.end()?;
    Ok(if errors == 0 { 0 } else { BAD_NEWS })
}

fn print(out: &mut Out, findings: &[Finding]) -> std::io::Result<()> {
    let mut table = Table::new(&["", "WHAT", "FOUND"]);
    for finding in findings {
        let level = match finding.level {
            Level::Ok => Cell::new("ok", Colour::Green),
            Level::Warning => Cell::new("warning", Colour::Yellow),
            Level::Error => Cell::new("ERROR", Colour::Red),
        };
        table.row(vec![level, (&finding.what).into(), (&finding.found).into()]);
        if let Some(fix) = &finding.fix {
            table.row(vec![
                Cell::default(),
                Cell::default(),
                format!("fix: {fix}").into(),
            ]);
        }
    }
    table.print(out)
}

/// What was found out about the two files.
struct Known {
    conf_path: PathBuf,
    conf: Option<SlurmConf>,
    site: Option<Site>,
}

fn check(config: Option<&Path>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let known = read_files(config, &mut findings);
    if let Some(conf) = &known.conf {
        findings.extend(conf::programs(conf, &known.conf_path));
        findings.extend(conf::settings(conf, &known.conf_path, known.site.as_ref()));
    }
    if let (Some(conf), Some(site)) = (&known.conf, &known.site) {
        findings.extend(conf::nodes(conf, &known.conf_path, site));
    }
    if let Some(site) = &known.site {
        let user = known
            .conf
            .as_ref()
            .map_or("root", |c| c.slurm_user.as_str());
        findings.extend(files::state_dir(site, user));
        findings.push(files::log_file(site, user));
        findings.extend(live::all(site, known.conf.as_ref()));
        findings.extend(files::units(site));
    }
    findings
}

/// Reads slurm.conf, becomes SlurmUser, reads the site file.
fn read_files(config: Option<&Path>, findings: &mut Vec<Finding>) -> Known {
    let env = environment();
    let file = locate(config, |name| std::env::var_os(name));
    let text = file
        .as_ref()
        .ok()
        .and_then(|file| std::fs::read_to_string(file).ok());
    let stated = text.and_then(|text| Glimpse::of(&text).slurm_conf);
    let both = env
        .slurm_conf
        .clone()
        .zip(stated.clone())
        .filter(|(a, b)| a != b);
    let conf_path = env.slurm_conf.clone().or(stated);
    let conf_path = conf_path.unwrap_or_else(|| PathBuf::from(DEFAULT_SLURM_CONF));
    if let Some((a, b)) = both {
        findings.push(Finding::warning(
            "slurm.conf",
            format!(
                "$SLURM_CONF is {}, and [slurm] conf of the site file is {}",
                a.display(),
                b.display()
            ),
            format!(
                "unset SLURM_CONF, or set [slurm] conf = \"{}\"",
                a.display()
            ),
        ));
    }
    let conf = match SlurmConf::load(&conf_path) {
        Ok(conf) => {
            findings.push(Finding::ok("slurm.conf", conf_path.display().to_string()));
            Some(conf)
        }
        Err(e) => {
            let fix =
                "set SLURM_CONF, or [slurm] conf of the site file, to this cluster's slurm.conf";
            findings.push(Finding::error("slurm.conf", e.to_string(), fix));
            None
        }
    };
    if let Some(conf) = &conf {
        match become_slurm_user(&conf.slurm_user) {
            Ok(()) => findings.extend(files::user(&conf.slurm_user)),
            Err(e) => {
                let fix = format!("useradd --system {}, or correct SlurmUser", conf.slurm_user);
                findings.push(Finding::error("SlurmUser", e.to_string(), fix));
            }
        }
    }
    let site = file
        .ok_or_none(findings)
        .and_then(|file| read_site(&file, &conf_path, conf.as_ref(), findings));
    Known {
        conf_path,
        conf,
        site,
    }
}

/// A value, or a finding about why there is none.
trait OkOrFinding<T> {
    fn ok_or_none(self, findings: &mut Vec<Finding>) -> Option<T>;
}

impl<T> OkOrFinding<T> for Result<T, slurmburst::config::ConfigError> {
    fn ok_or_none(self, findings: &mut Vec<Finding>) -> Option<T> {
        self.map_err(|e| {
            findings.push(Finding::error(
                "site file",
                e.to_string(),
                "slurmburst init",
            ))
        })
        .ok()
    }
}

fn read_site(
    file: &Path,
    conf_path: &Path,
    conf: Option<&SlurmConf>,
    findings: &mut Vec<Finding>,
) -> Option<Site> {
    let context = SiteContext {
        slurm_conf: Some(conf_path.to_owned()),
        cluster_name: conf.and_then(|c| c.cluster_name.clone()),
        absent_kinds: Vec::new(),
    };
    let broken = |error: &slurmburst::config::ConfigError| {
        let fix = format!(
            "edit {} there; docs/site-file.md lists every key",
            file.display()
        );
        Finding::error("site file", error.to_string(), fix)
    };
    match load_or_last_good(file, &slurmburst::kinds(), &context) {
        Ok(Loaded { site, broken: None }) => {
            let groups = plural(site.policy.groups().len(), "group");
            let nodes = plural(site.nodes().len(), "node");
            let found = format!("{}: {groups}, {nodes}", file.display());
            findings.push(Finding::ok("site file", found));
            Some(site)
        }
        Ok(Loaded {
            site,
            broken: Some(error),
        }) => {
            findings.push(broken(&error));
            let found = "the last good copy is in use: nothing new is started, all else goes on";
            findings.push(Finding::warning("site file", found, "mend the error above"));
            Some(site)
        }
        Err(error) => {
            findings.push(broken(&error));
            None
        }
    }
}
