//! Sizes, images, subnets.

use std::collections::{BTreeMap, BTreeSet};

use slurmburst_core::error::ErrorKind;
use slurmburst_core::kind::Finding;
use slurmburst_core::policy::Group;
use slurmburst_core::provider::{Context, Market, Placement};

use super::super::sizes::{Sizes, made};
use super::{AzureOperator, unseen};
use crate::api::{self, Ending, Size, name_in};
use crate::image::Image;
use crate::names::Part;
use crate::template::Shape;

impl AzureOperator {
    /// Whether each placement's size is to be had where and as it is wanted.
    pub(super) fn size_findings(&self, groups: &[Group], sizes: &Sizes) -> Vec<Finding> {
        const WHAT: &str = "size";
        let mut findings = Vec::new();
        let mut good = BTreeSet::new();
        for (_, placement) in made(groups) {
            let template = &placement.template;
            let (region, zone) = (self.region(placement), template.zone.as_deref());
            let Some(name) = template.size.as_deref() else {
                continue;
            };
            let list =
                format!("az vm list-skus --location {region} --size {name} --all --output table");
            let wrong = match sizes.get(region, name) {
                None => Some(format!("{name} is not offered in {region}")),
                Some(size) => {
                    unfit(size, placement).map(|why| format!("{name} in {region}: {why}"))
                }
            };
            let at = zone.map_or(String::new(), |z| format!(", zone {z}"));
            match wrong {
                Some(found) => {
                    let found = format!("{found} (placement {})", placement.name);
                    let fix =
                        format!("take another size, zone or region, or add a placement; {list}");
                    findings.push(Finding::error(WHAT, found, fix));
                }
                None => _ = good.insert(format!("{name} in {region}{at}")),
            }
        }
        findings.extend(good.into_iter().map(|found| Finding::ok(WHAT, found)));
        findings
    }

    /// Whether each image is there, and whether a plan has to be named for it.
    pub(super) async fn images_of(&self, cx: &Context, groups: &[Group]) -> Vec<Finding> {
        let mut seen = BTreeSet::new();
        let mut findings = Vec::new();
        for (_, placement) in made(groups) {
            let region = self.region(placement);
            let Some((shape, image)) = Shape::of(placement).and_then(|mut shape| {
                let image = shape.image.take()?;
                Some((shape, image))
            }) else {
                continue;
            };
            let planned = shape.plan.is_some();
            if seen.insert((region.to_owned(), format!("{image:?}"), planned)) {
                findings.push(self.image_finding(cx, region, &image, planned).await);
            }
        }
        findings
    }

    async fn image_finding(
        &self,
        cx: &Context,
        region: &str,
        image: &Image,
        planned: bool,
    ) -> Finding {
        const WHAT: &str = "image";
        let (client, addresses) = self.provider.at();
        let urn = match image {
            Image::Urn(urn) => urn,
            Image::Id(id) => {
                let url = addresses.image(id);
                return match client
                    .get(cx, "look at the image", &url, api::is_there)
                    .await
                {
                    Ok(()) => Finding::ok(WHAT, id),
                    Err(e) if e.kind() == ErrorKind::NotFound || e.kind() == ErrorKind::Invalid => {
                        Finding::error(
                            WHAT,
                            e.to_string(),
                            "correct image; `az sig image-version list`, `az image list`",
                        )
                    }
                    Err(e) => unseen(WHAT, &e, "read of the image"),
                };
            }
            Image::Shared(id) | Image::Community(id) => {
                return Finding::ok(
                    WHAT,
                    format!("{id}, of somebody else's gallery: not looked at"),
                );
            }
        };
        let [publisher, offer, sku, version] = urn.each_ref().map(String::as_str);
        let shown = urn.join(":");
        let action =
            "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read";
        let absent = |found: String| {
            let fix = format!("slurmburst images --publisher {publisher} --offer {offer}");
            Finding::error(WHAT, found, fix)
        };
        let exact = if version.eq_ignore_ascii_case("latest") {
            match self.newest(cx, region, [publisher, offer, sku]).await {
                Ok(Some(newest)) => newest,
                Ok(None) => return absent(format!("{shown} is not offered in {region}")),
                Err(e) => return unseen(WHAT, &e, action),
            }
        } else {
            version.to_owned()
        };
        let url = addresses.images(region, Ending::Version([publisher, offer, sku, &exact]));
        match client
            .get(cx, "look at the image", &url, api::image_version)
            .await
        {
            Ok(found) => match found.plan.filter(|_| !planned) {
                None => Finding::ok(WHAT, format!("{shown}, {exact}")),
                Some((name, publisher, product)) => Finding::error(
                    WHAT,
                    format!("{shown} is sold under a plan, and the placement names none"),
                    format!(
                        "plan = {{ name = \"{name}\", publisher = \"{publisher}\", product = \"{product}\" }} below [nodes.azure]; then once `az vm image terms accept --urn {shown}`"
                    ),
                ),
            },
            Err(e) if e.kind() == ErrorKind::NotFound => {
                absent(format!("{shown} is not offered in {region}"))
            }
            Err(e) => unseen(WHAT, &e, action),
        }
    }

