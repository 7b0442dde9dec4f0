//! How stored contents are named: by a keyed hash of what they are, never by what people call them.

use std::fmt;
use std::str::FromStr;

use secrecy::SecretBox;

use crate::hex::hex;
use crate::ids::DataKeyId;
use crate::words::words;

words! {
    /// What a stored payload is. Part of its address and of its seal: one kind cannot stand for another.
    pub enum PayloadKind {
        /// What a version of a policy holds.
        Version => "version",
        /// What a backup set consists of: how it stands, and where the list of each type is.
        Manifest => "manifest",
        /// What of one type a backup set holds. Sets that hold the same share it.
        SetList => "set_list",
        /// What a restore wants an object to be.
        Wanted => "wanted",
        /// What the preview of a restore has found.
        Preview => "preview",
        /// A piece of a file: any bytes, where all other kinds are JSON.
        Piece => "piece",
    }
}

/// The address of a content in one workspace: HMAC-SHA-256 of its canonical form under the workspace's
/// key (PRODUCT S-1). Without the key, nobody can tell a content from its address by trying (TRUST 40).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadAddress([u8; 32]);

impl PayloadAddress {
    /// From the bytes of the hash.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// From a column; none when it has another length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PayloadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for PayloadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PayloadAddress({self})")
    }
}

/// A text is no address: 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the address of a payload")]
pub struct BadAddress;

impl FromStr for PayloadAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(BadAddress),
        };
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(BadAddress);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

/// Key material of 256 bits, in memory only and wiped when it goes.
pub type KeyMaterial = SecretBox<[u8; 32]>;

/// The keys for the payloads of one tenant, opened. tp-store hands them out, tp-payload uses them.
#[derive(Debug)]
pub struct PayloadKeys {
    /// The key of the workspace, for addresses and fingerprints.
    pub workspace: KeyMaterial,
    /// The data key that new payloads are sealed with: one of `data`.
    pub active: DataKeyId,
    /// All data keys of the tenant that something may be sealed with.
    pub data: Vec<(DataKeyId, KeyMaterial)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        let address = PayloadAddress::new(std::array::from_fn(|n| u8::try_from(n * 8).unwrap()));
        assert_eq!(address.to_string().parse(), Ok(address));
        assert_eq!(PayloadAddress::from_slice(address.as_bytes()), Some(address));
        for bad in ["", "zz", &"A".repeat(64), &"é".repeat(32), &"0".repeat(63)] {
            assert_eq!(bad.parse::<PayloadAddress>(), Err(BadAddress), "{bad}");
        }
    }
}
