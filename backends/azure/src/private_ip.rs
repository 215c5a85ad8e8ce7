//! `private_ip`: fixed addresses.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use slurmburst_core::config::{ConfigError, ConfigTable, ConfigValue};
use slurmburst_core::hostlist::NodeName;

/// Which address a node's machine gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PrivateIp {
    /// This plus the node's number: `c7` at `10.0.1.0` is `10.0.1.7`.
    From(Ipv4Addr),
    /// Each its own.
    Each(BTreeMap<String, Ipv4Addr>),
}

impl PrivateIp {
    /// A node's address.
    pub(crate) fn of(&self, node: &NodeName) -> Result<Ipv4Addr, String> {
        match self {
            PrivateIp::Each(map) => map
                .get(node.as_str())
                .copied()
                .ok_or_else(|| format!("private_ip has no address for {node}; add it")),
            PrivateIp::From(base) => {
                let number = node.digits().parse::<u32>().ok();
                let address = number.and_then(|n| u32::from(*base).checked_add(n));
                address.map(Ipv4Addr::from).ok_or_else(|| {
                    format!("private_ip = \"{base}\" gives no address for {node}, whose name needs a number")
                })
            }
        }
    }
}

/// Reads the key.
pub(crate) fn private_ip(table: &ConfigTable) -> Result<Option<PrivateIp>, ConfigError> {
    let key = "private_ip";
    let Some((_, item)) = table.entries().find(|(k, _)| *k == key) else {
        return Ok(None);
    };
    match &item.value {
        ConfigValue::Table(map) => {
            let mut all = BTreeMap::new();
            let mut taken: BTreeMap<Ipv4Addr, &str> = BTreeMap::new();
            for (node, _) in map.entries() {
                let text = map.required(node)?;
                let address = text.parse().map_err(|_| {
                    map.error(node, format!("must be an IPv4 address, is \"{text}\""))
                })?;
                if let Some(other) = taken.insert(address, node) {
                    return Err(map.error(node, format!("{address} is {other}'s already")));
                }
                all.insert(node.to_owned(), address);
            }
            Ok(Some(PrivateIp::Each(all)))
        }
        _ => {
            let text = table.required(key)?;
            let base = text.parse().map_err(|_| {
                let message = "must be the IPv4 address that a node's number is added to, or a table of NODE = \"ADDRESS\"";
                table.error(key, format!("{message}; is \"{text}\""))
            })?;
            Ok(Some(PrivateIp::From(base)))
        }
    }
}
