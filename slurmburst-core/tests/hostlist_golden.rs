//! What real Slurm answered, recorded: `golden/` beside this file, by `slurmburst-tests --test hostlist golden_set`.

#![allow(clippy::unwrap_used)]

use slurmburst_core::hostlist::{Dialect, HostList, Limits};

const GOLDEN: &str = include_str!("golden/scontrol-24.11.tsv");

#[test]
fn as_scontrol_answered() {
    let cases = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for case in cases {
        let [text, names, folded, sorted] = case.split('\t').collect::<Vec<_>>()[..] else {
            unreachable!("four columns: {case}");
        };
        let strict = HostList::parse_with(text, Dialect::Strict, &Limits::default()).unwrap();
        let compat = HostList::parse_with(text, Dialect::SlurmCompat, &Limits::slurm()).unwrap();
        for list in [strict, compat] {
            let ours: Vec<String> = list.iter().map(String::from).collect();
            assert_eq!(ours.join(","), names, "{text}");
            assert_eq!(list.to_slurm(), folded, "{text}");
            if sorted != "-" {
                assert_eq!(list.sorted().to_slurm(), sorted, "{text}");
            }
        }
        count += 1;
    }
    assert!(count >= 300, "{count} cases");
}
