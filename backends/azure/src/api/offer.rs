//! What is on offer and how much of it: sizes, usages, images, subnets.

use std::net::IpAddr;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Addresses, NETWORK, Named, Paged, Unreadable, page, read};

/// The version of the list of sizes.
const SKUS: &str = "2021-07-01";

/// Addresses of each range that Azure keeps for itself.
const RESERVED: u128 = 5;

/// A size of machine, in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) name: String,
    /// The quota that it counts against.
    pub(crate) family: String,
    pub(crate) cores: u64,
    pub(crate) zones: Vec<String>,
    /// Why this subscription cannot have it anywhere in the region.
    pub(crate) barred: Option<String>,
    /// Zones in which this subscription cannot have it.
    pub(crate) barred_zones: Vec<String>,
    capabilities: Vec<(String, String)>,
}

impl Size {
    /// Whether it can do this; what is not said counts as yes.
    pub(crate) fn can(&self, capability: &str) -> bool {
        self.capabilities
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(capability))
            .is_none_or(|(_, value)| value.eq_ignore_ascii_case("true"))
    }
}

/// How much of something is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) used: u64,
    pub(crate) limit: u64,
}

/// A subnet, and who has its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subnet {
    /// Addresses that machines can have.
    pub(crate) usable: u128,
    /// The resource ids of what has one.
    pub(crate) taken: Vec<String>,
}

/// A version of a marketplace image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageVersion {
    /// What has to be accepted and named to use it: name, publisher, product.
    pub(crate) plan: Option<(String, String, String)>,
}

