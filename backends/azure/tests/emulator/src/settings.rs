//! What a test may choose about the emulated Azure.

use std::collections::BTreeMap;
use std::time::Duration;

/// The emulated subscription and its habits.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The subscriptions; the first is where [`Settings::group`] lives.
    pub subscriptions: Vec<String>,
    /// The only tenant.
    pub tenant: String,
    /// Service principals: client id and secret.
    pub clients: BTreeMap<String, String>,
    /// The client id that the metadata service gives tokens for.
    pub managed_identity: String,
    /// A resource group that is there from the start. It holds a virtual
    /// network `vnet` with a subnet `nodes`.
    pub group: String,
    /// Its location.
    pub location: String,
    /// The address range of the subnet, at most /16.
    pub subnet_prefix: String,
    /// Items on a page of a list.
    pub page_size: usize,
    /// Whether rate limits apply.
    pub limits: bool,
    /// In `statusOnly` lists, every n-th item lacks its power state; 0 for none.
    pub missing_power_every: u64,
    /// Lists over a subscription write the resource group in capitals.
    pub loud_lists: bool,
    /// `Retry-After` on accepted writes, in seconds. Deletes carry none.
    pub retry_after: Option<u64>,
    /// How long a token is good.
    pub token_life: Duration,
    /// Cores of each family that the subscription may use, and of
    /// `lowPriorityCores`; families not named have 100,000.
    pub quota: BTreeMap<String, u64>,
    /// How long things take.
    pub timings: Timings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            subscriptions: vec!["00000000-0000-0000-0000-00000000abcd".into()],
            tenant: "11111111-1111-1111-1111-111111111111".into(),
            clients: BTreeMap::from([(
                "22222222-2222-2222-2222-222222222222".into(),
                "s3cret".into(),
            )]),
            managed_identity: "33333333-3333-3333-3333-333333333333".into(),
            group: "burst".into(),
            location: "eastus".into(),
            subnet_prefix: "10.0.0.0/16".into(),
            page_size: 50,
            limits: true,
            missing_power_every: 17,
            loud_lists: true,
            retry_after: Some(10),
            token_life: Duration::from_secs(3599),
            quota: BTreeMap::new(),
            timings: Timings::default(),
        }
    }
}

impl Settings {
    /// The first subscription.
    pub fn subscription(&self) -> &str {
        self.subscriptions.first().map_or("", String::as_str)
    }

    /// The id of a resource in the first subscription's resource group, for
    /// example of kind `Microsoft.Compute/virtualMachines`.
    pub fn id(&self, kind: &str, name: &str) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/{kind}/{name}",
            self.subscription(),
            self.group
        )
    }

    /// The id of the subnet that is there from the start.
    pub fn subnet_id(&self) -> String {
        self.id("Microsoft.Network/virtualNetworks", "vnet/subnets/nodes")
    }
}

/// How long things take, on the emulator's clock. The defaults are those of
/// recorded traffic where there is any.
#[derive(Debug, Clone)]
pub struct Timings {
    /// A create, until the VM runs.
    pub create: Duration,
    /// A start.
    pub start: Duration,
    /// A powerOff.
    pub power_off: Duration,
    /// A deallocate.
    pub deallocate: Duration,
    /// A restart.
    pub restart: Duration,
    /// A change of tags or of the model.
    pub update: Duration,
    /// A delete.
    pub delete: Duration,
    /// A delete with `forceDeletion=true`.
    pub delete_forced: Duration,
    /// A delete of a VM whose create failed.
    pub delete_failed: Duration,
    /// A delete of a NIC, a disk, an address or a resource group.
    pub small_delete: Duration,
    /// From `simulateEviction` to the eviction.
    pub eviction: Duration,
    /// How long the NIC of a failed create stays reserved for its VM.
    pub reservation: Duration,
}

impl Default for Timings {
    fn default() -> Timings {
        let seconds = Duration::from_secs;
        Timings {
            create: seconds(88),
            start: seconds(30),
            power_off: seconds(25),
            deallocate: seconds(60),
            restart: seconds(40),
            update: seconds(5),
            delete: seconds(330),
            delete_forced: seconds(60),
            delete_failed: seconds(30),
            small_delete: seconds(5),
            eviction: seconds(30),
            reservation: seconds(180),
        }
    }
}
