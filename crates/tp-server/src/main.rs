//! The binary `tenantpilot`: reads the command line and hands over.

mod admin;
mod archive;
mod cli;
mod client;
mod config;
mod demo;
mod doctor;
mod environment;
mod exit;
mod keys;
mod logs;
mod output;
mod reference;
mod sim;
mod wire;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use tp_store::Store;

use crate::cli::{Cli, Command, ConfigCommand, Output};
use crate::config::{Config, Sources};
use crate::environment::Environment;

fn main() -> ExitCode {
    let environment = Environment::of_process();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::say(&format!("error: the runtime cannot start: {error}"));
            return ExitCode::from(exit::ERROR);
        }
    };
    ExitCode::from(runtime.block_on(run(cli, environment)))
}

async fn run(cli: Cli, environment: Environment) -> u8 {
    let Cli { config, command } = cli;
    let client = match command {
        Command::Run(command) => client::run(command, &environment).await,
        Command::Tenant(command) => client::tenant(command, &environment).await,
        Command::Policy(command) => client::policy(command, &environment).await,
        Command::Backup(command) => client::backup(command, &environment).await,
        Command::Schedule(command) => client::schedule(command, &environment).await,
        Command::Api { server, method, path, input } => {
            client::api(&server, &method, &path, input.as_deref(), &environment).await
        }
        Command::Capabilities { tenant: Some(tenant), server } => {
            client::capabilities(&tenant, &server, &environment).await
        }
        local => return run_local(local, config, environment).await,
    };
    client.unwrap_or_else(|error| error.report())
}

async fn run_local(
    command: Command,
    file: Option<std::path::PathBuf>,
    environment: Environment,
) -> u8 {
    match here(command, file, environment).await {
        Ok(code) => code,
        Err(error) => {
            output::say(&format!("error: {}", output::clean(&format!("{error:#}"))));
            if error.is::<config::ConfigError>() { exit::USAGE } else { exit::ERROR }
        }
    }
}

/// Commands that need no server.
async fn here(
    command: Command,
    file: Option<std::path::PathBuf>,
    environment: Environment,
) -> anyhow::Result<u8> {
    let load = |flags: Vec<(&'static str, String)>| {
        Config::load(&Sources { file: file.clone(), environment: environment.0.clone(), flags })
    };
    match command {
        Command::Demo(args) => demo::run(args, &environment).await?,
        Command::Serve(args) => {
            let flags =
                args.listen.map(|address| ("listen", address.to_string())).into_iter().collect();
            let config = load(flags)?;
            logs::start(&config.log_level, &config.log_format);
            let listener = wire::bind(config.listen).await?;
            let parts = wire::parts(&config).await?;
            let shutdown = wire::shutdown()?;
            tracing::info!(url = %config.public_url, worker = !args.no_worker, "TenantPilot is ready");
            let does =
                wire::Does { work: !args.no_worker, schedule: !args.no_scheduler, demo: false };
            wire::run(parts, &config, listener, does, shutdown).await?;
        }
        Command::Worker { concurrency } => {
            let flags = concurrency
                .map(|count| ("worker.concurrency", count.to_string()))
                .into_iter()
                .collect();
            let config = load(flags)?;
            logs::start(&config.log_level, &config.log_format);
            let parts = wire::parts(&config).await?;
            let shutdown = wire::shutdown()?;
            tracing::info!("the worker is ready");
            parts.worker(&config, true).run(shutdown).await;
            parts.store.close().await;
        }
        Command::Migrate { check } => return migrate(&load(Vec::new())?, check).await,
        Command::Doctor(output) => return Ok(doctor::run(&load(Vec::new())?, output.output).await),
        Command::Keys(command) => return keys::run(command, &load(Vec::new())?).await,
        Command::Config(ConfigCommand::Show) => {
            for (name, value, source) in load(Vec::new())?.shown() {
                output::write(&format!("{name} = {value}  # {source}\n"));
            }
        }
        Command::Config(ConfigCommand::Check) => {
            let config = load(Vec::new())?;
            config.oidc.as_ref().map(config::OidcConfig::settings).transpose()?;
            output::say("The configuration is good.");
        }
        Command::Openapi => output::json(&tp_web::openapi()),
        Command::Completion { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "tenantpilot",
                &mut std::io::stdout(),
            );
        }
        Command::Version(form) => version(form.output),
        Command::Admin(command) => admin::run(command, &load(Vec::new())?).await?,
        Command::Sim(command) => sim::run(command).await?,
        Command::Contracts(command) => return reference::contracts(command),
        Command::Capabilities { server, .. } => reference::capabilities(server.output.output)?,
        Command::Run(_)
        | Command::Tenant(_)
        | Command::Policy(_)
        | Command::Backup(_)
        | Command::Schedule(_)
        | Command::Api { .. } => {
            unreachable!("handled before");
        }
    }
    Ok(exit::DONE)
}

async fn migrate(config: &Config, check: bool) -> anyhow::Result<u8> {
    if check {
        let state = Store::migrate_check(&config.database).await?;
        output::say(&format!("{} of {} migrations are pending.", state.pending, state.known));
        return Ok(if state.pending == 0 { exit::DONE } else { exit::ERROR });
    }
    let state = Store::migrate(&config.database).await?;
    output::say(&format!("{} migrations were run; the schema is up to date.", state.pending));
    Ok(exit::DONE)
}

fn version(form: Output) {
    let value = serde_json::json!({"name": "tenantpilot", "version": wire::VERSION});
    match form {
        Output::Json | Output::Jsonl => output::json(&value),
        _ => output::write(&format!("tenantpilot {}\n", wire::VERSION)),
    }
}
