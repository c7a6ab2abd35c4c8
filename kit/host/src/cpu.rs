//! How much of the machine other programs use, by the kernel's own counters.
//!
//! Only the CPUs that this process may run on are looked at: to a program that is bound to two CPUs
//! of 64, the other 62 do not matter. Time that a hypervisor gave to other machines counts as other
//! programs'. A container's limit on CPU time is invisible here; its programs get less of a CPU than
//! they ask for although nobody else seems busy.

use std::fs;

/// From this share on, other programs are spoken of.
const NOTEWORTHY_SHARE: f64 = 0.05;

/// What has to stand beside a number that was measured while other programs used this `share` of the
/// CPUs, if it is worth a word.
pub fn busy_machine(share: f64) -> Option<String> {
    (share >= NOTEWORTHY_SHARE).then(|| {
        format!(
            "other programs used {:.0} % of the machine's CPUs: measure again when it is idle",
            100.0 * share
        )
    })
}

/// Where the CPU time has gone up to a moment, in the kernel's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTimes {
    /// Of all CPUs that this process may use, idle time included.
    total: u64,
    /// Of those, not idle.
    busy: u64,
    /// Used by this process, all of its threads.
    own: u64,
}

impl CpuTimes {
    /// Now; `None` where the kernel does not tell.
    pub fn now() -> Option<Self> {
        let read = |file: &str| fs::read_to_string(file).ok();
        Self::parse(
            &read("/proc/stat")?,
            &read("/proc/self/stat")?,
            &read("/proc/self/status")?,
        )
    }

    /// The share, 0 to 1, of these CPUs that other programs have used since `earlier`; `None` if no
    /// tick has passed.
    pub fn others_since(&self, earlier: &Self) -> Option<f64> {
        let total = self.total.saturating_sub(earlier.total);
        let busy = self.busy.saturating_sub(earlier.busy);
        let own = self.own.saturating_sub(earlier.own);
        (total > 0).then(|| (busy.saturating_sub(own) as f64 / total as f64).min(1.0))
    }

    /// From the texts of `/proc/stat`, `/proc/self/stat` and `/proc/self/status`, see proc(5).
    fn parse(stat: &str, own_stat: &str, own_status: &str) -> Option<Self> {
        let allowed = own_status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        let mut sum = Self {
            total: 0,
            busy: 0,
            own: own_ticks(own_stat)?,
        };
        for line in stat.lines() {
            let Some((cpu, ticks)) = line
                .strip_prefix("cpu")
                .and_then(|line| line.split_once(' '))
            else {
                continue;
            };
            // The first line is the sum of all and carries no number.
            let Ok(cpu) = cpu.parse() else { continue };
            if lists(allowed, cpu) {
                let (total, busy) = total_and_busy(ticks)?;
                sum.total += total;
                sum.busy += busy;
            }
        }
        (sum.total > 0).then_some(sum)
    }
}

/// `user nice system idle iowait irq softirq steal …`; what follows is part of the first two.
fn total_and_busy(ticks: &str) -> Option<(u64, u64)> {
    let ticks: Vec<u64> = ticks
        .split_whitespace()
        .take(8)
        .map(|ticks| ticks.parse().ok())
        .collect::<Option<_>>()?;
    let total: u64 = ticks.iter().sum();
    Some((total, total - ticks.get(3)? - ticks.get(4)?))
}

/// User and system time, fields 14 and 15; the name before them may hold anything.
fn own_ticks(own_stat: &str) -> Option<u64> {
    let (_, fields) = own_stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// Whether `cpu` is in a list such as `0-3,8`.
fn lists(list: &str, cpu: u32) -> bool {
    ranges(list).any(|range| range.is_some_and(|(first, last)| (first..=last).contains(&cpu)))
}

/// How many CPUs a list such as `0-3,8` has; `None` if it is no such list.
pub(crate) fn count(list: &str) -> Option<usize> {
    ranges(list)
        .map(|range| {
            let (first, last) = range?;
            Some(last.checked_sub(first)? as usize + 1)
        })
        .sum()
}

/// First and last CPU of each range of a list; `None` for what is no range.
fn ranges(list: &str) -> impl Iterator<Item = Option<(u32, u32)>> {
    list.split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.trim().parse().ok().zip(last.trim().parse().ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "cpu  999 0 0 999 0 0 0 0 0 0\n\
        cpu0 100 0 50 800 50 0 0 0 0 0\n\
        cpu1 10 0 0 990 0 0 0 0 0 0\n\
        cpu2 500 0 0 500 0 0 0 0 0 0\n\
        intr 17 3\n";
    const AFTER: &str = "cpu  999 0 0 999 0 0 0 0 0 0\n\
        cpu0 130 10 60 850 50 1 2 7 30 10\n\
        cpu1 60 0 0 1040 0 0 0 0 0 0\n\
        cpu2 600 0 0 500 0 0 0 0 0 0\n\
        intr 18 3\n";

    fn own_stat(user: u64, system: u64) -> String {
        format!("7 (a ) b) R 1 7 7 0 -1 4194304 5 0 0 0 {user} {system} 0 0 20 0 3 0 77 1 2")
    }

    fn at(stat: &str, own: &str, allowed: &str) -> CpuTimes {
        let status = format!(
            "Name:\tx\nCpus_allowed:\t7\nCpus_allowed_list:\t{allowed}\nMems_allowed:\t1\n"
        );
        CpuTimes::parse(stat, own, &status).unwrap()
    }

    #[test]
    fn others_are_what_is_busy_without_this_process() {
        let others = |allowed| {
            let before = at(BEFORE, &own_stat(3, 4), allowed);
            at(AFTER, &own_stat(43, 24), allowed)
                .others_since(&before)
                .unwrap()
        };
        // CPU 0: 110 ticks, 60 busy. CPU 1: 100, 50 busy. CPU 2: 100, all busy. Own: 60.
        assert_eq!(others("0-1"), 50.0 / 210.0);
        assert_eq!(others("0-2"), 150.0 / 310.0);
        assert_eq!(others("0,2"), 100.0 / 210.0);
        assert_eq!(
            others("1"),
            0.0,
            "ticks of the counters may lie a little apart"
        );
    }

    #[test]
    fn nothing_is_claimed_of_no_time_and_of_other_texts() {
        let now = at(BEFORE, &own_stat(3, 4), "0-2");
        assert_eq!(now.others_since(&now), None);
        assert_eq!(
            CpuTimes::parse("cpu 1 2", &own_stat(1, 1), "Cpus_allowed_list:\t0"),
            None
        );
        assert_eq!(
            CpuTimes::parse(BEFORE, "7 (x) R", "Cpus_allowed_list:\t0"),
            None
        );
        assert_eq!(CpuTimes::parse(BEFORE, &own_stat(1, 1), "Name:\tx"), None);
    }

    #[test]
    fn lists_of_cpus_are_counted() {
        assert_eq!(count("0-3,8\n"), Some(5));
        assert_eq!(count("\t7"), Some(1));
        assert_eq!(count("3-1"), None);
        assert_eq!(count(""), None);
        assert_eq!(count("0-3,x"), None);
    }

    #[test]
    fn only_a_noteworthy_share_of_others_is_spoken_of() {
        assert_eq!(busy_machine(0.04), None);
        let said = "other programs used 55 % of the machine's CPUs: measure again when it is idle";
        assert_eq!(busy_machine(0.549).as_deref(), Some(said));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_tells() {
        assert!(CpuTimes::now().is_some());
    }
}
