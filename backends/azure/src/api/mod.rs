//! What is said on the wire: addresses and bodies out, bytes in. Pure, no I/O.
//!
//! Only what is needed is read; whatever else Azure adds is ignored. A body
//! that cannot be read is an error that says so, never a guess.

mod fault;
mod machine;
mod network;
mod offer;
mod operation;
mod rights;

use serde::Deserialize;
use serde::de::DeserializeOwned;

pub(crate) use fault::{Fault, fault};
pub(crate) use machine::{Power, Provisioning, Status, Vm, instance_view, vm, vms};
pub(crate) use network::{Disk, Nic, PublicIp, disks, nics, public_ips};
pub(crate) use offer::{Ending, Size, image_version, is_there, named, sizes, subnet, usages};
pub(crate) use operation::{Operation, operation};
pub(crate) use rights::{Rights, resource_group, rights, subscription};

use crate::config::AzureConfig;

/// The versions of what is not Compute, where one suffices.
const NETWORK: &str = "2024-05-01";
const DISKS: &str = "2024-03-02";

/// A body that is not what it should be, and where that was noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable(pub(crate) String);

pub(crate) fn read<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(bytes).map_err(|e| Unreadable(format!("{what} cannot be read: {e}")))
}

/// Something that has a name, and nothing else that we need.
#[derive(Debug, Deserialize)]
pub(crate) struct Named {
    pub(crate) name: String,
}

/// One page of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    #[serde(default = "Vec::new")]
    value: Vec<T>,
    next_link: Option<String>,
}

/// What a page held, and where the next one is.
pub(crate) type Paged<T> = (Vec<T>, Option<String>);

fn page<R: DeserializeOwned, T>(
    what: &str,
    bytes: &[u8],
    make: impl Fn(R) -> T,
) -> Result<Paged<T>, Unreadable> {
    let page: Page<R> = read(what, bytes)?;
    let next = page.next_link.filter(|l| !l.is_empty());
    Ok((page.value.into_iter().map(make).collect(), next))
}

/// The addresses of what the provider asks for.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    endpoint: String,
    subscription: String,
    group: String,
    compute: String,
}

impl Addresses {
    pub(crate) fn new(config: &AzureConfig) -> Addresses {
        Addresses {
            endpoint: config.endpoint.clone(),
            subscription: format!("/subscriptions/{}", config.subscription_id),
            group: format!(
                "/subscriptions/{}/resourceGroups/{}",
                config.subscription_id, config.resource_group
            ),
            compute: config.api_version.clone(),
        }
    }

    /// A VM's resource id.
    pub(crate) fn vm_id(&self, name: &str) -> String {
        format!(
            "{}/providers/Microsoft.Compute/virtualMachines/{name}",
            self.group
        )
    }

    /// A NIC's resource id.
    pub(crate) fn nic_id(&self, name: &str) -> String {
        format!(
            "{}/providers/Microsoft.Network/networkInterfaces/{name}",
            self.group
        )
    }

    /// A disk's resource id.
    pub(crate) fn disk_id(&self, name: &str) -> String {
        format!("{}/providers/Microsoft.Compute/disks/{name}", self.group)
    }

    /// A VM: GET, PUT, PATCH.
    pub(crate) fn vm(&self, name: &str) -> String {
        self.at(&self.vm_id(name), "", &self.compute)
    }

    /// A VM with its power state: GET.
    pub(crate) fn vm_with_view(&self, name: &str) -> String {
        self.at(&self.vm_id(name), "$expand=instanceView&", &self.compute)
    }

    /// A VM: DELETE. There is nothing on a compute node to shut down gently.
    pub(crate) fn vm_delete(&self, name: &str) -> String {
        self.at(&self.vm_id(name), "forceDeletion=true&", &self.compute)
    }

    /// `start`, `deallocate`, `restart` or `powerOff`: POST.
    pub(crate) fn vm_action(&self, name: &str, action: &str) -> String {
        self.at(&format!("{}/{action}", self.vm_id(name)), "", &self.compute)
    }

    /// A VM's power state alone: GET.
    pub(crate) fn instance_view(&self, name: &str) -> String {
        self.at(
            &format!("{}/instanceView", self.vm_id(name)),
            "",
            &self.compute,
        )
    }

