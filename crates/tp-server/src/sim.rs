//! `tenantpilot sim serve`: the simulated Graph as a server of its own.

use std::time::Duration;

use anyhow::Context as _;
use tp_sim::estate::EstatePlan;
use tp_sim::faults::Fault;
use tp_sim::throttle::Throttling;
use tp_sim::{Sim, SimOptions};

use crate::cli::SimCommand;
use crate::output::say;
use crate::wire;

/// Serves until it is stopped.
pub(crate) async fn run(command: SimCommand) -> anyhow::Result<()> {
    let SimCommand::Serve {
        listen,
        corpus,
        tenants,
        scale,
        types,
        seed,
        latency_ms,
        throttle,
        faults,
        expected,
    } = command;
    let faults: Vec<Fault> = match faults {
        None => Vec::new(),
        Some(path) => {
            let text =
                std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_slice(&text)
                .with_context(|| format!("{} is not a list of faults", path.display()))?
        }
    };
    let sim = Sim::new(SimOptions {
        estate: EstatePlan { corpus, tenants: usize::from(tenants), scale, seed },
        types: types.into_iter().collect(),
        latency: Duration::from_millis(latency_ms),
        throttling: throttle
            .map_or_else(Throttling::default, |speed| Throttling { enabled: true, speed }),
        faults,
        ..SimOptions::default()
    })?;
    if let Some(path) = expected {
        sim.write_expected(&path)?;
    }
    let listener = wire::bind(listen).await?;
    let url = format!("http://{}", listener.local_addr()?);
    say(&format!("Simulated Microsoft Graph and login host: {url}"));
    say(&format!("Tenants with their credentials: {url}/__sim/tenants"));
    let shutdown = wire::shutdown()?;
    sim.serve(listener, shutdown.cancelled_owned()).await?;
    Ok(())
}
