//! Virtual machines as Azure shows them.

use std::collections::BTreeMap;

use azure_core::time::parse_rfc3339;
use serde::Deserialize;

use super::{Paged, Unreadable, page, read};

/// What Resource Manager has come to with a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provisioning {
    Creating,
    Updating,
    Succeeded,
    Failed,
    Deleting,
    /// Not said, or a word that we do not know.
    Other,
}

impl Provisioning {
    /// Azure's word for it, where it said one.
    pub(crate) fn as_str(self) -> Option<&'static str> {
        Some(match self {
            Provisioning::Creating => "Creating",
            Provisioning::Updating => "Updating",
            Provisioning::Succeeded => "Succeeded",
            Provisioning::Failed => "Failed",
            Provisioning::Deleting => "Deleting",
            Provisioning::Other => return None,
        })
    }
}

/// Whether a machine has compute, and so costs money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    Starting,
    Running,
    Stopping,
    /// Switched off and still billed.
    Stopped,
    Deallocating,
    Deallocated,
    /// Not said, which happens now and then, or a word that we do not know.
    Unknown,
}

impl Power {
    /// Azure's word for it, where it said one.
    pub(crate) fn as_str(self) -> Option<&'static str> {
        Some(match self {
            Power::Starting => "starting",
            Power::Running => "running",
            Power::Stopping => "stopping",
            Power::Stopped => "stopped",
            Power::Deallocating => "deallocating",
            Power::Deallocated => "deallocated",
            Power::Unknown => return None,
        })
    }
}

/// A virtual machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Vm {
    pub(crate) name: String,
    pub(crate) id: String,
    /// Unique for ever; the resource id is not, it is made of the name.
    pub(crate) vm_id: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) provisioning: Provisioning,
    /// Shown only where it was asked for.
    pub(crate) status: Status,
    pub(crate) created_ms: Option<i64>,
    /// Whether it is a spot machine that eviction deallocates: it may stop by itself.
    pub(crate) may_stop: bool,
    pub(crate) spot: bool,
    pub(crate) size: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) zone: Option<String>,
}

/// What the instance view says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) power: Power,
    /// Azure's code for why it failed: the last part of `ProvisioningState/failed/CODE`.
    pub(crate) failed: Option<(String, String)>,
}

impl Default for Status {
    fn default() -> Status {
        Status {
            power: Power::Unknown,
            failed: None,
        }
    }
}

