//! Archives that come in and go out: streamed in pieces, so that no more than a few of them are in memory.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use tp_domain::access::{DownloadBackups, StartBackupImport, ViewBackups};
use tp_domain::artefact::{ArtefactPiece, MOST_UPLOAD_BYTES, MOST_UPLOADS, PIECE};
use tp_domain::contents::{ContentFault, ContentPlace};
use tp_domain::hex::hex;
use tp_domain::ids::ArtefactId;
use tp_domain::payload::{PayloadKeys, PayloadKind};
use tp_store::{ArtefactEnd, NewPiece, PayloadWritten, TenantScope};

use crate::app::App;
use crate::contents::Unreadable;
use crate::error::WebError;

/// How long the next bytes of an upload may take to come.
const IDLE: Duration = Duration::from_secs(30);

/// How often a piece is stored again that was collected as garbage in between.
const TRIES: usize = 3;

/// Pieces that are read ahead of whoever downloads.
const AHEAD: usize = 2;

/// An upload that came in whole.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) id: ArtefactId,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

fn too_long() -> WebError {
    let most = MOST_UPLOAD_BYTES >> 20;
    WebError::BadRequest(format!("An archive has at most {most} MiB. Nothing was kept."))
}

/// Refuses what says of itself that it is too long, before any of it is read.
pub(crate) fn length_is_allowed(headers: &HeaderMap, beside: u64) -> Result<(), WebError> {
    let said = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match said.and_then(|text| text.parse::<u64>().ok()) {
        Some(length) if length > MOST_UPLOAD_BYTES + beside => Err(too_long()),
        _ => Ok(()),
    }
}

/// Takes an upload in; of one that breaks off nothing stays.
pub(crate) async fn receive<S, E>(
    app: &App,
    scope: &TenantScope<StartBackupImport>,
    body: S,
    request_id: String,
) -> Result<Received, WebError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
    E: Send,
{
    let keys = keys(&scope.also::<ViewBackups>().await?).await?;
    let id = scope.upload_begin().await?.ok_or_else(|| {
        let text = format!("{MOST_UPLOADS} uploads wait for their import already.");
        WebError::Conflict(text)
    })?;
    let upload = Upload { app, scope, keys: &keys, id };
    let ended = match upload.take(body).await {
        Ok(end) => {
            let received = Received { id, bytes: end.bytes, sha256: end.sha256.clone() };
            let finished = scope.upload_finish(id, end, Some(request_id)).await?;
            finished.then_some(received).ok_or(WebError::Internal)
        }
        Err(error) => Err(error),
    };
    if ended.is_err() {
        scope.upload_drop(id).await?;
    }
    ended
}

async fn keys(scope: &TenantScope<ViewBackups>) -> Result<PayloadKeys, WebError> {
    scope.payload_keys().await?.map_err(|reason| WebError::Content(Unreadable::Keys(reason)))
}

fn fault(fault: ContentFault) -> WebError {
    WebError::Content(Unreadable::Fault(fault))
}

/// An upload that comes in.
struct Upload<'a> {
    app: &'a App,
    scope: &'a TenantScope<StartBackupImport>,
    keys: &'a PayloadKeys,
    id: ArtefactId,
}

