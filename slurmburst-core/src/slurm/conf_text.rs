//! The text of `slurm.conf` as Slurm reads it: lines joined, comments gone,
//! files included, cut into `Key=Value`. It knows no key but `Include`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::conf::SlurmConfError;

/// How deep files may include files.
const DEPTH: usize = 8;
/// How many files there may be in all.
const FILES: usize = 1000;
/// Bytes of one file.
const FILE_BYTES: u64 = 64 << 20;

/// A line with something in it, and where it begins.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) file: Arc<Path>,
    pub(super) number: usize,
    pub(super) pairs: Vec<(String, String)>,
}

impl Line {
    /// The last value of a key. Case does not count.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let found = self
            .pairs
            .iter()
            .rfind(|(k, _)| k.eq_ignore_ascii_case(key));
        found.map(|(_, v)| v.as_str())
    }

    /// The error at this line.
    pub(super) fn error(&self, message: impl Into<String>) -> SlurmConfError {
        SlurmConfError {
            file: self.file.to_path_buf(),
            line: Some(self.number),
            message: message.into(),
        }
    }
}

/// Reads a file and all that it includes, in order.
pub(super) fn read(path: &Path) -> Result<Vec<Line>, SlurmConfError> {
    let mut reader = Reader {
        folder: path.parent().unwrap_or(Path::new("")),
        files: 0,
        lines: Vec::new(),
    };
    reader.file(path, 0, None)?;
    Ok(reader.lines)
}

/// The lines of a text that includes nothing, for tests and for text at hand.
#[cfg(test)]
pub(super) fn lines_of(text: &str) -> Vec<Line> {
    let file: Arc<Path> = Path::new("slurm.conf").into();
    logical_lines(text)
        .map(|(number, text)| Line {
            file: Arc::clone(&file),
            number,
            pairs: pairs(&text),
        })
        .filter(|line| !line.pairs.is_empty())
        .collect()
}

struct Reader<'a> {
    /// Where relative names begin: the folder of slurm.conf itself.
    folder: &'a Path,
    files: usize,
    lines: Vec<Line>,
}

impl Reader<'_> {
    /// `by` is the line that includes this file.
    fn file(&mut self, path: &Path, depth: usize, by: Option<&Line>) -> Result<(), SlurmConfError> {
        let fail = |message: String| match by {
            Some(line) => line.error(format!("Include {}: {message}", path.display())),
            None => SlurmConfError {
                file: path.to_path_buf(),
                line: None,
                message,
            },
        };
        self.files += 1;
        if depth > DEPTH {
            return Err(fail(format!(
                "included more than {DEPTH} deep; does it include itself?"
            )));
        }
        if self.files > FILES {
            return Err(fail(format!(
                "more than {FILES} files; does one include itself?"
            )));
        }
        let text = read_text(path).map_err(fail)?;
        let file: Arc<Path> = path.into();
        for (number, text) in logical_lines(&text) {
            let line = Line {
                file: Arc::clone(&file),
                number,
                pairs: Vec::new(),
            };
            if let Some(name) = include(&text) {
                let path = self.included(&name, &line)?;
                self.file(&path, depth + 1, Some(&line))?;
                continue;
            }
            let pairs = pairs(&text);
            if !pairs.is_empty() {
                self.lines.push(Line { pairs, ..line });
            }
        }
        Ok(())
    }

    /// The file meant: relative names begin at slurm.conf, `%c` is the cluster.
    fn included(&self, name: &str, line: &Line) -> Result<PathBuf, SlurmConfError> {
        let mut name = name.to_owned();
        if name.contains("%c") {
            let cluster = self.lines.iter().rev().find_map(|l| l.get("ClusterName"));
            let cluster = cluster.ok_or_else(|| {
                line.error(format!(
                    "Include {name}: put ClusterName before it, `%c` means that"
                ))
            })?;
            name = name.replace("%c", cluster);
        }
        Ok(self.folder.join(name))
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let say = |e: std::io::Error| format!("cannot be read: {e}");
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(say)?;
    file.take(FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(say)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(format!("longer than {FILE_BYTES} bytes"));
    }
    // Comments in old encodings are no reason to stop.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Lines without comments, those that end with a backslash joined with the
/// next, with the number of the first.
fn logical_lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut lines = text.lines().enumerate();
    std::iter::from_fn(move || {
        let (at, first) = lines.next()?;
        let (mut joined, mut more) = strip(first);
        while more {
            let Some((_, next)) = lines.next() else { break };
            let (next, again) = strip(next);
            joined.push_str(&next);
            more = again;
        }
        Some((at + 1, joined))
    })
}

