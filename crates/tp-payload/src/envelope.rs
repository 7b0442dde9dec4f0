//! The bytes of a stored object: a header that the seal covers, then the sealed text.
//!
//! `TPP1 | compression (1) | data key id (16) | length of the text (8, big endian) | salt (24) | sealed`.

use tp_domain::ids::{DataKeyId, TenantId};
use tp_domain::payload::{PayloadAddress, PayloadKind};
use uuid::Uuid;

use crate::error::SealError;

const MAGIC: &[u8; 4] = b"TPP1";

/// Bytes of the header.
pub(crate) const HEADER: usize = 4 + 1 + 16 + 8 + SALT;

/// Random bytes that each object has a key of its own by. 192 bits: they never repeat by chance.
pub(crate) const SALT: usize = 24;

/// How the text was compressed before it was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Zstd,
}

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) compression: Compression,
    pub(crate) key: DataKeyId,
    /// Length of the canonical text.
    pub(crate) length: u64,
    pub(crate) salt: [u8; SALT],
}

impl Header {
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = match self.compression {
            Compression::None => 0,
            Compression::Zstd => 1,
        };
        bytes[5..21].copy_from_slice(self.key.uuid().as_bytes());
        bytes[21..29].copy_from_slice(&self.length.to_be_bytes());
        bytes[29..].copy_from_slice(&self.salt);
        bytes
    }

    /// Reads the header of an object; gives what follows it.
    pub(crate) fn read(object: &[u8]) -> Result<(Self, &[u8]), SealError> {
        let (header, sealed) = object.split_first_chunk::<HEADER>().ok_or(SealError::NotOurs)?;
        if !header.starts_with(MAGIC) {
            return Err(SealError::NotOurs);
        }
        let compression = match header[4] {
            0 => Compression::None,
            1 => Compression::Zstd,
            _ => return Err(SealError::NotOurs),
        };
        let mut key = [0; 16];
        key.copy_from_slice(&header[5..21]);
        let mut length = [0; 8];
        length.copy_from_slice(&header[21..29]);
        let mut salt = [0; SALT];
        salt.copy_from_slice(&header[29..]);
        let key = DataKeyId::from_uuid(Uuid::from_bytes(key));
        let header = Self { compression, key, length: u64::from_be_bytes(length), salt };
        Ok((header, sealed))
    }
}

/// What the seal covers beside the text: kind, tenant, address, and the header with the key's id.
pub(crate) fn associated(
    kind: PayloadKind,
    tenant: TenantId,
    address: &PayloadAddress,
    header: &[u8; HEADER],
) -> Vec<u8> {
    let mut data = b"tenantpilot payload\0".to_vec();
    data.extend_from_slice(kind.as_str().as_bytes());
    data.push(0);
    data.extend_from_slice(tenant.uuid().as_bytes());
    data.extend_from_slice(address.as_bytes());
    data.extend_from_slice(header);
    data
}
