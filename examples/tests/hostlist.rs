//! `slurmburst hostlist`, which needs no site.

mod support;

use std::io::Read;
use std::process::Stdio;

use support::{err, out, slurmburst, stdout_of, with_input};

fn hostlist(args: &[&str]) -> String {
    stdout_of(&[&["hostlist"], args].concat())
}

#[test]
fn lists_are_expanded_folded_and_counted() {
    assert_eq!(hostlist(&["expand", "n[8-10],x"]), "n8\nn9\nn10\nx\n");
    assert_eq!(hostlist(&["expand", "a", "b"]), "a\nb\n");
    assert_eq!(hostlist(&["expand", ","]), "");
    assert_eq!(hostlist(&["fold", "n10", "n9", "n8"]), "n[10,9,8]\n");
    assert_eq!(
        hostlist(&["fold", "--sort", "n10,n9,n8,n9"]),
        "n[8-9,9-10]\n"
    );
    assert_eq!(hostlist(&["fold", "--unique", "n10,n9,n8,n9"]), "n[8-10]\n");
    assert_eq!(hostlist(&["fold", "r[1-2]n[1-2]"]), "r1n[1-2],r2n[1-2]\n");
    assert_eq!(
        hostlist(&["fold", "--compact", "r1n[1-2],r2n[1-2]"]),
        "r[1-2]n[1-2]\n"
    );
    assert_eq!(hostlist(&["count", "n[1-100],n1"]), "101\n");
}

#[test]
fn sets_are_compared() {
    assert_eq!(hostlist(&["union", "c[1-2]", "c[2-4]"]), "c[1-4]\n");
    assert_eq!(
        hostlist(&["difference", "c[1-5]", "c2", "c4"]),
        "c[1,3,5]\n"
    );
    assert_eq!(hostlist(&["intersection", "c[1-5]", "c[4-9]"]), "c[4-5]\n");
    assert_eq!(hostlist(&["contains", "c[1-5]", "c2", "c5"]), "yes\n");
    let no = slurmburst(&["hostlist", "contains", "c[1-5]", "c[5-7]"])
        .output()
        .unwrap();
    assert_eq!(
        (no.status.code(), out(&no).as_str()),
        (Some(1), "no: c[6-7]\n")
    );
}

#[test]
fn standard_input_is_a_list() {
    let output = with_input(&["hostlist", "fold", "--unique", "-"], "c2\nc1\n\nc3\n");
    assert_eq!(out(&output), "c[1-3]\n");
    let twice = with_input(&["hostlist", "union", "-", "-"], "c1\n");
    assert_eq!(twice.status.code(), Some(2));
    assert!(err(&twice).contains("only once"), "{}", err(&twice));
}

#[test]
fn what_is_no_list_is_shown_with_its_place() {
    let output = slurmburst(&["hostlist", "expand", "a,n[7-3]"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(out(&output), "");
    let text = err(&output);
    assert!(
        text.contains("| a,n[7-3]\n") && text.contains("^^^"),
        "{text}"
    );
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let mut command = slurmburst(&["hostlist", "expand", "n[1-100000000]"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 3];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((&first, err(&output).as_str()), (b"n1\n", ""));
    assert!(output.status.success());
}

#[test]
fn as_slurm_reads_and_for_which_slurm() {
    // Refused, unless Slurm's reading is asked for.
    for args in [["expand", "n[1-]"], ["count", "n[1, 2]"]] {
        let refused = slurmburst(&[&["hostlist"], &args[..]].concat())
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(2));
    }
    assert_eq!(hostlist(&["expand", "--slurm", "n[1-]"]), "n1\n");
    assert_eq!(hostlist(&["--slurm", "fold", "n[1, 2]"]), "n[1,02]\n");
    assert_eq!(hostlist(&["count", "n[1-65537]"]), "65537\n");
    let refused = slurmburst(&["hostlist", "count", "--slurm", "n[1-65537]"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));

    assert_eq!(hostlist(&["check", "n[1-3]"]), "ok: 3 names\n");
    let newer = ["check", "n[1-3]-ib", "--slurm-version", "23.11.4"];
    assert_eq!(hostlist(&newer), "ok: 3 names, for Slurm 23.11\n");
    let older = slurmburst(&["hostlist", "check", "n[1-3]-ib", "--slurm-version", "22.05"])
        .output()
        .unwrap();
    let said = String::from_utf8(older.stderr).unwrap();
    assert_eq!(older.status.code(), Some(2));
    assert!(said.contains("| n[1-3]-ib\n|       ^^^"), "{said}");
    let version = slurmburst(&["hostlist", "check", "n1", "--slurm-version", "new"])
        .output()
        .unwrap();
    let said = String::from_utf8(version.stderr).unwrap();
    assert!(said.contains("write it like `23.11`"), "{said}");
}