#[derive(Deserialize)]
struct RawVm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
    #[serde(default)]
    location: Option<String>,
    #[serde(default)]
    zones: Option<Vec<String>>,
    #[serde(default)]
    properties: RawProperties,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct RawProperties {
    vm_id: Option<String>,
    provisioning_state: Option<String>,
    time_created: Option<String>,
    instance_view: Option<RawView>,
    priority: Option<String>,
    eviction_policy: Option<String>,
    hardware_profile: Option<RawHardware>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawHardware {
    vm_size: Option<String>,
}

#[derive(Deserialize)]
struct RawView {
    #[serde(default)]
    statuses: Option<Vec<RawStatus>>,
}

#[derive(Deserialize)]
struct RawStatus {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// Reads a machine.
pub(crate) fn vm(bytes: &[u8]) -> Result<Vm, Unreadable> {
    read::<RawVm>("the virtual machine", bytes).map(Vm::from)
}

/// Reads a page of machines, of either list.
pub(crate) fn vms(bytes: &[u8]) -> Result<Paged<Vm>, Unreadable> {
    page("the list of virtual machines", bytes, |raw: RawVm| {
        Vm::from(raw)
    })
}

/// Reads an instance view asked for by itself.
pub(crate) fn instance_view(bytes: &[u8]) -> Result<Status, Unreadable> {
    read::<RawView>("the instance view", bytes).map(Status::from)
}

impl From<RawVm> for Vm {
    fn from(raw: RawVm) -> Vm {
        let properties = raw.properties;
        let is = |word: &Option<String>, what: &str| {
            word.as_deref()
                .is_some_and(|w| w.eq_ignore_ascii_case(what))
        };
        let created = properties
            .time_created
            .as_deref()
            .and_then(|t| parse_rfc3339(t).ok());
        Vm {
            vm_id: properties
                .vm_id
                .map_or_else(|| raw.id.clone(), |id| id.to_ascii_lowercase()),
            provisioning: provisioning(properties.provisioning_state.as_deref().unwrap_or("")),
            status: properties
                .instance_view
                .map(Status::from)
                .unwrap_or_default(),
            created_ms: created
                .and_then(|t| i64::try_from(t.unix_timestamp_nanos() / 1_000_000).ok()),
            may_stop: !is(&properties.priority, "regular")
                && is(&properties.eviction_policy, "deallocate"),
            spot: is(&properties.priority, "spot") || is(&properties.priority, "low"),
            size: properties.hardware_profile.and_then(|h| h.vm_size),
            location: raw.location,
            zone: raw.zones.and_then(|z| z.into_iter().next()),
            name: raw.name,
            id: raw.id,
            tags: raw.tags.unwrap_or_default(),
        }
    }
}

impl From<RawView> for Status {
    fn from(raw: RawView) -> Status {
        let mut status = Status::default();
        for said in raw.statuses.unwrap_or_default() {
            let code = said.code.unwrap_or_default();
            let mut parts = code.splitn(3, '/');
            match (parts.next(), parts.next(), parts.next()) {
                (Some("PowerState"), Some(word), _) => status.power = power(word),
                (Some("ProvisioningState"), Some(word), Some(why))
                    if word.eq_ignore_ascii_case("failed") =>
                {
                    status.failed = Some((why.to_owned(), said.message.unwrap_or_default()));
                }
                _ => {}
            }
        }
        status
    }
}

fn provisioning(word: &str) -> Provisioning {
    match word.to_ascii_lowercase().as_str() {
        "creating" => Provisioning::Creating,
        "updating" | "migrating" => Provisioning::Updating,
        "succeeded" => Provisioning::Succeeded,
        "failed" | "canceled" => Provisioning::Failed,
        "deleting" => Provisioning::Deleting,
        _ => Provisioning::Other,
    }
}

fn power(word: &str) -> Power {
    match word.to_ascii_lowercase().as_str() {
        "starting" => Power::Starting,
        "running" => Power::Running,
        "stopping" => Power::Stopping,
        "stopped" => Power::Stopped,
        "deallocating" => Power::Deallocating,
        // A hibernated machine has no compute either.
        "deallocated" | "hibernated" => Power::Deallocated,
        _ => Power::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_with_everything() {
        let text = br#"{"name":"c1","id":"/v/c1","tags":{"a":"b"},"location":"westeurope","zones":["2"],
            "properties":{"vmId":"AB-1",
            "provisioningState":"Failed","timeCreated":"2026-01-02T03:04:05.678+00:00",
            "priority":"Spot","evictionPolicy":"Deallocate","hardwareProfile":{"vmSize":"Standard_D4s_v5"},
            "instanceView":{"statuses":[
                {"code":"ProvisioningState/failed/AllocationFailed","message":"no room"},
                {"code":"PowerState/deallocated","displayStatus":"VM deallocated"}]}}}"#;
        let vm = vm(text).unwrap();
        assert_eq!(
            (vm.vm_id.as_str(), vm.provisioning),
            ("ab-1", Provisioning::Failed)
        );
        assert_eq!(vm.status.power, Power::Deallocated);
        let why = Some(("AllocationFailed".to_owned(), "no room".to_owned()));
        assert_eq!(vm.status.failed, why);
        assert_eq!(vm.created_ms, Some(1_767_323_045_678));
        assert!(vm.may_stop && vm.spot);
        assert_eq!(
            (
                vm.size.as_deref(),
                vm.location.as_deref(),
                vm.zone.as_deref()
            ),
            (Some("Standard_D4s_v5"), Some("westeurope"), Some("2"))
        );
    }

    #[test]
    fn a_machine_with_nothing() {
        let vm = vm(br#"{"name":"c1","id":"/v/c1","tags":null,"properties":{}}"#).unwrap();
        assert_eq!(
            (vm.vm_id.as_str(), vm.provisioning),
            ("/v/c1", Provisioning::Other)
        );
        assert_eq!(vm.status, Status::default());
    }

    #[test]
    fn a_power_state_may_be_missing() {
        let view = br#"{"statuses":[{"code":"ProvisioningState/succeeded"}]}"#;
        assert_eq!(instance_view(view).unwrap().power, Power::Unknown);
        let view = br#"{"statuses":[{"code":"PowerState/running"}]}"#;
        assert_eq!(instance_view(view).unwrap().power, Power::Running);
    }
}
