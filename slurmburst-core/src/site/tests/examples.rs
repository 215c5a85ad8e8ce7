//! The site files that we show to people are good ones.

use std::fs;
use std::path::Path;

use super::super::Site;
use super::{context, kinds};

/// Text and name of each; none where the crate stands alone. Those of a cloud are
/// its backend's to read.
fn examples() -> Vec<(String, std::path::PathBuf)> {
    let Ok(entries) = fs::read_dir("../examples/sites") else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .map(|path| (fs::read_to_string(&path).unwrap(), path))
        .filter(|(text, _)| {
            let mut kinds = text.lines().filter_map(|l| l.strip_prefix("kind = "));
            kinds.all(|kind| kind == "\"local\"")
        })
        .collect()
}

#[test]
fn the_example_site_files_are_good() {
    for (text, path) in examples() {
        if let Err(e) = Site::parse(&path, &text, &kinds(), &context()) {
            panic!("{e}");
        }
    }
}

/// A line that is commented out as `#key = value` is one that may be used.
#[test]
fn so_are_they_with_everything_commented_in() {
    for (text, path) in examples() {
        let text: Vec<&str> = text
            .lines()
            .map(|line| match line.trim_start().strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') => rest,
                _ => line,
            })
            .collect();
        if let Err(e) = Site::parse(&path, &text.join("\n"), &kinds(), &context()) {
            panic!("{e}");
        }
    }
}

#[test]
fn so_is_the_one_in_the_reference() {
    let page = Path::new("../docs/site-file.md");
    let Ok(text) = fs::read_to_string(page) else {
        return;
    };
    let mut seen = 0;
    for block in text.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        if block.contains("[[nodes]]") && block.contains("[provider.") {
            seen += 1;
            if let Err(e) = Site::parse(page, block, &kinds(), &context()) {
                panic!("{e}");
            }
        }
    }
    assert!(seen > 0, "{} has no complete example", page.display());
}
