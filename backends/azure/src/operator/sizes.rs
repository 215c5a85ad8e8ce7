//! The sizes of the regions that the site uses.

use std::collections::{BTreeMap, BTreeSet};

use slurmburst_core::error::Result;
use slurmburst_core::policy::Group;
use slurmburst_core::provider::{Context, Lifecycle, Placement};

use super::{AzureOperator, patiently};
use crate::api::{self, Size};

/// Sizes by region and lower-case name.
#[derive(Debug, Default)]
pub(super) struct Sizes(BTreeMap<String, BTreeMap<String, Size>>);

impl Sizes {
    pub(super) fn get(&self, region: &str, size: &str) -> Option<&Size> {
        self.0.get(region)?.get(&size.to_ascii_lowercase())
    }
}

impl AzureOperator {
    /// The region of a placement.
    pub(super) fn region<'a>(&'a self, placement: &'a Placement) -> &'a str {
        let region = placement.template.region.as_deref();
        region.unwrap_or(&self.provider.config.location)
    }

    /// The regions in which these groups make machines; the provider's own if none do.
    pub(super) fn regions(&self, groups: &[Group]) -> BTreeSet<String> {
        let mut regions: BTreeSet<String> = made(groups)
            .map(|(_, placement)| self.region(placement).to_owned())
            .collect();
        if regions.is_empty() {
            regions.insert(self.provider.config.location.clone());
        }
        regions
    }

    /// All sizes of these regions.
    pub(super) async fn sizes(&self, cx: &Context, regions: &BTreeSet<String>) -> Result<Sizes> {
        let (client, addresses) = self.provider.at();
        let mut sizes = Sizes::default();
        for region in regions {
            let url = addresses.sizes(region);
            let asked = || client.all(cx, "list the sizes", &url, api::sizes);
            let all = patiently(cx, asked).await?;
            let by_name = all
                .into_iter()
                .flatten()
                .map(|size| (size.name.to_ascii_lowercase(), size))
                .collect();
            sizes.0.insert(region.clone(), by_name);
        }
        Ok(sizes)
    }
}

/// The placements at which machines are made, each with its group.
pub(super) fn made(groups: &[Group]) -> impl Iterator<Item = (&Group, &Placement)> {
    groups
        .iter()
        .filter(|group| group.lifecycle == Lifecycle::CreateDelete)
        .flat_map(|group| group.placements.iter().map(move |p| (group, p.as_ref())))
}
