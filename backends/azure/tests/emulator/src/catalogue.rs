//! What is on offer: sizes, images, quota.

use serde_json::{Value, json};

use crate::wire::{Answer, Asked, Handled};
use crate::world::{World, listed};

/// A size: name, family, cores, memory in GB, zones.
type Size = (
    &'static str,
    &'static str,
    u64,
    u64,
    &'static [&'static str],
);

const ZONES: &[&str] = &["1", "2", "3"];

const SIZES: [Size; 9] = [
    ("Standard_B2s", "standardBSFamily", 2, 4, ZONES),
    ("Standard_D2_v2", "standardDv2Family", 2, 7, ZONES),
    ("Standard_D2s_v3", "standardDSv3Family", 2, 8, ZONES),
    ("Standard_D2s_v5", "standardDSv5Family", 2, 8, ZONES),
    ("Standard_D4s_v5", "standardDSv5Family", 4, 16, ZONES),
    ("Standard_D8s_v5", "standardDSv5Family", 8, 32, ZONES),
    ("Standard_F2s_v2", "standardFSv2Family", 2, 4, ZONES),
    (
        "Standard_HB120rs_v3",
        "standardHBrsv3Family",
        120,
        448,
        &["1"],
    ),
    (
        "Standard_NC24ads_A100_v4",
        "StandardNCADSA100v4Family",
        24,
        220,
        &["2"],
    ),
];

/// Images: publisher, offer, sku, versions from old to new.
const IMAGES: [(&str, &str, &str, &[&str]); 5] = [
    (
        "almalinux",
        "almalinux-hpc",
        "9-hpc-gen2",
        &["9.5.2025010101", "9.6.2025070101"],
    ),
    (
        "almalinux",
        "almalinux-x86_64",
        "9-gen2",
        &["9.5.202411260", "9.6.202505220"],
    ),
    (
        "Canonical",
        "ubuntu-24_04-lts",
        "server",
        &["24.04.202510010", "24.04.202601010"],
    ),
    (
        "Canonical",
        "0001-com-ubuntu-server-jammy",
        "22_04-lts-gen2",
        &["22.04.202501010", "22.04.202601010"],
    ),
    (SELLER, "rocky-9", "rocky-9-gen2", &["9.5.20250101"]),
];

/// Whose images are sold under a plan, if only for nothing.
const SELLER: &str = "resf";

const SPOT: &str = "lowPriorityCores";

fn size(name: &str) -> Option<&'static Size> {
    SIZES.iter().find(|size| size.0.eq_ignore_ascii_case(name))
}

impl World {
    pub(crate) fn size_offered(&self, name: &str, zone: Option<&str>) -> Result<(), Answer> {
        let Some((_, _, _, _, zones)) = size(name) else {
            return Err(Answer::invalid(
                "vmSize",
                format!(
                    "The value {name} provided for the VM size is not valid. The valid sizes in the current region are: {}.",
                    SIZES.map(|s| s.0).join(",")
                ),
            ));
        };
        if let Some(zone) = zone.filter(|zone| !zones.contains(zone)) {
            return Err(Answer::error(
                400,
                "AvailabilityZoneNotSupported",
                format!(
                    "The zone(s) '{zone}' for resource '{name}' is not supported. The supported zones for location '{}' are '{}'",
                    self.settings.location,
                    zones.join(",")
                ),
            ));
        }
        Ok(())
    }

