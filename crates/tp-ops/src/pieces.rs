//! Files in the payload store, as programs that know files write and read them.
//!
//! Packing and unpacking is work for a thread of its own; the pieces go to and from the store beside it. So
//! of a file of any length a few pieces are in memory.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tp_domain::artefact::{ArtefactPiece, PIECE};
use tp_domain::hex::hex;
use tp_domain::ids::ArtefactId;
use tp_domain::payload::{PayloadAddress, PayloadKind};
use tp_domain::reason::ReasonCode;
use tp_engine::operation::Stop;
use tp_payload::Vault;
use tp_store::{ArtefactEnd, ClaimedRun, NewPiece, PayloadPlace, PayloadWant, PayloadWritten};

use crate::capturing::TRIES;
use crate::sign_in::failed;
use crate::stored::{fault, payload_stop};

/// Pieces that are kept of a file that is read: its list of entries is at its end, so reading jumps.
const KEPT: usize = 4;

/// Takes a file and gives it away in pieces. It must be ended: what is dropped is no file.
#[derive(Debug)]
pub(crate) struct PieceWriter {
    pieces: mpsc::Sender<Vec<u8>>,
    piece: Vec<u8>,
    hash: Sha256,
    bytes: u64,
}

impl PieceWriter {
    pub(crate) fn new(pieces: mpsc::Sender<Vec<u8>>) -> Self {
        Self { pieces, piece: Vec::with_capacity(PIECE), hash: Sha256::new(), bytes: 0 }
    }

    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.pieces.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Gives the last piece away, and says what the file is.
    pub(crate) fn end(mut self, root: Option<String>) -> io::Result<ArtefactEnd> {
        if !self.piece.is_empty() {
            self.send()?;
        }
        Ok(ArtefactEnd { bytes: self.bytes, sha256: hex(&self.hash.finalize()), root })
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE - self.piece.len();
        let taken = &bytes[..bytes.len().min(room)];
        self.piece.extend_from_slice(taken);
        self.hash.update(taken);
        self.bytes += taken.len() as u64;
        if self.piece.len() == PIECE {
            self.send()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Stores the pieces of a file as they come, in their order.
pub(crate) async fn store(
    run: &ClaimedRun,
    vault: &Vault,
    artefact: ArtefactId,
    mut pieces: mpsc::Receiver<Vec<u8>>,
) -> Result<(), Stop> {
    let mut position = 0;
    while let Some(piece) = pieces.recv().await {
        put(run, vault, artefact, position, &piece).await?;
        position += 1;
    }
    Ok(())
}

async fn put(
    run: &ClaimedRun,
    vault: &Vault,
    artefact: ArtefactId,
    position: u64,
    bytes: &[u8],
) -> Result<(), Stop> {
    let kind = PayloadKind::Piece;
    let address = vault.sealer().address_of(kind, bytes);
    for _ in 0..TRIES {
        let place = run.payloads_reserve(vec![PayloadWant { kind, address }]).await?;
        let place = place.first().copied().ok_or_else(|| failed(ReasonCode::InternalError))?;
        let written = if place.stored {
            None
        } else {
            let sealed = vault.put_bytes(kind, bytes, place.copy).await.map_err(payload_stop)?;
            let object_bytes = u64::try_from(sealed.bytes.len()).unwrap_or(u64::MAX);
            Some(PayloadWritten { key: sealed.key, text_bytes: sealed.length, object_bytes })
        };
        let piece = ArtefactPiece { address, bytes: bytes.len() as u64 };
        let new = NewPiece { position, piece, copy: place.copy, written };
        if run.artefact_piece(artefact, new).await? {
            return Ok(());
        }
    }
    Err(failed(ReasonCode::StorageUnavailable))
}

/// Reads a file from its pieces. Only for a thread that may wait.
#[derive(Debug)]
pub(crate) struct PieceReader {
    vault: Vault,
    runtime: Handle,
    places: HashMap<PayloadAddress, PayloadPlace>,
    /// Each piece with where it begins.
    pieces: Vec<(u64, ArtefactPiece)>,
    length: u64,
    position: u64,
    kept: VecDeque<(usize, Vec<u8>)>,
    trouble: Arc<OnceLock<ReasonCode>>,
}

impl PieceReader {
    /// Of a file of this run's tenant. `trouble` says afterwards what was wrong with the store.
    pub(crate) async fn open(
        run: &ClaimedRun,
        vault: &Vault,
        pieces: Vec<ArtefactPiece>,
        trouble: Arc<OnceLock<ReasonCode>>,
    ) -> Result<Self, Stop> {
        let addresses: Vec<PayloadAddress> = pieces.iter().map(|one| one.address).collect();
        let places = run.payload_places(&addresses).await?;
        let mut length = 0;
        let pieces = pieces
            .into_iter()
            .map(|piece| {
                let begin = length;
                length += piece.bytes;
                (begin, piece)
            })
            .collect();
        Ok(Self {
            vault: vault.clone(),
            runtime: Handle::current(),
            places,
            pieces,
            length,
            position: 0,
            kept: VecDeque::with_capacity(KEPT),
            trouble,
        })
    }

    /// The place of a piece among those that are kept; reads it when it is not.
    fn piece(&mut self, at: usize) -> io::Result<usize> {
        if let Some(kept) = self.kept.iter().position(|(kept, _)| *kept == at) {
            return Ok(kept);
        }
        let piece = self.pieces[at].1;
        let read = match self.places.get(&piece.address) {
            None => Err(ReasonCode::PayloadMissing),
            Some(place) => {
                let get = self.vault.get_bytes(PayloadKind::Piece, place.address, place.copy);
                let bytes = self.runtime.block_on(get);
                bytes.map_err(|error| fault(error).unwrap_or(ReasonCode::StorageUnavailable))
            }
        };
        let bytes = read.and_then(|bytes| {
            let is_whole = bytes.len() as u64 == piece.bytes;
            if is_whole { Ok(bytes) } else { Err(ReasonCode::PayloadDamaged) }
        });
        let bytes = bytes.map_err(|reason| {
            // The first one is what was wrong.
            self.trouble.get_or_init(|| reason);
            io::Error::other("the pieces of the file cannot be read")
        })?;
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((at, bytes));
        Ok(self.kept.len() - 1)
    }
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.length || buffer.is_empty() {
            return Ok(0);
        }
        let at = self.pieces.partition_point(|(begin, _)| *begin <= self.position) - 1;
        let within = usize::try_from(self.position - self.pieces[at].0).unwrap_or(usize::MAX);
        let kept = self.piece(at)?;
        let rest = &self.kept[kept].1[within..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for PieceReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = to.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
