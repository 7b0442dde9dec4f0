-- Keys of payloads, sealed under the master key of the key file, and which object holds which payload.

-- The key of a workspace: addresses of payloads and fingerprints of secrets depend on it, so there is one
-- for ever. Only its seal changes, when the master key does.
CREATE TABLE workspace_keys (
  scope_id UUID NOT NULL PRIMARY KEY REFERENCES workspaces (id),
  key_sealed TEXT NOT NULL,
  created_at BIGINT NOT NULL
);

-- Data keys of a tenant. A destroyed one has no key any more: what it sealed is gone, wherever it lies.
CREATE TABLE tenant_keys (
  scope_id UUID NOT NULL,
  id UUID NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL REFERENCES tenants (id),
  version BIGINT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('active', 'retired', 'destroyed')),
  key_sealed TEXT,
  created_at BIGINT NOT NULL,
  ended_at BIGINT,
  PRIMARY KEY (scope_id, id),
  UNIQUE (scope_id, version),
  CHECK ((state = 'destroyed') = (key_sealed IS NULL)),
  CHECK ((state = 'active') = (ended_at IS NULL))
);
CREATE UNIQUE INDEX tenant_keys_active ON tenant_keys (scope_id) WHERE state = 'active';

-- One row per payload. copy_id names the object in the payload store; next_copy_id one that is being
-- written under a newer data key. An id is never used twice, so whoever deletes an object by its id can
-- hit no other (docs/decisions/0013-payload-store.md).
CREATE TABLE payloads (
  scope_id UUID NOT NULL,
  address BYTEA NOT NULL,
  kind TEXT NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL,
  copy_id UUID NOT NULL,
  next_copy_id UUID,
  state TEXT NOT NULL CHECK (state IN ('pending', 'stored', 'condemned')),
  key_id UUID,
  text_bytes BIGINT,
  object_bytes BIGINT,
  touched_at BIGINT NOT NULL,
  PRIMARY KEY (scope_id, address),
  FOREIGN KEY (scope_id, key_id) REFERENCES tenant_keys (scope_id, id),
  CHECK (state <> 'stored' OR key_id IS NOT NULL)
);
CREATE INDEX payloads_key ON payloads (scope_id, key_id);
CREATE INDEX payloads_condemned ON payloads (scope_id) WHERE state = 'condemned';

-- Who needs a payload: versions, manifests. Without any, it is garbage after a while.
CREATE TABLE payload_refs (
  scope_id UUID NOT NULL,
  address BYTEA NOT NULL,
  holder_id UUID NOT NULL,
  PRIMARY KEY (scope_id, address, holder_id),
  FOREIGN KEY (scope_id, address) REFERENCES payloads (scope_id, address)
);
CREATE INDEX payload_refs_holder ON payload_refs (scope_id, holder_id);

DO $$
DECLARE
  name TEXT;
BEGIN
  FOREACH name IN ARRAY ARRAY['workspace_keys', 'tenant_keys', 'payloads', 'payload_refs'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
      'CREATE POLICY reach ON %I USING (CASE current_setting(''app.reach'', TRUE) WHEN ''*'' THEN TRUE '
      'ELSE scope_id::text = current_setting(''app.reach'', TRUE) END)',
      name);
  END LOOP;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantpilot_app') THEN
    GRANT SELECT, INSERT, UPDATE, DELETE ON workspace_keys, tenant_keys, payloads, payload_refs
      TO tenantpilot_app;
  END IF;
END $$;
