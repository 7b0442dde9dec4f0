//! The accept loop: slow clients are cut, connections are bounded, and a shutdown answers what is open.
//!
//! `axum::serve` never cuts a client that drips its header (TRUST §0, 5), so this is our own.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

/// A header must be there within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A header is not longer.
const HEADER_BYTES: usize = 16 * 1024;
/// Connections at once.
const CONNECTIONS: usize = 4096;
/// How long open requests may take when the process shuts down.
const GRACE: Duration = Duration::from_secs(15);

/// When the process shuts down, it takes connections until none has come for this long …
const QUIET: Duration = Duration::from_millis(20);
/// … and at most for this long.
const LAST_CALL: Duration = Duration::from_millis(500);
/// How long those that were taken last have to say what they want: a connection of which nothing was read
/// is closed by a shutdown without an answer.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then answers what is open and returns.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    let (mut ending, mut last_call) = (false, Instant::now());
    loop {
        // A full house does not keep the process from ending.
        let slot = tokio::select! {
            biased;
            () = &mut shutdown, if !ending => { ending = true; last_call = Instant::now(); continue }
            slot = Arc::clone(&slots).acquire_owned() => slot,
        };
        let Ok(slot) = slot else { break };
        let accepted = if ending {
            // Whoever is in the system's queue was taken: closing now would cut them off. After the last
            // call only those are taken who are in it already.
            let called = last_call.elapsed() >= LAST_CALL;
            let quiet = if called { Duration::ZERO } else { QUIET };
            match tokio::time::timeout(quiet, listener.accept()).await {
                Ok(accepted) => accepted,
                Err(_) => break,
            }
        } else {
            tokio::select! {
                () = &mut shutdown => { ending = true; last_call = Instant::now(); continue }
                accepted = listener.accept() => accepted,
            }
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if ending => {
                tracing::warn!(error = %error, "a waiting connection could not be accepted");
                break;
            }
            Err(error) => {
                // Out of file descriptors, most often: wait for some to be given back.
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Small answers must not wait for each other.
        let _ = stream.set_nodelay(true);
        let service = router.clone();
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            let service = service.clone();
            async move {
                Ok::<_, Infallible>(
                    service.oneshot(request).await.unwrap_or_else(|never| match never {}),
                )
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that broke off is no news.
            let _ = watched.await;
            drop(slot);
        });
    }
    drop(listener);
    tokio::time::sleep(LAST_WORDS).await;
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and are cut off");
    }
}
