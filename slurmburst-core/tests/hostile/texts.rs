//! Texts made to hurt, each with a name.

pub(crate) fn hostile() -> Vec<(&'static str, String)> {
    let million = 1_000_000;
    let numbers = |n: usize, step: usize| {
        (0..n)
            .map(|i| (i * step).to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    vec![
        ("range 1-999999999999", "n[1-999999999999]".into()),
        ("range 1-4294967296", "n[1-4294967296]".into()),
        ("range 1-10000000", "n[1-10000000]".into()),
        ("n[[[[", "n[[[[".into()),
        ("1MB of [", "[".repeat(million)),
        ("1MB of n[", "n[".repeat(million / 2)),
        ("1MB of ]", "]".repeat(million)),
        ("1MB of ,", ",".repeat(million)),
        ("1MB of a", "a".repeat(million)),
        ("1MB digits", "1".repeat(million)),
        (
            "1MB digits in bracket",
            format!("n[{}]", "1".repeat(million)),
        ),
        ("width 1MB zeros", format!("n[{}1-9]", "0".repeat(million))),
        (
            "width 100k x 10k hosts",
            format!("n[{}1-9999]", "0".repeat(100_000)),
        ),
        ("dims 1000^3", "n[1-1000][1-1000][1-1000]".into()),
        ("dims 10^9", format!("n{}", "[1-10]".repeat(9))),
        ("dims 2^40", format!("n{}", "[1-2]".repeat(40))),
        ("dims 1^100000", format!("n{}", "[1]".repeat(100_000))),
        (
            "1M ranges in one bracket",
            format!("n[{}]", numbers(150_000, 2)),
        ),
        ("300k comma tokens", "a,b,".repeat(150_000)),
        ("many overlapping", vec!["n[1-60000]"; 60_000].join(",")),
        ("NUL inside", "n[1-3]\0n[4-6]".into()),
        ("u64 max", "n[18446744073709551615]".into()),
        (
            "u64 max range",
            "n[18446744073709551614-18446744073709551615]".into(),
        ),
        ("0-u64max", "n[0-18446744073709551615]".into()),
        ("u64 overflow", "n[18446744073709551616]".into()),
        ("RTL, zero width", "n\u{202e}[1-3]\u{200b}".into()),
        ("newline", "n[1-3]\nm".into()),
        ("shell meta", "n[1-2];$(rm -rf x)".into()),
        ("format", "%s%n[1-2]".into()),
        ("unbalanced close", "n1-3]".into()),
        ("neg", "n[-5--1]".into()),
        ("step huge", "n[1-10/99999999999999999999]".into()),
        ("range 1e6 padded", "n[0000001-1000000]".into()),
        (
            "sort worst",
            format!(
                "n[{}]",
                (0..50_000)
                    .rev()
                    .map(|i| (i * 3).to_string())
                    .collect::<Vec<_>>()
                    .join(",")
            ),
        ),
        (
            "dims 1000^7",
            "n[1-1000][1-1000][1-1000][1-1000][1-1000][1-1000][1-1000]".into(),
        ),
        ("deep names", "a1".repeat(500_000)),
        (
            "names with numbers",
            (0..150_000)
                .map(|i| format!("a{i:04}"))
                .collect::<Vec<_>>()
                .join(","),
        ),
        (
            "suffixes",
            (0..90_000)
                .map(|i| format!("a{i:04}-b"))
                .collect::<Vec<_>>()
                .join(","),
        ),
    ]
}
