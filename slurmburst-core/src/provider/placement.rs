//! Where and as what a node may run.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is done with a node's machine between two jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifecycle {
    /// Made on resume, deleted on suspend.
    CreateDelete,
    /// Made by hand once; started on resume, deallocated (disk kept) on suspend.
    StartDeallocate,
}

impl Lifecycle {
    /// How a node of this lifecycle goes down.
    pub fn down_mode(self) -> DownMode {
        match self {
            Lifecycle::CreateDelete => DownMode::Terminate,
            Lifecycle::StartDeallocate => DownMode::Deallocate,
        }
    }
}

/// How a node is powered down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DownMode {
    /// Compute released, disk kept.
    Deallocate,
    /// Gone, with everything that costs money.
    Terminate,
}

/// How capacity is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    /// At the list price, until given back.
    #[default]
    OnDemand,
    /// Cheaper, and may be taken away.
    Spot,
}

/// What a backend makes of its part of a placement's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Template {
    /// Region, in the cloud's own words.
    pub region: Option<String>,
    /// Zone within the region.
    pub zone: Option<String>,
    /// Machine size.
    pub size: Option<String>,
    /// On-demand or spot.
    pub market: Market,
    /// Whatever else the backend needs to render a request. No secrets.
    pub body: Value,
}

/// Where and as what a node may run: one rung of a group's capacity ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Name, unique in the site: `provider/size/zone/market` of what is set, or as configured.
    pub name: String,
    /// The `[provider.NAME]` that runs it.
    pub provider: String,
    /// What is done between two jobs.
    pub lifecycle: Lifecycle,
    /// The backend's own part.
    pub template: Template,
}
