//! What must hold after every phase (TRUST §4): the rules stand in tp-store beside the schema.

use tp_store::Store;
use tp_store::testing::{Told, broken as rules_broken, told};

use crate::world::LEASE;

/// The rules that are broken, with how often. Also says who was told in this phase, for the sum over all
/// phases that the table shows (TRUST A38).
pub(crate) async fn broken(store: &Store) -> Vec<String> {
    let Told { runs, wrong, others } = told(store).await;
    let told = serde_json::json!({"told": {"runs": runs, "wrong": wrong, "others": others}});
    println!("{told}");
    rules_broken(store, LEASE).await
}

/// The broken rules as the end of a sentence; nothing when there is none.
pub(crate) fn words(broken: &[String]) -> String {
    broken.iter().flat_map(|rule| ["; ", rule]).collect()
}