    /// The resource group's VMs, without power states: Azure refuses
    /// `$expand=instanceView` here.
    pub(crate) fn vms(&self) -> String {
        let path = format!("{}/providers/Microsoft.Compute/virtualMachines", self.group);
        self.at(&path, "", &self.compute)
    }

    /// The subscription's VMs, with power states and little else.
    pub(crate) fn statuses(&self) -> String {
        let path = format!(
            "{}/providers/Microsoft.Compute/virtualMachines",
            self.subscription
        );
        self.at(&path, "statusOnly=true&", &self.compute)
    }

    /// A NIC: PUT, DELETE.
    pub(crate) fn nic(&self, name: &str) -> String {
        self.at(&self.nic_id(name), "", NETWORK)
    }

    /// The resource group's NICs.
    pub(crate) fn nics(&self) -> String {
        let path = format!(
            "{}/providers/Microsoft.Network/networkInterfaces",
            self.group
        );
        self.at(&path, "", NETWORK)
    }

    /// A public address's resource id.
    pub(crate) fn public_ip_id(&self, name: &str) -> String {
        format!(
            "{}/providers/Microsoft.Network/publicIPAddresses/{name}",
            self.group
        )
    }

    /// A public address: DELETE.
    pub(crate) fn public_ip(&self, name: &str) -> String {
        self.at(&self.public_ip_id(name), "", NETWORK)
    }

    /// The resource group's public addresses.
    pub(crate) fn public_ips(&self) -> String {
        let path = format!(
            "{}/providers/Microsoft.Network/publicIPAddresses",
            self.group
        );
        self.at(&path, "", NETWORK)
    }

    /// A disk: DELETE.
    pub(crate) fn disk(&self, name: &str) -> String {
        self.at(&self.disk_id(name), "", DISKS)
    }

    /// The resource group's disks.
    pub(crate) fn disks(&self) -> String {
        let path = format!("{}/providers/Microsoft.Compute/disks", self.group);
        self.at(&path, "", DISKS)
    }

    /// The newest version of a marketplace image.
    pub(crate) fn newest_image(&self, location: &str, urn: [&str; 3]) -> String {
        let [publisher, offer, sku] = urn;
        let path = format!(
            "{}/providers/Microsoft.Compute/locations/{location}/publishers/{publisher}/artifacttypes/vmimage/offers/{offer}/skus/{sku}/versions",
            self.subscription
        );
        self.at(&path, "$top=1&$orderby=name%20desc&", &self.compute)
    }

    fn at(&self, path: &str, query: &str, version: &str) -> String {
        format!("{}{path}?{query}api-version={version}", self.endpoint)
    }
}

/// The name at the end of a resource id, if the id is of this type and in this
/// resource group. Azure does not keep to a case in ids.
pub(crate) fn name_in<'a>(id: &'a str, like: &str) -> Option<&'a str> {
    let (head, name) = id.rsplit_once('/')?;
    let (like, _) = like.rsplit_once('/')?;
    (head.eq_ignore_ascii_case(like) && !name.is_empty()).then_some(name)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_from_our_ids_only() {
        let like = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/disks/x";
        let id = "/subscriptions/s/resourcegroups/RG/providers/Microsoft.Compute/disks/c1-os";
        assert_eq!(name_in(id, like), Some("c1-os"));
        for other in [
            "/subscriptions/s/resourceGroups/other/providers/Microsoft.Compute/disks/c1-os",
            "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/disks/",
            "none",
            "",
        ] {
            assert_eq!(name_in(other, like), None, "{other}");
        }
    }

    #[test]
    fn garbage_is_an_error_and_not_a_panic() {
        for bytes in [
            &b""[..],
            b"{",
            b"[]",
            b"\xff\xfe",
            b"{\"value\": 7}",
            b"null",
        ] {
            assert!(vms(bytes).is_err());
            assert!(nics(bytes).is_err());
            assert!(disks(bytes).is_err());
        }
        assert!(vm(b"[1]").is_err());
        assert!(operation(b"{}").is_err());
        assert_eq!(fault(b"<html>"), Fault::default());
    }
}
