//! `slurmburst init`: a folder with everything that a new site needs.
//!
//! * `answers`: what has to be known, from flags, from slurm.conf, or asked.
//! * `files`: the files, from the answers. Pure.

mod answers;
mod files;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use slurmburst::site::{Site, SiteContext};

use crate::failure::{BAD_NEWS, Failure, Outcome, USAGE};
use crate::out::{Colour, Out};
use answers::Answers;

const AFTER: &str = "\
Writes into DIR:
    slurmburst.toml                  the site file, with a new cluster_id
    slurm.conf.snippet               the lines for slurm.conf, with the reasons
    systemd/                         the reconcile service and timer, and a drop-in
                                     for slurmctld.service
It changes nothing else: read them, then put them where the last lines of its output
say. On a terminal it asks for what no flag says; elsewhere it takes what slurm.conf
says, or the default.

cluster_id is the owner tag of every machine that this cluster makes. It is made
once, here. Never change it while nodes are up: they would no longer be ours.

EXAMPLES
    slurmburst init
    slurmburst init --cluster hpc1 --hostlist 'c[1-100]' --out ./hpc1

EXIT STATUS
    0   written
    1   a file could not be written, or is there already and --force was not given
    2   wrong usage, or answers that make no good site file";

/// Make the files of a new site: site file, slurm.conf lines, systemd units
#[derive(clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// The cluster's name; default: ClusterName of slurm.conf
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// The owner tag; default: NAME and six random hexadecimal digits
    #[arg(long, value_name = "TAG")]
    cluster_id: Option<String>,
    /// The nodes; default: those with State=CLOUD in slurm.conf
    #[arg(long, value_name = "HOSTLIST")]
    hostlist: Option<String>,
    /// The kind of provider
    #[arg(long, value_name = "KIND")]
    provider: Option<String>,
    /// slurm.conf; default: $SLURM_CONF, or /etc/slurm/slurm.conf
    #[arg(long, value_name = "FILE")]
    slurm_conf: Option<PathBuf>,
    /// Where the ledger will be: a local disk; default: /var/lib/slurmburst
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where the programs are or will be; default: where this one is
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Where to write; default: slurmburst-NAME in this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace files that are there already
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, config: Option<&Path>) -> Outcome {
    let answers = answers::gather(args, config)?;
    let files = files::all(&answers)?;
    // What is written must be what is read: no site file leaves here that the
    // programs would refuse.
    let context = SiteContext {
        slurm_conf: Some(answers.slurm_conf.clone()),
        ..SiteContext::default()
    };
    let site = files
        .iter()
        .find(|f| f.name == files::SITE)
        .map_or("", |f| f.text.as_str());
    Site::parse(&answers.site_file, site, &slurmburst::kinds(), &context)
        .map_err(|e| Failure::new(USAGE, format!("these answers make no good site file: {e}")))?;
    let dir = &answers.out;
    if !args.force {
        let there: Vec<String> = files
            .iter()
            .map(|f| dir.join(f.name))
            .filter(|path| path.symlink_metadata().is_ok())
            .map(|path| path.display().to_string())
            .collect();
        if !there.is_empty() {
            let text = format!(
                "{} is there already; give --force to replace it, or another --out",
                there.join(", ")
            );
            return Err(Failure::new(BAD_NEWS, text));
        }
    }
    for file in &files {
        let path = dir.join(file.name);
        write(&path, &file.text)
            .map_err(|e| Failure::new(BAD_NEWS, format!("{}: {e}", path.display())))?;
    }
    let mut out = Out::new();
    next_steps(&mut out, &answers, &files)?;
    out.end()?;
    Ok(0)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // A link that somebody left there would be followed.
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)?;
    file.write_all(text.as_bytes())
}

fn next_steps(out: &mut Out, answers: &Answers, files: &[files::File]) -> Result<(), Failure> {
    let dir = answers.out.display();
    for file in files {
        out.line(&format!("wrote {dir}/{}", file.name))?;
    }
    let (bin, user) = (answers.bin_dir.display(), &answers.slurm_user);
    let (site, conf) = (answers.site_file.display(), answers.slurm_conf.display());
    let state = answers.state_dir.display();
    let mut steps = vec![
        format!(
            "read {dir}/slurmburst.toml, then\n     install -m 644 {dir}/slurmburst.toml {site}"
        ),
        format!(
            "see that slurmburst, slurmburst-resume, slurmburst-suspend and slurmburst-resume-fail\n     are in {bin}, and that only root may write to them"
        ),
        format!("install -d -o {user} -m 700 {state}"),
        format!("put the lines of {dir}/slurm.conf.snippet into {conf}"),
        format!("slurmburst --config {site} check"),
        "scontrol reconfigure".to_owned(),
        format!(
            "cp -r {dir}/systemd/* /etc/systemd/system/ && systemctl daemon-reload &&\n     systemctl enable --now slurmburst-reconcile.timer"
        ),
    ];
    if answers.provider == "local" {
        steps.insert(3, format!("install -d -o {user} -m 755 /run/slurmburst"));
    }
    out.line("")?;
    out.paint(Colour::Bold, "What to do next, as root")?;
    out.line("")?;
    for (step, number) in steps.iter().zip(1..) {
        out.line(&format!("  {number}. {step}"))?;
    }
    Ok(())
}

/// Six random hexadecimal digits.
fn random_tag() -> std::io::Result<String> {
    let mut bytes = [0_u8; 3];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}
