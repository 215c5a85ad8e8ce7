//! Each rule of the site file, with its whole message.

use std::path::Path;
use std::time::Duration;

use super::super::{CoolOff, SetNodeAddr, Site, SiteContext, UnknownNodes};
use super::{LEAST, WHOLE, error, kinds, parse, with};
use crate::config::ConfigError;
use crate::hostlist::NodeName;
use crate::provider::{DownMode, Lifecycle, Market};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

#[test]
fn the_least_file_has_all_defaults() {
    let site = parse(LEAST).unwrap();
    assert_eq!(
        (site.cluster.as_str(), site.cluster_id.as_str()),
        ("hpc1", "hpc1")
    );
    assert_eq!(site.file, Path::new("s.toml"));
    assert_eq!(site.state_dir, Path::new("/var/lib/slurmburst"));
    assert_eq!(site.log_file, Path::new("/var/log/slurm/power_save.log"));
    assert_eq!((site.return_after, site.orphan_grace), (secs(1), secs(90)));
    assert_eq!(site.max_power_ups_per_hour, 6);
    assert_eq!(site.unknown_nodes, UnknownNodes::Refuse);
    assert_eq!(
        site.cool_off,
        CoolOff {
            capacity: secs(300),
            failure: secs(600)
        }
    );
    assert_eq!(site.slurm.conf, Path::new("/conf/slurm.conf"));
    assert_eq!(site.slurm.scontrol, Path::new("/usr/bin/scontrol"));
    assert_eq!(
        (site.slurm.set_node_addr, site.slurm.timeout),
        (SetNodeAddr::Auto, secs(10))
    );
    assert_eq!(site.nodes().to_string(), "c[1-3]");
    let group = site.group_of(&node("c2")).unwrap();
    assert_eq!(group.lifecycle, Lifecycle::CreateDelete);
    assert_eq!(group.placements[0].name, "here");
    assert!(site.group_of(&node("c4")).is_none());
    assert_eq!(site.margin(secs(30)), secs(3));
    assert_eq!(site.margin(secs(3600)), secs(5));
    let around = &site
        .provider("here")
        .unwrap()
        .provider
        .capabilities()
        .principal;
    assert_eq!(around, "here hpc1 /conf/slurm.conf /var/lib/slurmburst");
}

#[test]
fn every_key_is_read() {
    let site = parse(WHOLE).unwrap();
    assert_eq!(
        (site.cluster.as_str(), site.cluster_id.as_str()),
        ("Uni", "uni-7f3a9c")
    );
    assert_eq!(
        (site.state_dir.as_path(), site.log_file.as_path()),
        ("/state".as_ref(), "/log".as_ref())
    );
    assert_eq!((site.return_after, site.orphan_grace), (secs(3), secs(90)));
    assert_eq!(
        (site.max_power_ups_per_hour, site.unknown_nodes),
        (0, UnknownNodes::Ignore)
    );
    assert_eq!(
        site.cool_off,
        CoolOff {
            capacity: secs(60),
            failure: secs(120)
        }
    );
    assert_eq!(site.slurm.conf, Path::new("/slurm.conf"));
    assert_eq!(
        (site.slurm.set_node_addr, site.slurm.timeout),
        (SetNodeAddr::Never, secs(4))
    );
    assert_eq!(
        (site.margin(secs(100)), site.margin(secs(4))),
        (secs(3), secs(2))
    );
    // In the order of the file, not of the alphabet.
    assert_eq!(
        site.providers
            .iter()
            .map(|p| p.name.as_str())
            .collect::<Vec<_>>(),
        ["z", "a"]
    );
    assert_eq!(site.providers[1].kind, "tagged");
    assert!(!site.providers[1].config.has("kind"));
    let names: Vec<Vec<&str>> = site
        .policy
        .groups()
        .iter()
        .map(|g| g.placements.iter().map(|p| p.name.as_str()).collect())
        .collect();
    assert_eq!(names, [vec!["a/s1/2/spot", "big", "z"], vec!["z#2"]]);
    let first = site.placement("a/s1/2/spot").unwrap();
    assert_eq!(first.template.market, Market::Spot);
    assert_eq!(first.template.body["image"], "i1");
    let big = site.placement("big").unwrap();
    assert_eq!(
        (big.template.size.as_deref(), &big.template.body["image"]),
        (Some("s2"), &"i1".into())
    );
    let group = site.group_of(&node("e1")).unwrap();
    assert_eq!(group.lifecycle.down_mode(), DownMode::Deallocate);
    // Nothing of the text is shown.
    assert!(!format!("{site:?}").contains("/run/x"));
}

