//! What is printed reads back as the same names in the same order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slurmburst_core::hostlist::{Dialect, HostList, HostSet, Limits, NodeName};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let limits = Limits { brackets_per_item: 64, ..Limits::default() };
    let Ok(list) = HostList::parse_with(text, Dialect::SlurmCompat, &limits) else { return };
    if list.len() > 3000 {
        return;
    }
    let names: Vec<NodeName> = list.iter().collect();
    let read = |text: &str| match HostList::parse_with(text, Dialect::Strict, &limits) {
        Ok(list) => list,
        Err(error) => panic!("{}", error.render()),
    };
    for printed in [list.to_slurm(), list.to_compact()] {
        let again = read(&printed);
        assert!(again.iter().eq(names.iter().cloned()), "{printed}");
        assert_eq!(again, list);
    }
    assert_eq!(HostList::from_iter(names.clone()), list);

    let mut sorted = names.clone();
    sorted.sort();
    assert!(list.sorted().iter().eq(sorted.iter().cloned()));
    sorted.dedup();
    let set = list.to_set();
    assert!(set.iter().eq(sorted.iter().cloned()));
    for printed in [set.to_slurm(), set.to_compact()] {
        assert_eq!(HostSet::from(read(&printed)), set, "{printed}");
    }
});
