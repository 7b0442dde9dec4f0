//! A process that is killed while it writes leaves whole objects, and at worst a file without a name.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use tp_domain::payload::PayloadKind;
use tp_domain::time::Timestamp;
use tp_payload::{Sealer, Vault};

use crate::util::{copy, folder_store, keys, policy, tenant};

/// How often the writer is killed.
const KILLS: u64 = 20;

fn vault(folder: &Path) -> Vault {
    let keys = keys([7; 32], &[(1, [8; 32])]);
    Vault::new(Sealer::new(tenant(1), &keys).unwrap(), folder_store(folder))
}

/// In a folder with this file the writer below goes on until it is killed.
const FOR_EVER: &str = "write-for-ever";

/// Writes one after the other and says when one is written. Also the process that is killed below.
#[tokio::test]
async fn what_is_said_to_be_written_is_there() {
    let here = std::env::current_dir().unwrap();
    let own = tempfile::tempdir().unwrap();
    let goes_on = here.join(FOR_EVER).exists();
    let vault = vault(&if goes_on { here.join("payloads") } else { own.path().to_path_buf() });
    for number in (0..).take_while(|number| goes_on || *number < 5) {
        let long = policy(number % 3 * 400);
        let copy = copy(u128::from(std::process::id()) << 64 | number as u128);
        let address = vault.put(PayloadKind::Version, &long, copy).await.unwrap().address;
        println!("written {number}");
        assert_eq!(vault.get(PayloadKind::Version, address, copy).await.unwrap(), long);
    }
}

#[tokio::test]
async fn a_killed_writer_leaves_whole_objects() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FOR_EVER), "").unwrap();
    let (mut answered, mut objects) = (0, 0);
    for kill in 0..KILLS {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::what_is_said_to_be_written_is_there", "--nocapture"])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut told = 0;
        // Each time a little later after an answer.
        while told <= kill {
            told += u64::from(lines.next().unwrap().unwrap().contains("written"));
        }
        std::thread::sleep(Duration::from_micros(kill * 300));
        writer.kill().unwrap();
        writer.wait().unwrap();
        answered += told
            + lines.map_while(Result::ok).filter(|line| line.contains("written")).count() as u64;
        let vault = vault(&folder.path().join("payloads"));
        let store = folder_store(&folder.path().join("payloads"));
        let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
        objects = listed.len() as u64;
        for one in listed {
            let name = one.name.unwrap();
            vault.get(PayloadKind::Version, name.address, name.copy).await.unwrap();
        }
        assert!(objects >= answered, "{objects} objects, {answered} answered");
    }
    println!("{KILLS} kills: {answered} answered writes, {objects} objects, all whole");
}

#[tokio::test]
async fn what_got_no_name_is_removed_when_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path());
    let sealed = vault.put(PayloadKind::Version, &policy(1), copy(1)).await.unwrap();
    let store = folder_store(folder.path());
    let text = sealed.address.to_string();
    let inner = folder.path().join(format!("v1/{}/{}", tenant(1), &text[..2]));
    let cut_off = inner.join(format!("{text}-{}#1", copy(2).uuid().simple()));
    std::fs::write(&cut_off, &sealed.bytes[..10]).unwrap();
    std::fs::write(folder.path().join("v1/notes#12.txt"), "not ours").unwrap();
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    let ours = listed.iter().filter(|one| one.name.is_some()).count();
    assert_eq!((listed.len(), ours), (2, 1), "a foreign file is listed without a name");
    let written = std::fs::metadata(&cut_off).unwrap().modified().unwrap();
    let age = written.duration_since(std::time::UNIX_EPOCH).unwrap();
    let written = Timestamp::from_micros(i64::try_from(age.as_micros()).unwrap());
    assert_eq!(store.remove_unfinished(written).await.unwrap(), 0, "it may still be written");
    let later = written.plus(Duration::from_secs(1));
    assert_eq!(store.remove_unfinished(later).await.unwrap(), 1);
    assert!(!cut_off.exists());
    assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 1, "the object stays");
}
