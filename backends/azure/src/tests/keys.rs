//! The site file's keys: every one is read, every wrong one is named.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use slurmburst_core::kind::Surroundings;
use slurmburst_core::provider::{Lifecycle, Market};

use super::V::{B, F, I, L, O, S, T};
use super::{V, table};
use crate::config::{Auth, AzureConfig, Match};
use crate::template;

const ID: &str = "00000000-0000-0000-0000-00000000000a";

fn base() -> Vec<(&'static str, V)> {
    vec![
        ("subscription_id", S(ID)),
        ("resource_group", S("rg")),
        ("location", S("westeurope")),
        ("auth", S("managed-identity")),
    ]
}

fn read(more: Vec<(&'static str, V)>) -> Result<AzureConfig, String> {
    let mut all = base();
    for (key, value) in more {
        all.retain(|(k, _)| *k != key);
        all.push((key, value));
    }
    let around = Surroundings::new(
        "here",
        "hpc1",
        "/etc/slurm/slurm.conf",
        "/var/lib/slurmburst",
    );
    AzureConfig::read(&table("provider.here", all), &around).map_err(|e| e.to_string())
}

fn file(dir: &tempfile::TempDir, name: &str, text: &str, mode: u32) -> String {
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn every_key_of_a_provider() {
    let dir = tempfile::tempdir().unwrap();
    let secret = file(&dir, "secret", "s3cret\n", 0o640);
    let ca = file(&dir, "ca", "-----BEGIN CERTIFICATE-----\n", 0o644);
    let config = read(vec![
        ("auth", S("service-principal")),
        ("tenant_id", S(ID)),
        ("client_id", S(ID)),
        ("client_secret_file", O(secret.clone())),
        ("cloud", S("custom")),
        ("endpoint", S("https://localhost:8443/")),
        ("authority_host", S("https://localhost:8444")),
        ("api_version", S("2025-04-01")),
        ("ca_bundle", O(ca)),
        ("proxy", S("http://proxy:3128")),
        ("match", S("name")),
    ])
    .unwrap();
    assert_eq!(config.endpoint, "https://localhost:8443");
    assert_eq!(config.audience, "https://localhost:8443");
    assert_eq!(config.matching, Match::Name);
    assert!(matches!(&config.auth, Auth::Secret { file, .. } if file.to_str() == Some(&secret)));
    assert!(!format!("{config:?}").contains("s3cret"));
    let china = read(vec![("cloud", S("china"))]).unwrap();
    assert_eq!(china.endpoint, "https://management.chinacloudapi.cn");
    assert_eq!(china.authority_host, "https://login.chinacloudapi.cn");
    let workload = read(vec![
        ("auth", S("workload-identity")),
        ("tenant_id", S(ID)),
        ("client_id", S(ID)),
    ]);
    assert!(matches!(
        workload.unwrap().auth,
        Auth::WorkloadIdentity { .. }
    ));
    assert!(matches!(
        read(vec![("auth", S("azure-cli"))]).unwrap().auth,
        Auth::AzureCli { .. }
    ));
}

#[test]
fn every_wrong_key_of_a_provider_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let open = file(&dir, "open", "x", 0o604);
    let empty = file(&dir, "empty", "\n", 0o600);
    let principal = |more: Vec<(&'static str, V)>| {
        let mut all = vec![
            ("auth", S("service-principal")),
            ("tenant_id", S(ID)),
            ("client_id", S(ID)),
        ];
        all.extend(more);
        all
    };
    for (keys, says) in [
        (vec![("subscriptionid", S(ID))], "provider.here.subscriptionid: unknown key; did you mean `subscription_id`?".to_owned()),
        (vec![("subscription_id", S("x"))], "provider.here.subscription_id: must be an id such as \"00000000-0000-0000-0000-000000000000\", is \"x\"".to_owned()),
        (vec![("location", S("West Europe"))], "provider.here.location: must be a region's short name such as \"westeurope\", is \"West Europe\": `az account list-locations --query \"[].name\"`".to_owned()),
        (vec![("auth", S("managed"))], "provider.here.auth: must be one of \"managed-identity\", \"workload-identity\", \"service-principal\", \"azure-cli\", is \"managed\"".to_owned()),
        (vec![("client_secret_file", S("/x"))], "provider.here.client_secret_file: is not used with auth = \"managed-identity\"; take it out".to_owned()),
        (vec![("endpoint", S("http://localhost"))], "provider.here.endpoint: must be an https address without a path, such as \"https://management.azure.com\"".to_owned()),
        (vec![("endpoint", S("https://u:p@host"))], "must be an https address without a path".to_owned()),
        (vec![("cloud", S("custom"))], "provider.here.endpoint: is required with cloud = \"custom\"".to_owned()),
        (vec![("api_version", S("2021-07-01"))], "must be 2024-07-01 or newer".to_owned()),
        (vec![("api_version", S("latest"))], "must be a date such as \"2024-07-01\", is \"latest\"".to_owned()),
        (vec![("proxy", S("proxy"))], "must be the address of a proxy".to_owned()),
        (vec![("proxy", S("http://me:pass@proxy:3128"))], "provider.here.proxy: names a user or password, which others would read here".to_owned()),
        (vec![("ca_bundle", S("/nowhere/ca.pem"))], "cannot read /nowhere/ca.pem".to_owned()),
        (vec![("resource_group", S("a/b"))], "must be 1 to 90 letters, digits and -_.() and not end with a dot, is \"a/b\"".to_owned()),
        (principal(vec![]), "provider.here.client_secret_file: is required with auth = \"service-principal\" (or client_certificate_file)".to_owned()),
        (principal(vec![("client_secret_file", O(open.clone()))]), format!("{open} can be used by others (mode 604): `chmod o= {open}`, and take a new secret if others log in here")),
        (principal(vec![("client_secret_file", O(empty.clone()))]), format!("{empty} is empty")),
        (principal(vec![("client_certificate_file", O(empty.clone()))]), "must hold the private key and the certificate in PEM".to_owned()),
        (principal(vec![("client_secret_file", O(empty.clone())), ("client_certificate_file", O(empty.clone()))]), "is given beside client_secret_file; take one of them out".to_owned()),
    ] {
        let error = read(keys).unwrap_err();
        assert!(error.ends_with(&says) || error.contains(&says), "{error}\nshould say\n{says}");
    }
}

/// A placement with every key.
pub(super) fn whole(dir: &tempfile::TempDir) -> Vec<(&'static str, V)> {
    let key = file(dir, "id.pub", "ssh-ed25519 AAAA me\n", 0o644);
    let data = file(
        dir,
        "cloud-init",
        "#cloud-config\nhostname: {node}\n# {cluster}\n",
        0o600,
    );
    let id = |tail: &str| {
        O(format!(
            "/subscriptions/s/resourceGroups/g/providers/{tail}"
        ))
    };
    vec![
        ("size", S("Standard_D4s_v5")),
        ("image", S("almalinux:almalinux-hpc:8-hpc-gen2:latest")),
        ("plan", T(vec![("name", S("n")), ("publisher", S("p")), ("product", S("o"))])),
        ("os_disk_size_gb", I(64)),
        ("os_disk_sku", S("Premium_LRS")),
        ("admin_username", S("azureuser")),
        ("ssh_public_key_files", L(vec![key])),
        ("subnet_id", id("Microsoft.Network/virtualNetworks/v/subnets/default")),
        ("network_security_group_id", id("Microsoft.Network/networkSecurityGroups/n")),
        ("accelerated_networking", B(true)),
        ("public_ip", B(true)),
        ("zone", S("1")),
        ("capacity_reservation", id("Microsoft.Compute/capacityReservationGroups/c")),
        ("proximity_placement_group", id("Microsoft.Compute/proximityPlacementGroups/p")),
        ("identity", L(vec!["system".into(), "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/u".into()])),
        ("tags", T(vec![("project", S("x"))])),
        ("custom_data_file", O(data)),
        ("market", S("spot")),
        ("max_price", F(0.5)),
        ("eviction", S("deallocate")),
        ("security_type", S("trusted-launch")),
        ("max_lifetime", S("2d")),
        ("extra", T(vec![("properties", T(vec![("licenseType", S("RHEL_BYOS"))]))])),
    ]
}

#[test]
fn every_key_of_a_placement() {
    let dir = tempfile::tempdir().unwrap();
    let template = template::read(
        &table("nodes.placement", whole(&dir)),
        Lifecycle::CreateDelete,
    )
    .unwrap();
    assert_eq!(template.size.as_deref(), Some("Standard_D4s_v5"));
    assert_eq!(
        (template.zone.as_deref(), template.market),
        (Some("1"), Market::Spot)
    );
    let kept = template.body.to_string();
    // The custom data may hold a secret: only its place is kept.
    assert!(
        !kept.contains("#cloud-config") && kept.contains("cloud-init"),
        "{kept}"
    );
    // A machine that exists needs none of them.
    assert!(
        template::read(
            &table("nodes.placement", vec![]),
            Lifecycle::StartDeallocate
        )
        .is_ok()
    );
}

#[test]
fn every_wrong_key_of_a_placement_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let private = file(&dir, "id", "-----BEGIN OPENSSH PRIVATE KEY-----", 0o600);
    for (key, value, says) in [
        ("imagee", S("x"), "unknown key; did you mean `image`?".to_owned()),
        ("image", S("ubuntu"), "must be \"Publisher:Offer:Sku:Version\" or a resource id, is \"ubuntu\"; `az vm image list --all --publisher NAME`".to_owned()),
        ("size", S("D4 v5"), "must be a size such as \"Standard_D4s_v5\", is \"D4 v5\"".to_owned()),
        ("admin_username", S("root"), "not a name that Azure refuses".to_owned()),
        ("ssh_public_key_files", L(vec![private.clone()]), format!("{private} is a private key; name the file that ends in .pub")),
        ("ssh_public_key_files", L(vec![]), "must name at least one file; there are no passwords".to_owned()),
        ("subnet_id", S("default"), "must be a resource id, \"/subscriptions/.../subnets/NAME\", is \"default\"".to_owned()),
        ("tags", T(vec![("slurmburst-node", S("x"))]), "nodes.placement.tags.slurmburst-node: is written by slurmburst itself; take it out".to_owned()),
        ("market", S("cheap"), "must be one of \"on-demand\", \"spot\", is \"cheap\"".to_owned()),
        ("max_price", F(0.0), "must be US dollars an hour, or -1 for the list price, is 0".to_owned()),
        ("market", S("on-demand"), "is for market = \"spot\" only; take it out or set the market".to_owned()),
        ("zone", S("eu-1"), "must be a zone's number such as \"1\", is \"eu-1\"".to_owned()),
        ("identity", L(vec!["me".into()]), "must be \"system\" or resource ids of user-assigned identities, holds \"me\"".to_owned()),
        ("private_ip", S("10.0.0.0"), "cannot be had together with private_ip".to_owned()),
        ("ephemeral_os_disk", B(true), "is not used with ephemeral_os_disk".to_owned()),
        ("custom_data_file", S("cloud-init"), "must be an absolute path".to_owned()),
        ("extra", T(vec![("properties", T(vec![("osProfile", T(vec![("AdminPassword", S("x"))]))]))]), "nodes.placement.extra: AdminPassword is not taken".to_owned()),
    ] {
        let mut all = whole(&dir);
        all.retain(|(k, _)| *k != key);
        all.push((key, value));
        let error = template::read(&table("nodes.placement", all), Lifecycle::CreateDelete).unwrap_err();
        assert!(error.to_string().contains(&says), "{key}: {error}");
    }
    for missing in ["size", "image", "subnet_id", "ssh_public_key_files"] {
        let mut all = whole(&dir);
        all.retain(|(k, _)| *k != missing);
        let error =
            template::read(&table("nodes.placement", all), Lifecycle::CreateDelete).unwrap_err();
        let says =
            format!("nodes.placement.{missing}: is required with lifecycle = \"create-delete\"");
        assert!(error.to_string().ends_with(&says), "{error}");
    }
}
