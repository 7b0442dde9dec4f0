//! What came of a write whose answer was lost: found out by reading, never by sending again (TRUST T14).

use tp_catalog::readback::differences;
use tp_catalog::steps;
use tp_domain::ids::IntentId;
use tp_domain::restore::intent::NewIntent;
use tp_graph::error::GraphError;

use super::end::Halt;
use super::item::{Item, Ready};

/// What was found out.
pub(super) enum Found {
    /// It happened; a new object has this id.
    Happened(Option<String>),
    /// It did not, and sending it again leads to the same as if it had.
    DidNot,
    /// It waits for approval under this code.
    Waits(String),
    /// Reading does not tell.
    Unclear,
}

impl Item<'_> {
    /// Looks for the effect of a write.
    pub(super) async fn find(
        &self,
        ready: &Ready<'_>,
        asked: &NewIntent,
        intent: IntentId,
    ) -> Result<Found, Halt> {
        let found = match &asked.object_id {
            None => self.find_made(ready, &asked.listed).await?,
            Some(_) => self.find_changed(ready, asked).await?,
        };
        // The answer that was lost may have been that it waits. Who may not read the requests learns nothing.
        if matches!(found, Found::DidNot | Found::Unclear)
            && let Ok(Some(code)) = self.work.session.approval_of(intent.uuid()).await
        {
            return Ok(Found::Waits(code));
        }
        Ok(found)
    }

    /// A change of an object that has an id: it is as the step would make it, or as it was.
    async fn find_changed(&self, ready: &Ready<'_>, asked: &NewIntent) -> Result<Found, Halt> {
        let mut unchanged = 0;
        for wait in self.waits() {
            let Some(live) = self.read(ready).await? else { return Ok(Found::Unclear) };
            let Ok(steps) = self.remaining(ready, &live) else { return Ok(Found::Unclear) };
            if steps.iter().all(|step| step.key != asked.step_key) {
                return Ok(Found::Happened(None));
            }
            if asked.before.as_ref() != Some(&ready.print(&live)) {
                // Neither: somebody else writes there, or Graph made something else of it.
                return Ok(Found::Unclear);
            }
            unchanged += 1;
            if unchanged > 1 && !asked.adds {
                return Ok(Found::DidNot);
            }
            tokio::time::sleep(wait).await;
        }
        Ok(if asked.adds { Found::Unclear } else { Found::DidNot })
    }

    /// A new object: exactly one that was not listed before under its name, and that is what was sent.
    pub(super) async fn find_made(
        &self,
        ready: &Ready<'_>,
        before: &[String],
    ) -> Result<Found, Halt> {
        let step = steps::create(ready.contract, ready.schema, ready.whole(), self.place());
        let Some(sent) = step.ok().and_then(|step| step.body) else { return Ok(Found::Unclear) };
        for wait in self.waits() {
            let listed = self.listed(ready).await?;
            let new: Vec<&String> = listed.iter().filter(|id| !before.contains(id)).collect();
            if let [id] = new.as_slice() {
                let read = self.work.session.read_one(
                    ready.contract,
                    Some(id.as_str()),
                    self.node.parent.as_deref(),
                );
                match read.await {
                    Ok(Some(live)) => {
                        let same = differences(ready.contract, ready.schema, &sent, &live.object);
                        return Ok(if same.is_empty() {
                            Found::Happened(Some((*id).clone()))
                        } else {
                            Found::Unclear
                        });
                    }
                    // It may be listed before it can be read.
                    Ok(None) => {}
                    Err(error) => return Err(self.look_again(&error)),
                }
            } else if new.len() > 1 {
                return Ok(Found::Unclear);
            }
            tokio::time::sleep(wait).await;
        }
        Ok(Found::Unclear)
    }

    fn look_again(&self, error: &GraphError) -> Halt {
        self.unreadable(error)
    }
}
