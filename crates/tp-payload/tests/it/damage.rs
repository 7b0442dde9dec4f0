//! A28 on the level of payloads: whatever is changed, cut or moved is found out.

use std::path::{Path, PathBuf};

use tp_domain::ids::CopyId;
use tp_domain::payload::{PayloadAddress, PayloadKind};
use tp_payload::{Canonical, PayloadError, SealError, Sealer, Vault};

use crate::util::{copy, folder_store, key, keys, material, policy, tenant};

const KIND: PayloadKind = PayloadKind::Version;

struct Kept {
    vault: usize,
    address: PayloadAddress,
    copy: CopyId,
    content: Canonical,
    file: PathBuf,
}

/// Two tenants of one workspace with 30 payloads each; some contents are the same in both.
async fn filled(folder: &Path) -> (Vec<Vault>, Vec<Kept>) {
    let (workspace, store) = (material(), folder_store(folder));
    let mut kept = Vec::new();
    let mut vaults = Vec::new();
    for owner in 1..=2_u128 {
        let keys = keys(workspace, &[(owner, material())]);
        let vault = Vault::new(Sealer::new(tenant(owner), &keys).unwrap(), store.clone());
        for number in 0..30 {
            let content = policy(number + usize::try_from(owner).unwrap() * 10);
            let copy = copy(owner * 1_000 + number as u128);
            let address = vault.put(KIND, &content, copy).await.unwrap().address;
            let text = address.to_string();
            let path =
                format!("v1/{}/{}/{text}-{}", tenant(owner), &text[..2], copy.uuid().simple());
            let file = folder.join(path);
            kept.push(Kept { vault: vaults.len(), address, copy, content, file });
        }
        vaults.push(vault);
    }
    (vaults, kept)
}

impl Kept {
    /// Whether reading gives the content, or says that the object is no good.
    async fn is_refused(&self, vaults: &[Vault]) -> bool {
        match vaults[self.vault].get(KIND, self.address, self.copy).await {
            Ok(read) => {
                assert_eq!(read, self.content, "altered and not found out");
                false
            }
            Err(PayloadError::Seal(_) | PayloadError::TooLong) => true,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Numbers that look drawn by chance and are the same in each run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

#[tokio::test]
async fn a28_every_changed_byte_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (vaults, kept) = filled(folder.path()).await;
    let (mut draw, mut found) = (Draw(28), 0);
    for _ in 0..1_000 {
        let one = &kept[draw.below(kept.len())];
        let sound = std::fs::read(&one.file).unwrap();
        let mut changed = sound.clone();
        let at = draw.below(changed.len());
        changed[at] ^= u8::try_from(1 + draw.below(255)).unwrap();
        std::fs::write(&one.file, &changed).unwrap();
        found += usize::from(one.is_refused(&vaults).await);
        std::fs::write(&one.file, &sound).unwrap();
        assert!(!one.is_refused(&vaults).await, "the control: the sound object opens");
    }
    println!("A28 payloads: {found} of 1000 changed bytes found");
    assert_eq!(found, 1_000);
}

#[tokio::test]
async fn a28_every_byte_of_one_object_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (vaults, kept) = filled(folder.path()).await;
    let one = &kept[0];
    let sound = std::fs::read(&one.file).unwrap();
    for at in 0..sound.len() {
        for bit in [1, 0x80] {
            let mut changed = sound.clone();
            changed[at] ^= bit;
            std::fs::write(&one.file, &changed).unwrap();
            assert!(one.is_refused(&vaults).await, "byte {at}");
        }
        std::fs::write(&one.file, &sound[..at]).unwrap();
        assert!(one.is_refused(&vaults).await, "cut at {at}");
    }
    let longer = [sound.as_slice(), b"x"].concat();
    std::fs::write(&one.file, &longer).unwrap();
    assert!(one.is_refused(&vaults).await, "one byte more");
}

#[tokio::test]
async fn a28_every_swap_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (vaults, kept) = filled(folder.path()).await;
    let (mut draw, mut swaps, mut found) = (Draw(50), 0, 0);
    while swaps < 50 {
        let (one, other) = (&kept[draw.below(kept.len())], &kept[draw.below(kept.len())]);
        let same_place = one.file == other.file;
        if same_place {
            continue;
        }
        swaps += 1;
        let (first, second) =
            (std::fs::read(&one.file).unwrap(), std::fs::read(&other.file).unwrap());
        std::fs::write(&one.file, &second).unwrap();
        std::fs::write(&other.file, &first).unwrap();
        let both = one.is_refused(&vaults).await && other.is_refused(&vaults).await;
        found += usize::from(both);
        std::fs::write(&one.file, &first).unwrap();
        std::fs::write(&other.file, &second).unwrap();
    }
    // The hardest pairs: the same content of two tenants has the same address.
    let twins: Vec<_> = kept
        .iter()
        .flat_map(|one| kept.iter().map(move |other| (one, other)))
        .filter(|(one, other)| one.vault == 0 && other.vault == 1 && one.address == other.address)
        .collect();
    assert_eq!(twins.len(), 20);
    for (one, twin) in twins {
        std::fs::copy(&twin.file, &one.file).unwrap();
        assert!(one.is_refused(&vaults).await, "another tenant's object in its place");
    }
    println!("A28 payloads: {found} of 50 swaps found");
    assert_eq!(found, 50);
}

