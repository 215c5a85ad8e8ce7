use super::*;
use proptest::prelude::*;

const OLD: &str = "NodeName=c1 Arch=x86_64 CoresPerSocket=2  CPUAlloc=0 CPUEfctv=2 CPUTot=2 \
CPULoad=6.17 AvailableFeatures=f1,f2 ActiveFeatures=f1,f2 Gres=(null) NodeAddr=127.0.0.1 \
NodeHostName=h1 Port=54103 Version=22.05.8 OS=Linux 6.1 #1 SMP PREEMPT_DYNAMIC @0  RealMemory=1000 \
Boards=1 State=DOWN+CLOUD+POWERED_DOWN ThreadsPerCore=1 Partitions=cloud  \
BootTime=2026-11-23T03:14:48 SlurmdStartTime=2026-11-23T03:14:49 LastBusyTime=Unknown \
CfgTRES=cpu=2,mem=1000M,billing=2 AllocTRES= ExtSensorsTemp=n/s ";

fn read(free: &str) -> SlurmNode {
    node_line(&format!("{OLD}{free}")).unwrap().1
}

fn text_of(node: &SlurmNode) -> &str {
    node.reason.as_ref().map_or("", |r| &r.text)
}

#[test]
fn a_line_is_read() {
    let (name, node) = node_line(OLD).unwrap();
    assert_eq!(name.as_str(), "c1");
    assert_eq!(node.state.to_string(), "DOWN+CLOUD+POWERED_DOWN");
    assert_eq!(node.addr.as_deref(), Some("127.0.0.1"));
    assert_eq!(node.hostname.as_deref(), Some("h1"));
    assert_eq!(node.boot_ms, Some(1_795_403_688_000));
    assert_eq!(node.slurmd_start_ms, Some(1_795_403_689_000));
    assert_eq!((node.last_busy_ms, &node.reason), (None, &None));
}

#[test]
fn a_reason_may_have_anything_in_it() {
    let node = read(
        "Reason=slurmburst: capacity X=1 State=IDLE [a@b] \"q\" until now [slurm@2026-11-23T03:15:15]",
    );
    assert_eq!(
        text_of(&node),
        "slurmburst: capacity X=1 State=IDLE [a@b] \"q\" until now"
    );
    let reason = node.reason.as_ref().unwrap();
    assert_eq!(reason.by.as_deref(), Some("slurm"));
    assert_eq!(reason.at_ms, Some(1_795_403_715_000));
    assert!(node.state.is_down());
    // As real Slurms print them.
    let node = read(
        "Reason=a Comment=q b [root@2026-11-23T05:33:19] Comment=my Reason=z State=IDLE Extra=e f Reason=y",
    );
    assert_eq!(text_of(&node), "a Comment=q b");
    let node = read("Reason=one [root@2026-11-23T05:33:19]        NodeName=two State=IDLE");
    assert_eq!(text_of(&node), "one");
    assert_eq!(
        text_of(&read(
            "Reason=POWER_DOWN_ASAP [4294967294@2026-11-23T03:15:16]"
        )),
        "POWER_DOWN_ASAP"
    );
    assert_eq!(text_of(&read("Reason=no stamp Comment=x")), "no stamp");
    assert_eq!(read("Comment=my Reason=z State=IDLE Extra=e").reason, None);
}

#[test]
fn an_answer_is_nodes_and_remarks() {
    let answer = shown(&format!("Node b9 not found\n{OLD}\n\n")).unwrap();
    assert_eq!(
        (answer.nodes.len(), answer.not_found),
        (1, vec!["b9".to_owned()])
    );
    assert!(shown("No nodes in the system\n").unwrap().said_no_nodes);
    assert_eq!(shown("").unwrap(), Shown::default());
    for bad in [
        "hello",
        "NodeName= State=IDLE",
        "NodeName=c1 Port=1",
        "State=IDLE NodeName=c1",
    ] {
        let error = shown(bad).unwrap_err();
        assert_eq!(error.kind(), SlurmErrorKind::Garbage, "{bad}");
        assert!(error.to_string().contains(bad), "{error}");
    }
}