    /// The exact version of a platform image; none for others.
    pub(crate) fn image_version(&self, body: &Value) -> Result<Option<String>, Answer> {
        let image = &body["properties"]["storageProfile"]["imageReference"];
        let field = |name: &str| image[name].as_str().unwrap_or_default().to_string();
        let id = field("id");
        if !id.is_empty() {
            if self.others.contains_key(&id.to_lowercase()) {
                return Ok(None);
            }
            let code = if id.to_lowercase().contains("/galleries/") {
                "GalleryImageNotFound"
            } else {
                "NotFound"
            };
            return Err(Answer::error(
                404,
                code,
                format!(
                    "The image '{id}' is not available in {} region.",
                    self.settings.location
                ),
            ));
        }
        if !field("communityGalleryImageId").is_empty() || !field("sharedGalleryImageId").is_empty()
        {
            return Ok(None);
        }
        let (publisher, offer, sku, version) = (
            field("publisher"),
            field("offer"),
            field("sku"),
            field("version"),
        );
        if publisher.is_empty() {
            return Err(Answer::invalid(
                "imageReference",
                "Required parameter 'imageReference' is missing (null).",
            ));
        }
        let found = IMAGES.iter().find(|i| {
            i.0.eq_ignore_ascii_case(&publisher)
                && i.1.eq_ignore_ascii_case(&offer)
                && i.2.eq_ignore_ascii_case(&sku)
        });
        let exact = found.and_then(|image| match version.as_str() {
            "latest" => image.3.last(),
            version => image.3.iter().find(|v| **v == version),
        });
        exact.map(|v| Some((*v).to_string())).ok_or_else(|| {
            Answer::error(404, "PlatformImageNotFound", format!("The platform image '{publisher}:{offer}:{sku}:{version}' is not available. Verify that all fields in the storage profile are correct."))
        })
    }

    fn limit(&self, family: &str) -> u64 {
        self.settings.quota.get(family).copied().unwrap_or(100_000)
    }

    /// Cores in use of a family; Spot VMs count only as such.
    fn used(&self, family: &str) -> u64 {
        self.vms
            .values()
            .filter_map(|vm| size(&vm.size).map(|size| (vm, size)))
            .filter(|(vm, size)| match family {
                SPOT => vm.spot,
                "cores" => !vm.spot,
                family => !vm.spot && size.1 == family,
            })
            .map(|(_, size)| size.2)
            .sum()
    }

