//! [`ConfigTable`]: the getters.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{ConfigError, ConfigItem, ConfigValue, Source, nearest, parse_duration};

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
