//! A20 for payloads: nothing of a content can be read off the folder, in any spelling.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use tp_domain::hex::hex;
use tp_domain::payload::PayloadKind;
use tp_payload::Vault;

use crate::util::{content, copy, folder_store, sealer};

const CANARY: &str = "CANARY-w1f1-Key-7c1e";

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks_exact(3) {
        let all = u32::from(part[0]) << 16 | u32::from(part[1]) << 8 | u32::from(part[2]);
        for shift in [18, 12, 6, 0] {
            text.push(char::from(LETTERS[(all >> shift & 63) as usize]));
        }
    }
    text
}

/// The ways in which a text may lie in a file.
fn spellings(text: &str) -> Vec<Vec<u8>> {
    let utf16 = |big: bool| {
        let bytes = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
        text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>()
    };
    let hash = digest(&SHA256, text.as_bytes());
    let reversed: String = text.chars().rev().collect();
    let digits = hex(text.as_bytes());
    let pairs = digits.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair));
    let (mut escaped, mut percent) = (String::new(), String::new());
    for pair in pairs {
        escaped.push_str(&format!("\\u00{pair}"));
        percent.push_str(&format!("%{}", pair.to_uppercase()));
    }
    vec![
        text.as_bytes().to_vec(),
        text.to_lowercase().into_bytes(),
        text.to_uppercase().into_bytes(),
        reversed.into_bytes(),
        escaped.into_bytes(),
        percent.into_bytes(),
        utf16(false),
        utf16(true),
        hex(text.as_bytes()).into_bytes(),
        base64(text.as_bytes()).into_bytes(),
        base64(format!("x{text}").as_bytes()).as_bytes()[4..20].to_vec(),
        base64(format!("xy{text}").as_bytes()).as_bytes()[4..20].to_vec(),
        hash.as_ref().to_vec(),
        hex(hash.as_ref()).into_bytes(),
    ]
}

/// How many spellings of the canary are in the names and bytes of the files below a folder.
fn found(folder: &Path) -> usize {
    let spellings = spellings(CANARY);
    let (mut found, mut folders, mut files) = (0, vec![folder.to_path_buf()], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let mut bytes = entry.file_name().into_encoded_bytes();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                files += 1;
                bytes.extend(std::fs::read(entry.path()).unwrap());
            }
            let is_in =
                |one: &&Vec<u8>| bytes.windows(one.len()).any(|part| part == one.as_slice());
            found += spellings.iter().filter(is_in).count();
        }
    }
    assert!(files > 0);
    found
}

#[tokio::test]
async fn a20_no_spelling_of_a_content_is_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::new(sealer(1), folder_store(folder.path()));
    for (number, repeats) in (1..).zip([1, 3, 1_000]) {
        let script = vec![format!("\"echo {CANARY}\""); repeats].join(",");
        let long = content(&format!("{{\"name\":\"{CANARY}\",\"script\":[{script}]}}"));
        vault.put(PayloadKind::Version, &long, copy(number)).await.unwrap();
    }
    // One that zstd cannot shorten, and so lies uncompressed inside its seal.
    let short = content(&format!("\"{CANARY}\""));
    vault.put(PayloadKind::Version, &short, copy(9)).await.unwrap();
    assert_eq!(found(folder.path()), 0);
    // The control: each spelling would have been found.
    for (number, spelling) in spellings(CANARY).into_iter().enumerate() {
        let place = folder.path().join(format!("control-{number}"));
        let planted = [b"before".as_slice(), &spelling, b"after"].concat();
        std::fs::write(&place, planted).unwrap();
        assert!(found(folder.path()) > 0, "spelling {number}");
        std::fs::remove_file(place).unwrap();
    }
    let debug = format!("{vault:?} {short:?}");
    assert!(!debug.contains("CANARY"), "{debug}");
}
