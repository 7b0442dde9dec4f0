-- Keys of payloads, sealed under the master key of the key file, and which object holds which payload.

-- The key of a workspace: addresses of payloads and fingerprints of secrets depend on it, so there is one
-- for ever. Only its seal changes, when the master key does.
CREATE TABLE workspace_keys (
  scope_id BLOB NOT NULL PRIMARY KEY REFERENCES workspaces (id),
  key_sealed TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

-- Data keys of a tenant. A destroyed one has no key any more: what it sealed is gone, wherever it lies.
CREATE TABLE tenant_keys (
  scope_id BLOB NOT NULL,
  id BLOB NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL REFERENCES tenants (id),
  version INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('active', 'retired', 'destroyed')),
  key_sealed TEXT,
  created_at INTEGER NOT NULL,
  ended_at INTEGER,
  PRIMARY KEY (scope_id, id),
  UNIQUE (scope_id, version),
  CHECK ((state = 'destroyed') = (key_sealed IS NULL)),
  CHECK ((state = 'active') = (ended_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX tenant_keys_active ON tenant_keys (scope_id) WHERE state = 'active';

-- One row per payload. copy_id names the object in the payload store; next_copy_id one that is being
-- written under a newer data key. An id is never used twice, so whoever deletes an object by its id can
-- hit no other (docs/decisions/0013-payload-store.md).
CREATE TABLE payloads (
  scope_id BLOB NOT NULL,
  address BLOB NOT NULL,
  kind TEXT NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL,
  copy_id BLOB NOT NULL,
  next_copy_id BLOB,
  state TEXT NOT NULL CHECK (state IN ('pending', 'stored', 'condemned')),
  key_id BLOB,
  text_bytes INTEGER,
  object_bytes INTEGER,
  touched_at INTEGER NOT NULL,
  PRIMARY KEY (scope_id, address),
  FOREIGN KEY (scope_id, key_id) REFERENCES tenant_keys (scope_id, id),
  CHECK (state <> 'stored' OR key_id IS NOT NULL)
) STRICT;
CREATE INDEX payloads_key ON payloads (scope_id, key_id);
CREATE INDEX payloads_condemned ON payloads (scope_id) WHERE state = 'condemned';

-- Who needs a payload: versions, manifests. Without any, it is garbage after a while.
CREATE TABLE payload_refs (
  scope_id BLOB NOT NULL,
  address BLOB NOT NULL,
  holder_id BLOB NOT NULL,
  PRIMARY KEY (scope_id, address, holder_id),
  FOREIGN KEY (scope_id, address) REFERENCES payloads (scope_id, address)
) STRICT;
CREATE INDEX payload_refs_holder ON payload_refs (scope_id, holder_id);
