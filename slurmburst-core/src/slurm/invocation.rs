//! [`Invocation`]: argv and environment of the programs that slurmctld calls.
//!
//! Slurm calls them with one hostlist, and may append a word of features,
//! which means nothing to us. People at a prompt may give a hostlist in
//! several words (`c1, c2`). The rule that tells them apart: a word belongs to
//! the one before if that one ends in a comma or inside an open bracket, or if
//! it begins with a comma itself; such words are joined as they stand. After
//! that, one word more is taken for features and left alone
//! ([`Run::ignored`]), and a third is an error.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::hostlist::{Dialect, HostList, Limits};

/// What a program was asked to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Invocation {
    /// Do its work for these nodes.
    Run(Run),
    /// Be the converger; slurmburst itself starts this.
    Converge {
        /// `--config`.
        config: Option<PathBuf>,
    },
    /// Say how it is used.
    Help,
    /// Say which version it is.
    Version,
}

/// The nodes and the options.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The nodes; at least one.
    pub nodes: HostList,
    /// `--config`: the site file.
    pub config: Option<PathBuf>,
    /// `--wait`: stay until all nodes settle.
    pub wait: bool,
    /// The second word, which is left alone; worth a line in the log.
    pub ignored: Option<String>,
}

/// What is wrong with the arguments. Printed with `--help` behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageError {
    message: String,
}

