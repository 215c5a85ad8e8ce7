//! A VM as somebody makes it who knows nothing of slurmburst.

use axum::http::{Method, Request};
use serde_json::{Value, json};

use crate::cloud::Cloud;

impl Cloud {
    /// Makes a VM of this size in [`Settings::group`](crate::Settings::group)
    /// with these tags, by a request like any other. Answers with its status;
    /// the VM runs when the create is over.
    pub async fn make_vm(&self, name: &str, size: &str, tags: Value) -> u16 {
        let settings = self.settings();
        let id = settings.id("Microsoft.Compute/virtualMachines", name);
        let subnet = json!({"id": settings.subnet_id()});
        let keys =
            json!([{"path": "/home/me/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA"}]);
        let body = json!({
            "location": settings.location,
            "tags": tags,
            "properties": {
                "hardwareProfile": {"vmSize": size},
                "storageProfile": {
                    "imageReference": {"publisher": "almalinux", "offer": "almalinux-hpc", "sku": "9-hpc-gen2", "version": "latest"},
                    "osDisk": {"createOption": "FromImage", "deleteOption": "Detach"},
                },
                "osProfile": {
                    "computerName": name, "adminUsername": "me",
                    "linuxConfiguration": {"disablePasswordAuthentication": true, "ssh": {"publicKeys": keys}},
                },
                "networkProfile": {
                    "networkApiVersion": "2020-11-01",
                    "networkInterfaceConfigurations": [{
                        "name": format!("{name}nic"),
                        "properties": {"primary": true, "ipConfigurations": [{"name": "ip", "properties": {"subnet": subnet}}]},
                    }],
                },
            },
        });
        let mut request = Request::new(body.to_string().into_bytes());
        *request.method_mut() = Method::PUT;
        let uri = format!("https://localhost:1{id}?api-version=2024-07-01").parse();
        let bearer = format!("Bearer {}", self.token()).parse();
        let (Ok(uri), Ok(bearer)) = (uri, bearer) else {
            return 0;
        };
        *request.uri_mut() = uri;
        request.headers_mut().insert("authorization", bearer);
        self.respond(request)
            .await
            .map_or(0, |answer| answer.status().as_u16())
    }
}
