//! Names and tags: how what we make is known again.

use std::collections::BTreeMap;

use slurmburst_core::error::{Error, ErrorKind, Result};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::provider::{Generation, Owner};

/// The owner: [`Context::cluster_id`](slurmburst_core::provider::Context::cluster_id).
pub(crate) const CLUSTER: &str = "slurmburst-cluster";
/// The node.
pub(crate) const NODE: &str = "slurmburst-node";
/// The wish that it was made for.
pub(crate) const GENERATION: &str = "slurmburst-generation";
/// The call that made it.
pub(crate) const CALL: &str = "slurmburst-call";
/// `created` or `adopted`.
pub(crate) const ORIGIN: &str = "slurmburst-origin";
/// How many seconds it may live.
pub(crate) const LIFETIME: &str = "slurmburst-max-lifetime";
/// What the portal shows.
pub(crate) const NAME: &str = "Name";

/// What a machine's tags say of whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Ours(Owner),
    AnotherClusters,
    Nobodys,
}

pub(crate) fn whose(tags: &BTreeMap<String, String>, cluster: &str) -> Whose {
    match tag(tags, CLUSTER) {
        None => Whose::Nobodys,
        Some(owner) if owner != cluster => Whose::AnotherClusters,
        // Only what says that we created it is ever deleted.
        Some(_) if tag(tags, ORIGIN) == Some("created") => Whose::Ours(Owner::Created),
        Some(_) => Whose::Ours(Owner::Adopted),
    }
}

/// A tag. Azure does not keep to the case of their names.
pub(crate) fn tag<'a>(tags: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    tags.get(name)
        .or_else(|| {
            tags.iter()
                .find(|(k, _)| k.eq_ignore_ascii_case(name))
                .map(|(_, v)| v)
        })
        .map(String::as_str)
}

pub(crate) fn generation(tags: &BTreeMap<String, String>) -> Option<Generation> {
    tag(tags, GENERATION)?.parse().ok().map(Generation)
}

/// How long it may live, from its creation.
pub(crate) fn lifetime_ms(tags: &BTreeMap<String, String>) -> Option<i64> {
    tag(tags, LIFETIME)?.parse::<i64>().ok()?.checked_mul(1_000)
}

/// Eight digits that stand for the cluster in the names of what cannot be
/// tagged. FNV-1a: it only has to tell clusters apart, not to keep a secret.
fn mark(cluster: &str) -> String {
    let hash = cluster
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff))
}

/// What hangs on a machine, has no tags, and is known by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Nic,
    OsDisk,
    PublicIp,
}

impl Part {
    fn infix(self, cluster: &str) -> String {
        let word = match self {
            Part::Nic => "nic",
            Part::OsDisk => "os",
            Part::PublicIp => "ip",
        };
        format!("-{word}-{}", mark(cluster))
    }

    /// Its name on this node's machine.
    pub(crate) fn name(self, node: &str, cluster: &str) -> String {
        format!("{node}{}", self.infix(cluster))
    }

    /// The node that a part of this name was made for, and whether the name is
    /// exactly one of ours.
    pub(crate) fn node(self, name: &str, cluster: &str) -> Option<(NodeName, bool)> {
        let infix = self.infix(cluster);
        let at = name.rfind(&infix)?;
        let (node, rest) = (name.get(..at)?, name.get(at + infix.len()..)?);
        Some((NodeName::new(node).ok()?, rest.is_empty()))
    }
}

/// Whether a machine, and the computer in it, can have this node's name.
///
/// # Errors
/// It cannot; says which character or length is wrong.
pub(crate) fn check_node(node: &NodeName) -> Result<()> {
    let name = node.as_str();
    let wrong = |what: String| {
        let text = format!(
            "{node} cannot be the name of an Azure VM: {what}; rename the node in slurm.conf"
        );
        Err(Error::new(ErrorKind::Invalid, text).code("NodeName"))
    };
    if name.len() > 64 {
        return wrong(format!(
            "it has {} characters, at most 64 are possible",
            name.len()
        ));
    }
    if let Some(c) = name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.')))
    {
        return wrong(format!(
            "it has {c:?}, only letters, digits, - and . are possible"
        ));
    }
    if name.starts_with(['-', '.']) || name.ends_with(['-', '.']) {
        return wrong("it begins or ends with - or .".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_parts_name_leads_back_to_its_node(node in "[a-zA-Z0-9][a-zA-Z0-9.-]{0,62}[a-z0-9]", cluster in "[a-z][a-z0-9-]{0,62}") {
            for part in [Part::Nic, Part::OsDisk, Part::PublicIp] {
                let name = part.name(&node, &cluster);
                prop_assert!(name.len() <= 80);
                let (found, exact) = part.node(&name, &cluster).unwrap();
                prop_assert!(exact && found.as_str() == node);
                let (found, exact) = part.node(&format!("{name}-1a2b3c4d"), &cluster).unwrap();
                prop_assert!(!exact && found.as_str() == node);
                prop_assert_eq!(part.node(&name, &format!("{cluster}x")), None);
            }
            prop_assert!(check_node(&NodeName::new(&node).unwrap()).is_ok());
        }

        #[test]
        fn no_name_makes_us_panic(name in "\\PC{0,100}") {
            let _ = Part::Nic.node(&name, "c");
            if let Ok(node) = NodeName::new(&name) {
                let _ = check_node(&node);
            }
        }
    }

    #[test]
    fn names_that_azure_would_refuse() {
        for (name, says) in [
            ("a_b", "it has '_'"),
            ("-a", "begins or ends"),
            ("a.", "begins or ends"),
            (&"a".repeat(65), "it has 65 characters"),
            ("caf\u{e9}", "it has 'é'"),
        ] {
            let error = check_node(&NodeName::new(name).unwrap()).unwrap_err();
            assert!(error.message().contains(says), "{error}");
        }
    }

    #[test]
    fn whose_a_machine_is() {
        let tags = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let created = tags(&[("SlurmBurst-Cluster", "us"), (ORIGIN, "created")]);
        assert_eq!(whose(&created, "us"), Whose::Ours(Owner::Created));
        assert_eq!(whose(&created, "them"), Whose::AnotherClusters);
        assert_eq!(
            whose(&tags(&[(CLUSTER, "us")]), "us"),
            Whose::Ours(Owner::Adopted)
        );
        assert_eq!(whose(&tags(&[("a", "b")]), "us"), Whose::Nobodys);
    }
}
