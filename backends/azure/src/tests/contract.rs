//! What Microsoft's generated models make of our requests: every body of a PUT
//! is read as its `VirtualMachine`, and written out again the same. A key that
//! they do not know would be lost on the way, one of the wrong type refused.

use azure_mgmt_compute::package_2024_07_01::models::VirtualMachine;
use serde_json::Value;

use super::outside::every_body;

/// Where they are known to be wrong, and why.
const KNOWN: [(&str, &str); 1] = [(
    "/identity/userAssignedIdentities/",
    "a map of ids, of which the generator made a structure without fields",
)];

#[test]
fn the_generated_models_read_our_requests_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let every = every_body(&dir);
    for (name, bodies) in &every {
        let read: VirtualMachine = serde_json::from_value(bodies.vm.clone())
            .unwrap_or_else(|e| panic!("{name}: {e}\n{:#}", bodies.vm));
        let back = serde_json::to_value(&read).unwrap();
        let mut differ = differences("", &bodies.vm, &back);
        differ.retain(|d| !KNOWN.iter().any(|(at, _)| d.starts_with(at)));
        assert!(differ.is_empty(), "{name}: {differ:#?}\n{:#}", bodies.vm);
    }
    println!(
        "{} bodies are the same; not looked at: {KNOWN:?}",
        every.len()
    );
}

/// A name that is not Azure's would not get through.
#[test]
fn the_oracle_notices_what_azure_does_not_know() {
    let dir = tempfile::tempdir().unwrap();
    let (_, bodies) = every_body(&dir).remove(0);
    let mut wrong = bodies.vm.clone();
    wrong["properties"]["storageProfile"]["osDisk"]["diskSizeGb"] = 64.into();
    let read: VirtualMachine = serde_json::from_value(wrong.clone()).unwrap();
    let back = serde_json::to_value(&read).unwrap();
    assert_eq!(
        differences("", &wrong, &back),
        ["/properties/storageProfile/osDisk/diskSizeGb: 64, comes back as null"]
    );
    wrong["properties"]["storageProfile"]["osDisk"]["diskSizeGB"] = "64".into();
    assert!(serde_json::from_value::<VirtualMachine>(wrong).is_err());
}

/// Where two values are not the same.
fn differences(at: &str, ours: &Value, back: &Value) -> Vec<String> {
    match (ours, back) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let null = Value::Null;
            let of = |map: &'_ serde_json::Map<String, Value>, key: &str| {
                map.get(key).unwrap_or(&null).clone()
            };
            keys.into_iter()
                .flat_map(|k| differences(&format!("{at}/{k}"), &of(a, k), &of(b, k)))
                .collect()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .flat_map(|(n, (a, b))| differences(&format!("{at}/{n}"), a, b))
            .collect(),
        _ if ours == back => Vec::new(),
        _ => vec![format!("{at}: {ours}, comes back as {back}")],
    }
}
