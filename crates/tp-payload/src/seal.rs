//! Addresses, fingerprints and seals: everything that a key is needed for.
//!
//! AES-256-GCM as for the other secrets at rest. Its nonce is too short to be drawn at random without
//! counting, so each object has a key of its own: HKDF-SHA-256 of the tenant's data key and 192 random
//! bits (TRUST 36). The key of an object is used once, so its nonce may be zero.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};
use aws_lc_rs::{constant_time, hmac, rand};
use secrecy::ExposeSecret as _;
use tp_domain::hex::hex;
use tp_domain::ids::{DataKeyId, TenantId};
use tp_domain::json::Json;
use tp_domain::payload::{KeyMaterial, PayloadAddress, PayloadKeys, PayloadKind};
use zeroize::Zeroizing;

use crate::MOST_BYTES;
use crate::canonical::Canonical;
use crate::envelope::{Compression, HEADER, Header, SALT, associated};
use crate::error::SealError;

/// The level of compression: the default of zstd. Level 9 gains 4 % on policies and takes three times as
/// long, level 19 gains 5 % and takes 80 times as long (`docs/decisions/0013-payload-store.md`).
const LEVEL: i32 = 3;

/// What tells whether a secret is the same as before, and nothing else about it (PRODUCT G-8).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// 32 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A sealed payload: what is written to the object store, and what the database must remember of it.
#[derive(Clone)]
pub struct Sealed {
    /// The address of the content.
    pub address: PayloadAddress,
    /// The data key that it is sealed with.
    pub key: DataKeyId,
    /// The object's bytes.
    pub bytes: Vec<u8>,
    /// Length of the canonical text, in bytes.
    pub length: u64,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("address", &self.address)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Seals and opens the payloads of one tenant.
pub struct Sealer {
    tenant: TenantId,
    addresses: hmac::Key,
    fingerprints: hmac::Key,
    active: DataKeyId,
    data: Vec<(DataKeyId, Prk)>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("tenant", &self.tenant)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

impl Sealer {
    /// With the keys of the tenant.
    pub fn new(tenant: TenantId, keys: &PayloadKeys) -> Result<Self, SealError> {
        let data: Vec<_> = keys.data.iter().map(|(id, key)| (*id, prk(key))).collect();
        if data.iter().all(|(id, _)| *id != keys.active) {
            return Err(SealError::UnknownKey);
        }
        let workspace = prk(&keys.workspace);
        Ok(Self {
            tenant,
            addresses: mac_key(&workspace, b"address")?,
            fingerprints: mac_key(&workspace, b"fingerprint")?,
            active: keys.active,
            data,
        })
    }

    /// The tenant whose payloads it seals.
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The data key that it seals with.
    pub const fn active_key(&self) -> DataKeyId {
        self.active
    }

    /// The address of a content: the same for equal contents of the workspace.
    pub fn address(&self, kind: PayloadKind, content: &Canonical) -> PayloadAddress {
        self.address_of(kind, content.as_bytes())
    }

    /// The address of any bytes, of a kind that is no JSON.
    pub fn address_of(&self, kind: PayloadKind, bytes: &[u8]) -> PayloadAddress {
        PayloadAddress::new(mac(&self.addresses, &[kind.as_str().as_bytes(), bytes]))
    }

    /// The fingerprint of a secret value: the same for equal values of the workspace.
    pub fn fingerprint(&self, secret: &Json) -> Fingerprint {
        let text = Zeroizing::new(secret.to_string());
        let digest = mac(&self.fingerprints, &[text.as_bytes()]);
        Fingerprint(hex(&digest[..16]))
    }

    /// Compresses and seals a content.
    pub fn seal(&self, kind: PayloadKind, content: &Canonical) -> Result<Sealed, SealError> {
        self.seal_bytes(kind, content.as_bytes())
    }

    /// Compresses and seals any bytes, of a kind that is no JSON.
    pub fn seal_bytes(&self, kind: PayloadKind, text: &[u8]) -> Result<Sealed, SealError> {
        if text.len() > MOST_BYTES {
            return Err(SealError::TooLarge);
        }
        let packed = zstd::bulk::compress(text, LEVEL).map_err(|_| SealError::Machine)?;
        let (compression, packed) = if packed.len() < text.len() {
            (Compression::Zstd, packed)
        } else {
            (Compression::None, text.to_vec())
        };
        let address = self.address_of(kind, text);
        self.seal_packed(kind, address, compression, text.len() as u64, packed)
    }

