//! An archive is written with the same bytes each time and read back as it was.

use tp_archive::{OwnArchive, verify};

use crate::craft::{content, open, sample, unpacked};

#[test]
fn the_same_set_has_the_same_bytes_and_reads_back() {
    let (bytes, manifest) = sample();
    assert_eq!(sample().0, bytes);
    let verified = verify(open(bytes.clone()).unwrap()).unwrap();
    assert_eq!(verified.manifest, manifest);
    assert_eq!(verified.root, manifest.root());
    let mut archive = OwnArchive::open(open(bytes.clone()).unwrap()).unwrap();
    let texts: Vec<String> =
        manifest.items.iter().map(|item| archive.read(item).unwrap().text).collect();
    assert_eq!(texts, [content("a", "Wi-Fi / corp"), content("b", "../../CON")]);
    for (path, _) in unpacked(&bytes) {
        assert!(!path.contains("..") && !path.contains('\\'), "{path}");
    }
}

#[test]
fn another_name_or_note_is_another_root() {
    let (_, manifest) = sample();
    let mut other = manifest.clone();
    other.source.note = Some("x".to_owned());
    assert_ne!(other.root(), manifest.root());
    let mut other = manifest.clone();
    other.items.swap(0, 1);
    assert_ne!(other.root(), manifest.root());
}

#[test]
fn every_flipped_byte_is_found_or_changes_nothing() {
    let (bytes, manifest) = sample();
    let mut harmless = 0;
    for at in 0..bytes.len() {
        let mut spoiled = bytes.clone();
        spoiled[at] ^= 0x20;
        // Times and versions in headers say nothing that is read.
        if let Ok(verified) = open(spoiled).and_then(verify) {
            assert_eq!(verified.manifest, manifest, "byte {at}");
            harmless += 1;
        }
    }
    assert!(harmless * 5 < bytes.len(), "{harmless} of {}", bytes.len());
}

#[test]
fn every_cut_is_found() {
    let (bytes, _) = sample();
    for length in 0..bytes.len() {
        assert!(open(bytes[..length].to_vec()).and_then(verify).is_err(), "{length}");
    }
}
