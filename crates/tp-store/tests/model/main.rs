//! The engine's rows against a model of plain values: any sequence of starts, claims, beats, items, ends,
//! cancels, sweeps, kills and clock moves leads to the state that the model says (ENGINE I1, I2, I4 to I7,
//! I12). A sequence that does not is made short before it is shown.
//!
//! `TENANTPILOT_MODEL_CASES` sets how many sequences there are (CI: 200 on SQLite, 40 on PostgreSQL).

#![expect(clippy::unwrap_used, reason = "a test may stop at once")]

mod model;
mod system;

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tp_store::testing::{TestDatabase, postgres_server, say_skipped};

use crate::model::Command;
use crate::system::System;

/// A fresh database after so many sequences: what older ones left must not make the checks slow.
const CASES_PER_DATABASE: u32 = 50;

#[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
fn cases(usual: u32) -> u32 {
    std::env::var("TENANTPILOT_MODEL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let worker = 1..4_u8;
    let any = 0..8_u8;
    let one = prop_oneof![
        4 => (0..2_u8, 0..3_u8).prop_map(|(tenant, inputs)| Command::Start { tenant, inputs }),
        5 => worker.clone().prop_map(|worker| Command::Claim { worker }),
        3 => (any.clone(), 0..4_u8, 0..3_u8).prop_map(|(claim, item, end)| Command::ItemEnd { claim, item, end }),
        2 => any.clone().prop_map(|claim| Command::Plan { claim }),
        3 => (any.clone(), 0..2_u8).prop_map(|(claim, end)| Command::Finish { claim, end }),
        1 => any.clone().prop_map(|claim| Command::Retry { claim }),
        1 => any.clone().prop_map(|claim| Command::Snooze { claim }),
        1 => any.clone().prop_map(|claim| Command::HandBack { claim }),
        2 => any.clone().prop_map(|run| Command::Cancel { run }),
        1 => any.prop_map(|run| Command::ReleaseByHand { run }),
        2 => worker.clone().prop_map(|worker| Command::Beat { worker }),
        1 => worker.clone().prop_map(|worker| Command::Pulse { worker }),
        1 => worker.clone().prop_map(|worker| Command::ShutDown { worker }),
        1 => worker.prop_map(|worker| Command::Kill { worker }),
        2 => Just(Command::Sweep),
        4 => prop_oneof![Just(1_u16), Just(9), Just(31), Just(700)].prop_map(|seconds| Command::Advance { seconds }),
    ];
    prop::collection::vec(one, 1..45)
}

async fn database(on_postgres: bool) -> TestDatabase {
    match postgres_server().filter(|_| on_postgres) {
        Some(server) => TestDatabase::postgres(&server).await,
        None => TestDatabase::sqlite().await,
    }
}

fn holds(on_postgres: bool, cases: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let kept: RefCell<Option<(System, u32)>> = RefCell::new(None);
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let result = TestRunner::new(config).run(&commands(), |commands| {
        runtime.block_on(async {
            let (mut system, left) = match kept.take() {
                Some((system, left)) if left > 0 => (system, left),
                worn_out => {
                    if let Some((system, _)) = worn_out {
                        system.close().await;
                    }
                    (System::new(database(on_postgres).await).await, CASES_PER_DATABASE)
                }
            };
            // What a broken sequence left behind would break the next one too: it is dropped.
            system.run(&commands).await.map_err(TestCaseError::fail)?;
            kept.replace(Some((system, left - 1)));
            Ok(())
        })
    });
    assert!(result.is_ok(), "{}", result.unwrap_err());
}

#[test]
fn every_sequence_leads_to_the_state_of_the_model_on_sqlite() {
    holds(false, cases(200));
}

#[test]
fn every_sequence_leads_to_the_state_of_the_model_on_postgres() {
    if postgres_server().is_none() {
        return say_skipped();
    }
    holds(true, cases(40));
}
