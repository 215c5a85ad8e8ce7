//! `slurmburst hostlist`: hostlists as Slurm writes them, for scripts. Needs no
//! site, no Slurm and no munge.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{Read, Write};

use slurmburst::hostlist::{Dialect, HostList, HostSet, Limits, SlurmVersion};

use crate::failure::{BAD_NEWS, Failure, Outcome, USAGE};
use crate::out::Out;

const AFTER: &str = "\
A LIST is what Slurm writes, `gpu[1-3,7],login`; blanks and newlines separate as
commas do, several LISTs of `expand`, `fold` and `count` are one after the other,
and `-` is standard input.

What Slurm reads as something else than was written, `n[1-]` or `n[+1-2]`, is
refused. With --slurm it is read as Slurm does, as long as no host is lost or
changed by it, and a range of more than 65,536 names is refused, as Slurm does.

EXAMPLES
    scontrol show hostnames without Slurm:
        slurmburst hostlist expand \"$SLURM_JOB_NODELIST\"
    the nodes of a file, one a line, as one list:
        slurmburst hostlist fold --unique - < nodes.txt
    who is missing:
        slurmburst hostlist difference 'c[1-100]' - < up.txt
    whether the Slurm of another cluster reads it:
        slurmburst hostlist check 'c[1-4]-ib' --slurm-version 22.05

EXIT STATUS
    0   done; `contains`: it does; `check`: it is read
    1   `contains`: it does not
    2   wrong usage, or a LIST that is none, or none for that Slurm; the place is
        shown";

/// Expand, fold, count and compare hostlists
///
/// `expand` prints a name per line, the others one line.
#[derive(clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// Read LISTs as Slurm does, with its limits
    #[arg(long, global = true)]
    slurm: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Print each name on a line of its own, in the order given
    #[command(after_long_help = AFTER)]
    Expand(Lists),
    /// Print one list, folded as Slurm folds
    #[command(after_long_help = AFTER)]
    Fold(Fold),
    /// Print how many names there are, repeated ones each time
    #[command(after_long_help = AFTER)]
    Count(Lists),
    /// Print the names that are in any of the lists
    #[command(after_long_help = AFTER)]
    Union(Lists),
    /// Print the names of the first list that are in none of the others
    #[command(after_long_help = AFTER)]
    Difference(Lists),
    /// Print the names that are in all of the lists
    #[command(after_long_help = AFTER)]
    Intersection(Lists),
    /// Say whether the first list has every name of the others
    #[command(after_long_help = AFTER)]
    Contains(Contains),
    /// Say whether a list is one, for a given Slurm too
    #[command(after_long_help = AFTER)]
    Check(Check),
}

#[derive(clap::Args)]
struct Lists {
    /// Hostlists; `-` is standard input
    #[arg(value_name = "LIST", required = true, allow_hyphen_values = false)]
    lists: Vec<String>,
}

#[derive(clap::Args)]
struct Fold {
    /// Sort as Slurm sorts; repeated names stay
    #[arg(long)]
    sort: bool,
    /// Sort, and keep each name once
    #[arg(long)]
    unique: bool,
    /// The shortest form: every number is folded, `r[1-2]n[1-16]`. Slurm reads it
    /// since 23.11, older versions where no text follows a bracket. The default is
    /// what Slurm itself prints and every version reads: only the last number is folded
    #[arg(long)]
    compact: bool,
    #[command(flatten)]
    lists: Lists,
}

#[derive(clap::Args)]
struct Contains {
    /// The list to look in
    #[arg(value_name = "LIST")]
    list: String,
    /// The names to look for
    #[arg(value_name = "NAMES", required = true)]
    names: Vec<String>,
}

