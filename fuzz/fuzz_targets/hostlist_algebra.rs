//! Sets do what sets of names do. The input is two lists, one a line.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use slurmburst_core::hostlist::{Dialect, HostList, HostSet, Limits, NodeName};

fn read(text: &str) -> Option<(HostSet, BTreeSet<NodeName>)> {
    let list = HostList::parse_with(text, Dialect::SlurmCompat, &Limits::default()).ok()?;
    (list.len() <= 2000).then(|| (list.to_set(), list.iter().collect()))
}

fn same(set: &HostSet, model: &BTreeSet<NodeName>) {
    assert_eq!(set.len(), model.len() as u64);
    assert!(set.iter().eq(model.iter().cloned()), "{set:?}");
    assert_eq!(*set, HostSet::from_iter(model.iter().rev()));
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    let (Some((x, a)), Some((y, b))) = (read(first), read(second)) else { return };
    same(&(&x | &y), &(&a | &b));
    same(&(&x & &y), &(&a & &b));
    same(&(&x - &y), &(&a - &b));
    same(&(&x ^ &y), &(&a ^ &b));
    assert_eq!(x.is_subset(&y), a.is_subset(&b));
    assert_eq!(x.is_disjoint(&y), a.is_disjoint(&b));
    let mut grown = x.clone();
    let mut shrunk = x.clone();
    for name in b.iter().rev() {
        assert_eq!(x.contains(name), a.contains(name));
        assert_eq!(grown.insert(name.clone()), !a.contains(name));
        assert_eq!(shrunk.remove(name), a.contains(name));
    }
    assert_eq!(grown, &x | &y);
    assert_eq!(shrunk, &x - &y);
});
