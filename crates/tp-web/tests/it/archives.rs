//! Archives that come in and go out: by whom, how long, and what stays of one that breaks off (TRUST T12, 51).

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode, header};
use futures_util::{StreamExt as _, stream};
use tp_domain::access::StartBackupExport;
use tp_domain::artefact::{ArtefactPiece, MOST_UPLOAD_BYTES, PIECE};
use tp_domain::backup_export::ExportBackup;
use tp_domain::operation::OperationKind;
use tp_domain::payload::PayloadKind;
use tp_payload::{Sealer, Vault};
use tp_store::{ArtefactEnd, HowStarted, NewPiece, PayloadWant, PayloadWritten, TenantRef};

use crate::backups::policy;
use crate::world::{Person, Reply, World, worlds};

const UPLOADS: &str = "/api/v1/tenants/contoso/uploads";

impl World {
    async fn upload(&self, person: &Person, path: &str, body: Body) -> Reply {
        let request = Request::post(path)
            .header(header::COOKIE, person.cookie())
            .header("x-csrf-token", &person.csrf)
            .header(header::CONTENT_TYPE, "application/zip");
        self.send(request.body(body).unwrap()).await
    }

    /// The form of the page, as a browser sends it.
    async fn import_form(&self, person: &Person, csrf: &str, name: &str, archive: &str) -> Reply {
        let body = format!(
            "--B\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n{csrf}\r\n\
             --B\r\nContent-Disposition: form-data; name=\"archive\"; filename=\"{name}\"\r\n\
             Content-Type: application/zip\r\n\r\n{archive}\r\n--B--\r\n"
        );
        let request = Request::post("/t/contoso/backups/import")
            .header(header::COOKIE, person.cookie())
            .header("sec-fetch-site", "same-origin")
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=B");
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// Files that are kept, and pieces of them.
    async fn kept(&self) -> (i64, i64) {
        let store = &self.db.store;
        (
            store.test_count("SELECT count(*) AS n FROM artefacts").await,
            store.test_count("SELECT count(*) AS n FROM artefact_pieces").await,
        )
    }

    /// What `backup.export` does for set 1, with a file of these bytes.
    async fn exported(&self, bytes: &[u8]) {
        let owner = self.db.store.test_actor("owner@example.com").await;
        let place = TenantRef::Id(self.contoso);
        let scope = self.db.store.enter::<StartBackupExport>(&owner, &place).await.unwrap();
        scope.run_start(&ExportBackup { backup: 1 }, HowStarted::default()).await.unwrap();
        let run = self.claim_of(OperationKind::BackupExport).await;
        let keys = run.payload_keys().await.unwrap().unwrap();
        let vault = Vault::new(Sealer::new(self.contoso, &keys).unwrap(), self.payloads.clone());
        let (id, kind) = (run.artefact_begin(1).await.unwrap(), PayloadKind::Piece);
        for (position, piece) in (0..).zip(bytes.chunks(PIECE)) {
            let address = vault.sealer().address_of(kind, piece);
            let want = PayloadWant { kind, address };
            let copy = run.payloads_reserve(vec![want]).await.unwrap()[0].copy;
            let sealed = vault.put_bytes(kind, piece, copy).await.unwrap();
            let written = Some(PayloadWritten { key: sealed.key, text_bytes: 1, object_bytes: 1 });
            let piece = ArtefactPiece { address, bytes: piece.len() as u64 };
            let new = NewPiece { position, piece, copy, written };
            assert!(run.artefact_piece(id, new).await.unwrap());
        }
        let root = Some("cd".repeat(32));
        let end = ArtefactEnd { bytes: bytes.len() as u64, sha256: "ab".repeat(32), root };
        assert!(run.artefact_finish(id, 1, end).await.unwrap());
        self.finish(run).await;
    }
}

#[tokio::test]
async fn an_upload_is_taken_in_piece_by_piece_by_those_who_may() {
    for world in worlds().await {
        let name = world.db.name();
        let (operator, reader) = (world.person("operator").await, world.person("reader").await);
        // Longer than any other body, in chunks that fit no piece.
        let bytes: Vec<u8> = (b'a'..=b'w').cycle().take(2 * PIECE + 77).collect();
        let chunks: Vec<Result<Bytes, std::io::Error>> =
            bytes.chunks(100_003).map(|one| Ok(Bytes::copy_from_slice(one))).collect();
        let body = Body::from_stream(stream::iter(chunks));
        let reply = world.upload(&operator, UPLOADS, body).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{name} {}", reply.text);
        let upload = reply.json();
        assert_eq!(upload["bytes"], bytes.len());
        let digest = <sha2::Sha256 as sha2::Digest>::digest(&bytes);
        assert_eq!(upload["sha256"], tp_domain::hex::hex(&digest), "{name}");
        assert_eq!(world.kept().await, (1, 3), "{name}");
        let body = serde_json::json!({"kind": "backup.import", "inputs": {"upload": upload["id"]}});
        let runs = "/api/v1/tenants/contoso/runs";
        let started = world.post_json(&operator, runs, &body.to_string(), &[]).await;
        assert_eq!(started.status, StatusCode::ACCEPTED, "{name} {}", started.text);

        let refused = world.upload(&reader, UPLOADS, Body::from("x")).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{name}");
        let foreign = world.upload(&operator, "/api/v1/tenants/nowhere/uploads", Body::from("x"));
        assert_eq!(foreign.await.status, StatusCode::NOT_FOUND, "{name}");
        let stranger = Request::post(UPLOADS).body(Body::from("x")).unwrap();
        assert_eq!(world.send(stranger).await.status, StatusCode::UNAUTHORIZED, "{name}");
        let forged = Request::post(UPLOADS).header(header::COOKIE, operator.cookie());
        let forged = world.send(forged.body(Body::from("x")).unwrap()).await;
        assert_eq!(forged.status, StatusCode::FORBIDDEN, "{name}: without the session's token");
        assert_eq!(world.kept().await, (1, 3), "{name}");
    }
}

#[tokio::test]
async fn of_an_upload_that_is_not_whole_nothing_stays() {
    for world in worlds().await {
        let (name, operator) = (world.db.name(), world.person("operator").await);
        let full = vec![b'x'; PIECE];
        let broken = stream::iter([Ok(Bytes::from(full))]).chain(stream::once(async {
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
        }));
        let reply = world.upload(&operator, UPLOADS, Body::from_stream(broken)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{name} {}", reply.text);
        let empty = world.upload(&operator, UPLOADS, Body::empty()).await;
        assert_eq!(empty.status, StatusCode::BAD_REQUEST, "{name}");
        let request = Request::post(UPLOADS)
            .header(header::COOKIE, operator.cookie())
            .header("x-csrf-token", &operator.csrf)
            .header(header::CONTENT_LENGTH, MOST_UPLOAD_BYTES + 1);
        let long = world.send(request.body(Body::from("x")).unwrap()).await;
        assert_eq!(long.status, StatusCode::BAD_REQUEST, "{name}");
        assert!(long.text.contains("512 MiB"), "{name} {}", long.text);
        // Elsewhere the usual bound holds.
        let request = Request::post("/api/v1/tenants/contoso/runs")
            .header(header::COOKIE, operator.cookie())
            .header(header::CONTENT_LENGTH, 2 << 20);
        let long = world.send(request.body(Body::from("x")).unwrap()).await;
        assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE, "{name}");
        assert_eq!(world.kept().await, (0, 0), "{name}");
    }
}

#[tokio::test]
async fn the_page_takes_a_file_and_starts_its_import() {
    for world in worlds().await {
        let name = world.db.name();
        let (operator, reader) = (world.person("operator").await, world.person("reader").await);
        let page = world.get(Some(&operator), "/t/contoso/backups/import").await;
        assert!(page.text.contains("multipart/form-data") && page.text.contains("512"), "{name}");
        assert!(
            world.get(Some(&operator), "/t/contoso/backups").await.text.contains("backups/import")
        );
        let refused = world.get(Some(&reader), "/t/contoso/backups/import").await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{name}");
        let other = reader.csrf.clone();
        for (csrf, file) in [("", "a.zip"), (other.as_str(), "a.zip")] {
            let refused = world.import_form(&operator, csrf, file, "PK").await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{name} {csrf}");
        }
        let none = world.import_form(&operator, &operator.csrf, "", "").await;
        assert_eq!(none.status, StatusCode::BAD_REQUEST, "{name}: no file chosen");
        assert_eq!(world.kept().await, (0, 0), "{name}");
        let csrf = operator.csrf.clone();
        let begun = world.import_form(&operator, &csrf, "<b>.zip", "PK archive").await;
        assert!(
            begun.header("location").starts_with("/t/contoso/backups?started="),
            "{name} {}",
            begun.text
        );
        assert_eq!(world.kept().await, (1, 1), "{name}");
        assert_eq!(
            world.claim_of(OperationKind::BackupImport).await.kind(),
            OperationKind::BackupImport
        );
    }
}

#[tokio::test]
async fn an_archive_is_a_file_for_those_who_may_see_scripts() {
    for world in worlds().await {
        let name = world.db.name();
        let (operator, reader) = (world.person("operator").await, world.person("reader").await);
        world.backup(vec![policy("One", "x")]).await;
        let (api, page) =
            ("/api/v1/tenants/contoso/backups/1/download", "/t/contoso/backups/1/download");
        let none = world.get(Some(&operator), api).await;
        assert_eq!(none.status, StatusCode::CONFLICT, "{name}");
        assert!(none.text.contains("export it first"), "{name} {}", none.text);
        let bytes: Vec<u8> = (b'a'..=b'z').cycle().take(PIECE + 5).collect();
        world.exported(&bytes).await;
        for path in [api, page] {
            let file = world.get(Some(&operator), path).await;
            assert_eq!(file.status, StatusCode::OK, "{name}");
            assert_eq!(file.text.as_bytes(), bytes, "{name}");
            assert_eq!(file.header("content-type"), "application/zip");
            assert_eq!(file.header("content-length"), bytes.len().to_string());
            let disposition = "attachment; filename=\"contoso-backup-1.zip\"";
            assert_eq!(file.header("content-disposition"), disposition);
            assert_eq!(file.header("cache-control"), "private, no-store", "{name}");
            let refused = world.get(Some(&reader), path).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{name}: {path}");
        }
        let foreign = world.get(Some(&operator), "/api/v1/tenants/secret/backups/1/download").await;
        assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{name}");
        let audited = "SELECT count(*) AS n FROM audit_entries WHERE action = 'backup.downloaded'";
        assert_eq!(world.db.store.test_count(audited).await, 2, "{name}");
        let seen = world.get(Some(&operator), "/t/contoso/backups/1").await.text;
        assert!(
            seen.contains("1.0 MiB") && seen.contains("cdcdcd") && seen.contains("Export again")
        );
        let seen = world.get(Some(&reader), "/t/contoso/backups/1").await.text;
        assert!(seen.contains("scripts.view_content") && !seen.contains("/download"), "{name}");
        let api = world.get(Some(&reader), "/api/v1/tenants/contoso/backups/1").await.json();
        assert_eq!(api["archive"]["bytes"], bytes.len(), "{name}");

        // What was changed on the disk is not sent on as if it were the file.
        let mut folders = vec![world.folder.path().to_path_buf()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        for file in files {
            let mut changed = std::fs::read(&file).unwrap();
            let last = changed.len() - 1;
            changed[last] ^= 1;
            std::fs::write(&file, changed).unwrap();
        }
        let damaged = world.get(Some(&operator), page).await;
        assert_eq!(damaged.status, StatusCode::SERVICE_UNAVAILABLE, "{name}");
        let export = world.post(&operator, "/t/contoso/backups/1/export", &operator.form("")).await;
        assert!(export.header("location").starts_with("/t/contoso/backups/1?started="), "{name}");
        let export = world.post(&reader, "/t/contoso/backups/1/export", &reader.form("")).await;
        assert_eq!(export.status, StatusCode::FORBIDDEN, "{name}");
    }
}