/// A line without its comment, and whether the next one continues it. A
/// comment takes the backslash at the line's end with it, as in Slurm.
fn strip(line: &str) -> (String, bool) {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.trim_end().chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '#' => return (out, false),
            '\\' => match chars.peek() {
                Some('#' | '\\') => out.extend(chars.next()),
                Some(_) => out.push('\\'),
                None => return (out, true),
            },
            c => out.push(c),
        }
    }
    (out, false)
}

/// The file that an `Include` line names.
fn include(line: &str) -> Option<String> {
    let (word, rest) = line.trim().split_once(char::is_whitespace)?;
    let name = rest.trim().trim_matches('"');
    (word.eq_ignore_ascii_case("include") && !name.is_empty() && !name.starts_with('='))
        .then(|| name.to_owned())
}

/// Cuts a line into `Key=Value`. Values may be in double quotes, blanks may
/// stand around `=`, and `Key+=Value` counts as `Key=Value`. What fits none of
/// it is left out: whether the file is right is for Slurm to say.
fn pairs(line: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut rest = line.trim_start();
    while let Some(end) = rest.find(|c: char| c == '=' || c.is_whitespace()) {
        let after = rest[end..].trim_start();
        let key = rest[..end].trim_end_matches(['+', '-', '*', '/']);
        let Some(value) = after.strip_prefix('=') else {
            rest = after;
            continue;
        };
        let value = value.trim_start();
        let (value, next) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => value.split_at(value.find(char::is_whitespace).unwrap_or(value.len())),
        };
        if !key.is_empty() {
            out.push((key.to_owned(), value.to_owned()));
        }
        rest = next.trim_start();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_pairs(text: &str) -> Vec<(usize, Vec<(String, String)>)> {
        lines_of(text)
            .into_iter()
            .map(|l| (l.number, l.pairs))
            .collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn comments_end_a_line_and_its_continuation() {
        // Both seen with Slurm: neither comment swallows the line after it.
        let text = "# foo \\\nSlurmctldHost=h1 # x \\\nSlurmctldHost=h2(127.0.0.9)\n";
        assert_eq!(
            read_pairs(text),
            [
                (2, vec![pair("SlurmctldHost", "h1")]),
                (3, vec![pair("SlurmctldHost", "h2(127.0.0.9)")]),
            ]
        );
    }

    #[test]
    fn lines_are_continued_and_values_quoted() {
        let text = "NodeName=n[1-2] \\\n  State = CLOUD \\\r\n Weight=1\r\nA=\"b c\" D=e\\#f\nE=";
        assert_eq!(
            read_pairs(text),
            [
                (
                    1,
                    vec![
                        pair("NodeName", "n[1-2]"),
                        pair("State", "CLOUD"),
                        pair("Weight", "1")
                    ]
                ),
                (4, vec![pair("A", "b c"), pair("D", "e#f")]),
                (5, vec![pair("E", "")]),
            ]
        );
    }

    #[test]
    fn words_without_a_value_are_left_out() {
        assert_eq!(read_pairs("foo bar A=1 baz"), [(1, vec![pair("A", "1")])]);
        assert_eq!(
            read_pairs("SchedulerParameters+=x"),
            [(1, vec![pair("SchedulerParameters", "x")])]
        );
        assert_eq!(read_pairs("= = ="), []);
    }

    #[test]
    fn an_include_line_is_one() {
        assert_eq!(include("include nodes.conf").as_deref(), Some("nodes.conf"));
        assert_eq!(include(" Include\t/etc/x ").as_deref(), Some("/etc/x"));
        assert_eq!(include("IncludeFoo=1"), None);
        assert_eq!(include("include"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(\\PC|[\n\r\t #\\\\=\"]){0,80}") {
            lines_of(&text);
        }

        #[test]
        fn pairs_round_trip(pairs_in in prop::collection::vec(("[A-Za-z]{1,8}", "[a-z0-9\\[\\],.-]{1,12}"), 1..6)) {
            let text: Vec<_> = pairs_in.iter().map(|(k, v)| format!("{k}={v}")).collect();
            prop_assert_eq!(&pairs(&text.join(" ")), &pairs_in);
            let quoted: Vec<_> = pairs_in.iter().map(|(k, v)| format!("{k} = \"{v}\"")).collect();
            prop_assert_eq!(&pairs(&quoted.join(" ")), &pairs_in);
        }
    }
}
