//! Makes zip files byte by byte, as no honest program would, and archives of ours to spoil.

use std::io::{Cursor, Read as _};

use sha2::{Digest as _, Sha256};
use tp_archive::{ItemFacts, Limits, Manifest, SetFacts, Source, Writer, Zip};
use tp_domain::backup::{BackupState, BackupType};
use tp_domain::completeness::Completeness;
use tp_domain::hex::hex;
use tp_domain::json::Json;
use tp_domain::policy::PolicyType;
use tp_domain::version::ReferenceNames;

/// The fingerprint of a secret in the sample.
pub(crate) const FINGERPRINT: &str = "00112233445566778899aabbccddeeff";

/// The path of the sample's first policy begins with this.
pub(crate) const FIRST: &str = "policies/deviceConfiguration/Wi-Fi _ corp--";

pub(crate) fn content(id: &str, name: &str) -> String {
    let object = serde_json::json!({
        "@odata.type": "#microsoft.graph.windows10CustomConfiguration",
        "displayName": name,
        "id": id,
        "psk": {"@tenantpilot.redacted": FINGERPRINT},
    });
    Json::from(serde_json::json!({
        "format": 1,
        "type": "deviceConfiguration",
        "object": object,
        "assignments": [],
        "redactions": [{"pointer": "/psk", "by": "name", "reads_as": "clear", "fingerprint": FINGERPRINT}],
        "restricted": [],
    }))
    .to_string()
}

pub(crate) fn key() -> PolicyType {
    PolicyType::new("deviceConfiguration").unwrap()
}

pub(crate) fn facts(id: &str, name: &str) -> ItemFacts {
    ItemFacts {
        policy_type: key(),
        graph_id: id.to_owned(),
        name: Some(name.to_owned()),
        names: ReferenceNames::default(),
        captured_at: "2026-01-17T14:01:02.000Z".to_owned(),
    }
}

pub(crate) fn set() -> SetFacts {
    SetFacts {
        source: Source {
            entra_tenant_id: "11111111-2222-3333-4444-555555555555".to_owned(),
            tenant: "Contoso".to_owned(),
            backup: 7,
            state: BackupState::Complete,
            created_at: "2026-01-17T14:00:00.000Z".to_owned(),
            completed_at: Some("2026-01-17T14:05:00.000Z".to_owned()),
            note: None,
        },
        types: vec![BackupType {
            policy_type: key(),
            completeness: Completeness::Complete,
            listed: 2,
        }],
        missing: Vec::new(),
    }
}

/// An archive of two policies.
pub(crate) fn sample() -> (Vec<u8>, Manifest) {
    let mut writer = Writer::new(Vec::new());
    writer.add(facts("a", "Wi-Fi / corp"), content("a", "Wi-Fi / corp").as_bytes()).unwrap();
    writer.add(facts("b", "../../CON"), content("b", "../../CON").as_bytes()).unwrap();
    writer.finish(set()).unwrap()
}

/// The files of an archive.
pub(crate) fn unpacked(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut zip = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    (0..zip.len())
        .map(|at| {
            let mut file = zip.by_index(at).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            (file.name().unwrap().into_owned(), bytes)
        })
        .collect()
}

/// The manifest with its root hash put right after a change.
pub(crate) fn rooted(manifest: &str) -> String {
    let mut value = Json::parse(manifest.as_bytes()).unwrap();
    let members = value.as_object_mut().unwrap();
    members.remove("root");
    let root = hash(value.to_string().as_bytes());
    value.as_object_mut().unwrap().insert("root", Json::from(root));
    value.to_string()
}

/// The sample with one policy's bytes replaced, hash and length in the manifest put right: what a forger
/// can do.
pub(crate) fn forged(content: &[u8]) -> Vec<u8> {
    let mut files = unpacked(&sample().0);
    let at = files.iter().position(|(path, _)| path.starts_with(FIRST)).unwrap();
    let (old_hash, old_length) = (hash(&files[at].1), files[at].1.len());
    files[at].1 = content.to_vec();
    let manifest = files.iter_mut().find(|(path, _)| path == "manifest.json").unwrap();
    let text = String::from_utf8(manifest.1.clone()).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let item = value["items"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|item| item["sha256"] == old_hash.as_str() && item["bytes"] == old_length);
    let item = item.unwrap();
    item["sha256"] = hash(content).into();
    item["bytes"] = content.len().into();
    manifest.1 = rooted(&value.to_string()).into_bytes();
    packed(&files)
}

