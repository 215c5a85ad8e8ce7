//! A client without a socket: a token, and requests given to the cloud.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::time::Duration;

use axum::http::{Request, Response};
use serde_json::{Value, json};
use slurmburst_azure_emulator::{Clock, Cloud, Settings};

pub struct Client {
    pub cloud: Cloud,
    pub token: String,
    pub settings: Settings,
}

pub struct Got {
    pub status: u16,
    pub body: Value,
    pub headers: axum::http::HeaderMap,
}

impl Got {
    pub fn header(&self, name: &str) -> String {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_string())
            .unwrap_or_default()
    }

    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

impl Client {
    pub async fn new(settings: Settings) -> Client {
        Client::of(Cloud::new(settings.clone(), Clock::by_hand())).await
    }

    pub async fn of(cloud: Cloud) -> Client {
        let settings = cloud.settings();
        let mut client = Client {
            cloud,
            token: String::new(),
            settings,
        };
        client.login().await;
        client
    }

    pub async fn login(&mut self) {
        let (id, secret) = self.settings.clients.first_key_value().unwrap();
        let form = format!(
            "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=https%3A%2F%2Fmanagement.azure.com%2F.default"
        );
        let path = format!("/{}/oauth2/v2.0/token", self.settings.tenant);
        let got = self
            .send("POST", &path, &[], form.into_bytes())
            .await
            .unwrap();
        self.token = got.body["access_token"].as_str().unwrap().to_string();
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Option<Got> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost:1")
            .header("authorization", format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response: Response<Vec<u8>> = self.cloud.respond(request.body(body).unwrap()).await?;
        Some(Got {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: serde_json::from_slice(response.body()).unwrap_or(Value::Null),
        })
    }

    /// A call by id or by the whole address, with an api-version if it has none.
    pub async fn call(&self, method: &str, id: &str, body: Value) -> Got {
        self.with(method, id, &[], body).await
    }

    pub async fn with(&self, method: &str, id: &str, headers: &[(&str, &str)], body: Value) -> Got {
        let path = id.strip_prefix("https://localhost:1").unwrap_or(id);
        let path = match path.contains("api-version=") {
            true => path.to_string(),
            false if path.contains('?') => format!("{path}&api-version=2024-07-01"),
            false => format!("{path}?api-version=2024-07-01"),
        };
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        self.send(method, &path, headers, body)
            .await
            .expect("the connection was cut")
    }

    pub async fn get(&self, id: &str) -> Got {
        self.call("GET", id, Value::Null).await
    }

    pub fn vm(&self, name: &str) -> String {
        self.settings.id("Microsoft.Compute/virtualMachines", name)
    }

    pub fn nic(&self, name: &str) -> String {
        self.settings
            .id("Microsoft.Network/networkInterfaces", name)
    }

    pub fn group(&self, what: &str) -> String {
        let id = self.settings.id(what, "");
        id.trim_end_matches('/').to_string()
    }

    pub async fn create(&self, name: &str) -> Got {
        self.call("PUT", &self.vm(name), self.model(name)).await
    }

    pub async fn post(&self, name: &str, action: &str) -> Got {
        self.call("POST", &format!("{}/{action}", self.vm(name)), Value::Null)
            .await
    }

    pub async fn state(&self, name: &str) -> Vec<String> {
        let got = self.get(&format!("{}/instanceView", self.vm(name))).await;
        let statuses = got.body["statuses"].as_array().cloned().unwrap_or_default();
        statuses
            .iter()
            .map(|s| s["code"].as_str().unwrap().to_string())
            .collect()
    }

    pub fn pass(&self, seconds: u64) {
        self.cloud.advance(Duration::from_secs(seconds));
    }

    /// What slurmburst asks for: one write, everything deleted with the VM.
    pub fn model(&self, name: &str) -> Value {
        json!({
            "location": self.settings.location,
            "tags": {"slurmburst-node": name},
            "properties": {
                "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
                "storageProfile": {
                    "imageReference": {"publisher": "almalinux", "offer": "almalinux-hpc", "sku": "9-hpc-gen2", "version": "latest"},
                    "osDisk": {"createOption": "FromImage", "deleteOption": "Delete", "managedDisk": {"storageAccountType": "Premium_LRS"}},
                },
                "osProfile": {
                    "computerName": name, "adminUsername": "azureuser", "customData": "I2Nsb3VkLWNvbmZpZw==",
                    "linuxConfiguration": {"disablePasswordAuthentication": true,
                        "ssh": {"publicKeys": [{"path": "/home/azureuser/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA"}]}},
                },
                "networkProfile": {
                    "networkApiVersion": "2020-11-01",
                    "networkInterfaceConfigurations": [{
                        "name": format!("{name}-nic"),
                        "properties": {"primary": true, "deleteOption": "Delete",
                            "ipConfigurations": [{"name": "ip", "properties": {"subnet": {"id": self.settings.subnet_id()}}}]},
                    }],
                },
            },
        })
    }
}
