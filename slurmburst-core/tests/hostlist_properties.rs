//! What must hold for every list, tried on random ones that collide a lot.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use slurmburst_core::hostlist::{Dialect, HostList, HostSet, Limits, NodeName};

fn name() -> impl Strategy<Value = NodeName> {
    let number = prop_oneof![
        6 => (0u64..13).prop_map(|n| n.to_string()),
        3 => (95u64..103).prop_map(|n| n.to_string()),
        3 => (0u64..13).prop_map(|n| format!("{n:02}")),
        2 => (95u64..103).prop_map(|n| format!("{n:03}")),
        1 => (0u64..3).prop_map(|n| (u64::MAX - n).to_string()),
        1 => (0u64..3).prop_map(|n| format!("1844674407370955161{}", 5 + n)),
        1 => (0u64..3).prop_map(|n| format!("{n:025}")),
    ];
    let text = prop::sample::select(vec!["", "n", "n-", "é", "x1y"]);
    let suffix = prop::sample::select(vec!["", "", "", "", "-ib", ".a", "é"]);
    let with_number = (
        text.clone(),
        prop::collection::vec(number, 1..3),
        text,
        suffix,
    )
        .prop_map(|(a, numbers, b, c)| format!("{a}{}{c}", numbers.join(b)));
    let without = prop::sample::select(vec!["n", "login", "é", "n-"]).prop_map(String::from);
    prop_oneof![8 => with_number, 1 => without].prop_map(|name| NodeName::new(&name).unwrap())
}

fn names() -> impl Strategy<Value = Vec<NodeName>> {
    prop::collection::vec(name(), 0..40)
}

/// A text that is a hostlist more often than not.
fn expression() -> impl Strategy<Value = String> {
    let range = "[0-9]{1,2}(-[0-9]{1,3})?";
    let bracket = prop::collection::vec(range, 1..4).prop_map(|r| format!("[{}]", r.join(",")));
    let piece = prop_oneof![
        3 => bracket,
        2 => "[a-c]{1,2}",
        1 => "[0-9]{1,2}",
        1 => Just("-".to_owned()),
    ];
    let item = prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat());
    prop::collection::vec(item, 0..4).prop_map(|items| items.join(","))
}

