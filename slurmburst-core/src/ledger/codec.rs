//! How values become columns: enums as the words of their serde form, what is
//! nested as JSON.

use rusqlite::{Connection, Params, Row};
use serde::de::value::{Error as WordError, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Serialize};

use super::error::{Fault, LedgerErrorKind};
use super::records::{AttemptState, StoredError};
use crate::error::Error;
use crate::hostlist::NodeName;

/// The word of an enum's variant that has no content.
pub(super) fn word<T: Serialize>(value: T) -> Result<String, Fault> {
    match serde_json::to_value(value)? {
        serde_json::Value::String(word) => Ok(word),
        other => Err(Fault::new(
            LedgerErrorKind::Invalid,
            format!("{other} is not a word"),
        )),
    }
}

/// The variant of this word.
pub(super) fn from_word<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Fault> {
    let words: StrDeserializer<'a, WordError> = text.into_deserializer();
    T::deserialize(words).map_err(|e| Fault::unreadable("word", e))
}

/// A column that holds a word.
pub(super) fn word_at<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T, Fault> {
    from_word(
        row.get_ref(column)?
            .as_str()
            .map_err(|e| Fault::unreadable(column, e))?,
    )
}

/// A column that holds a node's name.
pub(super) fn node_at(row: &Row<'_>, column: &str) -> Result<NodeName, Fault> {
    let text = row
        .get_ref(column)?
        .as_str()
        .map_err(|e| Fault::unreadable(column, e))?;
    NodeName::new(text).map_err(|e| Fault::unreadable("node name", e))
}

/// An error as JSON.
pub(super) fn error_json(e: &Error) -> Result<String, Fault> {
    Ok(serde_json::to_string(&StoredError::from(e))?)
}

/// An error from JSON.
pub(super) fn error_from(json: &str) -> Result<Error, Fault> {
    let stored: StoredError = serde_json::from_str(json)?;
    Ok(stored.into())
}

/// An attempt's state: its word, and what it holds as JSON.
pub(super) fn state_columns(state: &AttemptState) -> Result<(&'static str, Option<String>), Fault> {
    Ok(match state {
        AttemptState::Unknown => ("unknown", None),
        AttemptState::Accepted(pending) => ("accepted", Some(serde_json::to_string(pending)?)),
        AttemptState::Done => ("done", None),
        AttemptState::Refused(e) => ("refused", Some(error_json(e)?)),
        AttemptState::Closed => ("closed", None),
    })
}

/// The reverse of [`state_columns`].
pub(super) fn state_from(word: &str, detail: Option<&str>) -> Result<AttemptState, Fault> {
    Ok(match (word, detail) {
        ("unknown", _) => AttemptState::Unknown,
        ("accepted", Some(json)) => AttemptState::Accepted(serde_json::from_str(json)?),
        ("done", _) => AttemptState::Done,
        ("refused", Some(json)) => AttemptState::Refused(error_from(json)?),
        ("closed", _) => AttemptState::Closed,
        (other, _) => return Err(Fault::unreadable("attempt's state", other)),
    })
}

/// Names or keys as a JSON list, for `IN (SELECT value FROM json_each(?))`.
pub(super) fn json_list<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<String, Fault> {
    Ok(serde_json::to_string(
        &items.into_iter().collect::<Vec<_>>(),
    )?)
}

/// What `read` makes of each row.
pub(super) fn query<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut stmt = db.prepare_cached(sql)?;
    let mut rows = stmt.query(params)?;
    let mut values = Vec::new();
    while let Some(row) = rows.next()? {
        values.push(read(row)?);
    }
    Ok(values)
}

/// What `read` makes of the first row, if there is one.
pub(super) fn query_one<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let mut stmt = db.prepare_cached(sql)?;
    let mut rows = stmt.query(params)?;
    rows.next()?.map(read).transpose()
}
