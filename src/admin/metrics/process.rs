//! CPU time, memory and file descriptors of the process, as the kernel reports them.

/// The kernel's figures of the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) open_fds: u64,
    pub(super) max_fds: Option<u64>,
    pub(super) start_seconds: Option<f64>,
}

/// The figures; `None` where the kernel does not report them.
#[cfg(target_os = "linux")]
pub(super) fn figures() -> Option<Process> {
    use procfs::{CurrentSI as _, WithCurrentSystemInfo as _};

    let process = procfs::process::Process::myself().ok()?;
    let stat = process.stat().ok()?;
    let per_second = procfs::ticks_per_second() as f64;
    let boot = procfs::KernelStats::current().ok().map(|kernel| kernel.btime as f64);
    let limits = process.limits().ok();
    let max_fds = limits.and_then(|limits| match limits.max_open_files.soft_limit {
        procfs::process::LimitValue::Value(limit) => Some(limit),
        procfs::process::LimitValue::Unlimited => None,
    });
    Some(Process {
        cpu_seconds: (stat.utime + stat.stime) as f64 / per_second,
        resident_bytes: stat.rss_bytes().get(),
        open_fds: process.fd_count().ok()? as u64,
        max_fds,
        start_seconds: boot.map(|boot| boot + stat.starttime as f64 / per_second),
    })
}

/// The figures; `None` where the kernel does not report them.
#[cfg(not(target_os = "linux"))]
pub(super) fn figures() -> Option<Process> {
    None
}
