//! An emulator, and a site whose nodes are its machines.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use slurmburst_azure_emulator::{Clock, Cloud, Emulator, Settings};

use crate::support::Site;

pub(crate) const CLUSTER: &str = "hpc1-7f3a9c";
pub(crate) const SIZE: &str = "Standard_D4s_v5";

/// Its `c[1-3]` are created and deleted, its `d[1-3]` started and deallocated.
pub(crate) struct World {
    azure: Emulator,
    pub(crate) site: Site,
}

impl World {
    pub(crate) async fn new() -> World {
        let settings = Settings {
            // What is accepted is looked at again soon.
            retry_after: Some(1),
            ..Settings::default()
        };
        let azure = Emulator::start(settings, Clock::wall(360.0)).await.unwrap();
        let world = World {
            azure,
            site: Site::new(),
        };
        world.site.write("secret", "s3cret\n");
        let secret = world.site.path("secret");
        fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
        world.site.write("key.pub", "ssh-ed25519 AAAA admin\n");
        let conf = fs::read_to_string(world.site.path("slurm.conf")).unwrap();
        let conf = conf.replace("NodeName=c[1-3]", "NodeName=c[1-3],d[1-3]");
        let times = "ResumeTimeout=600\nSuspendTimeout=360\n";
        world.site.write("slurm.conf", &format!("{conf}{times}"));
        world.site.write("slurmburst.toml", &world.text());
        world
    }

    pub(crate) fn text(&self) -> String {
        let dir = self.site.dir().display();
        let settings = self.cloud().settings();
        let (subscription, group) = (settings.subscription(), &settings.group);
        let (location, tenant) = (&settings.location, &settings.tenant);
        let client = settings.clients.keys().next().unwrap();
        let (endpoint, subnet) = (self.azure.endpoint(), settings.subnet_id());
        let ca = self.azure.ca_file();
        let ca = ca.display();
        format!(
            r#"
cluster_id = "{CLUSTER}"
state_dir = "{dir}/state"
log_file = "{dir}/log"
[slurm]
scontrol = "{dir}/scontrol"
[provider.cloud]
kind = "azure"
subscription_id = "{subscription}"
resource_group = "{group}"
location = "{location}"
auth = "service-principal"
tenant_id = "{tenant}"
client_id = "{client}"
client_secret_file = "{dir}/secret"
cloud = "custom"
endpoint = "{endpoint}"
authority_host = "{endpoint}"
ca_bundle = "{ca}"
[[nodes]]
hostlist = "c[1-3]"
  [nodes.azure]
  size = "{SIZE}"
  image = "almalinux:almalinux-hpc:9-hpc-gen2:latest"
  subnet_id = "{subnet}"
  ssh_public_key_files = ["{dir}/key.pub"]
  [[nodes.placement]]
  provider = "cloud"
[[nodes]]
hostlist = "d[1-3]"
lifecycle = "start-deallocate"
  [[nodes.placement]]
  provider = "cloud"
"#
        )
    }

    pub(crate) fn cloud(&self) -> &Cloud {
        self.azure.cloud()
    }

    /// A machine that somebody made by hand, up.
    pub(crate) async fn by_hand(&self, node: &str, tags: Value) {
        assert_eq!(self.cloud().make_vm(node, SIZE, tags).await, 201);
        self.cloud().advance(Duration::from_secs(100));
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.site.run(args)
    }

    /// Its JSON, and its exit code.
    pub(crate) fn json(&self, args: &[&str]) -> (Value, Option<i32>) {
        let output = self.site.run(&[args, &["--json"]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        let value = serde_json::from_str(&text);
        let value = value.unwrap_or_else(|e| panic!("{args:?}: {e}: {text}{said}"));
        (value, output.status.code())
    }

    pub(crate) fn power(&self, name: &str) -> String {
        let all = self.cloud().vms();
        let vm = all.iter().find(|(n, ..)| n == name);
        vm.map_or_else(|| "none".to_owned(), |(_, power, _)| power.clone())
    }
}

/// Of one node of an answer, one key.
pub(crate) fn of<'a>(answer: &'a Value, list: &str, node: &str, key: &str) -> &'a Value {
    let all = answer[list].as_array().unwrap();
    let one = all.iter().find(|n| n["node"] == node);
    &one.unwrap_or_else(|| panic!("{node}: {answer:#}"))[key]
}