pub(crate) fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// One entry, with what it says of itself.
#[derive(Clone)]
pub(crate) struct Crafted {
    pub(crate) name: Vec<u8>,
    /// The name in the list, where that is another one.
    pub(crate) listed: Option<Vec<u8>>,
    pub(crate) data: Vec<u8>,
    pub(crate) method: u16,
    pub(crate) flags: u16,
    pub(crate) size: u32,
    /// The length in the list, where that is another one.
    pub(crate) listed_size: Option<u32>,
    pub(crate) crc: u32,
    pub(crate) attributes: u32,
    pub(crate) extra: Vec<u8>,
    /// Where the list says that it is, where that is a lie.
    pub(crate) offset: Option<u32>,
}

impl Crafted {
    /// Stored as it is.
    pub(crate) fn stored(name: &str, data: &[u8]) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            listed: None,
            data: data.to_vec(),
            method: 0,
            flags: 0,
            size: u32::try_from(data.len()).unwrap(),
            listed_size: None,
            crc: crc32fast::hash(data),
            attributes: 0,
            extra: Vec::new(),
            offset: None,
        }
    }

    fn packed_length(&self) -> u32 {
        u32::try_from(self.data.len()).unwrap()
    }

    fn head(&self, central: bool) -> Vec<u8> {
        let name = if central { self.listed.as_ref().unwrap_or(&self.name) } else { &self.name };
        let size = if central { self.listed_size.unwrap_or(self.size) } else { self.size };
        let mut head = Vec::new();
        for word in [20, self.flags, self.method, 0, 33] {
            head.extend_from_slice(&word.to_le_bytes());
        }
        for word in [self.crc, self.packed_length(), size] {
            head.extend_from_slice(&word.to_le_bytes());
        }
        let lengths = [name.len(), if central { self.extra.len() } else { 0 }];
        for length in lengths {
            head.extend_from_slice(&u16::try_from(length).unwrap().to_le_bytes());
        }
        head
    }
}

/// Puts entries together.
pub(crate) fn zip_of(entries: &[Crafted]) -> Vec<u8> {
    let (mut file, mut list) = (Vec::new(), Vec::new());
    for one in entries {
        let offset = u32::try_from(file.len()).unwrap();
        file.extend_from_slice(b"PK\x03\x04");
        file.extend_from_slice(&one.head(false));
        file.extend_from_slice(&one.name);
        file.extend_from_slice(&one.data);
        list.extend_from_slice(b"PK\x01\x02\x14\x03");
        list.extend_from_slice(&one.head(true));
        list.extend_from_slice(&[0; 6]);
        list.extend_from_slice(&one.attributes.to_le_bytes());
        list.extend_from_slice(&one.offset.unwrap_or(offset).to_le_bytes());
        list.extend_from_slice(one.listed.as_ref().unwrap_or(&one.name));
        list.extend_from_slice(&one.extra);
    }
    let count = u16::try_from(entries.len()).unwrap();
    end(&mut file, &list, count, count);
    file
}

/// Appends the list and the end.
pub(crate) fn end(file: &mut Vec<u8>, list: &[u8], here: u16, count: u16) {
    let offset = u32::try_from(file.len()).unwrap();
    file.extend_from_slice(list);
    file.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    file.extend_from_slice(&here.to_le_bytes());
    file.extend_from_slice(&count.to_le_bytes());
    file.extend_from_slice(&u32::try_from(list.len()).unwrap().to_le_bytes());
    file.extend_from_slice(&offset.to_le_bytes());
    file.extend_from_slice(&[0, 0]);
}

/// Files, stored.
pub(crate) fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<Crafted> =
        files.iter().map(|(name, data)| Crafted::stored(name, data)).collect();
    zip_of(&entries)
}

pub(crate) fn open(bytes: Vec<u8>) -> Result<Zip<Cursor<Vec<u8>>>, tp_archive::ArchiveError> {
    Zip::open(Cursor::new(bytes), Limits::BACKUP)
}