impl UsageError {
    fn new(message: impl Into<String>) -> UsageError {
        UsageError {
            message: message.into(),
        }
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for UsageError {}

impl Invocation {
    /// Reads the arguments, without the program's own name. Options may stand
    /// before or after the nodes; `--` ends them.
    ///
    /// # Errors
    /// [`UsageError`] for an option that does not exist, no nodes, a hostlist
    /// that cannot be read, too many words, or words that are not UTF-8.
    ///
    /// ```
    /// use slurmburst_core::slurm::invocation::Invocation;
    ///
    /// let Invocation::Run(run) = Invocation::parse(["--wait", "c[1-3,7]"].map(Into::into))? else {
    ///     unreachable!()
    /// };
    /// assert!(run.wait);
    /// assert_eq!(run.nodes.len(), 4);
    /// # Ok::<(), slurmburst_core::slurm::invocation::UsageError>(())
    /// ```
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, UsageError> {
        let mut args = args.into_iter();
        let (mut config, mut wait, mut converge) = (None, false, false);
        let mut words = Vec::new();
        let mut options = true;
        while let Some(arg) = args.next() {
            let text = arg.to_str();
            match text {
                Some("--") if options => options = false,
                Some("--help" | "-h") if options => return Ok(Invocation::Help),
                Some("--version" | "-V") if options => return Ok(Invocation::Version),
                Some("--wait") if options => wait = true,
                Some("--converge") if options => converge = true,
                Some("--config") if options => {
                    let file = args.next().filter(|f| !f.is_empty());
                    let file = file.ok_or_else(|| UsageError::new("--config needs a file"))?;
                    config = Some(PathBuf::from(file));
                }
                _ if options && arg.as_encoded_bytes().starts_with(b"-") => {
                    match text.and_then(|t| t.strip_prefix("--config=")) {
                        Some(file) if !file.is_empty() => config = Some(PathBuf::from(file)),
                        _ => {
                            let shown = arg.display();
                            return Err(UsageError::new(format!("there is no option `{shown}`")));
                        }
                    }
                }
                Some(text) => words.push(text.to_owned()),
                None => {
                    let shown = arg.display();
                    return Err(UsageError::new(format!("`{shown}` is not UTF-8")));
                }
            }
        }
        if converge {
            return match words.first() {
                None => Ok(Invocation::Converge { config }),
                Some(word) => Err(UsageError::new(format!(
                    "--converge takes no nodes: `{word}`"
                ))),
            };
        }
        let (list, ignored) = join(words)?;
        let nodes = HostList::parse_with(&list, Dialect::SlurmCompat, &Limits::slurm())
            .map_err(|e| UsageError::new(format!("the hostlist: {e}")))?;
        if nodes.is_empty() {
            return Err(UsageError::new(
                "which nodes? Give a hostlist, such as c[1-3,7]",
            ));
        }
        Ok(Invocation::Run(Run {
            nodes,
            config,
            wait,
            ignored,
        }))
    }
}

/// The hostlist and the word that is left alone; see the module.
fn join(words: Vec<String>) -> Result<(String, Option<String>), UsageError> {
    let mut words = words.into_iter();
    let mut list = words.next().unwrap_or_default();
    let mut depth = open_brackets(&list);
    let mut ignored = None;
    for word in words {
        if ignored.is_none() && (depth > 0 || list.ends_with(',') || word.starts_with(',')) {
            depth += open_brackets(&word);
            list.push_str(&word);
        } else if ignored.is_none() {
            ignored = Some(word);
        } else {
            let message = format!("`{word}` is one word too many; write commas between nodes");
            return Err(UsageError::new(message));
        }
    }
    Ok((list, ignored))
}

fn open_brackets(text: &str) -> i64 {
    let count = |c| i64::try_from(text.matches(c).count()).unwrap_or(i64::MAX);
    count('[') - count(']')
}

/// What the environment says. slurmctld passes `SLURM_CONF`, and
/// `SLURM_RESUME_FILE` to ResumeProgram, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// `SLURM_CONF`.
    pub slurm_conf: Option<PathBuf>,
    /// `SLURM_RESUME_FILE`.
    pub resume_file: Option<PathBuf>,
    /// `SLURMBURST_CONFIG`: the site file.
    pub config: Option<PathBuf>,
}

impl Environment {
    /// Reads it with `lookup`, which is `std::env::var_os` outside of tests.
    /// An empty value counts as none.
    pub fn read(lookup: impl Fn(&str) -> Option<OsString>) -> Environment {
        let path = |key| lookup(key).filter(|v| !v.is_empty()).map(PathBuf::from);
        Environment {
            slurm_conf: path("SLURM_CONF"),
            resume_file: path("SLURM_RESUME_FILE"),
            config: path("SLURMBURST_CONFIG"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStringExt;

    fn parse(args: &[&str]) -> Result<Invocation, UsageError> {
        Invocation::parse(args.iter().map(OsString::from))
    }

    fn run(args: &[&str]) -> Run {
        match parse(args) {
            Ok(Invocation::Run(run)) => run,
            other => panic!("{other:?}"),
        }
    }

    fn names(run: &Run) -> Vec<String> {
        run.nodes.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn slurm_gives_one_hostlist() {
        let run = run(&["c[1-3,7],s1-ib"]);
        assert_eq!(names(&run), ["c1", "c2", "c3", "c7", "s1-ib"]);
        assert_eq!((run.wait, run.ignored, run.config), (false, None, None));
    }

    #[test]
    fn a_second_word_is_features_and_left_alone() {
        for features in ["gpu&f2", "[f1|gpu]", "f2", "nps1,cache"] {
            let run = run(&["c[1-2]", features]);
            assert_eq!(names(&run), ["c1", "c2"]);
            assert_eq!(run.ignored.as_deref(), Some(features));
        }
    }

    #[test]
    fn a_hostlist_in_pieces_is_joined() {
        for args in [
            &["c1,", "c2", ",c3"][..],
            &["c[1,", "2-3]"],
            &["c[1", ",2", ",3]"],
            &["c1", ",", "c2,c3"],
        ] {
            assert_eq!(names(&run(args)), ["c1", "c2", "c3"], "{args:?}");
        }
        let run = run(&["c1,", "c2", "gpu"]);
        assert_eq!(
            (names(&run).len(), run.ignored.as_deref()),
            (2, Some("gpu"))
        );
    }

    #[test]
    fn options_stand_anywhere() {
        let r = run(&["--config", "/etc/x.toml", "c1", "--wait"]);
        assert_eq!(r.config, Some("/etc/x.toml".into()));
        assert!(r.wait);
        assert_eq!(run(&["--config=/y", "c1"]).config, Some("/y".into()));
        assert_eq!(names(&run(&["--", "-odd"])), ["-odd"]);
        assert_eq!(parse(&["--help", "c["]), Ok(Invocation::Help));
        assert_eq!(parse(&["--version"]), Ok(Invocation::Version));
        let config = Some("/y".into());
        assert_eq!(
            parse(&["--converge", "--config=/y"]),
            Ok(Invocation::Converge { config })
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (args, says) in [
            (&[][..], "which nodes"),
            (&[""], "which nodes"),
            (&["--wiat", "c1"], "--wiat"),
            (&["--config"], "--config needs"),
            (&["c[1-"], "hostlist"),
            (&["c[3-1]"], "hostlist"),
            (&["c1", "c2", "c3"], "one word too many"),
            (&["--converge", "c1"], "takes no nodes"),
        ] {
            let error = parse(args).unwrap_err().to_string();
            assert!(error.contains(says), "{args:?}: {error}");
        }
        let bad = OsString::from_vec(vec![b'c', 0xff]);
        let error = Invocation::parse([bad]).unwrap_err().to_string();
        assert!(error.contains("UTF-8"), "{error}");
    }

    #[test]
    fn the_environment_is_what_slurm_passes() {
        let env = Environment::read(|key| match key {
            "SLURM_CONF" => Some("/etc/slurm/slurm.conf".into()),
            "SLURM_RESUME_FILE" => Some("/proc/319/fd/10".into()),
            _ => Some(OsString::new()),
        });
        assert_eq!(env.slurm_conf, Some("/etc/slurm/slurm.conf".into()));
        assert_eq!(env.resume_file, Some("/proc/319/fd/10".into()));
        assert_eq!(env.config, None);
    }

    proptest! {
        #[test]
        fn any_arguments_are_read_or_refused(args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..5)) {
            let _ = Invocation::parse(args.into_iter().map(OsString::from_vec));
        }

        #[test]
        fn what_was_folded_is_read_back(numbers in prop::collection::vec(0u32..2000, 1..50), cut in 0usize..400) {
            let list: HostList =
                numbers.iter().filter_map(|n| crate::hostlist::NodeName::new(&format!("c{n}")).ok()).collect();
            let text = list.to_string();
            prop_assert_eq!(&run(&[&text]).nodes, &list);
            // Cut after any comma, it is still one list.
            if let Some((at, _)) = text.match_indices(',').nth(cut % 7) {
                prop_assert_eq!(&run(&[&text[..=at], &text[at + 1..]]).nodes, &list);
                prop_assert_eq!(&run(&[&text[..at], &text[at..]]).nodes, &list);
            }
        }
    }
}
