-- What something of one tenant is in another, as somebody has said (X-7).
CREATE TABLE restore_mappings (
  scope_id BLOB NOT NULL,
  source_tenant_id BLOB NOT NULL,
  kind TEXT NOT NULL,
  source_id TEXT NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL,
  target_id TEXT NOT NULL,
  set_by BLOB NOT NULL,
  set_at INTEGER NOT NULL,
  PRIMARY KEY (scope_id, source_tenant_id, kind, source_id)
) STRICT;
