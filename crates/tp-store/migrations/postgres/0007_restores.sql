-- Restores: records, frozen plans, items, and each write before it is sent (PRODUCT §8, TRUST P4).

CREATE TABLE restores (
  scope_id UUID NOT NULL,
  id UUID NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('draft', 'previewed', 'awaiting_second_approver', 'confirmed',
                                       'executing', 'done', 'expired', 'discarded')),
  second_approver BOOLEAN NOT NULL,
  reason TEXT,
  created_by UUID NOT NULL,
  created_name TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  plan_hash TEXT,
  plan_expires_at BIGINT,
  confirmed_by UUID,
  confirmed_name TEXT,
  confirmed_at BIGINT,
  approved_by UUID,
  approved_name TEXT,
  approved_at BIGINT,
  run_id UUID,
  revision BIGINT NOT NULL DEFAULT 1,
  PRIMARY KEY (scope_id, id),
  CHECK ((plan_hash IS NULL) = (plan_expires_at IS NULL)),
  CHECK (state NOT IN ('confirmed', 'executing', 'done')
         OR (plan_hash IS NOT NULL AND confirmed_by IS NOT NULL AND run_id IS NOT NULL)),
  -- The second person is another person.
  CHECK (approved_by IS NULL OR approved_by <> confirmed_by),
  CHECK (NOT second_approver OR state NOT IN ('confirmed', 'executing', 'done') OR approved_by IS NOT NULL)
);
CREATE INDEX restores_newest ON restores (scope_id, created_at DESC, id DESC);

-- The bytes that were confirmed. Written once.
CREATE TABLE restore_plans (
  scope_id UUID NOT NULL,
  restore_id UUID NOT NULL,
  plan_hash TEXT NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL,
  bytes BYTEA NOT NULL,
  frozen_at BIGINT NOT NULL,
  PRIMARY KEY (scope_id, restore_id, plan_hash),
  FOREIGN KEY (scope_id, restore_id) REFERENCES restores (scope_id, id)
);

-- What came of each object of the plan that is written.
CREATE TABLE restore_items (
  scope_id UUID NOT NULL,
  restore_id UUID NOT NULL,
  item_key TEXT NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL,
  run_id UUID NOT NULL,
  position BIGINT NOT NULL,
  policy_type TEXT NOT NULL,
  name TEXT,
  action TEXT NOT NULL CHECK (action IN ('create', 'update')),
  graph_id TEXT,
  outcome TEXT CHECK (outcome IN ('verified', 'written_but_differs', 'failed', 'refused', 'skipped',
                                  'awaiting_external_approval', 'unknown_outcome')),
  reason TEXT,
  cause TEXT,
  half_done BOOLEAN NOT NULL DEFAULT FALSE,
  step TEXT,
  differences TEXT NOT NULL DEFAULT '[]',
  graph_request_id TEXT,
  -- What the object was like when the run let go of it: a retry expects it so.
  left_fingerprint TEXT,
  safety_id TEXT,
  safety_sha256 TEXT,
  completed_at BIGINT,
  PRIMARY KEY (scope_id, restore_id, item_key),
  FOREIGN KEY (scope_id, restore_id) REFERENCES restores (scope_id, id),
  CHECK ((safety_id IS NULL) = (safety_sha256 IS NULL)),
  CHECK (outcome IS NULL OR outcome = 'verified' OR reason IS NOT NULL)
);
CREATE INDEX restore_items_order ON restore_items (scope_id, restore_id, position);

-- Each write, committed before it is sent. The body is not here: it may hold what must not be stored.
CREATE TABLE write_intents (
  scope_id UUID NOT NULL,
  id UUID NOT NULL,
  restore_id UUID NOT NULL,
  item_key TEXT NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL,
  run_id UUID NOT NULL,
  fence BIGINT NOT NULL,
  step TEXT NOT NULL,
  step_key TEXT NOT NULL,
  method TEXT NOT NULL,
  path TEXT NOT NULL,
  body_hash TEXT,
  adds BOOLEAN NOT NULL,
  before_fingerprint TEXT,
  object_id TEXT,
  listed TEXT NOT NULL DEFAULT '[]',
  state TEXT NOT NULL CHECK (state IN ('open', 'done', 'refused', 'unsent', 'lost', 'unknown', 'parked')),
  reply_lost BOOLEAN NOT NULL DEFAULT FALSE,
  sent BIGINT NOT NULL DEFAULT 1,
  approval_code TEXT,
  approval_asked_at BIGINT,
  graph_request_id TEXT,
  at BIGINT NOT NULL,
  settled_at BIGINT,
  PRIMARY KEY (scope_id, id),
  FOREIGN KEY (scope_id, restore_id, item_key)
    REFERENCES restore_items (scope_id, restore_id, item_key),
  CHECK ((state = 'open') = (settled_at IS NULL)),
  CHECK (state <> 'parked' OR (approval_code IS NOT NULL AND approval_asked_at IS NOT NULL))
);
CREATE INDEX write_intents_item ON write_intents (scope_id, restore_id, item_key, at, id);
-- An object has one write in flight: the next is sent when it is known what came of the last.
CREATE UNIQUE INDEX write_intents_one ON write_intents (scope_id, restore_id, item_key)
  WHERE state IN ('open', 'parked');

CREATE TRIGGER restore_plans_once BEFORE UPDATE ON restore_plans
  FOR EACH ROW EXECUTE FUNCTION refuse_change();

DO $$
DECLARE
  name TEXT;
BEGIN
  FOREACH name IN ARRAY ARRAY['restores', 'restore_plans', 'restore_items', 'write_intents'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
      'CREATE POLICY reach ON %I USING (CASE current_setting(''app.reach'', TRUE) WHEN ''*'' THEN TRUE '
      'ELSE scope_id::text = current_setting(''app.reach'', TRUE) END)',
      name);
  END LOOP;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantpilot_app') THEN
    EXECUTE format(
      'GRANT SELECT, INSERT, UPDATE, DELETE ON restores, restore_items, write_intents TO tenantpilot_app');
    EXECUTE format('GRANT SELECT, INSERT ON restore_plans TO tenantpilot_app');
  END IF;
END $$;
