//! `[nodes.azure]` and the keys of a placement: what a machine is to be.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use slurmburst_core::config::{ConfigError, ConfigTable, ConfigValue};
use slurmburst_core::provider::{Lifecycle, Market, Placement, Template};

use crate::image::Image;
use crate::private_ip::{PrivateIp, private_ip};

const KEYS: [&str; 26] = [
    "size",
    "image",
    "plan",
    "os_disk_size_gb",
    "os_disk_sku",
    "ephemeral_os_disk",
    "admin_username",
    "ssh_public_key_files",
    "subnet_id",
    "network_security_group_id",
    "accelerated_networking",
    "public_ip",
    "private_ip",
    "zone",
    "capacity_reservation",
    "identity",
    "tags",
    "custom_data_file",
    "market",
    "max_price",
    "eviction",
    "security_type",
    "max_lifetime",
    "extra",
    "proximity_placement_group",
    "location",
];

/// Tags beside ours: Azure allows fifty.
const MOST_TAGS: usize = 43;

/// Azure's limit, before it is encoded.
const MOST_CUSTOM_DATA: u64 = 64 * 1024;

/// What is kept in [`Template::body`]. No secret: custom data is named by its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) image: Option<Image>,
    pub(crate) plan: Option<BTreeMap<String, String>>,
    pub(crate) os_disk_size_gb: Option<i64>,
    pub(crate) os_disk_sku: Option<String>,
    pub(crate) ephemeral_os_disk: bool,
    pub(crate) admin_username: String,
    /// The keys themselves.
    pub(crate) ssh_public_keys: Vec<String>,
    pub(crate) subnet_id: Option<String>,
    pub(crate) network_security_group_id: Option<String>,
    pub(crate) accelerated_networking: bool,
    pub(crate) public_ip: bool,
    pub(crate) private_ip: Option<PrivateIp>,
    pub(crate) capacity_reservation: Option<String>,
    pub(crate) proximity_placement_group: Option<String>,
    /// `system`, or resource ids.
    pub(crate) identity: Vec<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) custom_data_file: Option<PathBuf>,
    pub(crate) max_price: Option<f64>,
    /// Azure's word.
    pub(crate) eviction: String,
    /// Azure's word.
    pub(crate) security_type: Option<String>,
    pub(crate) max_lifetime_s: Option<u64>,
    pub(crate) extra: Map<String, Value>,
}

impl Shape {
    /// That of a placement; nothing where another version wrote it.
    pub(crate) fn of(placement: &Placement) -> Option<Shape> {
        Shape::deserialize(&placement.template.body).ok()
    }
}

/// Reads a placement.
///
/// # Errors
/// The first unknown, missing or wrong key.
pub(crate) fn read(table: &ConfigTable, lifecycle: Lifecycle) -> Result<Template, ConfigError> {
    table.only(&KEYS)?;
    let create = lifecycle == Lifecycle::CreateDelete;
    let market = match table.word("market", &["on-demand", "spot"])? {
        Some("spot") => Market::Spot,
        _ => Market::OnDemand,
    };
    let shape = shape(table, market)?;
    if create {
        // A machine that exists is what it is; these make a new one.
        for key in ["size", "image", "subnet_id", "ssh_public_key_files"] {
            if !table.has(key) {
                let message = "is required with lifecycle = \"create-delete\"";
                return Err(table.error(key, message));
            }
        }
    }
    let zone = table.str("zone")?;
    if let Some(zone) = zone.filter(|z| z.is_empty() || !z.chars().all(|c| c.is_ascii_digit())) {
        let message = format!("must be a zone's number such as \"1\", is \"{zone}\"");
        return Err(table.error("zone", message));
    }
    let body = serde_json::to_value(&shape)
        .map_err(|e| table.error("extra", format!("cannot be kept: {e}")))?;
    Ok(Template {
        region: table.str("location")?.map(str::to_owned),
        zone: zone.map(str::to_owned),
        size: size(table)?,
        market,
        body,
    })
}

