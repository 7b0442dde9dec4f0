//! The step between the password and the code of a sign-in: it lasts minutes, in the browser that began it.

use std::time::Duration;

use tp_domain::ids::UserId;

use crate::db::Reach;
use crate::error::StoreError;
use crate::hall::{Account, Hall};
use crate::secret_text::SecretText;
use crate::stmt::stmt;

const STEP_INSERT: &str = "\
INSERT INTO second_steps (token_hash, user_id, return_to, expires_at) VALUES ($1, $2, $3, $4)";
const STEPS_OLD: &str = "DELETE FROM second_steps WHERE expires_at <= $1";
const STEP_GET: &str = "\
SELECT u.email, s.return_to FROM second_steps s JOIN users u ON u.id = s.user_id
WHERE s.token_hash = $1 AND s.expires_at > $2";
pub(crate) const STEPS_OF: &str = "DELETE FROM second_steps WHERE user_id = $1";

/// How long somebody may take between the password and the code.
pub const SECOND_STEP_LIFE: Duration = Duration::from_mins(5);

/// A sign-in whose code is still missing: what the browser holds.
#[derive(Clone, Debug)]
pub struct SecondStep(SecretText);

impl SecondStep {
    /// Takes what a cookie said.
    pub fn from_cookie(text: &str) -> Option<Self> {
        SecretText::parse(text).map(Self)
    }

    /// The value for the cookie.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

#[derive(sqlx::FromRow)]
struct StepRow {
    email: String,
    return_to: String,
}

impl Hall {
    /// Notes that the password of an account was right, and that its code is missing.
    pub async fn second_step_begin(
        &self,
        account: &Account,
        return_to: &str,
    ) -> Result<SecondStep, StoreError> {
        let token = SecretText::fresh()?;
        let (hash, user, back) = (token.hash(), account.id.uuid(), return_to.to_owned());
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    tx.execute(stmt!(STEPS_OLD, now)).await?;
                    let ends = now.plus(SECOND_STEP_LIFE);
                    tx.execute(stmt!(STEP_INSERT, hash, user, back, ends)).await
                })
            })
            .await?;
        Ok(SecondStep(token))
    }

    /// The account whose code is missing, and where its person wanted to go. None when it took too long.
    pub async fn second_step(
        &self,
        step: &SecondStep,
    ) -> Result<Option<(Account, String)>, StoreError> {
        let stmt = stmt!(STEP_GET, step.0.hash(), self.store.now());
        let row: Option<StepRow> =
            self.store.db.read(Reach::All, |tx| Box::pin(tx.optional(stmt))).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(self.account_by_email(&row.email).await?.map(|account| (account, row.return_to)))
    }

    /// Ends all sign-ins of the account whose code is missing: one of them came through.
    pub async fn second_step_end(&self, user: UserId) -> Result<(), StoreError> {
        let stmt = stmt!(STEPS_OF, user.uuid());
        self.store.db.write(Reach::All, move |tx| Box::pin(tx.execute(stmt))).await?;
        Ok(())
    }
}
