//! What test runners say of themselves: their closing lines, read while they are shown.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context as _, Result, anyhow};

/// How many tests passed and failed, by the runners' own words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    passed: u64,
    failed: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// The closing line; none when no runner counted anything.
    pub(crate) fn line(self) -> Option<String> {
        (self != Self::default()).then(|| format!("{} passed, {} failed", self.passed, self.failed))
    }

    /// What one line of a runner's output counts: nextest's summary, cargo's "test result", or a
    /// plain "N passed, N failed".
    fn of_line(line: &str) -> Self {
        let line = line.trim();
        let counted = line
            .split_once(" tests run: ")
            .or_else(|| line.split_once(" test run: "))
            .map(|(_, counted)| counted)
            .or_else(|| line.strip_prefix("test result: "))
            .or_else(|| line.starts_with(|c: char| c.is_ascii_digit()).then_some(line));
        let Some(counted) = counted else { return Self::default() };
        let words: Vec<&str> = counted.split([' ', ',', ';']).filter(|w| !w.is_empty()).collect();
        let before = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at.checked_sub(1)?)?.parse().ok()
        };
        match (before("passed"), before("failed"), line.contains("tests run: ")) {
            (Some(passed), Some(failed), _) => Self { passed, failed },
            (Some(passed), None, true) => Self { passed, failed: 0 },
            _ => Self::default(),
        }
    }
}

/// Runs a command without input, shows its output and sums what it counts.
pub(crate) fn run(command: &mut Command) -> Result<(ExitStatus, Counts)> {
    let shown = crate::shell::show(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("`{shown}` could not be started"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let reader = thread::spawn(move || out.map(|out| follow(out, |line| println!("{line}"))));
    let mut counts = err.map(|err| follow(err, |line| eprintln!("{line}"))).unwrap_or_default();
    let more = reader.join().map_err(|_| anyhow!("reading the output of `{shown}` failed"))?;
    counts.add(more.unwrap_or_default());
    Ok((child.wait()?, counts))
}

fn follow(output: impl Read, show: impl Fn(&str)) -> Counts {
    let mut counts = Counts::default();
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        show(&line);
        counts.add(Counts::of_line(&line));
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_of_the_runners_are_read() {
        let check = |line: &str, passed, failed| {
            assert_eq!(Counts::of_line(line), Counts { passed, failed }, "{line}");
        };
        check("     Summary [   8.644s] 51 tests run: 51 passed, 0 skipped", 51, 0);
        check(
            "     Summary [   0.1s] 14 tests run: 13 passed (1 slow), 1 failed, 0 skipped",
            13,
            1,
        );
        check("     Summary [   0.1s] 3/14 tests run: 1 passed, 2 failed, 0 skipped", 1, 2);
        check("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; finished in 0.1s", 3, 0);
        check("12 passed, 1 failed", 12, 1);
        check("        PASS [   0.4s] (14/51) tp-store::conformance 3 passed", 0, 0);
        check("the sync says 3 passed, 1 failed", 0, 0);
    }

    #[test]
    fn both_outputs_of_a_command_are_summed() {
        let script = "echo '2 passed, 0 failed'; echo '1 passed, 1 failed' >&2; exit 3";
        let (status, counts) = run(Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(counts.line().as_deref(), Some("3 passed, 1 failed"));
        assert_eq!(run(&mut Command::new("true")).unwrap().1.line(), None);
    }
}
