//! [`ConfigTable`]: a part of the site file as a backend reads it.
//!
//! Every value knows where it stands, so that a backend's own complaint names
//! file, line, column and key exactly as the site file's own do. The TOML
//! library is not visible here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Something wrong in a configuration file: where, which key, what to do.
///
/// ```
/// use slurmburst_core::config::ConfigError;
/// let e = ConfigError::new("/etc/slurm/slurmburst.toml", 12, 1, "nodes.hostlst", "unknown key; did you mean `hostlist`?");
/// assert_eq!(e.to_string(), "/etc/slurm/slurmburst.toml:12:1: nodes.hostlst: unknown key; did you mean `hostlist`?");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Box<ConfigErrorInner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct ConfigErrorInner {
    file: String,
    line: usize,
    column: usize,
    key: String,
    message: String,
}

impl ConfigError {
    /// Line and column count from 1; 0 where the whole file is meant.
    pub fn new(
        file: impl Into<String>,
        line: usize,
        column: usize,
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> ConfigError {
        ConfigError(Box::new(ConfigErrorInner {
            file: file.into(),
            line,
            column,
            key: fit_to_print(key.into(), 200),
            message: fit_to_print(message.into(), 2000),
        }))
    }

    /// The same error, with `more` after its message.
    #[must_use]
    pub fn and(self, more: &str) -> ConfigError {
        let ConfigErrorInner {
            file,
            line,
            column,
            key,
            message,
        } = *self.0;
        ConfigError::new(file, line, column, key, format!("{message}{more}"))
    }

    /// The file, as it was named.
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// The line, from 1; 0 where the whole file is meant.
    pub fn line(&self) -> usize {
        self.0.line
    }

    /// The column in characters, from 1.
    pub fn column(&self) -> usize {
        self.0.column
    }

    /// The key with its tables, such as `provider.here.slurmd`; may be empty.
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// What is wrong and what to do.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

/// A message quotes what the file says; that may be anything of any length,
/// and must not break a log line or move a terminal's cursor.
fn fit_to_print(text: String, longest: usize) -> String {
    if text.len() <= longest && !text.chars().any(char::is_control) {
        return text;
    }
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut fit: String = text.chars().take(longest).map(visible).collect();
    if text.chars().nth(longest).is_some() {
        fit.push_str("...");
    }
    fit
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.file)?;
        if self.0.line > 0 {
            write!(f, ":{}:{}", self.0.line, self.0.column)?;
        }
        if !self.0.key.is_empty() {
            write!(f, ": {}", self.0.key)?;
        }
        write!(f, ": {}", self.0.message)
    }
}

impl std::error::Error for ConfigError {}

/// The text that a table was read from, for positions.
pub struct Source {
    /// The file's name as the user gave it.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// The name alone: a site file may hold what belongs in no log.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// Line and column (in characters), both from 1, of a byte offset.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        (line, before[start..].chars().count() + 1)
    }
}

/// A value and the byte offset at which it (or its key) stands.
#[derive(Debug, Clone)]
pub struct ConfigItem {
    /// The value.
    pub value: ConfigValue,
    /// Byte offset of its key.
    pub key_offset: usize,
    /// Byte offset of the value itself.
    pub offset: usize,
}

/// A value of a configuration file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ConfigValue {
    /// A string.
    String(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// true or false.
    Bool(bool),
    /// A list; of tables too.
    Array(Vec<ConfigItem>),
    /// A table.
    Table(ConfigTable),
    /// Anything else that the format knows, as it is written.
    Other(String),
}

impl ConfigValue {
    fn kind(&self) -> &'static str {
        match self {
            ConfigValue::String(_) => "a string",
            ConfigValue::Integer(_) => "a whole number",
            ConfigValue::Float(_) => "a number",
            ConfigValue::Bool(_) => "true or false",
            ConfigValue::Array(_) => "a list",
            ConfigValue::Table(_) => "a table",
            ConfigValue::Other(_) => "a date or time",
        }
    }
}

