//! `slurmburst images`.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use slurmburst::kind::{Image, ImageFilter};
use slurmburst::provider::Context;

use crate::failure::{BAD_NEWS, Outcome};
use crate::out::{Out, Progress};
use crate::served::{Problem, served};
use crate::site;
use crate::table::Table;

const LIMIT: Duration = Duration::from_secs(120);

const AFTER: &str = "\
A marketplace has tens of thousands, so it is asked level by level: without filters
its publishers; with --publisher what that one offers; with --offer too the newest
version of each variant. The column IMAGE is what `image =` of the site file takes.

EXAMPLES
    slurmburst images
    slurmburst images --publisher almalinux
    slurmburst images --publisher almalinux --offer almalinux-hpc

EXIT STATUS
    0   done
    1   a provider did not answer, or does not offer this
    2   wrong usage, or a wrong site file";

/// The images that machines can be made from
#[derive(clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// Only of this publisher
    #[arg(long, value_name = "NAME")]
    publisher: Option<String>,
    /// Only of this offer of the publisher
    #[arg(long, value_name = "NAME", requires = "publisher")]
    offer: Option<String>,
    /// Only this provider of the site file
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// For programs; see docs/json.md
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Offered {
    provider: String,
    #[serde(flatten)]
    image: Image,
}

#[derive(Serialize)]
struct Answer {
    images: Vec<Offered>,
    problems: Vec<Problem>,
}

pub(crate) fn run(args: &Args, config: Option<&Path>) -> Outcome {
    let setup = site::read(config)?;
    let filter = ImageFilter {
        publisher: args.publisher.clone(),
        offer: args.offer.clone(),
    };
    let mut answer = Answer {
        images: Vec::new(),
        problems: Vec::new(),
    };
    let runtime = crate::runtime()?;
    for one in served(&setup.site, args.provider.as_deref())? {
        let _progress = Progress::new("asking for images");
        let cx = Context::within(setup.site.cluster_id.as_str(), LIMIT);
        let images = one.operator().and_then(|operator| {
            let images = runtime.block_on(operator.images(&cx, &filter));
            images.map_err(|e| one.problem(e))
        });
        match images {
            Ok(images) => answer
                .images
                .extend(images.into_iter().map(|image| Offered {
                    provider: one.name.clone(),
                    image,
                })),
            Err(problem) => answer.problems.push(problem),
        }
    }
    let mut out = Out::new();
    if args.json {
        out.json(&answer)?;
    } else {
        let mut table = Table::new(&["PUBLISHER", "OFFER", "SKU", "NEWEST", "IMAGE", "PROVIDER"]);
        for offered in &answer.images {
            let image = &offered.image;
            let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
            table.row(vec![
                (&image.publisher).into(),
                text(&image.offer),
                text(&image.sku),
                text(&image.version),
                text(&image.image),
                (&offered.provider).into(),
            ]);
        }
        table.print(&mut out)?;
        for problem in &answer.problems {
            problem.print(&mut out)?;
        }
    }
    out.end()?;
    Ok(if answer.problems.is_empty() {
        0
    } else {
        BAD_NEWS
    })
}