fn shape(table: &ConfigTable, market: Market) -> Result<Shape, ConfigError> {
    let spot_only = |key: &str| {
        let message = "is for market = \"spot\" only; take it out or set the market";
        match table.has(key) && market != Market::Spot {
            true => Err(table.key_error(key, message)),
            false => Ok(()),
        }
    };
    spot_only("max_price")?;
    spot_only("eviction")?;
    let max_price = table.float("max_price")?;
    if let Some(price) = max_price.filter(|p| !p.is_finite() || (*p <= 0.0 && *p != -1.0)) {
        let message = format!("must be US dollars an hour, or -1 for the list price, is {price}");
        return Err(table.error("max_price", message));
    }
    let ephemeral_os_disk = table.bool("ephemeral_os_disk")?.unwrap_or(false);
    if ephemeral_os_disk && table.has("os_disk_sku") {
        let message = "is not used with ephemeral_os_disk, which is on the host; take it out";
        return Err(table.key_error("os_disk_sku", message));
    }
    if table.has("private_ip") && table.bool("public_ip")? == Some(true) {
        let message = "cannot be had together with private_ip; take one of them out";
        return Err(table.key_error("public_ip", message));
    }
    let image = table
        .str("image")?
        .map(|i| Image::parse(i).map_err(|e| table.error("image", e)));
    Ok(Shape {
        image: image.transpose()?,
        plan: plan(table)?,
        os_disk_size_gb: table.integer("os_disk_size_gb", 1..=4095)?,
        os_disk_sku: table
            .word(
                "os_disk_sku",
                &[
                    "Standard_LRS",
                    "StandardSSD_LRS",
                    "StandardSSD_ZRS",
                    "Premium_LRS",
                    "Premium_ZRS",
                ],
            )?
            .map(str::to_owned),
        ephemeral_os_disk,
        admin_username: admin(table)?,
        ssh_public_keys: ssh_keys(table)?,
        subnet_id: resource(table, "subnet_id", "/subnets/")?,
        network_security_group_id: resource(
            table,
            "network_security_group_id",
            "/networksecuritygroups/",
        )?,
        accelerated_networking: table.bool("accelerated_networking")?.unwrap_or(false),
        public_ip: table.bool("public_ip")?.unwrap_or(false),
        private_ip: private_ip(table)?,
        capacity_reservation: resource(
            table,
            "capacity_reservation",
            "/capacityreservationgroups/",
        )?,
        proximity_placement_group: resource(
            table,
            "proximity_placement_group",
            "/proximityplacementgroups/",
        )?,
        identity: identity(table)?,
        tags: tags(table)?,
        custom_data_file: custom_data(table)?,
        max_price,
        eviction: match table.word("eviction", &["delete", "deallocate"])? {
            Some("deallocate") => "Deallocate".to_owned(),
            _ => "Delete".to_owned(),
        },
        security_type: match table.word(
            "security_type",
            &["standard", "trusted-launch", "confidential"],
        )? {
            Some("trusted-launch") => Some("TrustedLaunch".to_owned()),
            Some("confidential") => Some("ConfidentialVM".to_owned()),
            _ => None,
        },
        max_lifetime_s: table.duration("max_lifetime")?.map(|d| d.as_secs()),
        extra: match table.table("extra")? {
            Some(extra) => {
                let extra = object(extra);
                if let Some(key) = secret_in(&extra) {
                    let message = format!(
                        "{key} is not taken: what is here is kept in the ledger; log in by ssh_public_key_files, and put files into custom_data_file"
                    );
                    return Err(table.error("extra", message));
                }
                extra
            }
            None => Map::new(),
        },
    })
}

/// A key whose value is, or may hold, a secret.
fn secret_in(table: &Map<String, Value>) -> Option<&str> {
    const SECRET: [&str; 3] = ["adminPassword", "customData", "protectedSettings"];
    table.iter().find_map(|(key, value)| {
        let inside = || match value {
            Value::Object(table) => secret_in(table),
            Value::Array(all) => all.iter().filter_map(Value::as_object).find_map(secret_in),
            _ => None,
        };
        match SECRET.iter().any(|s| s.eq_ignore_ascii_case(key)) {
            true => Some(key.as_str()),
            false => inside(),
        }
    })
}

fn size(table: &ConfigTable) -> Result<Option<String>, ConfigError> {
    match table.str("size")? {
        Some(size)
            if size.is_empty() || !size.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') =>
        {
            let message = format!(
                "must be a size such as \"Standard_D4s_v5\", is \"{size}\": `az vm list-sizes --location REGION`"
            );
            Err(table.error("size", message))
        }
        other => Ok(other.map(str::to_owned)),
    }
}

fn admin(table: &ConfigTable) -> Result<String, ConfigError> {
    let name = table.str("admin_username")?.unwrap_or("azureuser");
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    // Azure refuses these, minutes later and for every node.
    let refused = [
        "root",
        "admin",
        "administrator",
        "user",
        "test",
        "guest",
        "sys",
        "backup",
    ];
    if !(1..=64).contains(&name.len()) || !name.chars().all(word) || refused.contains(&name) {
        let message = format!(
            "must be 1 to 64 of a-z, 0-9, _ and - and not a name that Azure refuses ({}), is \"{name}\"",
            refused.join(", ")
        );
        return Err(table.error("admin_username", message));
    }
    Ok(name.to_owned())
}

