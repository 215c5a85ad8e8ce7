//! The site file and slurm.conf of a test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use slurmburst_azure_emulator::{Emulator, Settings};
use slurmburst_core::kind::ProviderKind;
use slurmburst_core::site::{Site, SiteContext};

pub(crate) const CLUSTER: &str = "hpc1-7f3a9c";

/// What a test wants; the rest is as usual.
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) hosts: &'static str,
    pub(crate) lifecycle: &'static str,
    /// Further keys of `[nodes.azure]`.
    pub(crate) keys: &'static str,
    /// The keys of each placement.
    pub(crate) placements: &'static [&'static str],
    pub(crate) resume_timeout: u64,
    pub(crate) suspend_timeout: u64,
}

impl Default for Plan {
    /// Three nodes, create-delete, in zone 1.
    fn default() -> Plan {
        Plan {
            settings: Settings::default(),
            hosts: "c[1-3]",
            lifecycle: "create-delete",
            keys: "",
            placements: &["zone = \"1\""],
            resume_timeout: 900,
            suspend_timeout: 30,
        }
    }
}

impl Plan {
    /// Writes what the site file names, and slurm.conf.
    pub(super) fn write(&self, dir: &Path) {
        let secret = self.settings.clients.values().next().unwrap();
        fs::write(dir.join("secret"), secret).unwrap();
        fs::set_permissions(dir.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(dir.join("admin.pub"), "ssh-ed25519 AAAA admin\n").unwrap();
        let conf = format!(
            "ClusterName=hpc1\nSlurmctldHost=here\nResumeTimeout={}\nSuspendTimeout={}\n",
            self.resume_timeout, self.suspend_timeout
        );
        fs::write(dir.join("slurm.conf"), conf).unwrap();
    }

    /// The site, with a provider of its own each time, as each process has.
    pub(super) fn site(&self, dir: &Path, kind: &Arc<dyn ProviderKind>, at: &str) -> Site {
        let text = self.text(dir, at);
        let context = SiteContext {
            slurm_conf: Some(dir.join("slurm.conf")),
            cluster_name: Some("hpc1".into()),
            absent_kinds: Vec::new(),
        };
        let kinds = [Arc::clone(kind)];
        Site::parse(Path::new("site.toml"), &text, &kinds, &context)
            .unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    fn text(&self, dir: &Path, at: &str) -> String {
        let (dir, settings) = (dir.display(), &self.settings);
        let client = settings.clients.keys().next().unwrap();
        let mut text = format!(
            r#"
cluster_id = "{CLUSTER}"
state_dir = "{dir}"
log_file = "/dev/null"

[provider.azure]
kind = "azure"
subscription_id = "{}"
resource_group = "{}"
location = "{}"
tenant_id = "{}"
auth = "service-principal"
client_id = "{client}"
client_secret_file = "{dir}/secret"
{at}

[[nodes]]
hostlist = "{}"
lifecycle = "{}"
[nodes.azure]
size = "Standard_D2s_v5"
image = "almalinux:almalinux-hpc:9-hpc-gen2:latest"
subnet_id = "{}"
ssh_public_key_files = ["{dir}/admin.pub"]
{}
"#,
            settings.subscription(),
            settings.group,
            settings.location,
            settings.tenant,
            self.hosts,
            self.lifecycle,
            settings.subnet_id(),
            self.keys,
        );
        for placement in self.placements {
            text += &format!("[[nodes.placement]]\nprovider = \"azure\"\n{placement}\n");
        }
        text
    }
}

/// The provider's keys by which a real socket is found.
pub(super) fn at(emulator: &Emulator) -> String {
    let (endpoint, ca) = (emulator.endpoint(), emulator.ca_file());
    format!(
        "cloud = \"custom\"\nendpoint = \"{endpoint}\"\nauthority_host = \"{endpoint}\"\nca_bundle = \"{}\"\n",
        ca.display()
    )
}
