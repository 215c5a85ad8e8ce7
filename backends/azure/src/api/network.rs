//! NICs and disks: addresses of machines, and what dead machines left behind.

use std::net::IpAddr;

use serde::Deserialize;

use super::{Paged, Unreadable, page};

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nic {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The resource id of the VM that it is attached to.
    pub(crate) vm: Option<String>,
    /// Its address in the subnet.
    pub(crate) address: Option<IpAddr>,
}

/// A managed disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Whether it certainly hangs on nothing.
    pub(crate) unattached: bool,
}

/// A public address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicIp {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Whether it belongs to a network interface, or to something else.
    pub(crate) is_held: bool,
}

#[derive(Deserialize)]
struct Reference {
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawNic {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    properties: NicProperties,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct NicProperties {
    virtual_machine: Option<Reference>,
    #[serde(default)]
    ip_configurations: Option<Vec<IpConfiguration>>,
}

#[derive(Deserialize)]
struct IpConfiguration {
    #[serde(default)]
    properties: IpProperties,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct IpProperties {
    #[serde(rename = "privateIPAddress")]
    private_ip_address: Option<String>,
    primary: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDisk {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    managed_by: Option<String>,
    #[serde(default)]
    managed_by_extended: Option<Vec<String>>,
    #[serde(default)]
    properties: DiskProperties,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct DiskProperties {
    disk_state: Option<String>,
}

/// Reads a page of NICs.
pub(crate) fn nics(bytes: &[u8]) -> Result<Paged<Nic>, Unreadable> {
    page("the list of network interfaces", bytes, |raw: RawNic| {
        let ips = raw.properties.ip_configurations.unwrap_or_default();
        let primary = ips
            .iter()
            .find(|c| c.properties.primary == Some(true))
            .or(ips.first());
        let address = primary.and_then(|c| c.properties.private_ip_address.as_deref());
        Nic {
            vm: raw.properties.virtual_machine.and_then(|v| v.id),
            address: address.and_then(|a| a.parse().ok()),
            id: raw.id,
            name: raw.name,
        }
    })
}

/// Reads a page of disks.
pub(crate) fn disks(bytes: &[u8]) -> Result<Paged<Disk>, Unreadable> {
    page("the list of disks", bytes, |raw: RawDisk| {
        let held = raw.managed_by.is_some_and(|m| !m.is_empty())
            || raw.managed_by_extended.is_some_and(|m| !m.is_empty());
        let state = raw.properties.disk_state.as_deref();
        Disk {
            unattached: !held && state.is_some_and(|s| s.eq_ignore_ascii_case("unattached")),
            id: raw.id,
            name: raw.name,
        }
    })
}

#[derive(Deserialize)]
struct RawPublicIp {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    properties: PublicIpProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicIpProperties {
    ip_configuration: Option<serde_json::Value>,
    nat_gateway: Option<serde_json::Value>,
}

/// Reads a page of public addresses.
pub(crate) fn public_ips(bytes: &[u8]) -> Result<Paged<PublicIp>, Unreadable> {
    page("the list of public addresses", bytes, |raw: RawPublicIp| {
        PublicIp {
            is_held: raw.properties.ip_configuration.is_some()
                || raw.properties.nat_gateway.is_some(),
            id: raw.id,
            name: raw.name,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nics_address_and_machine() {
        let text =
            br#"{"value":[{"id":"/n","name":"c1-nic","properties":{"virtualMachine":{"id":"/v"},
            "ipConfigurations":[{"properties":{"privateIPAddress":"10.0.0.9"}},
                {"properties":{"privateIPAddress":"10.0.0.4","primary":true}}]}},
            {"id":"/m","name":"bare"}],"nextLink":"https://x/next"}"#;
        let (nics, next) = nics(text).unwrap();
        assert_eq!(nics[0].address, "10.0.0.4".parse().ok());
        assert_eq!(nics[0].vm.as_deref(), Some("/v"));
        assert_eq!((nics[1].vm.as_deref(), nics[1].address), (None, None));
        assert_eq!(next.as_deref(), Some("https://x/next"));
    }

    #[test]
    fn a_disk_is_loose_only_when_everything_says_so() {
        let text = br#"{"value":[
            {"id":"/a","name":"a","properties":{"diskState":"Unattached"}},
            {"id":"/b","name":"b","managedBy":"/v","properties":{"diskState":"Unattached"}},
            {"id":"/c","name":"c","properties":{"diskState":"Reserved"}},
            {"id":"/d","name":"d"}]}"#;
        let loose: Vec<bool> = disks(text)
            .unwrap()
            .0
            .iter()
            .map(|d| d.unattached)
            .collect();
        assert_eq!(loose, [true, false, false, false]);
    }
}