/// Anything, near enough to a hostlist to get past the first character.
fn mutated() -> impl Strategy<Value = String> {
    let noise = prop::sample::select(vec![
        "[",
        "]",
        "-",
        ",",
        " ",
        "+",
        "0",
        "\0",
        "é",
        "\u{a0}",
        "\t",
        "18446744073709551616",
        ".",
    ]);
    (expression(), any::<prop::sample::Index>(), noise).prop_map(|(mut text, at, noise)| {
        let mut at = at.index(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.insert_str(at, noise);
        text
    })
}

fn all(list: &HostList) -> Vec<NodeName> {
    list.iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn printed_and_read_is_the_same(names in names()) {
        let list = HostList::from_iter(names.clone());
        prop_assert_eq!(&all(&list), &names);
        for printed in [list.to_slurm(), list.to_compact()] {
            let again: HostList = printed.parse().unwrap();
            prop_assert_eq!(all(&again), names.clone(), "{}", printed);
            prop_assert_eq!(&again, &list);
        }
    }

    #[test]
    fn read_and_printed_is_the_same(text in expression()) {
        if let Ok(list) = text.parse::<HostList>()
            && list.len() < 20_000
        {
            let names = all(&list);
            prop_assert_eq!(names.len() as u64, list.len());
            prop_assert!(names.iter().all(|name| list.contains(name)));
            let by_name = HostList::from_iter(names.clone());
            prop_assert_eq!(&by_name, &list);
            prop_assert_eq!(by_name.to_slurm(), list.to_slurm());
            for printed in [list.to_slurm(), list.to_compact()] {
                prop_assert_eq!(all(&printed.parse().unwrap()), names.clone(), "{}", printed);
            }
            let mut expected = names;
            expected.sort();
            prop_assert_eq!(all(&list.sorted()), expected);
        }
    }

    #[test]
    fn iterates_from_both_ends(text in expression(), steps in prop::collection::vec((any::<bool>(), 0usize..9), 0..60)) {
        if let Ok(list) = text.parse::<HostList>()
            && list.len() < 20_000
        {
            let mut expected = all(&list).into_iter();
            let mut got = list.iter();
            for (front, n) in steps {
                prop_assert_eq!(got.size_hint(), expected.size_hint());
                if front {
                    prop_assert_eq!(got.nth(n), expected.nth(n));
                } else {
                    prop_assert_eq!(got.nth_back(n), expected.nth_back(n));
                }
            }
            prop_assert!(got.eq(expected));
        }
    }

    #[test]
    fn sets_are_sets(a in names(), b in names(), probe in name()) {
        let (x, y) = (HostSet::from_iter(a.clone()), HostSet::from_iter(b.clone()));
        let (a, b) = (BTreeSet::from_iter(a), BTreeSet::from_iter(b));
        let same = |set: &HostSet, model: BTreeSet<NodeName>| {
            set.iter().eq(model.iter().cloned())
                && set.iter().rev().eq(model.iter().rev().cloned())
                && set.len() == model.len() as u64
                && set == &HostSet::from_iter(model.into_iter().rev())
                && set.to_slurm().parse::<HostSet>().as_ref() == Ok(set)
                && set.to_compact().parse::<HostSet>().as_ref() == Ok(set)
                && set.to_list().to_set() == *set
        };
        prop_assert!(same(&x, a.clone()), "{:?}", x);
        prop_assert!(same(&(&x | &y), &a | &b));
        prop_assert!(same(&(&x & &y), &a & &b));
        prop_assert!(same(&(&x - &y), &a - &b));
        prop_assert!(same(&(&x ^ &y), &a ^ &b));
        prop_assert_eq!(x.is_subset(&y), a.is_subset(&b));
        prop_assert_eq!(x.is_disjoint(&y), a.is_disjoint(&b));
        prop_assert!((&x & &y).is_subset(&x) && x.is_superset(&(&x - &y)));
        prop_assert_eq!(x.contains(&probe), a.contains(&probe));
        let (mut set, mut model) = (x, a);
        for name in &b {
            prop_assert_eq!(set.insert(name.clone()), model.insert(name.clone()));
        }
        prop_assert_eq!(set.insert(probe.clone()), model.insert(probe.clone()));
        for name in b.iter().step_by(2) {
            prop_assert_eq!(set.remove(name), model.remove(name));
        }
        prop_assert!(same(&set, model));
    }

    #[test]
    fn order_is_total(mut names in names()) {
        names.sort();
        for (at, a) in names.iter().enumerate() {
            for b in &names[at..] {
                prop_assert!(a <= b && (a == b) == (a.cmp(b) == std::cmp::Ordering::Equal));
            }
        }
    }

    #[test]
    fn no_text_panics(text in prop_oneof![mutated(), expression(), ".{0,40}", "[\\[\\]n0-9, +-]{0,30}"]) {
        for (dialect, limits) in [
            (Dialect::Strict, Limits::default()),
            (Dialect::SlurmCompat, Limits::slurm()),
        ] {
            match HostList::parse_with(&text, dialect, &limits) {
                Ok(list) => {
                    let shown = format!("{list:?}");
                    prop_assert!(!shown.is_empty());
                    prop_assert_eq!(list.iter().take(50).count() as u64, list.len().min(50));
                }
                Err(error) => {
                    let span = error.span();
                    prop_assert!(text.get(span).is_some(), "{:?}", error);
                    prop_assert!(text.contains(error.item()));
                    prop_assert!(error.render().len() < 2000);
                }
            }
        }
    }

    #[test]
    fn strict_reads_nothing_that_compat_does_not(text in prop_oneof![mutated(), expression()]) {
        if let Ok(list) = HostList::parse_with(&text, Dialect::Strict, &Limits::slurm()) {
            let compat = HostList::parse_with(&text, Dialect::SlurmCompat, &Limits::slurm());
            prop_assert_eq!(compat.unwrap(), list);
        }
    }
}