fn ssh_keys(table: &ConfigTable) -> Result<Vec<String>, ConfigError> {
    let key = "ssh_public_key_files";
    let mut keys = Vec::new();
    for path in table.strings(key)?.unwrap_or_default() {
        if !path.starts_with('/') {
            return Err(table.error(key, format!("must be absolute paths, holds \"{path}\"")));
        }
        let text = fs::read_to_string(path)
            .map_err(|e| table.error(key, format!("cannot read {path}: {e}")))?;
        if text.contains("PRIVATE KEY") {
            let message = format!("{path} is a private key; name the file that ends in .pub");
            return Err(table.error(key, message));
        }
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'));
        let found: Vec<String> = lines.map(str::to_owned).collect();
        let good =
            |l: &String| l.starts_with("ssh-") || l.starts_with("ecdsa-") || l.starts_with("sk-");
        if found.is_empty() || !found.iter().all(good) {
            return Err(table.error(key, format!("{path} is no file of SSH public keys")));
        }
        keys.extend(found);
    }
    if table.has(key) && keys.is_empty() {
        return Err(table.error(key, "must name at least one file; there are no passwords"));
    }
    Ok(keys)
}

fn resource(table: &ConfigTable, key: &str, part: &str) -> Result<Option<String>, ConfigError> {
    match table.str(key)? {
        Some(id) => {
            let lower = id.to_ascii_lowercase();
            if !lower.starts_with("/subscriptions/")
                || !lower.contains(part)
                || lower.ends_with('/')
            {
                let message =
                    format!("must be a resource id, \"/subscriptions/...{part}NAME\", is \"{id}\"");
                return Err(table.error(key, message));
            }
            Ok(Some(id.to_owned()))
        }
        None => Ok(None),
    }
}

fn plan(table: &ConfigTable) -> Result<Option<BTreeMap<String, String>>, ConfigError> {
    let Some(plan) = table.table("plan")? else {
        return Ok(None);
    };
    plan.only(&["name", "publisher", "product"])?;
    let keys = ["name", "publisher", "product"];
    keys.into_iter()
        .map(|k| Ok((k.to_owned(), plan.required(k)?.to_owned())))
        .collect::<Result<_, _>>()
        .map(Some)
}

fn identity(table: &ConfigTable) -> Result<Vec<String>, ConfigError> {
    let all = table.strings("identity")?.unwrap_or_default();
    for one in &all {
        let user = one
            .to_ascii_lowercase()
            .contains("/userassignedidentities/");
        if *one != "system" && !(one.starts_with("/subscriptions/") && user) {
            let message = format!(
                "must be \"system\" or resource ids of user-assigned identities, holds \"{one}\""
            );
            return Err(table.error("identity", message));
        }
    }
    Ok(all.into_iter().map(str::to_owned).collect())
}

fn tags(table: &ConfigTable) -> Result<BTreeMap<String, String>, ConfigError> {
    let Some(tags) = table.table("tags")? else {
        return Ok(BTreeMap::new());
    };
    let mut all = BTreeMap::new();
    for (name, _) in tags.entries() {
        let lower = name.to_ascii_lowercase();
        if lower.starts_with("slurmburst-") || lower == "name" {
            return Err(tags.key_error(name, "is written by slurmburst itself; take it out"));
        }
        if name.is_empty()
            || name.len() > 512
            || name.contains(['<', '>', '%', '&', '\\', '?', '/'])
        {
            let message = "a tag's name has 1 to 512 characters and none of <>%&\\?/";
            return Err(tags.key_error(name, message));
        }
        let value = tags.required(name)?;
        if value.chars().count() > 256 {
            return Err(tags.error(name, "a tag's value has at most 256 characters"));
        }
        all.insert(name.to_owned(), value.to_owned());
    }
    if all.len() > MOST_TAGS {
        let message = format!(
            "has {} tags; at most {MOST_TAGS} fit beside slurmburst's own",
            all.len()
        );
        return Err(table.error("tags", message));
    }
    Ok(all)
}

fn custom_data(table: &ConfigTable) -> Result<Option<PathBuf>, ConfigError> {
    let key = "custom_data_file";
    let Some(path) = table.path_of(key)? else {
        return Ok(None);
    };
    let meta = fs::metadata(&path)
        .map_err(|e| table.error(key, format!("cannot read {}: {e}", path.display())))?;
    if meta.len() > MOST_CUSTOM_DATA {
        let message = format!(
            "{} has {} bytes; Azure takes 65536",
            path.display(),
            meta.len()
        );
        return Err(table.error(key, message));
    }
    Ok(Some(path))
}

/// A table as JSON, for what the PUT takes as it is.
fn object(table: &ConfigTable) -> Map<String, Value> {
    table
        .entries()
        .map(|(key, item)| (key.to_owned(), json_of(&item.value)))
        .collect()
}

fn json_of(value: &ConfigValue) -> Value {
    match value {
        ConfigValue::String(s) => Value::from(s.as_str()),
        ConfigValue::Other(s) => Value::from(s.as_str()),
        ConfigValue::Integer(i) => Value::from(*i),
        ConfigValue::Float(f) => Value::from(*f),
        ConfigValue::Bool(b) => Value::from(*b),
        ConfigValue::Array(items) => items.iter().map(|i| json_of(&i.value)).collect(),
        ConfigValue::Table(table) => Value::Object(object(table)),
        _ => Value::Null,
    }
}
