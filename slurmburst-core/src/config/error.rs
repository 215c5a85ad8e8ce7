//! [`ConfigError`]: something wrong in a configuration file, and where.

use std::fmt;

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
