//! CPU time of this process and of the server's process, from /proc.

use anyhow::Context as _;

/// The unit of CPU time in /proc: Linux always reports hundredths of a second to user space.
const TICK_NANOS: u64 = 10_000_000;

/// CPU time used during the measurement, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cpu {
    /// CPU time of this process.
    pub client: Option<u64>,
    /// CPU time of the server, when its pid was given.
    pub server: Option<u64>,
}

/// A running measurement.
pub(super) struct Meter {
    server_pid: Option<u32>,
    start: Cpu,
}

impl Meter {
    /// # Errors
    /// If the time of a given pid cannot be read.
    pub(super) fn start(server_pid: Option<u32>) -> anyhow::Result<Self> {
        if let Some(pid) = server_pid {
            spent(&pid.to_string())
                .with_context(|| format!("cannot read the processor time of process {pid}"))?;
        }
        Ok(Self { server_pid, start: now(server_pid) })
    }

    pub(super) fn stop(self) -> Cpu {
        let end = now(self.server_pid);
        let between = |start: Option<u64>, end: Option<u64>| Some(end?.saturating_sub(start?));
        Cpu { client: between(self.start.client, end.client), server: between(self.start.server, end.server) }
    }
}

fn now(server_pid: Option<u32>) -> Cpu {
    Cpu { client: spent("self"), server: server_pid.and_then(|pid| spent(&pid.to_string())) }
}

/// The user and system time of all threads of a process, in nanoseconds.
fn spent(process: &str) -> Option<u64> {
    parse(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

fn parse(stat: &str) -> Option<u64> {
    // The name in parentheses may contain spaces and parentheses, so count fields after the last parenthesis.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) * TICK_NANOS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "42 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        assert_eq!(parse(stat), Some(300 * TICK_NANOS));
        assert_eq!(parse(""), None);
    }
}