#[test]
fn syntax() {
    for (text, message) in [
        (
            "a = \"x\n",
            "s.toml:1:7: not valid TOML: invalid basic string, expected `\"`",
        ),
        (
            "cluster = \"a\"\nhostlist = c[1-3]\n",
            "s.toml:2:12: not valid TOML: a string needs quotes, as in key = \"value\"",
        ),
        (
            "cluster = \"ä\"\ncluster = \"b\"\n",
            "s.toml:2:1: `cluster` is there twice; take one of them out",
        ),
        (
            "[slurm\n",
            "s.toml:1:7: not valid TOML: unclosed table, expected `]`",
        ),
        (
            "[slurm]\n[slurm]\n",
            "s.toml:2:2: `slurm` is there twice; take one of them out",
        ),
        (
            "max_power_ups_per_hour = 99999999999999999999",
            "s.toml:1:26: max_power_ups_per_hour: is too large a number; 64 bits must hold it",
        ),
        (
            "[slurm]\ntimeout = nan",
            "s.toml:2:11: slurm.timeout: must be a finite number",
        ),
    ] {
        assert_eq!(error(text), message, "{text}");
    }
    let deep = format!("cluster = {}1{}", "[".repeat(60), "]".repeat(60));
    assert_eq!(error(&deep), "s.toml:1:43: cluster: is nested too deeply");
}

#[test]
fn the_deepest_tables_do_not_exhaust_the_stack() {
    let key = format!("{}a", "a.".repeat(78));
    let text = format!("{}1{}", format!("{{{key}=").repeat(79), "}".repeat(79));
    let message = error(&format!("[{key}]\n{key}={text}\n"));
    assert!(message.ends_with("is nested too deeply"), "{message}");
}

#[test]
fn keys_at_the_top() {
    for (top, message) in [
        (
            "cluster_di = \"a\"",
            "s.toml:1:1: cluster_di: unknown key; did you mean `cluster_id`?",
        ),
        (
            "[local]",
            "s.toml:1:2: local: a kind of provider is no section; write [provider.NAME] with kind = \"local\"",
        ),
        (
            "cluster = \"my cluster\"",
            "s.toml:1:11: cluster: must be 1 to 64 characters without spaces, is \"my cluster\"",
        ),
        (
            "cluster_id = \"Hpc\"",
            "s.toml:1:14: cluster_id: must be 1 to 63 of a-z, 0-9 and -, the first a letter, is \"Hpc\"",
        ),
        (
            "cluster_id = \"\"",
            "s.toml:1:14: cluster_id: must be 1 to 63 of a-z, 0-9 and -, the first a letter, is \"\"",
        ),
        (
            "state_dir = \"lib\"",
            "s.toml:1:13: state_dir: must be an absolute path, is \"lib\"",
        ),
        (
            "log_file = 1",
            "s.toml:1:12: log_file: must be a string, is a whole number",
        ),
        (
            "return_after = \"2\"",
            "s.toml:1:16: return_after: must be a length of time such as \"2s\", \"500ms\", \"1m30s\" or \"1h\", is \"2\"",
        ),
        (
            "orphan_grace = \"366d\"",
            "s.toml:1:16: orphan_grace: must be at most \"365d\"",
        ),
        (
            "max_power_ups_per_hour = -1",
            "s.toml:1:26: max_power_ups_per_hour: must be between 0 and 4294967295, is -1",
        ),
        (
            "unknown_nodes = \"refused\"",
            "s.toml:1:17: unknown_nodes: must be one of \"refuse\", \"ignore\", is \"refused\"; did you mean \"refuse\"?",
        ),
        (
            "slurm = 1",
            "s.toml:1:9: slurm: must be a table, is a whole number",
        ),
        (
            "[slurm]\nscontroll = \"/x\"",
            "s.toml:2:1: slurm.scontroll: unknown key; did you mean `scontrol`?",
        ),
        (
            "[slurm]\nstate_dir = \"/x\"",
            "s.toml:2:1: slurm.state_dir: belongs to the top of the file, above the first line in brackets; move it there",
        ),
        (
            "[slurm]\ntimeout = \"0s\"",
            "s.toml:2:11: slurm.timeout: must be at least \"100ms\"",
        ),
        (
            "[cool_off]\ncapacity = 5",
            "s.toml:2:12: cool_off.capacity: must be a string, is a whole number",
        ),
    ] {
        assert_eq!(error(&with(top)), message);
    }
}

#[test]
fn the_cluster_needs_a_name() {
    let ctx = SiteContext::default();
    let parse = |text: &str| Site::parse(Path::new("s.toml"), text, &kinds(), &ctx);
    let e = parse(LEAST).unwrap_err();
    assert_eq!(
        e.to_string(),
        "s.toml:1:1: cluster: is required here, because no ClusterName was found in slurm.conf; add cluster = \"NAME\""
    );
    let site = parse(&with("cluster = \"2nd_Site\"")).unwrap();
    assert_eq!(site.cluster_id, "c-2nd-site");
    assert_eq!(site.slurm.conf, Path::new("/etc/slurm/slurm.conf"));
}

