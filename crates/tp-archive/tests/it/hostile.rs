//! Crafted archives: each is refused whole, with a stable word (TRUST T12).

use std::io::{Cursor, Write as _};

use tp_archive::{Fault, verify};
use zip::write::SimpleFileOptions;

use crate::craft::{
    Crafted, FINGERPRINT, FIRST, content, end, forged, open, packed, rooted, sample, unpacked,
    zip_of,
};

fn deflated(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, data) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(data).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The sample as crafted entries, to be spoiled one by one.
fn entries() -> Vec<Crafted> {
    unpacked(&sample().0).iter().map(|(name, data)| Crafted::stored(name, data)).collect()
}

fn with(change: impl FnOnce(&mut Crafted)) -> Vec<u8> {
    let mut entries = entries();
    change(&mut entries[0]);
    zip_of(&entries)
}

fn and(name: &str, data: &[u8]) -> Vec<u8> {
    let mut entries = entries();
    entries.push(Crafted::stored(name, data));
    zip_of(&entries)
}

fn manifest(change: impl FnOnce(&mut serde_json::Value), root: bool) -> Vec<u8> {
    let mut files = unpacked(&sample().0);
    let own = files.iter_mut().find(|(path, _)| path == "manifest.json").unwrap();
    let mut value = serde_json::from_slice(&own.1).unwrap();
    change(&mut value);
    let text = value.to_string();
    own.1 = if root { rooted(&text) } else { text }.into_bytes();
    packed(&files)
}

fn raw_manifest(text: &[u8]) -> Vec<u8> {
    let mut files = unpacked(&sample().0);
    files.iter_mut().find(|(path, _)| path == "manifest.json").unwrap().1 = text.to_vec();
    packed(&files)
}

fn without(part: &str) -> Vec<u8> {
    let mut files = unpacked(&sample().0);
    files.retain(|(path, _)| !path.starts_with(part));
    packed(&files)
}

fn text() -> String {
    content("a", "Wi-Fi / corp")
}

