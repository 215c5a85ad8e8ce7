//! Private addresses: which of a subnet are free.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use crate::wire::Answer;
use crate::world::{Address, World};

/// Who was given which address of a subnet. An entry counts only as long as
/// its NIC exists and has that address, so nobody must give it back.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    given: HashMap<u32, String>,
    /// Where to look for the next one.
    next: u32,
}

impl World {
    /// An address of the subnet for `nic`, which already has `own`: the one
    /// asked for, or a free one.
    pub(crate) fn address(
        &mut self,
        subnet: &str,
        wanted: Option<&str>,
        nic: &str,
        own: &[Address],
    ) -> Result<String, Answer> {
        let key = subnet.to_lowercase();
        let prefix = key.rsplit_once("/subnets/").and_then(|(vnet, name)| {
            let (_, subnets) = self.vnets.get(vnet)?;
            subnets.get(name)?["addressPrefix"].as_str()
        });
        let Some(prefix) = prefix else {
            return Err(Answer::error(
                400,
                "InvalidResourceReference",
                format!(
                    "Resource {subnet} referenced by resource {nic} was not found. Please make sure \
                     that the referenced resource exists, and that both resources are in the same region."
                ),
            ));
        };
        let (first, count) = range(prefix);
        // Azure keeps the first four addresses and the last for itself.
        let (low, high) = (first + 4, first + count - 1);
        let leases = self.leases.entry(key).or_default();
        let nics = &self.nics;
        let free = |ip: &u32, given: &HashMap<u32, String>| {
            let text = Ipv4Addr::from(*ip).to_string();
            let holds = |addresses: &[Address]| addresses.iter().any(|a| a.ip == text);
            let other = given.get(ip).filter(|by| *by != nic);
            !holds(own)
                && !other.is_some_and(|by| nics.get(by).is_some_and(|n| holds(&n.addresses)))
        };
        let ip = match wanted.map(|wanted| (wanted, wanted.parse::<Ipv4Addr>().map(u32::from))) {
            Some((_, Ok(ip))) if (low..high).contains(&ip) => Some(ip)
                .filter(|ip| free(ip, &leases.given))
                .ok_or_else(|| {
                    let message =
                        format!("The private IP address {} is in use.", Ipv4Addr::from(ip));
                    Answer::error(400, "PrivateIPAddressInUse", message)
                })?,
            Some((wanted, _)) => {
                let message = format!(
                    "Private static IP address {wanted} does not belong to the range of subnet prefix {prefix}."
                );
                return Err(Answer::error(400, "PrivateIPAddressNotInSubnet", message));
            }
            None => {
                let start = leases.next.clamp(low, high);
                let ip = (start..high)
                    .chain(low..start)
                    .find(|ip| free(ip, &leases.given));
                let Some(ip) = ip else {
                    let message = format!(
                        "Subnet {subnet} with address prefix {prefix} does not have enough capacity for 1 IP addresses."
                    );
                    return Err(Answer::error(400, "SubnetIsFull", message));
                };
                leases.next = ip + 1;
                ip
            }
        };
        leases.given.insert(ip, nic.to_string());
        Ok(Ipv4Addr::from(ip).to_string())
    }
}

/// The first address of an IPv4 prefix, and how many it has.
fn range(prefix: &str) -> (u32, u32) {
    let (base, bits) = prefix.split_once('/').unwrap_or((prefix, "24"));
    let base: Ipv4Addr = base.parse().unwrap_or(Ipv4Addr::new(10, 0, 0, 0));
    let bits: u32 = bits.parse().unwrap_or(24);
    (u32::from(base), 1 << (32 - bits.clamp(8, 29)))
}
