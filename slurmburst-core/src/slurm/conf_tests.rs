use super::*;
use proptest::prelude::*;

fn read(text: &str) -> SlurmConf {
    SlurmConf::from_lines(&conf_text::lines_of(text)).unwrap()
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

const SITE: &str = "
ClusterName=hpc1        # the name
SlurmctldHost=ctl1(10.0.0.5)
SLURMCTLDHOST=ctl2
SlurmUser=slurm
slurmctldparameters=idle_on_node_suspend,Cloud_DNS,power_save_interval=1
PrivateData=cloud,users
ResumeProgram=/usr/local/sbin/slurmburst-resume
SuspendTime=300 ResumeTimeout=600
NodeName=DEFAULT State=UNKNOWN Feature=f1
NodeName=login CPUs=2
NodeName=c[1-100] CPUs=2 State=cloud Features=gpu,f2
NodeName=s1-ib,s2-ib State=CLOUD
NodeSet=gpus Feature=gpu
NodeSet=pair Nodes=s1-ib,s2-ib
PartitionName=all Nodes=ALL
PartitionName=DEFAULT SuspendTimeout=99
PartitionName=slow Nodes=gpus ResumeTimeout=1800
PartitionName=quick Nodes=c[1-5],pair ResumeTimeout=120
PartitionName=never Nodes=c7 ResumeTimeout=INFINITE SuspendTimeout=10
";

#[test]
fn what_matters_is_read() {
    let conf = read(SITE);
    assert_eq!(conf.cluster_name.as_deref(), Some("hpc1"));
    assert_eq!(conf.slurm_user, "slurm");
    let ctl1 = Controller {
        host: "ctl1".into(),
        addr: Some("10.0.0.5".into()),
    };
    assert_eq!(
        conf.controllers,
        [
            ctl1,
            Controller {
                host: "ctl2".into(),
                addr: None
            }
        ]
    );
    assert!(conf.idle_on_node_suspend() && conf.cloud_dns() && !conf.cloud_reg_addrs());
    assert!(conf.has_parameter("power_save_interval") && conf.shows_powered_down());
    assert_eq!(
        conf.resume_program.as_deref(),
        Some("/usr/local/sbin/slurmburst-resume")
    );
    assert_eq!(conf.suspend_time, Some(secs(300)));
    assert_eq!(conf.suspend_program, None);
    assert!(conf.nodes[1].is_cloud() && !conf.nodes[0].is_cloud());
    assert!(conf.has_node(&node("c77")) && !conf.has_node(&node("c101")));
}

#[test]
fn a_node_has_the_largest_timeout_of_its_partitions() {
    let conf = read(SITE);
    assert_eq!(conf.resume_timeout(&node("login")), secs(600));
    assert_eq!(conf.resume_timeout(&node("c1")), secs(1800));
    assert_eq!(conf.resume_timeout(&node("s1-ib")), secs(120));
    assert_eq!(conf.resume_timeout(&node("c7")), INFINITE);
    assert_eq!(conf.suspend_timeout(&node("login")), secs(30));
    assert_eq!(conf.suspend_timeout(&node("c7")), secs(99));
}

#[test]
fn without_anything_slurms_own_defaults_hold() {
    let conf = read("");
    assert_eq!(
        (conf.resume_timeout, conf.suspend_timeout),
        (secs(60), secs(30))
    );
    assert_eq!(conf.slurm_user, "root");
    assert_eq!(conf.suspend_time, None);
    assert_eq!(
        read("ControlMachine=a\nBackupController=b")
            .controllers
            .len(),
        2
    );
}

#[test]
fn errors_say_where() {
    let fail = |text: &str| SlurmConf::from_lines(&conf_text::lines_of(text)).unwrap_err();
    let e = fail("ClusterName=a\nResumeTimeout=soon");
    assert_eq!(
        e.to_string(),
        "slurm.conf:2: ResumeTimeout=soon: give whole seconds or INFINITE"
    );
    let e = fail("NodeName=c[3-1]");
    assert!(e.to_string().starts_with("slurm.conf:1: NodeName: "), "{e}");
}

#[test]
fn files_include_files_beside_slurm_conf() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("conf.d")).unwrap();
    std::fs::write(
        at("slurm.conf"),
        "ClusterName=x1\nInclude conf.d/a.conf\ninclude nodes-%c\n",
    )
    .unwrap();
    std::fs::write(at("conf.d/a.conf"), "Include conf.d/b.conf\n").unwrap();
    std::fs::write(at("conf.d/b.conf"), "ResumeTimeout=7\n").unwrap();
    std::fs::write(at("nodes-x1"), "NodeName=c[1-3] State=CLOUD\n").unwrap();
    let conf = SlurmConf::load(at("slurm.conf")).unwrap();
    assert_eq!(conf.resume_timeout, secs(7));
    assert!(conf.has_node(&node("c3")));

    std::fs::write(at("nodes-x1"), "\nInclude gone.conf\n").unwrap();
    let e = SlurmConf::load(at("slurm.conf")).unwrap_err();
    assert_eq!(
        (e.file.as_path(), e.line),
        (at("nodes-x1").as_path(), Some(2))
    );
    assert!(e.message.contains("gone.conf"), "{e}");

    std::fs::write(at("nodes-x1"), "Include nodes-x1\n").unwrap();
    let e = SlurmConf::load(at("slurm.conf")).unwrap_err();
    assert!(e.message.contains("include itself"), "{e}");
    assert_eq!(SlurmConf::load(at("none.conf")).unwrap_err().line, None);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(
        lines in prop::collection::vec(
            ("(NodeName|PartitionName|NodeSet|SlurmctldHost|ResumeTimeout|x)", "[a-c0-9\\[\\],()A-Z-]{0,12}",
             "( Nodes=[a-c\\[\\]0-9,-]{0,9}| ResumeTimeout=[0-9A-Z]{0,9}|\\PC{0,9})"),
            0..8)
    ) {
        let text: String = lines.iter().map(|(k, v, rest)| format!("{k}={v}{rest}\n")).collect();
        if let Ok(conf) = SlurmConf::from_lines(&conf_text::lines_of(&text)) {
            let _ = conf.resume_timeout(&node("a1"));
        }
    }

    #[test]
    fn timeouts_come_back(general in 1u32..100_000, own in 1u32..100_000) {
        let conf = read(&format!("ResumeTimeout={general}\nPartitionName=p Nodes=a ResumeTimeout={own}"));
        prop_assert_eq!(conf.resume_timeout(&node("a")), secs(own.into()));
        prop_assert_eq!(conf.resume_timeout(&node("b")), secs(general.into()));
    }
}
