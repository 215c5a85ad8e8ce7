//! Used, allowed, and what the site's groups would need.

use std::collections::BTreeMap;

use slurmburst_core::error::Result;
use slurmburst_core::kind::Quota;
use slurmburst_core::policy::Group;
use slurmburst_core::provider::{Context, Market, Owner};

use super::sizes::{Sizes, made};
use super::{AzureOperator, patiently};
use crate::api::{self, Size};
use crate::view::Since;

/// All cores of a region together.
const CORES: &str = "cores";
/// All cores of spot machines together: they count against nothing else.
const SPOT: &str = "lowPriorityCores";

/// Cores by region and lower-case name of the quota.
type Cores = BTreeMap<(String, String), u64>;

impl AzureOperator {
    /// As `Operator::quota`.
    pub(super) async fn quotas(&self, cx: &Context, groups: &[Group]) -> Result<Vec<Quota>> {
        let sizes = self.sizes(cx, &self.regions(groups)).await?;
        self.quotas_of(cx, groups, &sizes).await
    }

    /// The same, where the sizes are known.
    pub(super) async fn quotas_of(
        &self,
        cx: &Context,
        groups: &[Group],
        sizes: &Sizes,
    ) -> Result<Vec<Quota>> {
        let (client, addresses) = self.provider.at();
        let ours = self.ours_by_quota(cx, sizes).await?;
        let (wanted, one_node) = self.needs(groups, sizes);
        let mut quotas = Vec::new();
        for region in self.regions(groups) {
            let url = addresses.usages(&region);
            let asked = || client.all(cx, "look at the quota", &url, api::usages);
            for usage in patiently(cx, asked).await? {
                let key = (region.clone(), usage.name.to_ascii_lowercase());
                quotas.push(Quota {
                    ours: ours.get(&key).copied().unwrap_or(0),
                    one_node: one_node.get(&key).copied(),
                    wanted: wanted.get(&key).copied(),
                    region: region.clone(),
                    name: usage.name,
                    title: usage.title,
                    used: usage.used,
                    limit: usage.limit,
                });
            }
        }
        Ok(quotas)
    }

    /// What the machines that we created use.
    async fn ours_by_quota(&self, cx: &Context, sizes: &Sizes) -> Result<Cores> {
        let (provider, now) = (&self.provider, Since::now());
        let vms = patiently(cx, || provider.view.vms(cx, provider.at(), now)).await?;
        let mut ours = Cores::new();
        for vm in vms.values() {
            let created = provider.ours(cx, vm);
            if !created.is_some_and(|(_, _, owner)| owner == Owner::Created) {
                continue;
            }
            let region = vm.location.as_deref().unwrap_or(&provider.config.location);
            let size = vm.size.as_deref().and_then(|s| sizes.get(region, s));
            for (name, cores) in size.into_iter().flat_map(|s| pools(s, vm.spot)) {
                let sum = ours.entry((region.to_owned(), name)).or_default();
                *sum = sum.saturating_add(cores);
            }
        }
        Ok(ours)
    }

    /// What all nodes would need, and the most that one does.
    fn needs(&self, groups: &[Group], sizes: &Sizes) -> (Cores, Cores) {
        let (mut wanted, mut one_node) = (Cores::new(), Cores::new());
        for group in groups {
            let mut group_wants = Cores::new();
            for (_, placement) in made(std::slice::from_ref(group)) {
                let region = self.region(placement);
                let size = placement.template.size.as_deref();
                let Some(size) = size.and_then(|s| sizes.get(region, s)) else {
                    continue;
                };
                let spot = placement.template.market == Market::Spot;
                for (name, cores) in pools(size, spot) {
                    let key = (region.to_owned(), name);
                    let most = one_node.entry(key.clone()).or_default();
                    *most = cores.max(*most);
                    // The first placement that needs any of it stands for the group.
                    group_wants
                        .entry(key)
                        .or_insert_with(|| cores.saturating_mul(group.nodes.len()));
                }
            }
            for (key, cores) in group_wants {
                let sum = wanted.entry(key).or_default();
                *sum = sum.saturating_add(cores);
            }
        }
        (wanted, one_node)
    }
}

/// The quotas that a machine of this size counts against, and how much.
fn pools(size: &Size, spot: bool) -> Vec<(String, u64)> {
    let names = match spot {
        true => vec![SPOT],
        false => vec![size.family.as_str(), CORES],
    };
    let pool = |name: &str| (name.to_ascii_lowercase(), size.cores);
    names.into_iter().map(pool).collect()
}
