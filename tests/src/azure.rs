//! An emulated Azure whose machines are slurmd processes of this host.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::Request;
use nix::unistd::User;
use serde_json::json;
use slurmburst_azure_emulator::{Clock, Cloud, Emulator, Settings};
use tokio::runtime::{Builder, Runtime};

use crate::builder::ClusterBuilder;
use crate::cluster::Cluster;
use crate::processes::wrapped;

/// The size of every machine.
pub const SIZE: &str = "Standard_D2s_v5";
/// The image of every machine.
const IMAGE: [&str; 3] = ["almalinux", "almalinux-hpc", "9-hpc-gen2"];

/// An Azure behind TLS, on a clock that runs faster than the wall's.
#[derive(Debug)]
pub struct Azure {
    emulator: Emulator,
    // After the emulator, whose tasks it runs.
    runtime: Runtime,
}

impl Azure {
    /// Starts it on loopback.
    pub fn start(settings: Settings, speed: f64) -> Azure {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let emulator = runtime
            .block_on(Emulator::start(settings, Clock::wall(speed)))
            .expect("the emulator");
        Azure { emulator, runtime }
    }

    /// The cloud itself.
    pub fn cloud(&self) -> &Cloud {
        self.emulator.cloud()
    }

    /// Writes what a site keeps beside its site file (authority, secret, key of ssh), and gives `[provider.cloud]` and,
    /// for `hostlist`, a group whose placement is there.
    pub fn site(&self, builder: &ClusterBuilder, hostlist: &str, lifecycle: &str) -> String {
        let (dir, settings) = (builder.dir(), self.cloud().settings());
        let (client, secret) = settings.clients.first_key_value().expect("a client");
        write(builder, "azure-ca.pem", self.emulator.ca_pem(), 0o644);
        write(builder, "azure.secret", secret, 0o600);
        write(builder, "admin.pub", "ssh-ed25519 AAAAC3 admin\n", 0o644);
        let (d, endpoint) = (dir.display(), self.emulator.endpoint());
        let template = format!(
            "  [nodes.azure]\n  size = \"{SIZE}\"\n  image = \"{}:latest\"\n  subnet_id = \"{}\"\n  \
             ssh_public_key_files = [\"{d}/admin.pub\"]\n",
            IMAGE.join(":"),
            settings.subnet_id()
        );
        format!(
            "[provider.cloud]\nkind = \"azure\"\ncloud = \"custom\"\nendpoint = \"{endpoint}\"\n\
             authority_host = \"{endpoint}\"\nca_bundle = \"{d}/azure-ca.pem\"\n\
             subscription_id = \"{}\"\nresource_group = \"{}\"\nlocation = \"{}\"\ntenant_id = \"{}\"\n\
             auth = \"service-principal\"\nclient_id = \"{client}\"\nclient_secret_file = \"{d}/azure.secret\"\n{}\
             [[nodes]]\nhostlist = \"{hostlist}\"\nlifecycle = \"{lifecycle}\"\n{}  \
             [[nodes.placement]]\n  provider = \"cloud\"\n",
            settings.subscription(),
            settings.group,
            settings.location,
            settings.tenant,
            if lifecycle == "start-deallocate" {
                "match = \"name\"\n"
            } else {
                ""
            },
            if lifecycle == "start-deallocate" {
                ""
            } else {
                &template
            },
        )
    }

    /// From now on a machine that runs is a slurmd of this cluster.
    pub fn machines_of(&self, cluster: &Cluster) {
        let slurmds = Slurmds {
            wrapper: cluster.command_wrapper(),
            conf: cluster.conf_path(),
            running: Arc::default(),
        };
        self.cloud().on_power_state(move |vm, on| match on {
            true => slurmds.start(vm),
            false => slurmds.stop(vm),
        });
    }

    /// Makes a machine as somebody may by hand, and deallocates it.
    pub fn make_deallocated(&self, name: &str) {
        let settings = self.cloud().settings();
        let id = settings.id("Microsoft.Compute/virtualMachines", name);
        let body = json!({
            "location": settings.location,
            "properties": {
                "hardwareProfile": { "vmSize": SIZE },
                "storageProfile": {
                    "imageReference": { "publisher": IMAGE[0], "offer": IMAGE[1], "sku": IMAGE[2], "version": "latest" },
                    "osDisk": { "createOption": "FromImage" },
                },
                "osProfile": {
                    "computerName": name, "adminUsername": "admin1",
                    "linuxConfiguration": { "disablePasswordAuthentication": true, "ssh": { "publicKeys": [
                        { "path": "/home/admin1/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAAC3" }] } },
                },
                "networkProfile": {
                    "networkApiVersion": "2020-11-01",
                    "networkInterfaceConfigurations": [{
                        "name": format!("{name}-nic"),
                        "properties": { "primary": true, "ipConfigurations": [
                            { "name": "ip", "properties": { "subnet": { "id": settings.subnet_id() } } }] },
                    }],
                },
            },
        });
        self.send("PUT", &id, body.to_string());
        self.cloud().advance(settings.timings.create);
        self.send("POST", &format!("{id}/deallocate"), String::new());
        self.cloud().advance(settings.timings.deallocate);
    }

    fn send(&self, method: &str, id: &str, body: String) {
        let request = Request::builder()
            .method(method)
            .uri(format!("{id}?api-version=2024-07-01"))
            .header("host", "localhost:1")
            .header("authorization", format!("Bearer {}", self.cloud().token()))
            .body(body.into_bytes())
            .expect("a request");
        let answer = self.runtime.block_on(self.cloud().respond(request));
        let answer = answer.expect("an answer");
        let said = String::from_utf8_lossy(answer.body());
        assert!(answer.status().is_success(), "{method} {id}: {said}");
    }
}

/// For who runs our programs.
fn write(builder: &ClusterBuilder, name: &str, text: &str, mode: u32) {
    let path = builder.dir().join(name);
    fs::write(&path, text).expect(name);
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
    if let Some(user) = User::from_name(builder.user.name()).expect("users") {
        chown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
    }
}

/// The machines that run.
struct Slurmds {
    wrapper: Vec<String>,
    conf: PathBuf,
    running: Arc<Mutex<HashMap<String, Child>>>,
}

impl Slurmds {
    fn start(&self, node: &str) {
        let child = command(&self.wrapper, &self.conf, node).spawn();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let old = running.insert(node.to_owned(), child.expect("slurmd"));
        assert!(old.is_none(), "{node} runs twice");
    }

    /// As when the power goes.
    fn stop(&self, node: &str) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = running.remove(node) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn command(wrapper: &[String], conf: &Path, node: &str) -> Command {
    let mut command = wrapped(wrapper, "slurmd".as_ref());
    command
        .args(["-D", "-b", "-N", node, "-f"])
        .arg(conf)
        .env("SLURM_CONF", conf)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}
