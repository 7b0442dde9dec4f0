//! The listener: connections that faults can break at any moment.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use http_body::Frame;
use hyper::body::Incoming as HyperBody;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::exchange::{Incoming, Sending};
use crate::mischief::Wire;
use crate::server::Sim;

/// Graph takes no more than four megabytes in a request; the control surface whole estates.
const LARGEST_BODY: usize = 256 << 20;

/// A connection that was broken on purpose.
#[derive(Debug, thiserror::Error)]
#[error("the connection is broken on purpose")]
struct Broken;

/// Serves until `shutdown`.
pub(crate) async fn serve(
    sim: Sim,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(error = %error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
        };
        let reset = Arc::new(AtomicBool::new(false));
        let io = TokioIo::new(Line { stream, reset: Arc::clone(&reset) });
        let sim = sim.clone();
        let service = service_fn(move |request: Request<HyperBody>| {
            let (sim, reset) = (sim.clone(), Arc::clone(&reset));
            async move { answer(&sim, request, &reset).await }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        let connection = http.timer(TokioTimer::new()).serve_connection(io, service);
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // Clients go away as they like, and faults break connections: neither is news.
            drop(connection.await);
        });
    }
    drop(listener);
    graceful.shutdown().await;
    Ok(())
}

async fn answer(
    sim: &Sim,
    request: Request<HyperBody>,
    reset: &AtomicBool,
) -> Result<Response<Body>, Broken> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(Body::new(body), LARGEST_BODY).await.map_err(|_| Broken)?;
    let latency = sim.latency();
    if !latency.is_zero() && !parts.uri.path().starts_with("/__sim") {
        tokio::time::sleep(latency).await;
    }
    let sending = sim.exchange(&Incoming {
        method: &parts.method,
        uri: &parts.uri,
        headers: &parts.headers,
        body: &body,
    });
    send(sending, reset).await
}

/// Sends an answer as far as faults let it come.
async fn send(sending: Sending, reset: &AtomicBool) -> Result<Response<Body>, Broken> {
    if !sending.wait.is_zero() {
        tokio::time::sleep(sending.wait).await;
    }
    if sending.wire == Wire::Reset {
        reset.store(true, Ordering::Relaxed);
        return Err(Broken);
    }
    let response = sending.answer.into_response(sending.client_id.as_deref());
    if sending.wire == Wire::Whole {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.map_err(|_| Broken)?;
    let body = match sending.wire {
        Wire::Cut => Body::new(Cut { rest: bytes.slice(..bytes.len() / 2), is_flushed: false }),
        Wire::Drip(pause) => Body::new(Drops { rest: bytes, pause, sleep: None }),
        _ => Body::new(Silence),
    };
    Ok(Response::from_parts(parts, body))
}

/// A connection that ends with a reset when that is wanted.
struct Line {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // Without waiting for what is not sent: the other side sees a reset.
            drop(self.stream.set_zero_linger());
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A body that breaks off with an error, which cuts the connection.
struct Cut {
    rest: Bytes,
    is_flushed: bool,
}

impl HttpBody for Cut {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(rest))));
        }
        if !self.is_flushed {
            // What was written leaves while there is nothing to write.
            self.is_flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionReset))))
    }
}

/// A body that never comes.
struct Silence;

impl HttpBody for Silence {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

/// A body that comes byte by byte.
struct Drops {
    rest: Bytes,
    pause: Duration,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl HttpBody for Drops {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let pause = self.pause;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        if sleep.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.sleep = None;
        let drop = self.rest.split_to(1);
        Poll::Ready(Some(Ok(Frame::data(drop))))
    }
}