/// A table of the site file. Its getters check the type and answer with an
/// error that says where the value stands.
#[derive(Clone)]
pub struct ConfigTable {
    source: Arc<Source>,
    path: String,
    offset: usize,
    entries: BTreeMap<String, ConfigItem>,
    /// The table that an entry came from, where it is not this one.
    origins: BTreeMap<String, String>,
}

/// The keys alone: a value may belong in no log.
impl fmt::Debug for ConfigTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigTable")
            .field("path", &self.path)
            .field("keys", &self.entries.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl ConfigTable {
    /// A table named `path` (`provider.here`) that begins at byte `offset`.
    pub fn new(
        source: Arc<Source>,
        path: impl Into<String>,
        offset: usize,
        entries: BTreeMap<String, ConfigItem>,
    ) -> ConfigTable {
        ConfigTable {
            source,
            path: path.into(),
            offset,
            entries,
            origins: BTreeMap::new(),
        }
    }

    /// An empty table of that name at the same place, for a part that the file leaves out.
    #[must_use]
    pub fn empty(&self, path: impl Into<String>) -> ConfigTable {
        ConfigTable::new(Arc::clone(&self.source), path, self.offset, BTreeMap::new())
    }

    /// `self` with what `over` has in place of its own: group defaults and a placement's overrides.
    #[must_use]
    pub fn overlaid(&self, over: &ConfigTable) -> ConfigTable {
        let mut merged = over.clone();
        for (key, item) in &self.entries {
            if !merged.entries.contains_key(key) {
                let origin = self.origins.get(key).unwrap_or(&self.path);
                merged.origins.insert(key.clone(), origin.clone());
                merged.entries.insert(key.clone(), item.clone());
            }
        }
        merged
    }

    /// The table without these keys: what is left after its owner took its own.
    #[must_use]
    pub fn without(&self, keys: &[&str]) -> ConfigTable {
        let mut rest = self.clone();
        rest.entries.retain(|key, _| !keys.contains(&key.as_str()));
        rest
    }

    /// The name of the table, such as `provider.here`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its keys and items.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &ConfigItem)> {
        self.entries.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// Whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// An error at this key's value, or at the table where the key is missing.
    pub fn error(&self, key: &str, message: impl Into<String>) -> ConfigError {
        let offset = self
            .entries
            .get(key)
            .map_or(self.offset, |item| item.offset);
        self.error_at(offset, key, message)
    }

    /// Line and column of this key's value, or of the table where the key is missing.
    pub fn position(&self, key: &str) -> (usize, usize) {
        self.source.position(
            self.entries
                .get(key)
                .map_or(self.offset, |item| item.offset),
        )
    }

    /// An error at this key itself rather than at its value.
    pub fn key_error(&self, key: &str, message: impl Into<String>) -> ConfigError {
        let offset = self
            .entries
            .get(key)
            .map_or(self.offset, |item| item.key_offset);
        self.error_at(offset, key, message)
    }

    fn error_at(&self, offset: usize, key: &str, message: impl Into<String>) -> ConfigError {
        let (line, column) = self.source.position(offset);
        let path = self.origins.get(key).unwrap_or(&self.path);
        let key = match (path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => path.clone(),
            (false, false) => format!("{path}.{key}"),
        };
        ConfigError::new(self.source.file.clone(), line, column, key, message)
    }

    /// Refuses every key that is not one of `known`, naming the nearest of them.
    ///
    /// # Errors
    /// The first unknown key in the file.
    pub fn only(&self, known: &[&str]) -> Result<(), ConfigError> {
        let unknown = self
            .entries
            .iter()
            .filter(|(key, _)| !known.contains(&key.as_str()))
            .min_by_key(|(_, item)| item.key_offset);
        let Some((key, item)) = unknown else {
            return Ok(());
        };
        let message = match nearest(key, known) {
            Some(near) => format!("unknown key; did you mean `{near}`?"),
            None => format!("unknown key; known here: {}", known.join(", ")),
        };
        Err(self.error_at(item.key_offset, key, message))
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        pick: impl FnOnce(&'a ConfigValue) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(item) = self.entries.get(key) else {
            return Ok(None);
        };
        match pick(&item.value) {
            Some(value) => Ok(Some(value)),
            None => Err(self.error(key, format!("must be {expected}, is {}", item.value.kind()))),
        }
    }

    /// A string.
    ///
    /// # Errors
    /// The value is something else.
    pub fn str(&self, key: &str) -> Result<Option<&str>, ConfigError> {
        self.typed(key, "a string", |v| match v {
            ConfigValue::String(s) => Some(s.as_str()),
            _ => None,
        })
    }

    /// A string that must be there.
    ///
    /// # Errors
    /// It is missing, or something else.
    pub fn required(&self, key: &str) -> Result<&str, ConfigError> {
        self.str(key)?.ok_or_else(|| self.error(key, "is required"))
    }

    /// One of a few words.
    ///
    /// # Errors
    /// The value is another word; the message lists the right ones.
    pub fn word<'a>(&'a self, key: &str, words: &[&str]) -> Result<Option<&'a str>, ConfigError> {
        match self.str(key)? {
            Some(word) if !words.contains(&word) => {
                let hint = nearest(word, words)
                    .map_or(String::new(), |n| format!("; did you mean \"{n}\"?"));
                let all = words
                    .iter()
                    .map(|w| format!("\"{w}\""))
                    .collect::<Vec<_>>()
                    .join(", ");
                Err(self.error(key, format!("must be one of {all}, is \"{word}\"{hint}")))
            }
            other => Ok(other),
        }
    }

    /// A whole number in a range.
    ///
    /// # Errors
    /// The value is something else, or outside.
    pub fn integer(
        &self,
        key: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<Option<i64>, ConfigError> {
        let value = self.typed(key, "a whole number", |v| match v {
            ConfigValue::Integer(i) => Some(*i),
            _ => None,
        })?;
        match value {
            Some(i) if !range.contains(&i) => Err(self.error(
                key,
                format!(
                    "must be between {} and {}, is {i}",
                    range.start(),
                    range.end()
                ),
            )),
            other => Ok(other),
        }
    }

    /// A number, whole or not.
    ///
    /// # Errors
    /// The value is something else.
    pub fn float(&self, key: &str) -> Result<Option<f64>, ConfigError> {
        self.typed(key, "a number", |v| match v {
            ConfigValue::Float(f) => Some(*f),
            // A literal that a site writes is far below 2^53.
            #[allow(clippy::cast_precision_loss)]
            ConfigValue::Integer(i) => Some(*i as f64),
            _ => None,
        })
    }

    /// true or false.
    ///
    /// # Errors
    /// The value is something else.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        self.typed(key, "true or false", |v| match v {
            ConfigValue::Bool(b) => Some(*b),
            _ => None,
        })
    }

    /// An absolute path.
    ///
    /// # Errors
    /// The value is something else, or relative: slurmctld's working directory
    /// is nobody's to rely on.
    pub fn path_of(&self, key: &str) -> Result<Option<PathBuf>, ConfigError> {
        match self.str(key)? {
            Some(s) if !s.starts_with('/') => {
                Err(self.error(key, format!("must be an absolute path, is \"{s}\"")))
            }
            other => Ok(other.map(PathBuf::from)),
        }
    }

    /// A length of time: `"90s"`, `"500ms"`, `"2m"`, `"1h"`, `"7d"`, or several of them (`"1m30s"`).
    ///
    /// # Errors
    /// The value is something else; a bare number too, since its unit would be a guess.
    pub fn duration(&self, key: &str) -> Result<Option<Duration>, ConfigError> {
        match self.str(key)? {
            None => Ok(None),
            Some(text) => match parse_duration(text) {
                Some(d) => Ok(Some(d)),
                None => Err(self.error(
                    key,
                    format!("must be a length of time such as \"2s\", \"500ms\", \"1m30s\" or \"1h\", is \"{text}\""),
                )),
            },
        }
    }

    /// A list of strings.
    ///
    /// # Errors
    /// The value is something else, or one of its elements is.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<&str>>, ConfigError> {
        let items = self.typed(key, "a list of strings", |v| match v {
            ConfigValue::Array(items) => Some(items),
            _ => None,
        })?;
        let Some(items) = items else { return Ok(None) };
        items
            .iter()
            .map(|item| match &item.value {
                ConfigValue::String(s) => Ok(s.as_str()),
                other => Err(self.error_at(
                    item.offset,
                    key,
                    format!("must be a list of strings, holds {}", other.kind()),
                )),
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Some)
    }

    /// A table.
    ///
    /// # Errors
    /// The value is something else.
    pub fn table(&self, key: &str) -> Result<Option<&ConfigTable>, ConfigError> {
        self.typed(key, "a table", |v| match v {
            ConfigValue::Table(t) => Some(t),
            _ => None,
        })
    }

    /// A list of tables (`[[key]]`).
    ///
    /// # Errors
    /// The value is something else, or one of its elements is.
    pub fn tables(&self, key: &str) -> Result<Vec<&ConfigTable>, ConfigError> {
        let items = self.typed(key, "a list of tables", |v| match v {
            ConfigValue::Array(items) => Some(items),
            _ => None,
        })?;
        items
            .into_iter()
            .flatten()
            .map(|item| match &item.value {
                ConfigValue::Table(t) => Ok(t),
                other => Err(self.error_at(
                    item.offset,
                    key,
                    format!("must be a list of tables, holds {}", other.kind()),
                )),
            })
            .collect()
    }
}

