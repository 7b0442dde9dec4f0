//! `backup verify-archive`: checks an exported backup without a server, a database or a key.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::{Value, json};
use tp_archive::{ArchiveError, Limits, Verified, Zip, verify};
use tp_domain::reason::ReasonCode;

use crate::cli::Output;
use crate::client::VerbError;
use crate::exit;
use crate::output::{self, Column, text};

const COLUMNS: &[Column] = &[
    ("type", |row| text(row, "/type")),
    ("completeness", |row| text(row, "/state")),
    ("reason", |row| text(row, "/reason")),
    ("listed", |row| text(row, "/listed")),
    ("policies", |row| text(row, "/policies")),
    ("missing", |row| text(row, "/missing")),
];

/// 0 when the archive is what was exported, 3 when it is not.
pub(crate) fn verify_archive(
    path: &Path,
    root: Option<&str>,
    form: Output,
) -> Result<u8, VerbError> {
    let file = File::open(path)
        .map_err(|error| VerbError::Usage(format!("cannot read {}: {error}", path.display())))?;
    match Zip::open(BufReader::new(file), Limits::BACKUP).and_then(verify) {
        Err(error) => Ok(refused(&error, form)),
        Ok(verified) => Ok(sound(&verified, root, form)),
    }
}

fn refused(error: &ArchiveError, form: Output) -> u8 {
    if matches!(form, Output::Json | Output::Jsonl) {
        output::json(&json!({
            "sound": false,
            "fault": error.fault.as_str(),
            "reason_code": error.fault.reason().as_str(),
            "message": error.fault.sentence(),
            "entry": error.entry,
        }));
    }
    output::say(&format!("refused: {}", output::clean(&error.to_string())));
    exit::RUN_FAILED
}

fn sound(verified: &Verified, wanted: Option<&str>, form: Output) -> u8 {
    let Verified { manifest, root, bytes } = verified;
    let is_wanted = wanted.is_none_or(|wanted| wanted.trim().eq_ignore_ascii_case(root));
    let rows = rows(verified);
    let source = &manifest.source;
    if matches!(form, Output::Json | Output::Jsonl) {
        output::json(&json!({
            "sound": is_wanted,
            "fault": (!is_wanted).then_some("root_other"),
            "root": root,
            "tenant": source.tenant,
            "entra_tenant_id": source.entra_tenant_id,
            "backup": source.backup,
            "state": source.state.as_str(),
            "policies": manifest.items.len(),
            "missing": manifest.missing.len(),
            "bytes": bytes,
            "types": rows,
        }));
    } else {
        output::list(&rows, COLUMNS, "/type", form);
    }
    let (held, lost) = (manifest.items.len(), manifest.missing.len());
    let said = format!(
        "Backup {} of {} ({}), {}: {held} policies, {lost} missing, {bytes} bytes.\nRoot hash {root}",
        source.backup,
        output::clean(&source.tenant),
        output::clean(&source.entra_tenant_id),
        source.state,
    );
    output::say(&said);
    if is_wanted {
        output::say("Sound: every file is there and as its hash says.");
        exit::DONE
    } else {
        output::say("refused: root_other: It is sound in itself, and has another root hash.");
        exit::RUN_FAILED
    }
}

fn rows(verified: &Verified) -> Vec<Value> {
    let manifest = &verified.manifest;
    let row = |one: &tp_domain::backup::BackupType| {
        let of_type = |key: &tp_domain::policy::PolicyType| *key == one.policy_type;
        json!({
            "type": one.policy_type.as_str(),
            "state": one.completeness.state().as_str(),
            "reason": one.completeness.reason().map(ReasonCode::as_str),
            "listed": one.listed,
            "policies": manifest.items.iter().filter(|item| of_type(&item.policy_type)).count(),
            "missing": manifest.missing.iter().filter(|item| of_type(&item.policy_type)).count(),
        })
    };
    manifest.types.iter().map(row).collect()
}
