//! Tests against what others say: Microsoft's schema and recorded traffic, and
//! the tables.

mod contract;
mod errors;
mod keys;
mod outside;

use std::collections::BTreeMap;
use std::sync::Arc;

use slurmburst_core::config::{ConfigItem, ConfigTable, ConfigValue, Source};

/// A value of a site file.
pub(crate) enum V {
    S(&'static str),
    O(String),
    I(i64),
    F(f64),
    B(bool),
    L(Vec<String>),
    T(Vec<(&'static str, V)>),
}

pub(crate) fn table(path: &str, entries: Vec<(&'static str, V)>) -> ConfigTable {
    let source = Arc::new(Source {
        file: "site.toml".into(),
        text: String::new(),
    });
    let item = |value| ConfigItem {
        value,
        key_offset: 0,
        offset: 0,
    };
    let value = |key: &str, v| match v {
        V::S(s) => ConfigValue::String(s.into()),
        V::O(s) => ConfigValue::String(s),
        V::I(i) => ConfigValue::Integer(i),
        V::F(f) => ConfigValue::Float(f),
        V::B(b) => ConfigValue::Bool(b),
        V::L(all) => ConfigValue::Array(
            all.into_iter()
                .map(|s| item(ConfigValue::String(s)))
                .collect(),
        ),
        V::T(all) => ConfigValue::Table(table(&format!("{path}.{key}"), all)),
    };
    let entries: BTreeMap<String, ConfigItem> = entries
        .into_iter()
        .map(|(k, v)| (k.to_owned(), item(value(k, v))))
        .collect();
    ConfigTable::new(source, path, 0, entries)
}
