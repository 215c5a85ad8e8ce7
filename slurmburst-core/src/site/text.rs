//! TOML text to [`ConfigTable`]. The only place that knows the TOML library.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::{ConfigError, ConfigItem, ConfigTable, ConfigValue, Source};

/// Tables within tables. A site file needs four.
const MAX_DEPTH: usize = 32;

/// The whole file as a table without a name.
pub(super) fn parse(file: &Path, text: &str) -> Result<ConfigTable, ConfigError> {
    let (table, error) = read(file, text);
    match error {
        None => Ok(table),
        Some(error) => Err(error),
    }
}

/// As much of the file as can be read, whatever is wrong with the rest.
pub(super) fn recover(file: &Path, text: &str) -> ConfigTable {
    read(file, text).0
}

fn read(file: &Path, text: &str) -> (ConfigTable, Option<ConfigError>) {
    let source = Arc::new(Source {
        file: file.display().to_string(),
        text: text.to_owned(),
    });
    // The library bounds dotted keys and braces to 80 each, but not their
    // product, and tables within tables are dropped recursively: many braces
    // get a stack that holds the product.
    if text.bytes().filter(|b| *b == b'{').count() <= 8 {
        return read_here(&source);
    }
    let read = std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(16 << 20)
            .spawn_scoped(scope, || read_here(&source))
            .ok()
            .and_then(|thread| thread.join().ok())
    });
    read.unwrap_or_else(|| {
        let message = "could not be read, for want of memory or threads; try again";
        let error = ConfigError::new(source.file.clone(), 1, 1, "", message);
        (
            ConfigTable::new(Arc::clone(&source), "", 0, BTreeMap::new()),
            Some(error),
        )
    })
}

fn read_here(source: &Arc<Source>) -> (ConfigTable, Option<ConfigError>) {
    let (root, errors) = DeTable::parse_recoverable(&source.text);
    // What stands first is what is wrong; the rest often follows from it.
    let syntax = errors
        .iter()
        .min_by_key(|e| e.span().map_or(usize::MAX, |span| span.start))
        .map(|e| syntax_error(source, e));
    let mut convert = Convert {
        source,
        error: None,
    };
    let table = convert.table(root.get_ref(), String::new(), 0, 0);
    (table, syntax.or(convert.error))
}

fn syntax_error(source: &Source, error: &toml::de::Error) -> ConfigError {
    let span = error.span().unwrap_or(0..0);
    let found = source.text.get(span.clone()).unwrap_or_default();
    let said = error.message();
    let message = if said == "duplicate key" {
        format!("`{found}` is there twice; take one of them out")
    } else if said.starts_with("string values must be quoted") {
        "not valid TOML: a string needs quotes, as in key = \"value\"".to_owned()
    } else {
        format!("not valid TOML: {said}")
    };
    let (line, column) = source.position(span.start);
    ConfigError::new(source.file.clone(), line, column, "", message)
}

/// The library's values into ours; remembers the first that has no counterpart.
struct Convert<'a> {
    source: &'a Arc<Source>,
    error: Option<ConfigError>,
}

impl Convert<'_> {
    fn refuse(&mut self, offset: usize, path: &str, message: &str) {
        if self.error.is_none() {
            let (line, column) = self.source.position(offset);
            let file = self.source.file.clone();
            self.error = Some(ConfigError::new(file, line, column, path, message));
        }
    }

    fn table(
        &mut self,
        table: &DeTable<'_>,
        path: String,
        offset: usize,
        depth: usize,
    ) -> ConfigTable {
        let mut entries = BTreeMap::new();
        for (key, value) in table.iter() {
            let name = key.get_ref().to_string();
            let inner = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            if let Some(converted) = self.value(value, &inner, depth) {
                let offset = value.span().start;
                let item = ConfigItem {
                    value: converted,
                    key_offset: key.span().start,
                    offset,
                };
                entries.insert(name, item);
            }
        }
        ConfigTable::new(Arc::clone(self.source), path, offset, entries)
    }

    fn value(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        path: &str,
        depth: usize,
    ) -> Option<ConfigValue> {
        let offset = value.span().start;
        if depth >= MAX_DEPTH {
            self.refuse(offset, path, "is nested too deeply");
            return None;
        }
        Some(match value.get_ref() {
            DeValue::String(s) => ConfigValue::String(s.to_string()),
            DeValue::Boolean(b) => ConfigValue::Bool(*b),
            DeValue::Datetime(d) => ConfigValue::Other(d.to_string()),
            DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
                Ok(i) => ConfigValue::Integer(i),
                Err(_) => {
                    self.refuse(offset, path, "is too large a number; 64 bits must hold it");
                    return None;
                }
            },
            DeValue::Float(f) => match f.as_str().parse::<f64>() {
                Ok(f) if f.is_finite() => ConfigValue::Float(f),
                _ => {
                    self.refuse(offset, path, "must be a finite number");
                    return None;
                }
            },
            DeValue::Array(items) => ConfigValue::Array(
                items
                    .iter()
                    .filter_map(|item| {
                        let offset = item.span().start;
                        let value = self.value(item, path, depth + 1)?;
                        Some(ConfigItem {
                            value,
                            key_offset: offset,
                            offset,
                        })
                    })
                    .collect(),
            ),
            DeValue::Table(t) => {
                ConfigValue::Table(self.table(t, path.to_owned(), offset, depth + 1))
            }
        })
    }
}
