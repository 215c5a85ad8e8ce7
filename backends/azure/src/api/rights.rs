//! Who we are and what we may do: subscription, resource group, permissions.

use serde::Deserialize;

use super::{Addresses, Paged, Unreadable, page, read};

const SUBSCRIPTIONS: &str = "2022-12-01";
const GROUPS: &str = "2021-04-01";
const PERMISSIONS: &str = "2022-04-01";

/// The subscription.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subscription {
    #[serde(default)]
    pub(crate) display_name: String,
    /// `Enabled`, or what is wrong with it.
    #[serde(default)]
    pub(crate) state: String,
}

/// What one assignment of a role allows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rights {
    actions: Vec<String>,
    not_actions: Vec<String>,
}

#[derive(Deserialize)]
struct RawGroup {
    #[serde(default)]
    location: String,
    #[serde(default)]
    properties: GroupProperties,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct GroupProperties {
    provisioning_state: Option<String>,
}

/// Reads the subscription.
pub(crate) fn subscription(bytes: &[u8]) -> Result<Subscription, Unreadable> {
    read("the subscription", bytes)
}

/// Reads a resource group: its location, and whether it is being deleted.
pub(crate) fn resource_group(bytes: &[u8]) -> Result<(String, bool), Unreadable> {
    let raw: RawGroup = read("the resource group", bytes)?;
    let state = raw.properties.provisioning_state.unwrap_or_default();
    Ok((raw.location, state.eq_ignore_ascii_case("deleting")))
}

/// Reads a page of permissions.
pub(crate) fn rights(bytes: &[u8]) -> Result<Paged<Rights>, Unreadable> {
    page("the permissions", bytes, |raw: Rights| raw)
}

impl Rights {
    /// Whether it allows this action.
    pub(crate) fn allow(&self, action: &str) -> bool {
        let any = |all: &[String]| all.iter().any(|pattern| covers(pattern, action));
        any(&self.actions) && !any(&self.not_actions)
    }
}

/// Whether a pattern with `*` for any text covers this action, without regard
/// to case.
fn covers(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == action;
    };
    let Some(mut rest) = action.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<&str> = tail.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl Addresses {
    /// The subscription itself.
    pub(crate) fn subscription(&self) -> String {
        self.at(&self.subscription, "", SUBSCRIPTIONS)
    }

    /// The resource group itself.
    pub(crate) fn resource_group(&self) -> String {
        self.at(&self.group, "", GROUPS)
    }

    /// What we may do in the resource group.
    pub(crate) fn rights(&self) -> String {
        self.rights_on(&self.group)
    }

    /// What we may do with this.
    pub(crate) fn rights_on(&self, id: &str) -> String {
        let path = format!("{id}/providers/Microsoft.Authorization/permissions");
        self.at(&path, "", PERMISSIONS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_are_azures() {
        let action = "Microsoft.Compute/virtualMachines/start/action";
        for (pattern, want) in [
            ("*", true),
            ("microsoft.compute/*", true),
            ("Microsoft.Compute/virtualMachines/*", true),
            ("Microsoft.Compute/*/action", true),
            ("*/start/action", true),
            ("*/Machines/*/action", false),
            (action, true),
            ("Microsoft.Compute/virtualMachines", false),
            ("*/read", false),
            ("Microsoft.Compute/virtualMachines/start/action/*", false),
            ("", false),
        ] {
            assert_eq!(covers(pattern, action), want, "{pattern}");
        }
        let role = Rights {
            actions: vec!["*".into()],
            not_actions: vec!["Microsoft.Compute/virtualMachines/delete".into()],
        };
        assert!(role.allow(action) && !role.allow("microsoft.compute/virtualmachines/DELETE"));
    }

    proptest! {
        #[test]
        fn no_pattern_makes_us_panic(pattern in "\\PC{0,30}", action in "\\PC{0,30}") {
            let _ = covers(&pattern, &action);
            let starred = format!("{action}*");
            prop_assert!(covers(&starred, &action) || pattern.is_empty() || action.contains('*'));
        }
    }
}
