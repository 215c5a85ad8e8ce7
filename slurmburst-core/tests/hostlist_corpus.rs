//! What real Slurm answers, 2,494 times.
//!
//! The corpus was made by running Slurm 26.05.3. It is not in this repository:
//! without it these tests say so and pass. How each class is treated:
//!
//! - `canonical`: the same names in the same order, the same text byte for
//!   byte; under both dialects.
//! - `limit`, `malformed`: refused, by both dialects.
//! - `slurm_bug`: Slurm's own answer loses a host. Ours must not.
//! - `unbounded`: Slurm does not finish. We refuse, or count at once.
//! - `tolerated` (separators, unusual characters): as Slurm, except that a name
//!   with a control character or white space in it is refused.
//! - `mangled` (Slurm reads something else than was written): `SlurmCompat`
//!   either answers as Slurm or refuses; never a third thing, except that a
//!   plain name with a number above 64 bits stays that name. `Strict` refuses,
//!   unless the answer has every digit that was written.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod corpus_support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use corpus_support::sha256;
use serde_json::Value;
use slurmburst_core::hostlist::{Dialect, HostList, HostlistError, Limits, NodeName};

/// Most names that are looked at more than once: a build without optimization
/// takes a minute for the others.
const OFTEN: u64 = 2000;

fn corpus() -> Option<Vec<Value>> {
    let shared = std::env::var_os("SLURMBURST_SHARED")
        .map_or_else(|| PathBuf::from("../../shared"), PathBuf::from);
    let path = shared.join("hostlist/corpus.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!(
            "SKIPPED: no corpus at {}; set SLURMBURST_SHARED",
            path.display()
        );
        return None;
    };
    let cases: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(cases.len() > 2000, "{} cases", cases.len());
    Some(cases)
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {case}"))
}

fn compat(text: &str) -> Result<HostList, HostlistError> {
    HostList::parse_with(text, Dialect::SlurmCompat, &Limits::slurm())
}

fn strict(text: &str) -> Result<HostList, HostlistError> {
    HostList::parse_with(text, Dialect::Strict, &Limits::slurm())
}

fn names(list: &HostList) -> Vec<String> {
    let mut out = Vec::new();
    list.for_each(|name| out.push(name.to_owned()));
    out
}

/// Whether `list` is what Slurm expands to.
fn expands(list: &HostList, expected: &Value) -> Result<(), String> {
    let names = names(list);
    if names.len() as u64 != list.len() {
        return Err("for_each and len do not agree".to_owned());
    }
    if list.len() <= OFTEN {
        let iterated: Vec<String> = list.iter().map(String::from).collect();
        let mut backwards: Vec<String> = list.iter().rev().map(String::from).collect();
        backwards.reverse();
        if names != iterated || names != backwards {
            return Err("for_each, iter and rev do not agree".to_owned());
        }
    }
    if list.len() != expected["count"].as_u64().unwrap_or_default() {
        return Err(format!("{} names, not {}", list.len(), expected["count"]));
    }
    if let Some(listed) = expected["names"].as_array() {
        let same = names
            .iter()
            .map(String::as_str)
            .eq(listed.iter().filter_map(Value::as_str));
        return if same {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        };
    }
    let digest = sha256(names.join("\n").as_bytes());
    if digest == text(expected, "sha256_lf") {
        Ok(())
    } else {
        Err("another SHA-256".to_owned())
    }
}

fn host_names(case: &Value) -> Vec<NodeName> {
    let names = case["names"].as_array().unwrap();
    names
        .iter()
        .map(|name| NodeName::new(name.as_str().unwrap()).unwrap())
        .collect()
}

fn fold(case: &Value) -> String {
    let list = HostList::from_iter(host_names(case));
    match text(case, "op") {
        "fold" => list.to_slurm(),
        "sort" => list.sorted().to_slurm(),
        "uniq" => list.to_set().to_slurm(),
        other => panic!("{other}"),
    }
}

/// Whether what is printed reads back as the same.
fn prints(list: &HostList) -> Result<(), String> {
    for printed in [list.to_slurm(), list.to_compact()] {
        let again = strict(&printed).map_err(|e| e.to_string())?;
        if again != *list || names(&again) != names(list) {
            return Err(format!("printed as {printed}"));
        }
    }
    let set = list.to_set();
    for printed in [set.to_slurm(), set.to_compact()] {
        if strict(&printed).map_err(|e| e.to_string())?.to_set() != set {
            return Err(format!("the set printed as {printed}"));
        }
    }
    Ok(())
}