#[test]
fn the_acting_controller_is_the_first_that_is_up() {
    let up = |role: &str, host: &str, is_this_host| {
        Ok(Acting {
            role: role.into(),
            host: host.into(),
            is_this_host,
        })
    };
    assert_eq!(
        ping("Slurmctld(primary) at vm is UP\n", "vm"),
        up("primary", "vm", true)
    );
    assert_eq!(
        ping("Slurmctld(primary) at vm is UP\n", "vm.a.org"),
        up("primary", "vm", true)
    );
    assert_eq!(
        ping("Slurmctld(primary) at VM.a.org is UP", "vm"),
        up("primary", "VM.a.org", true)
    );
    let other = ping("Slurmctld(primary) at vm.b.org is UP", "vm.a.org").unwrap();
    assert!(!other.is_this_host);
    assert_eq!(
        ping("Slurmctld(primary) at localhost is UP", "vm"),
        up("primary", "localhost", true)
    );
    let loopback = ping("Slurmctld(primary) at 127.0.0.1 is UP", "vm").unwrap();
    assert!(loopback.is_this_host);
    let two = |a: &str, b: &str| {
        ping(
            &format!("Slurmctld(primary) at c1 is {a}\nSlurmctld(backup) at c2 is {b}\n"),
            "c2",
        )
    };
    assert_eq!(two("UP", "UP"), up("primary", "c1", false));
    assert_eq!(two("DOWN", "UP"), up("backup", "c2", true));
    let error = two("DOWN", "DOWN").unwrap_err();
    assert_eq!(error.kind(), SlurmErrorKind::Unreachable);
    assert!(
        error.message().contains("c1 (primary), c2 (backup)"),
        "{error}"
    );
    let stars = "*****\n** RESTORE SLURMCTLD DAEMON TO SERVICE **\n*****\n";
    assert_eq!(
        ping(stars, "c2").unwrap_err().kind(),
        SlurmErrorKind::Garbage
    );
}

#[test]
fn versions_are_read_and_compared() {
    let v = |text: &str| version(text).unwrap();
    assert_eq!(v("slurm-wlm 22.05.8\n").to_string(), "22.05.8");
    assert_eq!(v("slurm 24.11.0-0rc1").patch, 0);
    assert!(v("slurm 26.05.5") > v("slurm 24.11.5"));
    assert_eq!(
        version("bash: scontrol").unwrap_err().kind(),
        SlurmErrorKind::Garbage
    );
}

#[test]
fn every_sample_is_read() {
    let Some(samples) = crate::slurm::samples::samples("states_") else {
        return;
    };
    let mut read = 0;
    for path in samples
        .iter()
        .filter(|p| p.to_string_lossy().ends_with(".scontrol_node_o.txt"))
    {
        let text = std::fs::read_to_string(path).unwrap();
        let answer = shown(&text).unwrap();
        assert_eq!(answer.nodes.len(), 3, "{}", path.display());
        for node in answer.nodes.values() {
            assert!(node.state.is_cloud() && node.addr.is_some() && node.hostname.is_some());
            assert!(!node.state.to_string().contains(' '));
        }
        let c1 = &answer.nodes[&NodeName::new("c1").unwrap()];
        let c2 = &answer.nodes[&NodeName::new("c2").unwrap()];
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        match file.as_bytes()[0] {
            b'1' => assert_eq!(c1.state.to_string(), "IDLE+CLOUD"),
            b'2' => assert!(c1.state.is_powering_down()),
            b'3' => assert!(c1.state.is_powering_up() && c1.state.is_allocated_or_mixed()),
            _ => {
                assert!(c2.state.is_drain() && c2.state.is_power_down_requested());
                assert_eq!(text_of(c2), "POWER_DOWN_ASAP");
            }
        }
        read += 1;
    }
    assert!(read >= 12, "{read} samples");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(\\PC|\n){0,120}") {
        let _ = shown(&text);
        let _ = ping(&text, "host");
        let _ = version(&text);
    }

    #[test]
    fn nearly_right_lines_are_read_or_refused(
        words in prop::collection::vec(
            ("(NodeName|State|Reason|Comment|BootTime|x| )", "[=\\[\\]@ a-z0-9T:é-]{0,12}"), 0..8)
    ) {
        let line: Vec<_> = words.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let _ = node_line(&line.join(" "));
    }

    #[test]
    fn a_reason_comes_back(text in "[!-~]([ -~]{0,60}[!-~])?") {
        prop_assume!(!text.contains("T0"));
        let node = read(&format!("Reason={text} [slurm@2026-11-23T03:15:15]"));
        prop_assert_eq!(text_of(&node), text);
    }
}