/// The word of `known` that was probably meant.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // The comparison takes memory by the product of the lengths.
    if word.len() > 100 {
        return None;
    }
    known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(word, k), *k))
        .filter(|(d, k)| *d <= 1 + k.len() / 4)
        .min()
        .map(|(_, k)| k)
}

/// `1m30s` and the like. `None` for anything else, a bare number included.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = &rest[digits..];
        let unit_len = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let millis = match rest.get(..unit_len)?.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(millis)?))?;
        rest = &rest[unit_len..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: Vec<(&str, ConfigValue)>) -> ConfigTable {
        let source = Arc::new(Source {
            file: "site.toml".into(),
            text: "a = 1\nbb = 2\n".into(),
        });
        let entries = entries
            .into_iter()
            .enumerate()
            .map(|(i, (k, value))| {
                (
                    k.to_owned(),
                    ConfigItem {
                        value,
                        key_offset: i * 6,
                        offset: i * 6 + 4,
                    },
                )
            })
            .collect();
        ConfigTable::new(source, "provider.here", 0, entries)
    }

    #[test]
    fn durations() {
        let s = Duration::from_secs;
        for (text, want) in [
            ("2s", s(2)),
            ("1m30s", s(90)),
            ("1h", s(3600)),
            ("0s", s(0)),
            ("500ms", Duration::from_millis(500)),
            (" 7d ", s(604_800)),
        ] {
            assert_eq!(parse_duration(text), Some(want), "{text}");
        }
        for text in [
            "",
            "2",
            "s",
            "-1s",
            "1.5s",
            "2 fortnights",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn an_unknown_key_names_the_nearest_and_its_place() {
        let t = table(vec![
            ("kind", ConfigValue::String("local".into())),
            ("slurmdd", ConfigValue::Integer(1)),
        ]);
        let e = t.only(&["kind", "slurmd", "run_dir"]).unwrap_err();
        assert_eq!(
            e.to_string(),
            "site.toml:2:1: provider.here.slurmdd: unknown key; did you mean `slurmd`?"
        );
        assert!(t.only(&["kind", "slurmdd"]).is_ok());
    }

    #[test]
    fn a_wrong_type_says_what_it_is() {
        let t = table(vec![
            ("a", ConfigValue::Integer(1)),
            ("b", ConfigValue::String("x".into())),
        ]);
        assert_eq!(
            t.str("a").unwrap_err().message(),
            "must be a string, is a whole number"
        );
        assert!(t.path_of("b").unwrap_err().message().contains("absolute"));
        assert!(
            t.duration("b")
                .unwrap_err()
                .message()
                .contains("length of time")
        );
        assert_eq!(t.str("none"), Ok(None));
        assert_eq!(t.required("none").unwrap_err().message(), "is required");
    }
}