#[derive(clap::Args)]
struct Check {
    /// The list
    #[arg(value_name = "LIST")]
    list: String,
    /// The release of Slurm that is to read it, such as 22.05: what that one
    /// refuses is an error
    #[arg(long, value_name = "V")]
    slurm_version: Option<SlurmVersion>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut input = Input::new(args.slurm);
    let mut out = Out::new();
    let mut code = 0;
    match &args.what {
        What::Expand(l) => match l.one(&mut input)? {
            list if list.is_empty() => {}
            list => {
                list.write_to_io(&mut out, "\n")?;
                out.line("")?;
            }
        },
        What::Fold(fold) => out.line(&fold.text(&mut input)?)?,
        What::Count(l) => say(&mut out, &l.one(&mut input)?.len())?,
        What::Union(l) => say(&mut out, &l.combined(&mut input, |a, b| a | b)?)?,
        What::Difference(l) => say(&mut out, &l.combined(&mut input, |a, b| a - b)?)?,
        What::Intersection(l) => say(&mut out, &l.combined(&mut input, |a, b| a & b)?)?,
        What::Contains(c) => {
            let have = input.set(&c.list)?;
            let mut missing = HostSet::new();
            for names in &c.names {
                missing = &missing | &(&input.set(names)? - &have);
            }
            if missing.is_empty() {
                out.line("yes")?;
            } else {
                code = BAD_NEWS;
                say(&mut out, &format_args!("no: {missing}"))?;
            }
        }
        What::Check(check) => {
            let text = input.text(&check.list)?;
            let names = match check.slurm_version {
                Some(version) => version.check(&text)?.len(),
                None => input.read(&text)?.len(),
            };
            let by = check.slurm_version.map(|v| format!(", for Slurm {v}"));
            let by = by.unwrap_or_default();
            say(&mut out, &format_args!("ok: {names} names{by}"))?;
        }
    }
    out.end()?;
    Ok(code)
}

impl Lists {
    /// All of them, one after the other.
    fn one(&self, input: &mut Input) -> Result<HostList, Failure> {
        let mut all = HostList::new();
        for text in &self.lists {
            all.append(&input.list(text)?);
        }
        Ok(all)
    }

    /// The first combined with the second, that with the third, and so on.
    fn combined(
        &self,
        input: &mut Input,
        op: impl Fn(&HostSet, &HostSet) -> HostSet,
    ) -> Result<HostSet, Failure> {
        let mut result = None;
        for text in &self.lists {
            let next = input.set(text)?;
            result = Some(match &result {
                None => next,
                Some(so_far) => op(so_far, &next),
            });
        }
        Ok(result.unwrap_or_default())
    }
}

impl Fold {
    fn text(&self, input: &mut Input) -> Result<String, Failure> {
        let mut list = self.lists.one(input)?;
        if self.unique {
            list = list.try_into_set(&input.limits)?.to_list();
        } else if self.sort {
            list = list.try_sorted(&input.limits)?;
        }
        Ok(if self.compact {
            list.to_compact()
        } else {
            list.to_slurm()
        })
    }
}

/// How lists are read. Standard input can be read once.
struct Input {
    dialect: Dialect,
    limits: Limits,
    used: bool,
}

impl Input {
    fn new(slurm: bool) -> Input {
        let (dialect, limits) = match slurm {
            true => (Dialect::SlurmCompat, Limits::slurm()),
            false => (Dialect::Strict, limits()),
        };
        Input {
            dialect,
            limits,
            used: false,
        }
    }

    fn set(&mut self, text: &str) -> Result<HostSet, Failure> {
        Ok(self.list(text)?.try_into_set(&self.limits)?)
    }

    fn list(&mut self, text: &str) -> Result<HostList, Failure> {
        let text = self.text(text)?;
        self.read(&text)
    }

    fn read(&self, text: &str) -> Result<HostList, Failure> {
        Ok(HostList::parse_with(text, self.dialect, &self.limits)?)
    }

    /// The argument, or standard input where it is `-`.
    fn text<'a>(&mut self, given: &'a str) -> Result<Cow<'a, str>, Failure> {
        if given != "-" {
            return Ok(Cow::Borrowed(given));
        }
        if self.used {
            return Err(Failure::new(
                USAGE,
                "standard input can be read only once: give `-` once",
            ));
        }
        self.used = true;
        let most = self.limits.input_bytes as u64;
        let mut text = String::new();
        std::io::stdin()
            .lock()
            .take(most + 1)
            .read_to_string(&mut text)
            .map_err(|e| Failure::new(USAGE, format!("standard input: {e}")))?;
        Ok(Cow::Owned(text))
    }
}

/// A person's own machine, and a person waits: more than what comes over the
/// network may have.
fn limits() -> Limits {
    Limits {
        input_bytes: 64 << 20,
        names: 1 << 24,
        ..Limits::default()
    }
}

fn say(out: &mut Out, what: &dyn Display) -> std::io::Result<()> {
    writeln!(out, "{what}")
}