#[test]
fn providers() {
    let nodes = "[[nodes]]\nhostlist = \"c1\"\n[[nodes.placement]]\nprovider = \"here\"\n";
    for (text, message) in [
        (
            "",
            "s.toml:1:1: provider: is required: add a [provider.NAME] with its kind",
        ),
        (
            "[provider]\n",
            "s.toml:1:1: provider: has no entry: add a [provider.NAME] with its kind",
        ),
        (
            "[provider.here]\n",
            "s.toml:1:1: provider.here.kind: is required",
        ),
        (
            "[provider.\"a b\"]\nkind = \"local\"\n",
            "s.toml:1:11: provider.a b: a provider's name must be 1 to 63 of A-Z, a-z, 0-9, _ and -; rename it",
        ),
        (
            "provider.here = 1\n",
            "s.toml:1:17: provider.here: must be a table, is a whole number",
        ),
        (
            "[provider.here]\nkind = \"loca\"\n",
            "s.toml:2:8: provider.here.kind: unknown kind \"loca\"; did you mean \"local\"? this build has: local, tagged",
        ),
        (
            "[provider.here]\nkind = \"cloud9\"\n",
            "s.toml:2:8: provider.here.kind: unknown kind \"cloud9\"; this build has: local, tagged; another needs a build with its feature",
        ),
        (
            "[provider.here]\nkind = \"elsewhere\"\n",
            "s.toml:2:8: provider.here.kind: kind \"elsewhere\" was left out of this build; build it with the feature `elsewhere`; this build has: local, tagged",
        ),
        (
            "[provider.here]\nkind = \"local\"\nslurmdd = \"/x\"\n",
            "s.toml:3:1: provider.here.slurmdd: unknown key; did you mean `slurmd`?",
        ),
        (
            "[provider.here]\nkind = \"tagged\"\n",
            "s.toml:1:1: cluster_id: is required, because provider \"here\" (kind \"tagged\") tags what it makes with it; `slurmburst init` makes one; never change it while nodes are up",
        ),
    ] {
        assert_eq!(error(&format!("{text}{nodes}")), message);
    }
}

#[test]
fn groups_of_nodes() {
    let rung = "[[nodes.placement]]\nprovider = \"here\"\n";
    let text = |text: &str| {
        error(&format!(
            "provider.here.kind = \"local\"\n{}",
            text.replace("RUNG", rung)
        ))
    };
    for (nodes, message) in [
        (
            "",
            "s.toml:1:1: nodes: is required: add a [[nodes]] with its hostlist and a [[nodes.placement]]",
        ),
        (
            "[nodes]\n",
            "s.toml:2:1: nodes: must be a list of tables, is a table",
        ),
        ("[[nodes]]\nRUNG", "s.toml:2:1: nodes.hostlist: is required"),
        (
            "[[nodes]]\nhostlst = \"c1\"\nRUNG",
            "s.toml:3:1: nodes.hostlst: unknown key; did you mean `hostlist`?",
        ),
        (
            "[[nodes]]\nhostlist = \"\"\nRUNG",
            "s.toml:3:12: nodes.hostlist: names no node; give at least one, such as \"c[1-3]\"",
        ),
        (
            "[[nodes]]\nhostlist = \"c[1-1048577]\"\nRUNG",
            "s.toml:3:12: nodes.hostlist: names 1048577 nodes; a site has at most 1048576",
        ),
        (
            "[[nodes]]\nhostlist = \"c[1-3],d1,c[2-4]\"\nRUNG",
            "s.toml:3:12: nodes.hostlist: names c[2-3] more than once; name each node once",
        ),
        (
            "[[nodes]]\nhostlist = \"c[1-3]\"\nlifecycle = \"create\"\nRUNG",
            "s.toml:4:13: nodes.lifecycle: must be one of \"create-delete\", \"start-deallocate\", is \"create\"",
        ),
        (
            "[[nodes]]\nhostlist = \"c1\"\n",
            "s.toml:2:1: nodes.placement: is required: add a [[nodes.placement]] with provider = \"NAME\" below this group",
        ),
        (
            "[[nodes]]\nhostlist = \"c1\"\n[[nodes.placement]]\n",
            "s.toml:4:1: nodes.placement.provider: is required",
        ),
        (
            "[[nodes]]\nhostlist = \"c1\"\n[[nodes.placement]]\nprovider = \"her\"\n",
            "s.toml:5:12: nodes.placement.provider: there is no [provider.her]; the file has: here; did you mean \"here\"?",
        ),
        (
            "[[nodes]]\nhostlist = \"c[1-3]\"\nRUNG[[nodes]]\nhostlist = \"c[2-5]\"\nRUNG",
            "s.toml:7:12: nodes.hostlist: c[2-3] is also in the group at 3:12; a node belongs to one group, take it out of one of them",
        ),
    ] {
        assert_eq!(text(nodes), message);
    }
    let message = text("[[nodes]]\nhostlist = \"c[1-\"\nRUNG");
    assert!(
        message.starts_with("s.toml:3:12: nodes.hostlist: is no hostlist: "),
        "{message}"
    );
}