impl Upload<'_> {
    async fn take<S, E>(&self, mut body: S) -> Result<ArtefactEnd, WebError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: Send,
    {
        let (mut hash, mut bytes, mut position) = (Sha256::new(), 0_u64, 0);
        let mut piece: Vec<u8> = Vec::with_capacity(PIECE);
        loop {
            let next = tokio::time::timeout(IDLE, body.next()).await.map_err(|_| {
                WebError::BadRequest("The upload stood still for 30 seconds.".to_owned())
            })?;
            let Some(chunk) = next else { break };
            let broken = |_| WebError::BadRequest("The upload broke off.".to_owned());
            let chunk = chunk.map_err(broken)?;
            bytes += chunk.len() as u64;
            if bytes > MOST_UPLOAD_BYTES {
                return Err(too_long());
            }
            hash.update(&chunk);
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(PIECE - piece.len()));
                piece.extend_from_slice(now);
                rest = later;
                if piece.len() == PIECE {
                    self.keep(position, &piece).await?;
                    position += 1;
                    piece.clear();
                }
            }
        }
        if !piece.is_empty() {
            self.keep(position, &piece).await?;
        }
        if bytes == 0 {
            return Err(WebError::BadRequest("The upload is empty.".to_owned()));
        }
        Ok(ArtefactEnd { bytes, sha256: hex(&hash.finalize()), root: None })
    }

    async fn keep(&self, position: u64, bytes: &[u8]) -> Result<(), WebError> {
        let (tenant, contents) = (self.scope.tenant().id, &self.app.contents);
        let kind = PayloadKind::Piece;
        let address = contents.address_of_piece(tenant, bytes, self.keys).map_err(fault)?;
        for _ in 0..TRIES {
            let place = self.scope.upload_reserve(address).await?;
            let mut written = None;
            if !place.stored {
                let at = ContentPlace { tenant, kind, address, copy: place.copy };
                let done = contents.write_piece(at, bytes, self.keys).await.map_err(fault)?;
                written = Some(PayloadWritten {
                    key: done.key,
                    text_bytes: bytes.len() as u64,
                    object_bytes: done.object_bytes,
                });
            }
            let piece = ArtefactPiece { address, bytes: bytes.len() as u64 };
            let new = NewPiece { position, piece, copy: place.copy, written };
            if self.scope.upload_piece(self.id, new).await? {
                return Ok(());
            }
        }
        Err(fault(ContentFault::Unavailable))
    }
}

/// The archive of a set as a file; piece by piece, each checked before it is sent.
pub(crate) async fn send(
    app: &App,
    scope: &TenantScope<DownloadBackups>,
    number: u64,
    request_id: String,
) -> Result<Response, WebError> {
    let seen = scope.also::<ViewBackups>().await?;
    seen.backup_get(number).await?.ok_or(WebError::NotFound)?;
    let keys = keys(&seen).await?;
    let Some((archive, pieces)) = scope.backup_download(number, Some(request_id)).await? else {
        let text = format!("There is no archive of backup {number}: export it first.");
        return Err(WebError::Conflict(text));
    };
    let reading = Reading { app: app.clone(), scope: seen, keys };
    let mut pieces = pieces.into_iter();
    // What cannot be read at all is said, not broken off.
    let first = match pieces.next() {
        Some(piece) => reading.read(piece).await.map_err(fault)?,
        None => Vec::new(),
    };
    let reading = std::sync::Arc::new(reading);
    let rest = stream::iter(pieces)
        .map(move |piece| {
            let reading = std::sync::Arc::clone(&reading);
            async move { reading.read(piece).await }
        })
        .buffered(AHEAD);
    let body = stream::once(async move { Ok(first) }).chain(rest).map_ok(Bytes::from);
    let slug = scope.tenant().slug.as_str();
    let name = format!("attachment; filename=\"{slug}-backup-{number}.zip\"");
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(archive.bytes));
    // It is packed already; and a length that is known shows that nothing was cut off.
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("identity"));
    let name = HeaderValue::try_from(name).map_err(|_| WebError::Internal)?;
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

/// A file that goes out.
struct Reading {
    app: App,
    scope: TenantScope<ViewBackups>,
    keys: PayloadKeys,
}

impl Reading {
    async fn read(&self, piece: ArtefactPiece) -> Result<Vec<u8>, ContentFault> {
        let (tenant, kind) = (self.scope.tenant().id, PayloadKind::Piece);
        let place = self.scope.payload_place(piece.address).await;
        let place = place.map_err(|_| ContentFault::Unavailable)?.ok_or(ContentFault::Missing)?;
        let at = ContentPlace { tenant, kind, address: piece.address, copy: place.copy };
        let bytes = self.app.contents.read_piece(at, &self.keys).await?;
        if bytes.len() as u64 == piece.bytes { Ok(bytes) } else { Err(ContentFault::Damaged) }
    }
}