    /// Whether each subnet has an address for every node that may come there.
    pub(super) async fn subnets_of(&self, cx: &Context, groups: &[Group]) -> Vec<Finding> {
        const WHAT: &str = "subnet";
        let mut nodes: BTreeMap<String, u128> = BTreeMap::new();
        for group in groups {
            let here: BTreeSet<String> = made(std::slice::from_ref(group))
                .filter_map(|(_, placement)| Shape::of(placement)?.subnet_id)
                .collect();
            for subnet in here {
                *nodes.entry(subnet).or_default() += u128::from(group.nodes.len());
            }
        }
        let (client, addresses) = self.provider.at();
        let mut findings = Vec::new();
        for (id, nodes) in nodes {
            let url = addresses.subnet(&id);
            let subnet = match client
                .get(cx, "look at the subnet", &url, api::subnet)
                .await
            {
                Ok(subnet) => subnet,
                Err(e) if e.kind() == ErrorKind::NotFound || e.kind() == ErrorKind::Invalid => {
                    let fix = "correct subnet_id; `az network vnet subnet list --query \"[].id\"`";
                    findings.push(Finding::error(WHAT, e.to_string(), fix));
                    continue;
                }
                Err(e) => {
                    findings.push(unseen(
                        WHAT,
                        &e,
                        "Microsoft.Network/virtualNetworks/subnets/read",
                    ));
                    continue;
                }
            };
            let free = subnet.usable.saturating_sub(subnet.taken.len() as u128);
            let ours = subnet
                .taken
                .iter()
                .filter(|id| self.is_our_nic(cx, id))
                .count() as u128;
            let name = id.rsplit('/').next().unwrap_or(&id);
            let found = format!(
                "{name}: {free} of {} addresses free, {ours} with this cluster's nodes, {nodes} nodes may come",
                subnet.usable
            );
            let fix = "use a larger subnet, or name fewer nodes";
            findings.push(if free + ours == 0 {
                Finding::error(WHAT, found, fix)
            } else if free + ours < nodes {
                Finding::warning(WHAT, found, fix)
            } else {
                Finding::ok(WHAT, found)
            });
        }
        findings
    }

    /// Whether what holds an address, `.../networkInterfaces/NAME/ipConfigurations/X`,
    /// is the NIC of a machine that we made.
    fn is_our_nic(&self, cx: &Context, holder: &str) -> bool {
        let like = self.provider.addresses.nic_id("x");
        let nic = holder.rsplitn(3, '/').nth(2);
        nic.and_then(|nic| name_in(nic, &like))
            .is_some_and(|name| Part::Nic.node(name, cx.cluster_id()).is_some())
    }
}

/// Why this size cannot be had as the placement wants it.
fn unfit(size: &Size, placement: &Placement) -> Option<String> {
    let template = &placement.template;
    let shape = Shape::of(placement);
    let is = |wanted: &dyn Fn(&Shape) -> bool| shape.as_ref().is_some_and(wanted);
    if let Some(why) = &size.barred {
        return Some(format!("not for this subscription ({why})"));
    }
    if let Some(zone) = &template.zone {
        if !size.zones.contains(zone) {
            return Some(match size.zones.is_empty() {
                true => "it is not offered in zones".to_owned(),
                false => format!("not in zone {zone}, only in {}", size.zones.join(", ")),
            });
        }
        if size.barred_zones.contains(zone) {
            return Some(format!("not in zone {zone} for this subscription"));
        }
    }
    let wants = [
        (
            template.market == Market::Spot,
            "LowPriorityCapable",
            "market = \"spot\"",
        ),
        (
            is(&|s| s.accelerated_networking),
            "AcceleratedNetworkingEnabled",
            "accelerated_networking",
        ),
        (
            is(&|s| s.ephemeral_os_disk),
            "EphemeralOSDiskSupported",
            "ephemeral_os_disk",
        ),
    ];
    let lacks = |(wanted, capability, _): &(bool, &str, &str)| *wanted && !size.can(capability);
    let (_, _, key) = wants.into_iter().find(lacks)?;
    Some(format!("it cannot have {key}"))
}
