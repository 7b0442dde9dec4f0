//! Following a run to its end: one redrawn line on a terminal, a line per change elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use tp_client::{Client, ClientError};

use super::VerbError;
use crate::exit;
use crate::output::{clean, say, text};

/// Without a terminal an unchanged run is mentioned this often.
const REMIND: Duration = Duration::from_secs(30);

/// Follows until the end, the time-out or Ctrl-C. The run goes on in the last two cases.
pub(super) async fn watch(
    client: &Client,
    tenant: &str,
    run: &str,
    timeout: Option<u64>,
) -> Result<u8, VerbError> {
    let began = Instant::now();
    let path = format!("/api/v1/tenants/{tenant}/runs/{run}");
    let mut view = View::new();
    let (mut etag, mut losses) = (None, 0);
    loop {
        let polled = match client.poll(&path, etag.as_deref()).await {
            Ok(polled) => polled,
            Err(ClientError::Unreachable(_)) if losses < 10 => {
                losses += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        losses = 0;
        etag = polled.etag;
        if let Some(value) = &polled.value {
            view.show(value);
            let outcome = text(value, "/outcome");
            if text(value, "/status") == "completed" {
                view.end(value);
                return Ok(exit::of_outcome(&outcome));
            }
        }
        view.remind();
        if timeout.is_some_and(|seconds| began.elapsed() >= Duration::from_secs(seconds)) {
            view.clear();
            say(&format!(
                "The time is over; the run goes on. Watch it again: tenantpilot run watch {run} -t {tenant}"
            ));
            return Ok(exit::TIMEOUT);
        }
        // The server asks for 2 s; on a terminal a person watches.
        let wait = polled.again_in.unwrap_or(Duration::from_secs(2)).min(Duration::from_secs(1));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            signal = tokio::signal::ctrl_c() => {
                view.clear();
                if signal.is_ok() {
                    say(&format!("The run goes on. Watch it again: tenantpilot run watch {run} -t {tenant}"));
                }
                return Ok(exit::INTERRUPTED);
            }
        }
    }
}

enum View {
    Bar(ProgressBar),
    Lines { last: String, said: Instant },
}

fn words(run: &Value) -> String {
    let (processed, total) = (text(run, "/counts/processed"), text(run, "/counts/total"));
    let failed = text(run, "/counts/failed");
    let counts = if total.is_empty() {
        format!("{processed} so far")
    } else {
        format!("{processed}/{total}")
    };
    let phase = text(run, "/progress/phase");
    let waiting = match text(run, "/progress/waiting_reason").as_str() {
        "" => String::new(),
        reason => format!("  (waiting: {reason} until {})", text(run, "/progress/waiting_until")),
    };
    clean(&format!("{}  {counts}  {failed} failed  {phase}{waiting}", text(run, "/label")))
}

impl View {
    fn new() -> Self {
        if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new_spinner();
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            bar.enable_steady_tick(Duration::from_millis(120));
            Self::Bar(bar)
        } else {
            Self::Lines { last: String::new(), said: Instant::now() }
        }
    }

    fn show(&mut self, run: &Value) {
        let words = words(run);
        match self {
            Self::Bar(bar) => {
                if let Some(total) = run.pointer("/counts/total").and_then(Value::as_u64) {
                    if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:20} {msg}") {
                        bar.set_style(style);
                    }
                    bar.set_length(total);
                    bar.set_position(
                        run.pointer("/counts/processed").and_then(Value::as_u64).unwrap_or(0),
                    );
                }
                bar.set_message(words);
            }
            Self::Lines { last, said } => {
                let status =
                    format!("{} {}", text(run, "/status"), text(run, "/progress/waiting_reason"));
                if *last != status {
                    say(&format!("{}  {words}", text(run, "/status")));
                    (*last, *said) = (status, Instant::now());
                }
            }
        }
    }

    fn remind(&mut self) {
        if let Self::Lines { last, said } = self
            && said.elapsed() >= REMIND
        {
            say(&format!("still {last}"));
            *said = Instant::now();
        }
    }

    fn clear(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }

    fn end(&self, run: &Value) {
        self.clear();
        let outcome = text(run, "/outcome").replace('_', " ");
        let counts = format!(
            "{} done, {} failed, {} skipped",
            text(run, "/counts/succeeded"),
            text(run, "/counts/failed"),
            text(run, "/counts/skipped")
        );
        say(&clean(&format!("{}: {outcome}. {counts}", text(run, "/label"))));
        let failures = run.get("failures").and_then(Value::as_array);
        if failures.is_none_or(Vec::is_empty) && !text(run, "/reason_code").is_empty() {
            say(&clean(&format!("  {}: {}", text(run, "/reason_code"), text(run, "/message"))));
        }
        for failure in failures.into_iter().flatten() {
            say(&clean(&format!(
                "  {} ({}): {} {}",
                text(failure, "/code"),
                text(failure, "/count"),
                text(failure, "/message"),
                text(failure, "/advice")
            )));
        }
    }
}
