//! Going on from a write of which it is not known what came of it: its worker died, or it waits for a second
//! administrator (PROTOCOL §7).

use std::time::Duration;

use tp_catalog::steps;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::intent::{IntentState, Settled, WriteIntent};
use tp_domain::restore::outcome::ItemOutcome;
use tp_graph::write::{Approval, Prepared, Sent};

use super::end::{End, Halt, Worked};
use super::item::{Item, Ready};

/// Microsoft's requests for approval live three days.
const APPROVAL_LIFE: Duration = Duration::from_hours(72);

impl Item<'_> {
    /// Goes on from a write of which it is not known what came of it: its worker died, or it waits for approval.
    pub(super) async fn go_on(&mut self, ready: &Ready<'_>, intent: &WriteIntent) -> Worked<()> {
        if intent.state == IntentState::Open {
            let found = self.find(ready, &intent.asked, intent.id).await?;
            // What did not happen is done by the steps that remain.
            self.settle_found(&intent.asked, intent.id, found).await?;
            return Ok(());
        }
        let code = intent.approval_code.clone().unwrap_or_default();
        let approval = self.work.session.approval(&code).await;
        let approval = approval.map_err(|error| self.unreadable(&error))?;
        let asked_at = intent.approval_asked_at.unwrap_or(intent.at);
        let is_old = self.work.run.now().since(asked_at) > APPROVAL_LIFE;
        let over = match approval {
            Approval::Waiting if !is_old => return Err(Halt::End(End::Parked)),
            Approval::Approved => return self.resubmit(ready, intent, &code).await,
            Approval::Completed => {
                let found = self.find(ready, &intent.asked, intent.id).await?;
                self.settle_found(&intent.asked, intent.id, found).await?;
                return Ok(());
            }
            Approval::Rejected => ReasonCode::ApprovalRejected,
            Approval::Waiting | Approval::Expired => ReasonCode::ApprovalExpired,
        };
        let refused = Settled::default();
        self.work.plan.intent_settle(intent.id, IntentState::Refused, refused).await?;
        Err(self.step_failed(&intent.asked, over, None))
    }

    /// Sends the approved request: the very same, or none.
    async fn resubmit(
        &mut self,
        ready: &Ready<'_>,
        intent: &WriteIntent,
        code: &str,
    ) -> Worked<()> {
        if let Some(reason) = self.work.run.still_allowed().await? {
            return Err(self.blocked(reason));
        }
        let step = match &intent.asked.object_id {
            None => steps::create(ready.contract, ready.schema, ready.whole(), self.place()).ok(),
            Some(_) => match self.read(ready).await? {
                Some(live) if Some(ready.print(&live)) == intent.asked.before => {
                    self.remaining(ready, &live).ok().and_then(|steps| {
                        steps.into_iter().find(|one| one.key == intent.asked.step_key)
                    })
                }
                _ => None,
            },
        };
        let prepared = step.and_then(|step| self.writer.prepare(ready.contract, &step).ok());
        let same = |one: &Prepared| {
            one.body_hash() == intent.asked.body_hash.as_ref() && one.path() == intent.asked.path
        };
        let Some(prepared) = prepared.filter(same) else {
            let settled = Settled::default();
            self.work.plan.intent_settle(intent.id, IntentState::Refused, settled).await?;
            return Err(self.ended(ItemOutcome::Refused, ReasonCode::TargetChanged, None, None));
        };
        let open = self.work.plan.intent_again(intent).await?;
        let sent = self.writer.send_approved(&prepared, &open, code).await;
        match sent {
            // Where it did not leave, it still waits to be sent with its code.
            Sent::NotSent(error) => {
                let settled =
                    Settled { approval_code: Some(code.to_owned()), ..Settled::default() };
                self.work.plan.intent_settle(intent.id, IntentState::Parked, settled).await?;
                Err(self.not_sent(&intent.asked, &error))
            }
            sent => {
                if self.settle(ready, &intent.asked, intent.id, sent).await? {
                    Ok(())
                } else {
                    Err(self.step_failed(&intent.asked, ReasonCode::GraphUnavailable, None))
                }
            }
        }
    }
}