    fn seal_packed(
        &self,
        kind: PayloadKind,
        address: PayloadAddress,
        compression: Compression,
        length: u64,
        mut packed: Vec<u8>,
    ) -> Result<Sealed, SealError> {
        let mut salt = [0; SALT];
        rand::fill(&mut salt).map_err(|_| SealError::Machine)?;
        let header = Header { compression, key: self.active, length, salt };
        let head = header.to_bytes();
        let key = self.object_key(&header)?;
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key([0; NONCE_LEN]),
                Aad::from(associated(kind, self.tenant, &address, &head)),
                &mut packed,
            )
            .map_err(|_| SealError::Machine)?;
        let mut bytes = Vec::with_capacity(HEADER + packed.len() + tag.as_ref().len());
        bytes.extend_from_slice(&head);
        bytes.append(&mut packed);
        bytes.extend_from_slice(tag.as_ref());
        Ok(Sealed { address, key: self.active, bytes, length })
    }

    /// Opens the object of a content; everything about it is checked.
    pub fn open(
        &self,
        kind: PayloadKind,
        address: &PayloadAddress,
        object: &[u8],
    ) -> Result<Canonical, SealError> {
        let bytes = self.open_bytes(kind, address, object)?;
        Canonical::stored(bytes).ok_or(SealError::Altered)
    }

    /// Opens the object of any bytes, of a kind that is no JSON; everything about it is checked.
    pub fn open_bytes(
        &self,
        kind: PayloadKind,
        address: &PayloadAddress,
        object: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let (header, packed) = self.unseal(kind, address, object)?;
        let length = usize::try_from(header.length).map_err(|_| SealError::TooLarge)?;
        if length > MOST_BYTES {
            return Err(SealError::TooLarge);
        }
        let text = match header.compression {
            Compression::None => packed,
            Compression::Zstd => {
                zstd::bulk::decompress(&packed, length).map_err(|_| SealError::Altered)?
            }
        };
        let own = self.address_of(kind, &text);
        constant_time::verify_slices_are_equal(own.as_bytes(), address.as_bytes())
            .map_err(|_| SealError::Altered)?;
        Ok(text)
    }

    /// An object that is there already, if it is sound.
    pub(crate) fn check(
        &self,
        kind: PayloadKind,
        address: &PayloadAddress,
        object: Vec<u8>,
    ) -> Result<Sealed, SealError> {
        self.open_bytes(kind, address, &object)?;
        let (header, _) = Header::read(&object)?;
        Ok(Sealed { address: *address, key: header.key, bytes: object, length: header.length })
    }

    /// The object sealed anew under the active key; none when it already is. The content stays packed.
    pub fn reseal(
        &self,
        kind: PayloadKind,
        address: &PayloadAddress,
        object: &[u8],
    ) -> Result<Option<Sealed>, SealError> {
        let (header, packed) = self.unseal(kind, address, object)?;
        if header.key == self.active {
            return Ok(None);
        }
        self.seal_packed(kind, *address, header.compression, header.length, packed).map(Some)
    }

    fn unseal(
        &self,
        kind: PayloadKind,
        address: &PayloadAddress,
        object: &[u8],
    ) -> Result<(Header, Vec<u8>), SealError> {
        let (header, sealed) = Header::read(object)?;
        let mut packed = sealed.to_vec();
        let plain = self
            .object_key(&header)?
            .open_in_place(
                Nonce::assume_unique_for_key([0; NONCE_LEN]),
                Aad::from(associated(kind, self.tenant, address, &header.to_bytes())),
                &mut packed,
            )
            .map_err(|_| SealError::Altered)?
            .len();
        packed.truncate(plain);
        Ok((header, packed))
    }

    /// The key of one object.
    fn object_key(&self, header: &Header) -> Result<LessSafeKey, SealError> {
        let known = self.data.iter().find(|(id, _)| *id == header.key);
        let (_, prk) = known.ok_or(SealError::UnknownKey)?;
        let info = [b"tenantpilot object key".as_slice(), &header.salt];
        let key = prk.expand(&info, &AES_256_GCM).map_err(|_| SealError::Machine)?;
        Ok(LessSafeKey::new(UnboundKey::from(key)))
    }
}

fn prk(key: &KeyMaterial) -> Prk {
    Prk::new_less_safe(HKDF_SHA256, key.expose_secret())
}

fn mac_key(workspace: &Prk, purpose: &[u8]) -> Result<hmac::Key, SealError> {
    let info = [b"tenantpilot workspace key", purpose];
    let key = workspace.expand(&info, hmac::HMAC_SHA256).map_err(|_| SealError::Machine)?;
    Ok(hmac::Key::from(key))
}

/// The code of several parts, each with its length before it.
fn mac(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut code = [0; 32];
    code.copy_from_slice(context.sign().as_ref());
    code
}
