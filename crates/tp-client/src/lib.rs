//! The HTTP client of the command line: speaks to a TenantPilot server and to nothing else.
//!
//! Answers stay JSON values: fields and words of a newer server survive.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, ETAG, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

/// Why a call did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server's address is not one.
    #[error("{0}")]
    BadServer(&'static str),
    /// The server cannot be reached.
    #[error("the server cannot be reached at {0}")]
    Unreachable(String),
    /// The server refused.
    #[error("{code}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The stable code.
        code: String,
        /// What happened, in words.
        detail: String,
        /// What is wrong with which input.
        errors: Vec<String>,
        /// For the server's log.
        request_id: String,
    },
    /// The connection ended before the file did.
    #[error("the transfer broke off: try again")]
    BrokenOff,
    /// The file that came could not be written.
    #[error("the file cannot be written: {0}")]
    NotWritten(String),
    /// The answer is not of a TenantPilot server.
    #[error("the answer is not one of a TenantPilot server")]
    NotOurs,
}

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    server: Url,
    token: Option<SecretString>,
}

/// An answer, and what it says about asking again.
#[derive(Clone, Debug)]
pub struct Polled {
    /// The new value; none when nothing has changed.
    pub value: Option<Value>,
    /// For the next call.
    pub etag: Option<String>,
    /// When to ask again; none when the server expects no further change.
    pub again_in: Option<Duration>,
}

/// No answer of the API is larger.
const MAX_BYTES: usize = 64 << 20;

/// No file takes longer.
const LONGEST_TRANSFER: Duration = Duration::from_hours(1);

