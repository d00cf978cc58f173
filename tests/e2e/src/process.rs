//! What the kernel says of a process: its words, what it has used, what it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Sends a signal by name to a process, which may be gone.
pub fn send(signal: &str, pid: u32) {
    let mut kill = Command::new("kill");
    let _ =
        kill.args(["-s", signal, &pid.to_string()]).stderr(std::process::Stdio::null()).status();
}

pub fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// The words it was started with; none where it is gone.
pub fn words(pid: u32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into());
    words.collect()
}

/// Processor time so far.
pub fn cpu(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("it runs");
    let nanos = text.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.expect("proc(5) says so"))
}

/// How often it has gone to sleep or was sent to.
pub fn switches(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
    lines.filter_map(|line| line.rsplit('\t').next()?.parse::<u64>().ok()).sum()
}

/// Open descriptors.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs, and is ours").count()
}

/// The pipes of which it holds at least so many ends, as the kernel names them.
pub fn pipes(pid: u32, ends: usize) -> BTreeSet<String> {
    let mut counted = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs, and is ours").flatten() {
        let name = fs::read_link(entry.path()).unwrap_or_default().display().to_string();
        *counted.entry(name).or_insert(0) += 1;
    }
    counted.retain(|name, count| name.starts_with("pipe:") && *count >= ends);
    counted.into_keys().collect()
}

/// Memory of its own, in kB: what no file holds.
pub fn memory(pid: u32) -> u64 {
    of_status(pid, "RssAnon:") + of_status(pid, "RssShmem:")
}

/// The most memory that it has ever had, in kB.
pub fn memory_peak(pid: u32) -> u64 {
    of_status(pid, "VmHWM:")
}

fn of_status(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("proc(5) says so")
}