/// The end of the path of a list of images: below publishers, offers, skus.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending<'a> {
    Publishers,
    Offers(&'a str),
    Skus(&'a str, &'a str),
    Version([&'a str; 4]),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSize {
    #[serde(default)]
    resource_type: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    family: String,
    #[serde(default)]
    location_info: Option<Vec<RawPlace>>,
    #[serde(default)]
    capabilities: Option<Vec<RawCapability>>,
    #[serde(default)]
    restrictions: Option<Vec<RawRestriction>>,
}

#[derive(Deserialize)]
struct RawPlace {
    #[serde(default)]
    zones: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RawCapability {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRestriction {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    reason_code: Option<String>,
    #[serde(default)]
    restriction_info: Option<RawPlace>,
}

/// Reads a page of sizes; of disks and the like, which are listed with them,
/// nothing is kept.
pub(crate) fn sizes(bytes: &[u8]) -> Result<Paged<Option<Size>>, Unreadable> {
    page("the list of sizes", bytes, |raw: RawSize| {
        raw.resource_type
            .eq_ignore_ascii_case("virtualMachines")
            .then(|| Size::from(raw))
    })
}

impl From<RawSize> for Size {
    fn from(raw: RawSize) -> Size {
        let capabilities = raw.capabilities.unwrap_or_default();
        let capabilities: Vec<(String, String)> = capabilities
            .into_iter()
            .map(|c| (c.name, c.value))
            .collect();
        let of = |name: &str| capabilities.iter().find(|(n, _)| n == name);
        let cores = of("vCPUs").and_then(|(_, value)| value.parse().ok());
        let mut size = Size {
            cores: cores.unwrap_or(0),
            zones: (raw.location_info.unwrap_or_default().into_iter())
                .flat_map(|place| place.zones.unwrap_or_default())
                .collect(),
            barred: None,
            barred_zones: Vec::new(),
            name: raw.name,
            family: raw.family,
            capabilities,
        };
        for restriction in raw.restrictions.unwrap_or_default() {
            match restriction.kind.to_ascii_lowercase().as_str() {
                "zone" => {
                    let zones = restriction.restriction_info.and_then(|i| i.zones);
                    size.barred_zones.extend(zones.unwrap_or_default());
                }
                _ => {
                    let why = restriction.reason_code;
                    size.barred = Some(why.unwrap_or_else(|| "no reason given".to_owned()));
                }
            }
        }
        size
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawUsage {
    current_value: f64,
    limit: f64,
    name: RawUsageName,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawUsageName {
    #[serde(default)]
    value: String,
    #[serde(default)]
    localized_value: Option<String>,
}

/// Reads a page of usages.
pub(crate) fn usages(bytes: &[u8]) -> Result<Paged<Usage>, Unreadable> {
    page("the list of usages", bytes, |raw: RawUsage| Usage {
        title: (raw.name.localized_value).unwrap_or_else(|| raw.name.value.clone()),
        name: raw.name.value,
        used: whole(raw.current_value),
        limit: whole(raw.limit),
    })
}

/// -1 stands for no limit in some of Azure's lists.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "such a cast ends at the type's bounds"
)]
fn whole(number: f64) -> u64 {
    if number < 0.0 {
        u64::MAX
    } else {
        number as u64
    }
}

#[derive(Deserialize)]
struct RawSubnet {
    #[serde(default)]
    properties: SubnetProperties,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct SubnetProperties {
    address_prefix: Option<String>,
    address_prefixes: Option<Vec<String>>,
    ip_configurations: Option<Vec<Holder>>,
}

#[derive(Deserialize)]
struct Holder {
    #[serde(default)]
    id: String,
}

/// Reads a subnet.
pub(crate) fn subnet(bytes: &[u8]) -> Result<Subnet, Unreadable> {
    let raw: RawSubnet = read("the subnet", bytes)?;
    let properties = raw.properties;
    let prefixes = properties.address_prefixes.unwrap_or_default();
    let all = prefixes.iter().chain(&properties.address_prefix);
    let usable = |prefix: &String| -> Option<u128> {
        let (address, bits) = prefix.split_once('/')?;
        let width: u32 = match address.parse().ok()? {
            IpAddr::V4(_) => 32,
            // A machine takes an IPv4 address whatever else it has.
            IpAddr::V6(_) => return None,
        };
        let free = width.checked_sub(bits.parse().ok()?)?;
        Some(1_u128.checked_shl(free)?.saturating_sub(RESERVED))
    };
    Ok(Subnet {
        usable: all.filter_map(usable).sum(),
        taken: (properties.ip_configurations.unwrap_or_default().into_iter())
            .map(|holder| holder.id)
            .collect(),
    })
}

#[derive(Deserialize)]
struct RawVersion {
    #[serde(default)]
    properties: VersionProperties,
}

#[derive(Deserialize, Default)]
struct VersionProperties {
    plan: Option<RawPlan>,
}

#[derive(Deserialize)]
struct RawPlan {
    name: String,
    publisher: String,
    product: String,
}

/// Reads a version of a marketplace image.
pub(crate) fn image_version(bytes: &[u8]) -> Result<ImageVersion, Unreadable> {
    let raw: RawVersion = read("the image's version", bytes)?;
    Ok(ImageVersion {
        plan: raw
            .properties
            .plan
            .map(|p| (p.name, p.publisher, p.product)),
    })
}

/// Reads a plain array of named things: publishers, offers, skus, versions.
pub(crate) fn named(bytes: &[u8]) -> Result<Vec<String>, Unreadable> {
    let all: Vec<Named> = read("the list of images", bytes)?;
    Ok(all.into_iter().map(|n| n.name).collect())
}

/// Reads that something is there, whatever it is.
pub(crate) fn is_there(bytes: &[u8]) -> Result<(), Unreadable> {
    read::<IgnoredAny>("the image", bytes).map(|_| ())
}

impl Addresses {
    /// The sizes of a region.
    pub(crate) fn sizes(&self, location: &str) -> String {
        let path = format!("{}/providers/Microsoft.Compute/skus", self.subscription);
        let filter = format!("$filter=location%20eq%20'{location}'&");
        self.at(&path, &filter, SKUS)
    }

    /// What the subscription uses of its quota in a region.
    pub(crate) fn usages(&self, location: &str) -> String {
        let path = format!(
            "{}/providers/Microsoft.Compute/locations/{location}/usages",
            self.subscription
        );
        self.at(&path, "", &self.compute)
    }

    /// A list of the marketplace, or one version of an image.
    pub(crate) fn images(&self, location: &str, ending: Ending<'_>) -> String {
        let below = match ending {
            Ending::Publishers => String::new(),
            Ending::Offers(p) => format!("/{p}/artifacttypes/vmimage/offers"),
            Ending::Skus(p, o) => format!("/{p}/artifacttypes/vmimage/offers/{o}/skus"),
            Ending::Version([p, o, s, v]) => {
                format!("/{p}/artifacttypes/vmimage/offers/{o}/skus/{s}/versions/{v}")
            }
        };
        let path = format!(
            "{}/providers/Microsoft.Compute/locations/{location}/publishers{below}",
            self.subscription
        );
        self.at(&path, "", &self.compute)
    }

    /// A subnet, by its id.
    pub(crate) fn subnet(&self, id: &str) -> String {
        self.at(id, "", NETWORK)
    }

    /// An image of a gallery, or a managed one, by its id.
    pub(crate) fn image(&self, id: &str) -> String {
        // Galleries have versions of their own; managed images are Compute's.
        let gallery = id.to_ascii_lowercase().contains("/galleries/");
        self.at(id, "", if gallery { "2023-07-03" } else { &self.compute })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_with_its_restrictions() {
        let text = br#"{"value":[
            {"resourceType":"disks","name":"Premium_LRS"},
            {"resourceType":"virtualMachines","name":"Standard_D4s_v5","family":"standardDSv5Family",
             "locationInfo":[{"location":"x","zones":["1","3"]}],
             "capabilities":[{"name":"vCPUs","value":"4"},{"name":"LowPriorityCapable","value":"False"}],
             "restrictions":[{"type":"Zone","restrictionInfo":{"zones":["3"]}}]},
            {"resourceType":"virtualMachines","name":"Standard_X","restrictions":
             [{"type":"Location","reasonCode":"NotAvailableForSubscription"}]}]}"#;
        let (all, next) = sizes(text).unwrap();
        let all: Vec<Size> = all.into_iter().flatten().collect();
        assert_eq!((all.len(), next), (2, None));
        assert_eq!(
            (all[0].cores, all[0].zones.join(",")),
            (4, "1,3".to_owned())
        );
        assert_eq!(
            (all[0].barred_zones.join(","), &all[0].barred),
            ("3".to_owned(), &None)
        );
        assert!(!all[0].can("LowPriorityCapable") && all[0].can("AcceleratedNetworkingEnabled"));
        assert_eq!(
            all[1].barred.as_deref(),
            Some("NotAvailableForSubscription")
        );
    }

    #[test]
    fn a_subnets_addresses() {
        for (properties, usable) in [
            (r#"{"addressPrefix":"10.0.0.0/24"}"#, 251),
            (
                r#"{"addressPrefixes":["10.0.0.0/29","10.1.0.0/29","fd00::/64"]}"#,
                6,
            ),
            (r#"{"addressPrefix":"10.0.0.0/32"}"#, 0),
            (r#"{"addressPrefix":"10.0.0.0/99"}"#, 0),
            (r#"{"addressPrefix":"nonsense"}"#, 0),
            ("{}", 0),
        ] {
            let text = format!(r#"{{"properties":{properties}}}"#);
            assert_eq!(subnet(text.as_bytes()).unwrap().usable, usable, "{text}");
        }
    }

    #[test]
    fn usages_are_whole_numbers_or_without_limit() {
        let text = br#"{"value":[{"currentValue":8.0,"limit":-1,"unit":"Count","name":{"value":"cores"}}]}"#;
        let (all, _) = usages(text).unwrap();
        assert_eq!((all[0].used, all[0].limit), (8, u64::MAX));
        assert_eq!(all[0].title, "cores");
    }

    #[test]
    fn garbage_is_an_error_and_not_a_panic() {
        for bytes in [
            &b""[..],
            b"{",
            b"[7]",
            b"\xff\xfe",
            b"{\"value\": 7}",
            b"null",
        ] {
            assert!(sizes(bytes).is_err() && usages(bytes).is_err());
            assert!(named(bytes).is_err());
            // Of these two, what says nothing is nothing.
            let (_, _) = (subnet(bytes), image_version(bytes));
        }
        for odd in ["1e999", "-1e999", "1e300"] {
            let text = format!(r#"{{"value":[{{"currentValue":{odd},"limit":0,"name":{{}}}}]}}"#);
            let _ = usages(text.as_bytes());
        }
    }
}