#[test]
fn placements() {
    let head = "cluster_id = \"c\"\nprovider.here.kind = \"local\"\nprovider.t.kind = \"tagged\"\n[[nodes]]\nhostlist = \"c1\"\n";
    for (text, message) in [
        (
            "lifecycle = \"start-deallocate\"\n[[nodes.placement]]\nprovider = \"t\"\n",
            "s.toml:8:12: nodes.placement.provider: provider \"t\" (kind \"tagged\") does not offer lifecycle \"start-deallocate\" of this group; it offers: create-delete",
        ),
        (
            "[[nodes.placement]]\nprovider = \"here\"\nsise = \"x\"\n",
            "s.toml:8:1: nodes.placement.sise: unknown key; did you mean `size`?",
        ),
        // A mistake in the group's part is named by the group's table.
        (
            "[nodes.local]\nsize = 4\n[[nodes.placement]]\nprovider = \"here\"\nzone = \"x\"\n",
            "s.toml:7:8: nodes.local.size: must be a string, is a whole number",
        ),
        (
            "[[nodes.placement]]\nprovider = \"here\"\n[[nodes.placement]]\nprovider = \"here\"\n",
            "s.toml:8:1: nodes.placement: is the same placement as the one at 7:12; change it or take it out",
        ),
        (
            "[[nodes.placement]]\nprovider = \"here\"\nname = \"a b\"\n",
            "s.toml:8:8: nodes.placement.name: must be 1 to 100 of A-Z, a-z, 0-9 and _ - . / : +, is \"a b\"",
        ),
        (
            "[[nodes.placement]]\nprovider = \"here\"\nname = \"a\"\n[[nodes]]\nhostlist = \"d1\"\n[[nodes.placement]]\nprovider = \"t\"\nname = \"a\"\n",
            "s.toml:13:8: nodes.placement.name: \"a\" is also the name of a different placement at 8:8; rename one of them",
        ),
    ] {
        assert_eq!(error(&format!("{head}{text}")), message);
    }
}

#[test]
fn names_are_shared_by_the_same_and_apart_for_the_different() {
    let group = |hosts: &str, rungs: &[&str]| {
        let rungs: String = rungs
            .iter()
            .map(|keys| format!("[[nodes.placement]]\nprovider = \"here\"\n{keys}\n"))
            .collect();
        format!("[[nodes]]\nhostlist = \"{hosts}\"\n{rungs}")
    };
    let text = format!(
        "provider.here.kind = \"local\"\n{}{}{}",
        group("a1", &["size = \"s\"", "size = \"s\"\nimage = \"x\""]),
        group(
            "b1",
            &["size = \"s\"\nimage = \"x\"", "size = \"s\"\nimage = \"y\""]
        ),
        // A stated name that an earlier placement would have got.
        group("c1", &["size = \"t\"\nname = \"here/s\""]),
    );
    let site = parse(&text).unwrap();
    let names: Vec<Vec<&str>> = site
        .policy
        .groups()
        .iter()
        .map(|g| g.placements.iter().map(|p| p.name.as_str()).collect())
        .collect();
    assert_eq!(
        names,
        [
            vec!["here/s#2", "here/s#3"],
            vec!["here/s#3", "here/s#4"],
            vec!["here/s"]
        ]
    );
}

#[test]
fn a_message_has_one_line_of_sane_length() {
    let long = error(&format!("{} = 1", "k".repeat(1 << 19)));
    assert!(
        long.len() < 500 && long.contains("kkk...: unknown key; known here: cluster"),
        "{long}"
    );
    let long = error(&format!("[provider.x]\nkind = \"{}\"", "k".repeat(1 << 19)));
    assert!(
        long.len() < 500 && long.contains("kkk...\"; this build has: local"),
        "{long}"
    );
    let e = ConfigError::new("f", 1, 1, "a\nb", "x\x1b[31m");
    assert_eq!(e.to_string(), "f:1:1: a\u{fffd}b: x\u{fffd}[31m");
}
