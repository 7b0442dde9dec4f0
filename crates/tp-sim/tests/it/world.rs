//! A simulator on a free port, and a client of its first tenant.

use reqwest::{Client, Method, Response, redirect};
use serde_json::{Value, json};
use tp_sim::{Sim, SimOptions, SimTenant, SpawnedSim};

pub(crate) struct World {
    pub(crate) sim: SpawnedSim,
    pub(crate) tenant: SimTenant,
    pub(crate) token: String,
    pub(crate) http: Client,
}

/// An answer that was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Read {
    pub(crate) fn json(&self) -> Value {
        let read = serde_json::from_str(&self.text);
        assert!(read.is_ok(), "no JSON: {}", self.text);
        read.unwrap()
    }

    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// What Intune says inside of its message.
    pub(crate) fn inner(&self) -> String {
        let message = self.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        let inner: Value = serde_json::from_str(&message).unwrap_or(Value::Null);
        inner["Message"].as_str().unwrap_or(&message).to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        let body = self.json();
        let list = body["value"].as_array().unwrap();
        list.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) fn http() -> Client {
    Client::builder().redirect(redirect::Policy::none()).build().unwrap()
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(SimOptions::default()).await
    }

    /// With the permissions to write everything.
    pub(crate) async fn writer() -> Self {
        let mut world = Self::new().await;
        world.change(&json!({"permission_set": "write"})).await;
        world.token = world.new_token().await;
        world
    }

    pub(crate) async fn with(options: SimOptions) -> Self {
        let sim = Sim::new(options).unwrap().spawn().await.unwrap();
        let tenant = sim.sim.tenants().remove(0);
        let mut world = Self { sim, tenant, token: String::new(), http: http() };
        world.token = world.new_token().await;
        world
    }

    pub(crate) async fn login(&self, tenant: &str, form: &[(&str, &str)]) -> Read {
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.sim.url);
        read(self.http.post(url).form(form).send().await.unwrap()).await
    }

    pub(crate) async fn new_token(&self) -> String {
        let client = self.tenant.client_id.to_string();
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", "https://graph.microsoft.com/.default"),
            ("client_id", &client),
            ("client_secret", &self.tenant.client_secret),
        ];
        let answer = self.login(&self.tenant.domain, &form).await.json();
        answer["access_token"].as_str().unwrap_or_default().to_owned()
    }

    /// Sends a request of Graph; the path has its version.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Response> {
        let method: Method = method.parse().unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.sim.url));
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.bearer_auth(&self.token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Read {
        read(self.try_send(method, path, body, &[]).await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Read {
        self.send("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Read {
        self.send("POST", path, Some(&body)).await
    }

    pub(crate) async fn batch(&self, requests: Value) -> Value {
        self.post("/beta/$batch", json!({ "requests": requests })).await.json()
    }

    pub(crate) async fn control(&self, method: &str, path: &str, body: &Value) -> Read {
        let method: Method = method.parse().unwrap();
        let request = self.http.request(method, format!("{}/__sim{path}", self.sim.url));
        read(request.body(body.to_string()).send().await.unwrap()).await
    }

    pub(crate) async fn change(&self, change: &Value) {
        let answer = self.control("PUT", &format!("/tenants/{}", self.tenant.id), change).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    pub(crate) async fn faults(&self, faults: Value) {
        assert_eq!(self.control("PUT", "/faults", &faults).await.status, 200);
    }

    /// The id of the first object of a set.
    pub(crate) async fn first(&self, path: &str) -> String {
        self.get(path).await.ids().remove(0)
    }
}

pub(crate) async fn read(response: Response) -> Read {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    // As it came: `text` of reqwest would take a byte order mark away.
    let bytes = response.bytes().await.unwrap();
    Read { status, headers, text: String::from_utf8_lossy(&bytes).into_owned() }
}

/// The answer of a batch by its id.
pub(crate) fn of<'a>(reply: &'a Value, id: &str) -> &'a Value {
    reply["responses"].as_array().unwrap().iter().find(|one| one["id"] == id).unwrap()
}
