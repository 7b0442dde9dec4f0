//! People beside the owner, each with an API token.

use serde_json::json;
use tp_domain::access::Role;
use tp_domain::ids::{TokenId, WorkspaceId};
use uuid::Uuid;

use crate::db::Reach;
use crate::stmt::stmt;
use crate::{ApiTokenSecret, NewUser, Store};

const TOKEN: &str = "\
INSERT INTO api_tokens (token_hash, id, user_id, workspace_id, name, capabilities, created_at, expires_at)
VALUES ($1, $2, $3, $4, 'test', $5, $6, $7)";

#[expect(clippy::unwrap_used, reason = "test set-up")]
impl Store {
    /// Somebody with that role, who may do by token all that the role may.
    pub async fn test_user(
        &self,
        workspace: WorkspaceId,
        email: &str,
        role: Role,
    ) -> ApiTokenSecret {
        let user = NewUser {
            email: email.to_owned(),
            name: email.to_owned(),
            password_hash: "x".to_owned(),
            role,
        };
        let user: Uuid = self.console().user_create(workspace, user).await.unwrap().uuid();
        let secret = ApiTokenSecret::fresh().unwrap();
        let (hash, id, now) = (secret.hash(), TokenId::next(&*self.ids).uuid(), self.now());
        let (all, ends) =
            (json!(["all"]).to_string(), now.plus(std::time::Duration::from_hours(1)));
        let insert = stmt!(TOKEN, hash, id, user, workspace.uuid(), all, now, ends);
        self.db.write(Reach::All, move |tx| Box::pin(tx.execute(insert))).await.unwrap();
        secret
    }

    /// Another workspace, whose owner is an account that is there already.
    pub async fn test_second_workspace(
        &self,
        name: &'static str,
        email: &'static str,
    ) -> WorkspaceId {
        const WORKSPACE: &str = "INSERT INTO workspaces (id, name, created_at) VALUES ($1, $2, $3)";
        let (workspace, now) = (WorkspaceId::next(&*self.ids), self.now());
        let insert = stmt!(WORKSPACE, workspace.uuid(), name, now);
        self.db.write(Reach::All, move |tx| Box::pin(tx.execute(insert))).await.unwrap();
        let user = self.hall().account_by_email(email).await.unwrap().unwrap().id;
        self.console().member_set(workspace, None, user, Role::Owner).await.unwrap();
        workspace
    }
}
