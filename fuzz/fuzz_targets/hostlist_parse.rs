//! Any bytes: a list or an error with a place, never a panic, never more
//! memory than the text is worth.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slurmburst_core::hostlist::{Dialect, HostList, Limits};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for (dialect, limits) in [
        (Dialect::Strict, Limits::default()),
        (Dialect::SlurmCompat, Limits::default()),
        (Dialect::SlurmCompat, Limits::slurm()),
    ] {
        match HostList::parse_with(text, dialect, &limits) {
            Ok(list) => {
                let _ = (list.len(), list.to_compact());
                let front: Vec<_> = list.iter().take(20).collect();
                let back: Vec<_> = list.iter().rev().take(20).collect();
                for name in front.iter().chain(&back) {
                    assert!(list.contains(name));
                    assert!(name.as_str().len() <= limits.name_bytes);
                }
                assert_eq!(list.iter().nth(7).as_ref(), front.get(7));
                assert_eq!(list.iter().nth_back(7).as_ref(), back.get(7));
            }
            Err(error) => {
                assert!(text.get(error.span()).is_some());
                assert!(text.contains(error.item()));
                let _ = (error.to_string(), error.render());
            }
        }
    }
});