/// The sample with a zip64 end before its own, whose count is changed.
fn long_end(count: u64) -> Vec<u8> {
    let file = zip_of(&entries());
    let (front, own) = file.split_at(file.len() - 22);
    let (size, offset) = (&own[12..16], &own[16..20]);
    let long_at = front.len() as u64;
    let mut file = front.to_vec();
    file.extend_from_slice(b"PK\x06\x06");
    file.extend_from_slice(&44_u64.to_le_bytes());
    file.extend_from_slice(&[45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend_from_slice(&count.to_le_bytes());
    file.extend_from_slice(&count.to_le_bytes());
    for half in [size, offset] {
        file.extend_from_slice(half);
        file.extend_from_slice(&[0; 4]);
    }
    file.extend_from_slice(b"PK\x06\x07\0\0\0\0");
    file.extend_from_slice(&long_at.to_le_bytes());
    file.extend_from_slice(&1_u32.to_le_bytes());
    file.extend_from_slice(own);
    file
}

fn gap() -> Vec<u8> {
    let mut entries = entries();
    let first = entries[0].data.len();
    // A second entry that says it lies 100 bytes behind its own place.
    let hidden = Crafted::stored("hidden", &[0; 100]);
    entries.insert(1, hidden);
    let mut kept = zip_of(&entries);
    assert!(kept.len() > first);
    // Takes the hidden entry out of the list, and leaves its bytes.
    let at = kept.windows(4).rposition(|four| four == b"PK\x05\x06").unwrap();
    let list_at = u32::from_le_bytes(kept[at + 16..at + 20].try_into().unwrap()) as usize;
    let list = kept[list_at..at].to_vec();
    kept.truncate(list_at);
    let mut parts: Vec<&[u8]> = Vec::new();
    let mut rest = list.as_slice();
    while !rest.is_empty() {
        let name = usize::from(u16::from_le_bytes([rest[28], rest[29]]));
        let (one, next) = rest.split_at(46 + name);
        if !one.ends_with(b"hidden") {
            parts.push(one);
        }
        rest = next;
    }
    let count = u16::try_from(parts.len()).unwrap();
    end(&mut kept, &parts.concat(), count, count);
    kept
}

#[expect(clippy::too_many_lines, reason = "one row per crafted archive")]
fn crafted() -> Vec<(&'static str, Vec<u8>, Fault)> {
    let zeros = vec![b'0'; 12 << 20];
    let long_number =
        text().replace("\"id\":\"a\"", &format!("\"id\":\"a\",\"n\":{}", "9".repeat(5_000)));
    let exponent = text().replace("\"id\":\"a\"", "\"id\":\"a\",\"n\":1e999999");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mut cut = sample().0;
    cut.truncate(cut.len() / 2);
    let mut before = b"MZ this is a program".to_vec();
    before.extend_from_slice(&sample().0);
    let mut after = sample().0;
    after.resize(after.len() + 70_000, 0);
    let mut count = Vec::new();
    end(&mut count, &[], 5, 5);
    let mut disks = Vec::new();
    end(&mut disks, &[], 0, 9);
    let mode = |mode: u32| with(|one| one.attributes = mode << 16);
    let named = |name: &str| and(name, b"{}");
    let mut twice = entries();
    twice.push(twice[0].clone());
    let mut shared = entries();
    shared[1].offset = Some(0);
    let zip64_extra = [1, 0, 16, 0, 9, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0];
    vec![
        ("nothing", Vec::new(), Fault::NotAZip),
        ("no zip", b"hello, world, this is no archive".to_vec(), Fault::NotAZip),
        ("cut in the middle", cut, Fault::Truncated),
        ("a program before it", before, Fault::DirectoryDamaged),
        ("bytes after it", after, Fault::Truncated),
        ("a list that is not there", count, Fault::DirectoryDamaged),
        ("several disks", disks, Fault::MultiDisk),
        ("zip64 end with another count", long_end(99), Fault::Zip64Conflict),
        ("zip64 end with a huge count", long_end(u64::MAX), Fault::Zip64Conflict),
        (
            "zip64 lengths in an entry",
            with(|one| one.extra = zip64_extra.to_vec()),
            Fault::Zip64Entry,
        ),
        (
            "zip64 length without its field",
            with(|one| one.listed_size = Some(u32::MAX)),
            Fault::Zip64Entry,
        ),
        ("encrypted", with(|one| one.flags = 1), Fault::Encrypted),
        ("AES", with(|one| one.method = 99), Fault::Encrypted),
        ("a list that is encrypted", with(|one| one.flags = 1 << 13), Fault::Encrypted),
        ("LZMA", with(|one| one.method = 14), Fault::UnknownCompression),
        ("traversal", named("../../../etc/cron.d/x"), Fault::PathTraversal),
        ("traversal with backslashes", named("..\\..\\x.json"), Fault::PathTraversal),
        ("traversal in the middle", named("policies/../../x.json"), Fault::PathTraversal),
        ("traversal for Windows", named("policies/.. /x.json"), Fault::PathTraversal),
        ("absolute", named("/etc/passwd"), Fault::PathAbsolute),
        ("drive", named("C:\\Windows\\x.json"), Fault::PathAbsolute),
        ("share", named("\\\\server\\share\\x"), Fault::PathAbsolute),
        ("NUL in a name", named("policies/a\0.json"), Fault::PathInvalid),
        ("escape in a name", named("policies/\u{1b}[2J.json"), Fault::PathInvalid),
        ("a stream of a file", named("manifest.json:evil"), Fault::PathInvalid),
        ("a long name", named(&"a".repeat(5_000)), Fault::PathInvalid),
        ("deep folders", named(&format!("{}x", "a/".repeat(200))), Fault::PathInvalid),
        (
            "a name that is no UTF-8",
            with(|one| one.name = vec![0xff, 0xfe, b'a']),
            Fault::NameNotUnicode,
        ),
        ("a link", mode(0o120_777), Fault::Link),
        ("a device", mode(0o020_666), Fault::Link),
        ("the same name twice", zip_of(&twice), Fault::Duplicate),
        ("the same name in another case", named("MANIFEST.JSON"), Fault::Duplicate),
        ("shared bytes", zip_of(&shared), Fault::Overlapping),
        ("bytes of nobody", gap(), Fault::HiddenData),
        (
            "another name in the list",
            with(|one| one.listed = Some(b"other.json".to_vec())),
            Fault::HeadersDisagree,
        ),
        ("another length in the list", with(|one| one.listed_size = Some(3)), Fault::SizeWrong),
        ("a checksum that is wrong", with(|one| one.crc ^= 1), Fault::ChecksumWrong),
        ("a bomb by ratio", deflated(&[("manifest.json", &zeros)]), Fault::RatioTooHigh),
        ("an archive in it", named("policies/inner.zip"), Fault::Nested),
        ("no manifest", without("manifest.json"), Fault::ManifestMissing),
        ("a file that is missing", without(FIRST), Fault::FileMissing),
        ("a file too many", named("policies/extra.json"), Fault::FileExtra),
        ("a folder too many", named("policies/"), Fault::SizeWrong),
        (
            "a policy of another hash",
            {
                let mut files = entries();
                files[0].data[10] ^= 1;
                files[0].crc = crc32fast::hash(&files[0].data);
                zip_of(&files)
            },
            Fault::HashWrong,
        ),
        (
            "a manifest that was changed",
            manifest(|it| it["backup"]["number"] = 8.into(), false),
            Fault::RootWrong,
        ),
        (
            "a manifest without a root",
            manifest(
                |it| {
                    it.as_object_mut().unwrap().remove("root");
                },
                false,
            ),
            Fault::RootWrong,
        ),
        ("another format", manifest(|it| it["format"] = 2.into(), true), Fault::FormatUnknown),
        (
            "a format that is huge",
            raw_manifest(br#"{"format":1e400,"kind":"tenantpilot.backup"}"#),
            Fault::NumberTooLarge,
        ),
        (
            "a number beyond all",
            manifest(|it| it["backup"]["number"] = u64::MAX.into(), true),
            Fault::ManifestDamaged,
        ),
        (
            "a count below zero",
            manifest(|it| it["types"][0]["listed"] = (-1).into(), true),
            Fault::ManifestDamaged,
        ),
        (
            "a member that means something else",
            manifest(|it| it["roles"] = serde_json::json!(["owner"]), true),
            Fault::ManifestDamaged,
        ),
        (
            "a policy twice",
            manifest(
                |it| {
                    let one = it["items"][0].clone();
                    it["items"].as_array_mut().unwrap().push(one);
                },
                true,
            ),
            Fault::ManifestDamaged,
        ),
        (
            "complete, and something is missing",
            manifest(|it| it["types"][0]["state"] = "failed".into(), true),
            Fault::ManifestDamaged,
        ),
        (
            "a path that leads out in the manifest",
            manifest(|it| it["items"][0]["path"] = "../x.json".into(), true),
            Fault::FileExtra,
        ),
        ("a manifest that is no JSON", raw_manifest(b"{\"format\":"), Fault::NotJson),
        (
            "a manifest with a name twice",
            raw_manifest(br#"{"format":1,"format":1}"#),
            Fault::NotJson,
        ),
        ("a manifest that is no UTF-8", raw_manifest(b"\"\xff\""), Fault::NotUtf8),
        ("a manifest nested without end", raw_manifest(deep.as_bytes()), Fault::TooDeep),
        ("a policy nested without end", forged(deep.as_bytes()), Fault::TooDeep),
        ("a number of 5,000 digits", forged(long_number.as_bytes()), Fault::NumberTooLarge),
        ("an exponent beyond all", forged(exponent.as_bytes()), Fault::NumberTooLarge),
        ("another spelling", forged(text().replace(',', ", ").as_bytes()), Fault::NotCanonical),
        ("no policy", forged(b"[]"), Fault::ContentWrong),
        (
            "of another type",
            forged(
                text()
                    .replace("\"type\":\"deviceConfiguration\"", "\"type\":\"roleScopeTag\"")
                    .as_bytes(),
            ),
            Fault::ContentWrong,
        ),
        (
            "a member too many",
            forged(
                text().replace("\"restricted\":[]", "\"restricted\":[],\"roles\":[]").as_bytes(),
            ),
            Fault::ContentWrong,
        ),
        (
            "a marker that nobody listed",
            forged(
                text()
                    .replace(
                        "\"id\":\"a\"",
                        &format!(
                            "\"id\":\"a\",\"key\":{{\"@tenantpilot.redacted\":\"{FINGERPRINT}\"}}"
                        ),
                    )
                    .as_bytes(),
            ),
            Fault::MarkerWrong,
        ),
        (
            "a value where a marker should be",
            forged(
                text()
                    .replace(
                        &format!("{{\"@tenantpilot.redacted\":\"{FINGERPRINT}\"}}"),
                        "\"clear\"",
                    )
                    .as_bytes(),
            ),
            Fault::MarkerWrong,
        ),
        (
            "a fingerprint of another form",
            forged(text().replace(FINGERPRINT, "x").as_bytes()),
            Fault::MarkerWrong,
        ),
    ]
}

#[test]
fn each_crafted_archive_is_refused_with_its_word() {
    // What is spoiled below is sound before.
    verify(open(zip_of(&entries())).unwrap()).unwrap();
    verify(open(forged(text().as_bytes())).unwrap()).unwrap();
    let crafted = crafted();
    assert!(crafted.len() >= 40, "{}", crafted.len());
    let wrong: Vec<String> = crafted
        .into_iter()
        .filter_map(|(what, bytes, expected)| {
            let found = open(bytes).and_then(verify).map(|verified| verified.root);
            match found {
                Err(error) if error.fault == expected => None,
                other => Some(format!("{what}: {other:?} instead of {expected}")),
            }
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn bounds_hold_before_anything_is_unpacked() {
    use tp_archive::{Limits, Zip};
    let refused = |limits: Limits| {
        let file = Cursor::new(sample().0);
        Zip::open(file, limits).map(drop).unwrap_err().fault
    };
    let all = Limits::BACKUP;
    assert_eq!(refused(Limits { file: 100, ..all }), Fault::FileTooLarge);
    assert_eq!(refused(Limits { entries: 2, ..all }), Fault::TooManyEntries);
    assert_eq!(refused(Limits { entry: 100, ..all }), Fault::EntryTooLarge);
    assert_eq!(refused(Limits { total: 700, ..all }), Fault::TotalTooLarge);
    assert_eq!(refused(Limits { directory: 10, ..all }), Fault::FileTooLarge);
}