fn canonical(case: &Value) -> Result<(), String> {
    let expected = &case["expected"];
    match text(case, "op") {
        "expand" => {
            let list = compat(text(case, "expr")).map_err(|e| e.to_string())?;
            expands(&list, expected)?;
            if strict(text(case, "expr")).map_err(|e| e.to_string())? != list {
                return Err("Strict reads something else".to_owned());
            }
            if list.len() <= OFTEN {
                prints(&list)?;
            }
            Ok(())
        }
        "fold" | "sort" | "uniq" => {
            let folded = fold(case);
            if folded == text(expected, "hostlist") {
                Ok(())
            } else {
                Err(folded)
            }
        }
        op => {
            let a = compat(text(case, "a")).map_err(|e| e.to_string())?.to_set();
            let b = compat(text(case, "b")).map_err(|e| e.to_string())?.to_set();
            let set = match op {
                "union" => &a | &b,
                "intersection" => &a & &b,
                "difference" => &a - &b,
                "contains" => {
                    let inside = b.is_subset(&a);
                    let same = Some(inside) == expected["value"].as_bool();
                    return if same {
                        Ok(())
                    } else {
                        Err(inside.to_string())
                    };
                }
                other => panic!("{other}"),
            };
            let printed = set.to_slurm();
            let same = printed == text(expected, "hostlist_sorted_uniq")
                && Some(set.len()) == expected["count"].as_u64();
            if same { Ok(()) } else { Err(printed) }
        }
    }
}

fn refused(case: &Value) -> Result<(), String> {
    for result in [compat(text(case, "expr")), strict(text(case, "expr"))] {
        match result {
            Ok(list) => return Err(format!("read as {list:?}")),
            Err(error) if error.span().is_empty() => return Err(format!("no place: {error}")),
            Err(_) => {}
        }
    }
    Ok(())
}

fn lossless(case: &Value) -> Result<(), String> {
    let given = host_names(case);
    let folded = fold(case);
    let mut read: Vec<NodeName> = folded
        .parse::<HostList>()
        .map_err(|e| e.to_string())?
        .iter()
        .collect();
    let mut expected = given;
    if text(case, "op") != "fold" {
        expected.sort();
    }
    if text(case, "op") == "uniq" {
        expected.dedup();
        read.dedup();
    }
    if read == expected {
        Ok(())
    } else {
        Err(folded)
    }
}

fn has_control(text: &str) -> bool {
    text.chars()
        .any(|c| (c.is_control() && !"\n\t".contains(c)) || c == '\u{a0}')
}

fn tolerated(case: &Value) -> Result<(), String> {
    let expr = text(case, "expr");
    for result in [compat(expr), strict(expr)] {
        match result {
            Ok(_) if has_control(expr) => return Err("control character accepted".to_owned()),
            Err(_) if has_control(expr) => {}
            Ok(list) => expands(&list, &case["expected"])?,
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

fn mangled(case: &Value) -> Result<(), String> {
    let expr = text(case, "expr");
    let kept = || !expr.contains(['[', ']']);
    let as_written = |list: &HostList| kept() && names(list) == [expr];
    if let Ok(list) = compat(expr)
        && !as_written(&list)
    {
        expands(&list, &case["expected"])?;
        if list.is_empty() {
            return Err("lost every host".to_owned());
        }
    }
    match strict(expr) {
        Ok(list) if !as_written(&list) && list.to_slurm() != expr.replace(['[', ']'], "") => {
            Err(format!("Strict reads {list:?}"))
        }
        _ => Ok(()),
    }
}

fn unbounded(case: &Value) -> Result<(), String> {
    match compat(text(case, "expr")) {
        Ok(list) if list.len() == 505_000 => Ok(()),
        Ok(list) => Err(format!("{} names", list.len())),
        Err(_) => Ok(()),
    }
}

#[test]
fn answers_like_slurm() {
    let Some(cases) = corpus() else { return };
    let mut passed: BTreeMap<(String, bool), usize> = BTreeMap::new();
    for case in &cases {
        let class = text(case, "class");
        let result = match class {
            "canonical" => canonical(case),
            "limit" | "malformed" => refused(case),
            "slurm_bug" => lossless(case),
            "tolerated" => tolerated(case),
            "mangled" => mangled(case),
            "unbounded" => unbounded(case),
            other => panic!("class {other}"),
        };
        if let Err(why) = &result {
            eprintln!("{} {class} {}: {why}", case["id"], case["expr"]);
        }
        *passed
            .entry((class.to_owned(), result.is_ok()))
            .or_default() += 1;
    }
    for ((class, ok), count) in &passed {
        eprintln!("{class}: {count} {}", if *ok { "passed" } else { "FAILED" });
    }
    assert!(passed.keys().all(|(_, ok)| *ok));
}

#[test]
fn digests() {
    assert_eq!(
        sha256(b"abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}
