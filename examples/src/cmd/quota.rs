//! `slurmburst quota`.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use slurmburst::kind::Quota;
use slurmburst::provider::Context;

use crate::failure::{BAD_NEWS, Outcome};
use crate::out::{Colour, Out, Progress};
use crate::served::{Problem, served};
use crate::site;
use crate::table::{Cell, Table};

const LIMIT: Duration = Duration::from_secs(120);

const AFTER: &str = "\
COLUMNS
    QUOTA     what is limited; cores of a family of sizes, mostly
    USED      now, by whomever
    OURS      of which by machines that slurmburst created
    LIMIT     what the account may use
    WANTED    what the site's groups need with all their nodes up, each at its first
              placement that needs any
    FITS      whether that much is left beside what others use

EXIT STATUS
    0   all groups fit
    1   one does not; or a provider did not answer, or does not offer this
    2   wrong usage, or a wrong site file";

/// What may be used, what is, and whether the site's groups fit
#[derive(clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// Also what is neither used nor wanted
    #[arg(long, short)]
    all: bool,
    /// Only this provider of the site file
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// For programs; see docs/json.md
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Limited {
    provider: String,
    #[serde(flatten)]
    quota: Quota,
    fits: bool,
}

#[derive(Serialize)]
struct Answer {
    fits: bool,
    quotas: Vec<Limited>,
    problems: Vec<Problem>,
}

pub(crate) fn run(args: &Args, config: Option<&Path>) -> Outcome {
    let setup = site::read(config)?;
    let (mut quotas, mut problems) = (Vec::new(), Vec::new());
    let runtime = crate::runtime()?;
    for one in served(&setup.site, args.provider.as_deref())? {
        let _progress = Progress::new("asking for quota");
        let cx = Context::within(setup.site.cluster_id.as_str(), LIMIT);
        let asked = one.operator().and_then(|operator| {
            let asked = runtime.block_on(operator.quota(&cx, &one.groups));
            asked.map_err(|e| one.problem(e))
        });
        match asked {
            Ok(all) => quotas.extend(
                all.into_iter()
                    .filter(|q| args.all || q.used > 0 || q.wanted.is_some())
                    .map(|quota| Limited {
                        provider: one.name.clone(),
                        fits: quota.fits(),
                        quota,
                    }),
            ),
            Err(problem) => problems.push(problem),
        }
    }
    let answer = Answer {
        fits: quotas.iter().all(|q| q.fits),
        quotas,
        problems,
    };
    let mut out = Out::new();
    if args.json {
        out.json(&answer)?;
    } else {
        print(&mut out, &answer)?;
    }
    out.end()?;
    let good = answer.fits && answer.problems.is_empty();
    Ok(if good { 0 } else { BAD_NEWS })
}

fn print(out: &mut Out, answer: &Answer) -> std::io::Result<()> {
    let mut table = Table::new(&[
        "QUOTA", "REGION", "USED", "OURS", "LIMIT", "WANTED", "FITS", "PROVIDER",
    ]);
    for limited in &answer.quotas {
        let quota = &limited.quota;
        let fits = match (quota.wanted, limited.fits) {
            (None, _) => Cell::from("-"),
            (Some(_), true) => Cell::new("yes", Colour::Green),
            (Some(_), false) => Cell::new("NO", Colour::Red),
        };
        let limit = match quota.limit {
            u64::MAX => "none".to_owned(),
            limit => limit.to_string(),
        };
        table.row(vec![
            (&quota.title).into(),
            (&quota.region).into(),
            quota.used.to_string().into(),
            quota.ours.to_string().into(),
            limit.into(),
            quota
                .wanted
                .map_or_else(|| "-".to_owned(), |w| w.to_string())
                .into(),
            fits,
            (&limited.provider).into(),
        ]);
    }
    table.print(out)?;
    for problem in &answer.problems {
        problem.print(out)?;
    }
    Ok(())
}