#[tokio::test]
async fn a_payload_is_of_its_kind_its_workspace_and_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder_store(folder.path());
    let (workspace, data) = (material(), material());
    let with = |workspace, data: &[(u128, [u8; 32])]| {
        Vault::new(Sealer::new(tenant(1), &keys(workspace, data)).unwrap(), store.clone())
    };
    let vault = with(workspace, &[(1, data)]);
    let sealed = vault.put(KIND, &policy(1), copy(1)).await.unwrap();
    let refused = |vault: Vault, kind| async move {
        vault.get(kind, sealed.address, copy(1)).await.unwrap_err()
    };
    let altered = PayloadError::Seal(SealError::Altered);
    assert_eq!(refused(vault.clone(), PayloadKind::Manifest).await, altered);
    assert_eq!(refused(with(material(), &[(1, data)]), KIND).await, altered, "another workspace");
    assert_eq!(refused(with(workspace, &[(1, material())]), KIND).await, altered, "another key");
    let unknown = PayloadError::Seal(SealError::UnknownKey);
    assert_eq!(refused(with(workspace, &[(2, data)]), KIND).await, unknown, "the key is gone");
    assert_ne!(
        vault.sealer().address(KIND, &policy(1)),
        with(material(), &[(1, data)]).sealer().address(KIND, &policy(1)),
        "an address tells nothing without the workspace's key"
    );
}

#[tokio::test]
async fn a_new_key_reads_what_the_old_one_sealed_until_it_is_sealed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder_store(folder.path());
    let (workspace, old, new) = (material(), material(), material());
    let with = |data: &[(u128, [u8; 32])]| {
        Vault::new(Sealer::new(tenant(1), &keys(workspace, data)).unwrap(), store.clone())
    };
    let address = with(&[(1, old)]).put(KIND, &policy(1), copy(1)).await.unwrap().address;
    let both = with(&[(1, old), (2, new)]);
    assert_eq!(both.get(KIND, address, copy(1)).await.unwrap(), policy(1));
    let resealed = both.reseal(KIND, address, copy(1), copy(2)).await.unwrap().unwrap();
    assert_eq!((resealed.key, resealed.address), (key(2), address));
    assert!(both.reseal(KIND, address, copy(2), copy(3)).await.unwrap().is_none());
    let only_new = with(&[(2, new)]);
    assert_eq!(only_new.get(KIND, address, copy(2)).await.unwrap(), policy(1));
    assert!(only_new.get(KIND, address, copy(1)).await.is_err(), "the old object is unreadable");
}

#[tokio::test]
async fn a_damaged_object_of_a_cut_off_try_is_replaced_and_a_sound_one_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (vaults, kept) = filled(folder.path()).await;
    let (one, vault) = (&kept[0], &vaults[0]);
    let sound = std::fs::read(&one.file).unwrap();
    vault.put(KIND, &one.content, one.copy).await.unwrap();
    assert_eq!(std::fs::read(&one.file).unwrap(), sound, "it is left as it is");
    std::fs::write(&one.file, &sound[..sound.len() / 2]).unwrap();
    vault.put(KIND, &one.content, one.copy).await.unwrap();
    assert!(!one.is_refused(&vaults).await);
}

#[tokio::test]
async fn what_is_too_long_is_refused_at_both_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (vaults, kept) = filled(folder.path()).await;
    let file = std::fs::OpenOptions::new().write(true).open(&kept[0].file).unwrap();
    file.set_len(200 << 20).unwrap();
    let (address, number) = (kept[0].address, kept[0].copy);
    let read = vaults[0].get(KIND, address, number).await;
    assert_eq!(read, Err(PayloadError::TooLong));
    let long = format!("\"{}\"", "x".repeat(tp_payload::MOST_BYTES));
    let content = Canonical::from_bytes(long.into_bytes()).unwrap();
    let refused = vaults[0].put(KIND, &content, copy(9)).await.unwrap_err();
    assert_eq!(refused, PayloadError::Seal(SealError::TooLarge));
    assert_eq!(refused.reason().as_str(), "payload_too_large");
    // 25 MB that do not compress are kept (TRUST F33).
    let mut draw = Draw(33);
    let noise: String = (0..25 << 20)
        .map(|_| char::from(b'#' + u8::try_from(draw.below(50)).unwrap()))
        .filter(|letter| *letter != '\\')
        .collect();
    let content = Canonical::from_bytes(format!("\"{noise}\"").into_bytes()).unwrap();
    let sealed = vaults[0].put(KIND, &content, copy(10)).await.unwrap();
    assert!(sealed.length > 24 << 20);
    assert_eq!(vaults[0].get(KIND, sealed.address, copy(10)).await.unwrap(), content);
}