    pub(crate) fn quota_left(&self, name: &str, spot: bool) -> Result<(), Answer> {
        let Some((_, family, cores, ..)) = size(name) else {
            return Ok(());
        };
        let pools: &[&str] = if spot { &[SPOT] } else { &[family, "cores"] };
        for pool in pools {
            let (limit, used) = (self.limit(pool), self.used(pool));
            if used + cores > limit {
                return Err(Answer::error(
                    409,
                    "OperationNotAllowed",
                    format!(
                        "Operation could not be completed as it results in exceeding approved {pool} Cores quota. Additional details - Deployment Model: Resource Manager, Location: {}, Current Limit: {limit}, Current Usage: {used}, Additional Required: {cores}, (Minimum) New Limit Required: {}. Setup Alerts when Quota reaches threshold. Learn more at https://aka.ms/quotamonitoringalerting .",
                        self.settings.location,
                        used + cores
                    ),
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn usages(&self) -> Handled {
        let mut families: Vec<&str> = SIZES.iter().map(|size| size.1).collect();
        families.dedup();
        families.extend([SPOT, "cores"]);
        let mut items: Vec<Value> = families
            .into_iter()
            .map(|family| {
                let name = match family {
                    SPOT => "Total Regional Low-priority vCPUs".to_string(),
                    "cores" => "Total Regional vCPUs".to_string(),
                    family => format!("{family} vCPUs"),
                };
                json!({"unit": "Count", "currentValue": self.used(family), "limit": self.limit(family),
                    "name": {"value": family, "localizedValue": name}})
            })
            .collect();
        items.push(
            json!({"unit": "Count", "currentValue": self.vms.len(), "limit": 25000,
            "name": {"value": "virtualMachines", "localizedValue": "Virtual Machines"}}),
        );
        listed(items, None)
    }

    pub(crate) fn skus(&self) -> Handled {
        let location = &self.settings.location;
        let items = SIZES
            .iter()
            .map(|(name, family, cores, memory, zones)| {
                let blocked = self.full.iter().any(|(size, zone)| size == name && zone.is_none());
                let restrictions = if blocked {
                    json!([{"type": "Location", "values": [location], "reasonCode": "NotAvailableForSubscription",
                        "restrictionInfo": {"locations": [location]}}])
                } else {
                    json!([])
                };
                json!({
                    "resourceType": "virtualMachines", "name": name, "tier": "Standard",
                    "size": name.trim_start_matches("Standard_"), "family": family, "locations": [location],
                    "locationInfo": [{"location": location, "zones": zones, "zoneDetails": []}],
                    "capabilities": [
                        {"name": "vCPUs", "value": cores.to_string()}, {"name": "MemoryGB", "value": memory.to_string()},
                        {"name": "HyperVGenerations", "value": "V1,V2"}, {"name": "CpuArchitectureType", "value": "x64"},
                        {"name": "LowPriorityCapable", "value": "True"}, {"name": "AcceleratedNetworkingEnabled", "value": "True"},
                        {"name": "EphemeralOSDiskSupported", "value": "True"}, {"name": "PremiumIO", "value": "True"},
                    ],
                    "restrictions": restrictions,
                })
            })
            .collect();
        listed(items, None)
    }

    pub(crate) fn vm_sizes(&self) -> Handled {
        let items = SIZES.iter().map(|(name, _, cores, memory, _)| {
            json!({"name": name, "numberOfCores": cores, "osDiskSizeInMB": 1_047_552, "resourceDiskSizeInMB": 16384,
                "memoryInMB": memory * 1024, "maxDataDiskCount": 8})
        });
        listed(items.collect(), None)
    }

    /// Publishers, offers, skus, versions: each level's plain array, and one
    /// version's description. `rest` is the path below `publishers`.
    pub(crate) fn images(&self, asked: &Asked, rest: &[&str]) -> Handled {
        let known = |n: usize, name: &str| {
            let name = name.to_string();
            move |i: &&(&str, &str, &str, &[&str])| {
                [i.0, i.1, i.2]
                    .get(n)
                    .is_some_and(|part| part.eq_ignore_ascii_case(&name))
            }
        };
        let all = IMAGES.iter();
        let names: Vec<&str> = match rest {
            [] => all.map(|i| i.0).collect(),
            [p, "artifacttypes", "vmimage", "offers"] => {
                all.filter(known(0, p)).map(|i| i.1).collect()
            }
            [p, _, _, "offers", o, "skus"] => all
                .filter(known(0, p))
                .filter(known(1, o))
                .map(|i| i.2)
                .collect(),
            [p, _, _, "offers", o, "skus", s, "versions", version @ ..] => {
                let found = all
                    .filter(known(0, p))
                    .filter(known(1, o))
                    .find(known(2, s));
                let mut versions: Vec<&str> = found.map(|i| i.3.to_vec()).unwrap_or_default();
                if let [version] = version {
                    if !versions.contains(version) {
                        return Err(Answer::error(
                            404,
                            "NotFound",
                            format!("Artifact: VMImage was not found. Version '{version}'."),
                        ));
                    }
                    let mut view = json!({
                        "location": self.settings.location, "name": version,
                        "id": asked.path,
                        "properties": {"hyperVGeneration": "V2", "architecture": "x64", "dataDiskImages": [],
                            "osDiskImage": {"operatingSystem": "Linux"}, "automaticOSUpgradeProperties": {"automaticOSUpgradeSupported": false}},
                    });
                    if p.eq_ignore_ascii_case(SELLER) {
                        view["properties"]["plan"] =
                            json!({"name": s, "publisher": p, "product": o});
                    }
                    return Ok(Answer::json(200, view));
                }
                if asked
                    .parameter("$orderby")
                    .is_some_and(|order| order.ends_with("desc"))
                {
                    versions.reverse();
                }
                let top = asked.parameter("$top").and_then(|top| top.parse().ok());
                versions.truncate(top.unwrap_or(usize::MAX));
                versions
            }
            _ => return Err(Answer::error(404, "NotFound", "No such artifact.")),
        };
        let mut names: Vec<&str> = names;
        names.dedup();
        let items: Vec<Value> = names
            .into_iter()
            .map(|name| json!({"location": self.settings.location, "name": name, "id": format!("{}/{name}", asked.path)}))
            .collect();
        Ok(Answer::json(200, json!(items)))
    }
}
