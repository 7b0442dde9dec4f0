//! Writing an archive: entry by entry, the same bytes for the same set.

use std::collections::HashSet;
use std::io::{self, Write};

use sha2::{Digest as _, Sha256};
use tp_domain::backup::BackupType;
use tp_domain::hex::hex;
use tp_domain::policy::PolicyType;
use tp_domain::version::ReferenceNames;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::manifest::{MANIFEST, Manifest, ManifestItem, MissingItem, Source};
use crate::names;

/// What is known of a policy beside its content.
#[derive(Clone, Debug)]
pub struct ItemFacts {
    /// Its type.
    pub policy_type: PolicyType,
    /// Its Graph id.
    pub graph_id: String,
    /// Its name.
    pub name: Option<String>,
    /// Names of what it refers to.
    pub names: ReferenceNames,
    /// When it was captured (RFC 3339).
    pub captured_at: String,
}

/// What is known of the set.
#[derive(Clone, Debug)]
pub struct SetFacts {
    /// Where it comes from.
    pub source: Source,
    /// How much was seen of each type.
    pub types: Vec<BackupType>,
    /// What it should hold and does not.
    pub missing: Vec<MissingItem>,
}

/// Writes an archive. Items must come in the same order each time: by type and id.
#[derive(Debug)]
pub struct Writer<W: Write> {
    zip: ZipWriter<StreamWriter<W>>,
    paths: HashSet<String>,
    items: Vec<ManifestItem>,
}

/// No clock, no owner, no system: nothing in the file that the set does not say.
fn options() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(6))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o600)
}

impl<W: Write> Writer<W> {
    /// Writes to `sink`, front to back.
    pub fn new(sink: W) -> Self {
        Self { zip: ZipWriter::new_stream(sink), paths: HashSet::new(), items: Vec::new() }
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.zip.start_file(path, options()).map_err(io::Error::other)?;
        self.zip.write_all(bytes)
    }

    /// Writes a policy's content.
    pub fn add(&mut self, facts: ItemFacts, content: &[u8]) -> io::Result<()> {
        let ItemFacts { policy_type, graph_id, name, names, captured_at } = facts;
        let path = (8..=64).step_by(8).find_map(|digits| {
            let path = names::path(policy_type.as_str(), &graph_id, name.as_deref(), digits);
            self.paths.insert(path.to_lowercase()).then_some(path)
        });
        let path = path.ok_or_else(|| io::Error::other("the same policy twice"))?;
        self.file(&path, content)?;
        let sha256 = hex(&Sha256::digest(content));
        let bytes = content.len() as u64;
        self.items.push(ManifestItem {
            policy_type,
            graph_id,
            name,
            names,
            captured_at,
            path,
            bytes,
            sha256,
        });
        Ok(())
    }

    /// Writes the list of contents and the end. Gives the sink and the list.
    pub fn finish(mut self, facts: SetFacts) -> io::Result<(W, Manifest)> {
        let SetFacts { source, types, missing } = facts;
        let items = std::mem::take(&mut self.items);
        let manifest = Manifest { source, types, items, missing };
        self.file(MANIFEST, manifest.text().as_bytes())?;
        let stream = self.zip.finish().map_err(io::Error::other)?;
        Ok((stream.into_inner(), manifest))
    }
}
