//! What payloads cost: bytes, with and without dictionaries, and time: `cargo xtask bench payloads`.
//!
//! On the corpus of real policies (`TENANTPILOT_TEST_CORPUS`, or beside the workspace); without it only the
//! times of generated ones are measured.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark speaks and may stop")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use secrecy::SecretBox;
use tp_domain::ids::{CopyId, DataKeyId, TenantId};
use tp_domain::json::Json;
use tp_domain::payload::{PayloadKeys, PayloadKind};
use tp_payload::{Canonical, Location, PayloadStore, Sealer, Vault};
use uuid::Uuid;

/// A block of the usual file systems: a file takes whole ones.
const BLOCK: usize = 4096;

fn corpus() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/graph/corpus");
    let folder =
        std::env::var_os("TENANTPILOT_TEST_CORPUS").map_or_else(|| beside.into(), PathBuf::from);
    folder.join("index.json").exists().then_some(folder)
}

/// The real objects by type.
fn objects() -> BTreeMap<String, Vec<Canonical>> {
    let mut types = BTreeMap::<String, Vec<Canonical>>::new();
    let Some(corpus) = corpus() else {
        println!("skipped: no corpus");
        return types;
    };
    let index = Json::parse(&std::fs::read(corpus.join("index.json")).unwrap()).unwrap();
    for entry in index.as_array().unwrap() {
        let bytes = std::fs::read(corpus.join(entry["file"].as_str().unwrap())).unwrap();
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        if let Ok(value) = Json::parse(text) {
            let of_type = types.entry(entry["type"].as_str().unwrap().to_owned()).or_default();
            of_type.push(Canonical::of(&value).unwrap());
        }
    }
    types
}

fn blocks(length: usize) -> usize {
    length.div_ceil(BLOCK) * BLOCK
}

/// Bytes of sealed objects, and what they take on a disk, at a level of zstd.
fn at_level(contents: &[&Canonical], level: i32) -> (usize, usize) {
    let sizes = contents
        .iter()
        .map(|content| zstd::bulk::compress(content.as_bytes(), level).unwrap().len() + 69);
    let sizes: Vec<usize> = sizes.collect();
    (sizes.iter().sum(), sizes.iter().map(|size| blocks(*size)).sum())
}

/// The same with a dictionary per type, made of half of its objects and measured on the other half. Types
/// with too few objects go without.
fn with_dictionaries(types: &BTreeMap<String, Vec<Canonical>>) -> [(usize, usize); 2] {
    let (mut with, mut without) = ((0, 0), (0, 0));
    for contents in types.values() {
        let (train, test): (Vec<_>, Vec<_>) =
            contents.iter().enumerate().partition(|(at, _)| at % 2 == 0);
        let train: Vec<&[u8]> = train.iter().map(|(_, content)| content.as_bytes()).collect();
        let dictionary = zstd::dict::from_samples(&train, 16 << 10).unwrap_or_default();
        let mut compressor = zstd::bulk::Compressor::with_dictionary(3, &dictionary).unwrap();
        for (_, content) in test {
            let size = compressor.compress(content.as_bytes()).unwrap().len() + 69;
            with = (with.0 + size, with.1 + blocks(size));
            let size = zstd::bulk::compress(content.as_bytes(), 3).unwrap().len() + 69;
            without = (without.0 + size, without.1 + blocks(size));
        }
    }
    [without, with]
}

fn vault(folder: &std::path::Path) -> Vault {
    let key = |byte| SecretBox::new(Box::new([byte; 32]));
    let id = DataKeyId::from_uuid(Uuid::from_u128(1));
    let keys = PayloadKeys { workspace: key(1), active: id, data: vec![(id, key(2))] };
    let sealer = Sealer::new(TenantId::from_uuid(Uuid::from_u128(1)), &keys).unwrap();
    let store = PayloadStore::open(&Location::Folder(folder.to_path_buf()), []).unwrap();
    Vault::new(sealer, store)
}

fn percentile(times: &mut [Duration], at: usize) -> f64 {
    times.sort();
    times[(times.len() - 1) * at / 100].as_secs_f64() * 1e3
}

async fn times(contents: &[&Canonical]) {
    let folder = tempfile::tempdir_in(".").unwrap();
    let vault = vault(folder.path());
    let copy = |at: usize| CopyId::from_uuid(Uuid::from_u128(at as u128));
    let (mut puts, mut gets, mut seals, mut parses) = (vec![], vec![], vec![], vec![]);
    for (at, content) in contents.iter().enumerate() {
        let began = Instant::now();
        let value = Json::parse(content.as_bytes()).unwrap();
        let text = Canonical::of(&value).unwrap();
        parses.push(began.elapsed());
        let began = Instant::now();
        vault.sealer().seal(PayloadKind::Version, &text).unwrap();
        seals.push(began.elapsed());
        let began = Instant::now();
        let sealed = vault.put(PayloadKind::Version, content, copy(at)).await.unwrap();
        puts.push(began.elapsed());
        let began = Instant::now();
        vault.get(PayloadKind::Version, sealed.address, copy(at)).await.unwrap();
        gets.push(began.elapsed());
    }
    let began = Instant::now();
    let all =
        futures_util::future::join_all(
            contents.iter().enumerate().map(|(at, content)| {
                let vault = &vault;
                async move {
                    vault.put(PayloadKind::Version, content, copy(at + 1_000_000)).await.unwrap()
                }
            }),
        );
    let count = u32::try_from(all.await.len()).unwrap();
    let many = f64::from(count) / began.elapsed().as_secs_f64();
    for (what, times) in [
        ("parse and write canonically", &mut parses),
        ("compress and seal", &mut seals),
        ("put, synced", &mut puts),
        ("get and open", &mut gets),
    ] {
        println!(
            "{what}: p50 {:.3} ms, p99 {:.3} ms",
            percentile(times, 50),
            percentile(times, 99)
        );
    }
    println!("put, synced, all at once: {many:.0} a second");
}

#[tokio::main]
async fn main() {
    let types = objects();
    let contents: Vec<&Canonical> = types.values().flatten().collect();
    if contents.is_empty() {
        let made: Vec<Canonical> = (0..1_000)
            .map(|number| {
                let settings = format!("{{\"id\":{number},\"value\":\"text of a setting\"}}");
                let text = format!("{{\"name\":\"Policy {number}\",\"settings\":[{settings}]}}");
                Canonical::of(&Json::parse(text.as_bytes()).unwrap()).unwrap()
            })
            .collect();
        return times(&made.iter().collect::<Vec<_>>()).await;
    }
    let text: usize = contents.iter().map(|content| content.as_bytes().len()).sum();
    println!("{} objects of {} types, {text} bytes of canonical text", contents.len(), types.len());
    for level in [1, 3, 9, 19] {
        let began = Instant::now();
        let (bytes, disk) = at_level(&contents, level);
        let seconds = began.elapsed().as_secs_f64();
        println!("zstd {level}: {bytes} bytes, {disk} on disk, {seconds:.2} s");
    }
    let [without, with] = with_dictionaries(&types);
    println!("half of the objects at level 3: {} bytes, {} on disk", without.0, without.1);
    println!("the same with dictionaries per type: {} bytes, {} on disk", with.0, with.1);
    times(&contents).await;
}
