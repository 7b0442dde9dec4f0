//! Listeners that count who comes, and resolvers that lie.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tp_egress::{Egress, EgressOptions, Lookup};
use url::Url;

/// Answers every request with the same bytes, and counts the connections.
#[derive(Clone)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    pub(crate) async fn at(address: &str, answer: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let own = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            heads: Arc::default(),
        };
        let (counted, heads, answer) =
            (own.connections.clone(), own.heads.clone(), answer.to_owned());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (heads, answer) = (heads.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65_536];
                    let read = stream.read(&mut buffer).await.unwrap_or(0);
                    let head = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    heads.lock().unwrap().push(head);
                    let _ = stream.write_all(answer.as_bytes()).await;
                    if answer.is_empty() {
                        // A hole: takes the request and says nothing until the other side gives up.
                        let _ = stream.read(&mut buffer).await;
                    }
                });
            }
        });
        own
    }

    pub(crate) async fn new(answer: &str) -> Self {
        Self::at("127.0.0.1:0", answer).await
    }

    /// How many connections came. Accepted in order: whoever was answered came after all before.
    pub(crate) fn count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://{}/", self.address).parse().unwrap()
    }
}

/// A resolver that says what it is told, one answer after the other; the last one stays.
#[derive(Debug)]
pub(crate) struct Lies {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Lies {
    pub(crate) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |all: &&[&str]| all.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parse).collect()),
            asked: AtomicUsize::new(0),
        })
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Lookup for Lies {
    fn lookup(&self, _: String) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        let found = next.unwrap_or_default().into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
        Box::pin(async move { Ok(found) })
    }
}

pub(crate) fn options(declared: &[Url], ports: &[u16]) -> EgressOptions {
    EgressOptions {
        ports: ports.to_vec(),
        declared: declared.to_vec(),
        connect_timeout: Duration::from_secs(5),
        total_timeout: Duration::from_secs(5),
        ..EgressOptions::default()
    }
}

pub(crate) fn egress(options: EgressOptions, lookup: Arc<Lies>) -> Egress {
    Egress::new(options, lookup).unwrap()
}
