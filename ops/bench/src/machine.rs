//! What processes take of the machine, read from `/proc`.

use std::fs;

/// Ticks of the kernel's CPU accounting in a second: `USER_HZ`, 100 on every Linux that this runs on.
const TICKS_PER_SECOND: u64 = 100;
/// Milliseconds of a tick.
const TICK: u64 = 1_000 / TICKS_PER_SECOND;

/// CPU time of a process and of its children that ended, in milliseconds; 0 once it is gone.
pub fn cpu_ms(process: u32) -> u64 {
    let Some(fields) = stat(process) else { return 0 };
    // Behind the name: state is the first; utime, stime, cutime and cstime the 12th to 15th.
    fields.iter().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * TICK
}

/// CPU time of a process and everything below it, those that ended included, in milliseconds.
pub fn family_cpu_ms(parent: u32) -> u64 {
    let children: u64 = children(parent).into_iter().map(cpu_ms).sum();
    cpu_ms(parent) + children
}

/// Resident memory of a process, in kilobytes; 0 once it is gone.
pub fn rss_kb(process: u32) -> u64 {
    let Ok(status) = fs::read_to_string(format!("/proc/{process}/status")) else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|kb| kb.parse().ok()).unwrap_or(0)
}

/// CPU time that the whole machine spent working since it started, in milliseconds.
pub fn busy_ms() -> u64 {
    let Ok(stat) = fs::read_to_string("/proc/stat") else { return 0 };
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user, nice, system; idle and iowait; irq, softirq, steal.
    let working = [0, 1, 2, 5, 6, 7].into_iter().filter_map(|at| ticks.get(at)).sum::<u64>();
    working * TICK
}

/// How many processors there are.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return vec![] };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let parent = parent.to_string();
    ids.filter(|id| stat(*id).is_some_and(|fields| fields.get(1) == Some(&parent))).collect()
}

/// The fields behind the name in parentheses.
fn stat(process: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(stat.rsplit(')').next()?.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_has_memory_and_takes_time() {
        let me = std::process::id();
        assert!(rss_kb(me) > 0);
        let before = cpu_ms(me);
        let mut sum = 0_u64;
        while cpu_ms(me) < before + 2 * TICK {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(busy_ms() > 0);
        assert_eq!(rss_kb(u32::MAX), 0, "nobody");
    }
}
