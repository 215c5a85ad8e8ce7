//! With scripts in scontrol's place.

use super::super::plan::BATCH_BYTES;
use super::*;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

/// A script that stands in for scontrol, and writes down how it was called.
struct Fake {
    dir: tempfile::TempDir,
}

impl Fake {
    fn new(script: &str) -> Fake {
        let fake = Fake {
            dir: tempfile::tempdir().unwrap(),
        };
        let log = fake.dir.path().join("log");
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = --trial ] && exit 0\necho \"$*\" >> {}\n{script}\n",
            log.display()
        );
        std::fs::write(fake.path(), text).unwrap();
        std::fs::set_permissions(fake.path(), PermissionsExt::from_mode(0o755)).unwrap();
        // Another test may be about to exec with our file still open for writing.
        while std::process::Command::new(fake.path())
            .arg("--trial")
            .status()
            .is_err()
        {
            std::thread::sleep(Duration::from_millis(10));
        }
        fake
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("scontrol")
    }

    fn scontrol(&self) -> Scontrol {
        Scontrol::new(self.path(), "/etc/slurm/slurm.conf".into()).host("ctl1.example.org")
    }

    fn calls(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

fn names(prefix: &str, count: usize) -> Vec<NodeName> {
    (1..=count)
        .map(|n| NodeName::new(&format!("{prefix}{n}")).unwrap())
        .collect()
}

const UP: &str = "State=IDLE+CLOUD BootTime=None";

#[tokio::test]
async fn all_nodes_are_asked_for_and_read() {
    let fake = Fake::new(&format!("echo 'NodeName=c1 {UP}'; echo 'NodeName=c2 {UP}'"));
    let nodes = fake.scontrol().nodes(Which::All).await.unwrap();
    assert_eq!(nodes.len(), 2);
    assert_eq!(fake.calls(), ["-o -- show node"]);
}

#[tokio::test]
async fn nothing_but_slurm_conf_is_in_the_environment() {
    let fake = Fake::new("/usr/bin/env | /usr/bin/tr '\\n' ' ' >&2; exit 1");
    let error = fake.scontrol().version().await.unwrap_err().to_string();
    assert!(
        error.contains("SLURM_CONF=/etc/slurm/slurm.conf") && error.contains("TZ=UTC0"),
        "{error}"
    );
    assert!(
        !error.contains("HOME=") && !error.contains("CARGO"),
        "{error}"
    );
}

#[tokio::test]
async fn a_node_that_is_not_found_is_absent_and_the_others_are_there() {
    let fake = Fake::new(&format!(
        "echo 'Node c2 not found'; echo 'NodeName=c1 {UP}'; exit 1"
    ));
    let nodes = fake
        .scontrol()
        .nodes(Which::Some(&names("c", 2)))
        .await
        .unwrap();
    assert_eq!(
        nodes.keys().map(NodeName::as_str).collect::<Vec<_>>(),
        ["c1"]
    );
    let error = fake
        .scontrol()
        .nodes(Which::Some(&names("c", 3)))
        .await
        .unwrap_err();
    assert!(error.message().contains("says nothing of c3"), "{error}");
}

#[tokio::test]
async fn no_answer_is_never_an_empty_cluster() {
    for (script, kind) in [
        ("echo 'No nodes in the system'", SlurmErrorKind::Empty),
        ("", SlurmErrorKind::Empty),
        ("echo what", SlurmErrorKind::Garbage),
        ("printf '\\377'", SlurmErrorKind::Garbage),
        ("echo 'Node c1 not found'; exit 1", SlurmErrorKind::Refused),
        ("exit 3", SlurmErrorKind::Refused),
        ("kill -9 $$", SlurmErrorKind::Refused),
        (
            "echo 'slurm_load_node error: Unable to contact slurm controller (connect failure)' >&2; exit 1",
            SlurmErrorKind::Unreachable,
        ),
    ] {
        let fake = Fake::new(script);
        let error = fake.scontrol().nodes(Which::All).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{script}: {error}");
    }
    let none = Scontrol::new("/no/such/scontrol".into(), "/x".into());
    assert_eq!(
        none.nodes(Which::All).await.unwrap_err().kind(),
        SlurmErrorKind::NotRunnable
    );
    let relative = Scontrol::new("scontrol".into(), "/x".into());
    assert_eq!(
        relative.ping().await.unwrap_err().kind(),
        SlurmErrorKind::NotRunnable
    );
}

#[tokio::test]
async fn what_hangs_is_killed_and_what_floods_is_cut() {
    let fake = Fake::new("echo $$ >> $0.pid; exec /bin/sleep 60");
    let started = Instant::now();
    let scontrol = fake.scontrol().time_limit(Duration::from_millis(300));
    let error = scontrol.nodes(Which::All).await.unwrap_err();
    assert_eq!(error.kind(), SlurmErrorKind::Timeout, "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
    let pid = std::fs::read_to_string(fake.dir.path().join("scontrol.pid")).unwrap();
    assert!(
        !std::path::Path::new("/proc").join(pid.trim()).exists(),
        "it is left running"
    );

    let fake = Fake::new("exec /bin/cat /dev/zero");
    let error = fake.scontrol().nodes(Which::All).await.unwrap_err();
    assert_eq!(error.kind(), SlurmErrorKind::TooLong, "{error}");
    // A full pipe of complaints does not stop the answer.
    let fake = Fake::new(&format!(
        "/usr/bin/head -c 1000000 /dev/zero >&2; echo 'NodeName=c1 {UP}'"
    ));
    assert_eq!(fake.scontrol().nodes(Which::All).await.unwrap().len(), 1);
}

#[tokio::test]
async fn many_nodes_are_asked_for_at_once() {
    let fake = Fake::new(&format!("echo 'NodeName=c1 {UP}'; echo 'NodeName=d1 {UP}'"));
    let nodes = fake
        .scontrol()
        .nodes(Which::Some(&names("c", 301)))
        .await
        .unwrap();
    assert_eq!(nodes.len(), 1);
    assert_eq!(fake.calls(), ["-o -- show node"]);
    assert!(
        fake.scontrol()
            .nodes(Which::Some(&[]))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test]
async fn updates_go_in_batches_of_a_hundred() {
    let fake = Fake::new("");
    let reason = "slurmburst: a\nb".to_owned();
    let updates = fake
        .scontrol()
        .update(&names("c", 250), &Change::Down { reason })
        .await;
    assert_eq!(
        updates
            .iter()
            .map(|(nodes, _)| nodes.len())
            .collect::<Vec<_>>(),
        [100, 100, 50]
    );
    assert!(updates.iter().all(|(_, result)| result.is_ok()));
    let calls = fake.calls();
    assert_eq!(
        calls[0],
        "-- update nodename=c[1-100] state=down reason=slurmburst: a b"
    );
    assert_eq!(calls.len(), 3);
    fake.scontrol()
        .update(&names("s", 1), &Change::PowerDownForce)
        .await;
    assert_eq!(
        fake.calls()[3],
        "-- update nodename=s1 state=power_down_force"
    );
}

#[tokio::test]
async fn a_node_that_slurm_does_not_know_does_not_stop_the_others() {
    let script = format!(
        "case \"$*\" in\n\
         *show*) echo 'Node c1 not found'; echo 'NodeName=c2 {UP}'; echo 'NodeName=c3 {UP}'; exit 1;;\n\
         *c?1-3*) echo 'slurm_update error: Invalid node name specified' >&2; exit 1;;\n\
         esac"
    );
    let fake = Fake::new(&script);
    let addresses = ["1.0.0.1", "1.0.0.2", "1.0.0.3"]
        .map(str::to_owned)
        .to_vec();
    let updates = fake
        .scontrol()
        .update(&names("c", 3), &Change::Addresses(addresses))
        .await;
    assert_eq!(updates.len(), 2);
    assert_eq!(updates[0].0, names("c", 1));
    let error = updates[0].1.as_ref().unwrap_err();
    assert_eq!(error.kind(), SlurmErrorKind::NoSuchNode, "{error}");
    assert_eq!(updates[1].0, names("c", 3)[1..]);
    assert!(updates[1].1.is_ok());
    assert_eq!(
        fake.calls()[2],
        "-- update nodename=c[2-3] nodeaddr=1.0.0.2,1.0.0.3"
    );
}

#[tokio::test]
async fn what_would_do_something_else_is_not_sent() {
    let fake = Fake::new("");
    let scontrol = fake.scontrol();
    let all = [NodeName::new("all").unwrap()];
    let c = names("c", 1);
    for (nodes, change) in [
        (&all[..], Change::PowerDownForce),
        (&c, Change::Addresses(vec![])),
        (&c, Change::Addresses(vec!["1.2.3.4,c2".into()])),
        (&c, Change::Addresses(vec!["".into()])),
        (
            &c,
            Change::Down {
                reason: "\n".into(),
            },
        ),
    ] {
        let updates = scontrol.update(nodes, &change).await;
        assert_eq!(updates.len(), 1);
        assert_eq!(
            updates[0].1.as_ref().unwrap_err().kind(),
            SlurmErrorKind::Invalid
        );
    }
    assert!(scontrol.nodes(Which::Some(&all)).await.is_err());
    assert!(scontrol.update(&[], &Change::Resume).await.is_empty());
    assert!(fake.calls().is_empty());
}

#[tokio::test]
async fn ping_and_version() {
    let fake = Fake::new(
        "case $1 in ping) echo 'Slurmctld(primary) at ctl1 is UP';; *) echo slurm 24.11.5;; esac",
    );
    assert!(fake.scontrol().ping().await.unwrap().is_this_host);
    assert_eq!(
        fake.scontrol().version().await.unwrap().to_string(),
        "24.11.5"
    );
    let fake = Fake::new("echo 'Slurmctld(primary) at ctl1 is DOWN'; exit 1");
    let error = fake.scontrol().ping().await.unwrap_err();
    assert_eq!(error.kind(), SlurmErrorKind::Unreachable, "{error}");
}

#[test]
fn batches_are_small_enough_for_argv() {
    let long: Vec<_> = (0..1000)
        .map(|n| NodeName::new(&format!("{}-{n}-ib", "n".repeat(240))).unwrap())
        .collect();
    let cut = batches(&long, |_| 2000);
    assert_eq!(cut.iter().map(|b| b.len()).sum::<usize>(), 1000);
    assert!(
        cut.iter()
            .all(|b| b.len() <= BATCH_BYTES / 2240 && !b.is_empty())
    );
    assert_eq!(batches(&long, |_| 200_000).len(), 1000);
    assert!(batches(&[], |_| 0).is_empty());
}