impl Client {
    /// A client. Plain http is for loopback addresses only: the token must not cross a network in clear.
    pub fn new(server: &str, token: Option<SecretString>) -> Result<Self, ClientError> {
        let url: Url = server.parse().map_err(|_| {
            ClientError::BadServer(
                "the server must be an address such as https://tenantpilot.example",
            )
        })?;
        let loopback = match url.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if !(url.scheme() == "https" || url.scheme() == "http" && loopback) {
            return Err(ClientError::BadServer(
                "the server must be https://, or http:// on a loopback address",
            ));
        }
        let builder = if url.scheme() == "http" {
            // Loopback: a proxy of the environment would be sent the token in clear.
            reqwest::Client::builder().no_proxy()
        } else {
            reqwest::Client::builder()
        };
        let http = builder
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_mins(1))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tenantpilot/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| ClientError::BadServer("TLS cannot be set up on this machine"))?;
        Ok(Self { http, server: url, token })
    }

    fn url(&self, path: &str) -> Result<Url, ClientError> {
        if !path.starts_with('/') {
            return Err(ClientError::BadServer("a path begins with /api/v1"));
        }
        let url = self.server.join(path).map_err(|_| ClientError::NotOurs)?;
        if url.origin() == self.server.origin() { Ok(url) } else { Err(ClientError::NotOurs) }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&'static str, &str)],
    ) -> Result<reqwest::Response, ClientError> {
        let mut request = self.http.request(method, self.url(path)?);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                request = request.header(*name, value);
            }
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let sent = request.send().await;
        sent.map_err(|_| ClientError::Unreachable(self.server.origin().ascii_serialization()))
    }

    async fn read(response: reqwest::Response) -> Result<Value, ClientError> {
        let body = Self::body(response).await?;
        serde_json::from_slice(&body).map_err(|_| ClientError::NotOurs)
    }

    /// The body of an answer that is good.
    async fn body(response: reqwest::Response) -> Result<Vec<u8>, ClientError> {
        let status = response.status();
        let mut response = response;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| ClientError::NotOurs)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(ClientError::NotOurs);
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(body);
        }
        let value: Value = serde_json::from_slice(&body).map_err(|_| ClientError::NotOurs)?;
        let text =
            |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let errors =
            value.get("errors").and_then(Value::as_array).map_or_else(Vec::new, |errors| {
                errors
                    .iter()
                    .filter_map(|error| {
                        let pointer = error.get("pointer")?.as_str()?;
                        Some(format!("{pointer} {}", error.get("detail")?.as_str()?))
                    })
                    .collect()
            });
        let code = text("code");
        if code.is_empty() {
            return Err(ClientError::NotOurs);
        }
        Err(ClientError::Refused {
            status: status.as_u16(),
            code,
            detail: text("detail"),
            errors,
            request_id: text("request_id"),
        })
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        Self::read(self.send(Method::GET, path, None, &[]).await?).await
    }

    /// GET, as the text that came: for JSON whose numbers [`Value`] would round.
    pub async fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let body = Self::body(self.send(Method::GET, path, None, &[]).await?).await?;
        String::from_utf8(body).map_err(|_| ClientError::NotOurs)
    }

    /// GET of a file, given away as it comes. Says how many bytes it had; fewer than the server announced
    /// are an error.
    pub async fn download(
        &self,
        path: &str,
        mut sink: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<u64, ClientError> {
        let mut response = self.transfer(Method::GET, path, None).await?;
        if !response.status().is_success() {
            return Self::body(response).await.and(Err(ClientError::NotOurs));
        }
        let (said, mut bytes) = (response.content_length(), 0);
        loop {
            let chunk = response.chunk().await.map_err(|_| ClientError::BrokenOff)?;
            let Some(chunk) = chunk else { break };
            bytes += chunk.len() as u64;
            sink(&chunk).map_err(|error| ClientError::NotWritten(error.to_string()))?;
        }
        if said.is_some_and(|said| said != bytes) {
            return Err(ClientError::BrokenOff);
        }
        Ok(bytes)
    }

    /// POST of a file, read as it is sent.
    pub async fn upload(&self, path: &str, file: tokio::fs::File) -> Result<Value, ClientError> {
        Self::read(self.transfer(Method::POST, path, Some(file)).await?).await
    }

    /// Of files the time is not bounded: the server's is.
    async fn transfer(
        &self,
        method: Method,
        path: &str,
        file: Option<tokio::fs::File>,
    ) -> Result<reqwest::Response, ClientError> {
        let mut request = self.http.request(method, self.url(path)?).timeout(LONGEST_TRANSFER);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(file) = file {
            request = request.header(CONTENT_TYPE, "application/zip").body(file);
        }
        let sent = request.send().await;
        sent.map_err(|_| ClientError::Unreachable(self.server.origin().ascii_serialization()))
    }

    /// POST with a JSON body; `key` makes a repeat safe.
    pub async fn post(
        &self,
        path: &str,
        body: &Value,
        key: Option<&str>,
    ) -> Result<Value, ClientError> {
        let headers: Vec<(&'static str, &str)> =
            key.map(|key| ("idempotency-key", key)).into_iter().collect();
        Self::read(self.send(Method::POST, path, Some(body), &headers).await?).await
    }

    /// PATCH with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        Self::read(self.send(Method::PATCH, path, Some(body), &[]).await?).await
    }

    /// DELETE; there is no answer but that it is gone.
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        let response = self.send(Method::DELETE, path, None, &[]).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(());
        }
        Self::read(response).await.map(drop)
    }

    /// GET that answers only when something has changed since `etag`.
    pub async fn poll(&self, path: &str, etag: Option<&str>) -> Result<Polled, ClientError> {
        let headers: Vec<(&'static str, &str)> =
            etag.map(|etag| ("if-none-match", etag)).into_iter().collect();
        let response = self.send(Method::GET, path, None, &headers).await?;
        let text = |name| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let etag = text(ETAG);
        let again_in =
            text(RETRY_AFTER).and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let value = if response.status() == StatusCode::NOT_MODIFIED {
            None
        } else {
            Some(Self::read(response).await?)
        };
        Ok(Polled { value, etag, again_in })
    }

    /// The entries of a list, over its pages, at most `limit`.
    pub async fn list(&self, path: &str, limit: usize) -> Result<Vec<Value>, ClientError> {
        let (mut entries, mut cursor): (Vec<Value>, Option<String>) = (Vec::new(), None);
        loop {
            let path = match &cursor {
                None => path.to_owned(),
                Some(cursor) => {
                    let mut url = self.url(path)?;
                    url.query_pairs_mut().append_pair("cursor", cursor);
                    format!("{}?{}", url.path(), url.query().unwrap_or_default())
                }
            };
            let mut page = self.get(&path).await?;
            let Some(Value::Array(data)) = page.get_mut("data").map(Value::take) else {
                return Err(ClientError::NotOurs);
            };
            entries.extend(data);
            let next = page.pointer("/page/next").and_then(Value::as_str).map(str::to_owned);
            if entries.len() >= limit || next.is_none() || next == cursor {
                entries.truncate(limit);
                return Ok(entries);
            }
            cursor = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_safe_addresses_only() {
        for good in
            ["https://tp.example", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:1"]
        {
            assert!(Client::new(good, None).is_ok(), "{good}");
        }
        for bad in
            ["http://tp.example", "tp.example", "ftp://127.0.0.1", "http://127.0.0.1.example"]
        {
            assert!(Client::new(bad, None).is_err(), "{bad}");
        }
        let client = Client::new("https://tp.example", None).unwrap();
        assert!(client.url("//evil.example/x").is_err());
        assert!(client.url("https://evil.example").is_err());
    }

    #[tokio::test]
    async fn pages_are_followed_and_refusals_are_read() {
        use axum::Json;
        use axum::extract::RawQuery;
        use axum::routing::get;
        use serde_json::json;
        let list = get(|RawQuery(query): RawQuery| async move {
            let second = query.is_some_and(|query| query.contains("cursor=n1"));
            let next = if second { Value::Null } else { "n1".into() };
            Json(json!({"data": [1, 2], "page": {"next": next, "has_more": !second}}))
        });
        let refuse = get(|| async {
            let body = json!({"code": "forbidden", "detail": "no", "request_id": "r", "errors": [{"pointer": "/a", "detail": "b"}]});
            (StatusCode::FORBIDDEN, Json(body))
        });
        let router = axum::Router::new().route("/list", list).route("/no", refuse);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = Client::new(&server, None).unwrap();
        assert_eq!(client.list("/list", 100).await.unwrap().len(), 4);
        assert_eq!(client.list("/list", 3).await.unwrap().len(), 3);
        assert!(client.get_text("/list").await.unwrap().starts_with("{\"data\":"));
        assert_eq!(client.get_text("/no").await.unwrap_err().to_string(), "forbidden: no");
        let refused = client.get("/no").await.unwrap_err();
        assert_eq!(refused.to_string(), "forbidden: no");
        assert!(
            matches!(refused, ClientError::Refused { status: 403, errors, .. } if errors == ["/a b"])
        );
    }
}
