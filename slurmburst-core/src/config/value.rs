//! Values and the places where they stand.

use std::fmt;

use super::ConfigTable;

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
    pub(super) fn kind(&self) -> &'static str {
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
