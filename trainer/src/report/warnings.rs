//! Sees trouble in a row that its numbers alone do not tell everyone: a collapse, a starving step.
//!
//! NaN is the gate's job.

use std::mem;

use super::metrics::Row;

/// Below this spread the projections have all but collapsed (1 is uniform on the sphere).
const COLLAPSED_STD_BELOW: f64 = 0.05;
/// Below this effective rank they lie on a line or two.
const COLLAPSED_RANK_BELOW: f64 = 2.0;
/// Above this share of the cells in one cluster, a map is all but the same everywhere.
const COLLAPSED_CLUSTER_ABOVE: f64 = 0.95;
/// Above this share of the step, waiting for data is worth a line.
const STARVING_ABOVE: f64 = 0.25;

/// Watches one run; says each thing once.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    /// Whether the first row has passed, whose steps waited for the loader to fill its slots.
    has_begun: bool,
    told_collapse: bool,
    told_starving: bool,
}

impl Warnings {
    /// Lines worth telling about a row.
    pub(crate) fn of(&mut self, row: &Row) -> Vec<String> {
        let mut lines = Vec::new();
        let signs = collapse_signs(row);
        if !signs.is_empty() && !self.told_collapse {
            self.told_collapse = true;
            lines.push(format!(
                "warning: step {}: the projections are collapsing ({}): a falling loss means nothing now",
                row.step,
                signs.join("; ")
            ));
        }
        let has_begun = mem::replace(&mut self.has_begun, true);
        if has_begun && row.data_wait_s > STARVING_ABOVE * row.step_s && !self.told_starving {
            self.told_starving = true;
            lines.push(format!(
                "warning: step {}: {:.0} % of the step waits for data: the loader is the bottleneck (more --threads, faster disk; `sampler bench` measures it)",
                row.step,
                100.0 * row.data_wait_s / row.step_s
            ));
        }
        lines
    }
}

/// Every number of a row that says collapse, and what it means.
fn collapse_signs(row: &Row) -> Vec<String> {
    let Row {
        z_std,
        z2d_std,
        diagnostics,
        ..
    } = row;
    let std = |name: &str, value: f64| {
        (value < COLLAPSED_STD_BELOW).then(|| {
            format!("{name} {value:.3}, where 1 is spread over the sphere and 0 is one point")
        })
    };
    let rank = diagnostics
        .z_rank
        .filter(|rank| *rank < COLLAPSED_RANK_BELOW);
    let cluster = diagnostics
        .cluster_max
        .filter(|share| *share > COLLAPSED_CLUSTER_ABOVE);
    let signs = [
        std("z_std", *z_std),
        z2d_std.and_then(|value| std("z2d_std", value)),
        rank.map(|rank| format!("z_rank {rank:.1}, where 1 is a line")),
        cluster.map(|share| format!("{:.0} % of an image's cells in one cluster", 100.0 * share)),
    ];
    signs.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Diagnostics;

    fn row(z_std: f64, diagnostics: Diagnostics) -> Row {
        let text = r#"{"step": 7, "epoch": 0, "loss": 0, "loss_1d": 0, "loss_2d": null, "z_std": 0, "z2d_std": 0.8,
            "lr": 0, "tau": 0, "iou": 0, "pairs_per_s": 0, "step_s": 1, "data_wait_s": 0.1}"#;
        Row {
            z_std,
            diagnostics,
            ..serde_json::from_str(text).unwrap()
        }
    }

    #[test]
    fn a_healthy_row_says_nothing() {
        let healthy = Diagnostics {
            z_rank: Some(9.0),
            cluster_max: Some(0.6),
            ..Diagnostics::default()
        };
        assert_eq!(Warnings::default().of(&row(0.8, healthy)), [""; 0]);
        assert_eq!(
            Warnings::default().of(&row(0.8, Diagnostics::default())),
            [""; 0]
        );
    }

    #[test]
    fn a_collapse_is_told_once_in_one_line_with_all_its_signs() {
        let mut warnings = Warnings::default();
        let collapsed = Diagnostics {
            z_rank: Some(1.2),
            cluster_max: Some(1.0),
            ..Diagnostics::default()
        };
        let lines = warnings.of(&row(0.01, collapsed));
        assert_eq!(lines.len(), 1);
        for part in [
            "step 7",
            "z_std 0.010",
            "z_rank 1.2",
            "100 % of an image's cells",
        ] {
            assert!(
                lines[0].contains(part) && !lines[0].contains('\n'),
                "{part:?} in {lines:?}"
            );
        }
        assert!(warnings.of(&row(0.8, Diagnostics::default())).is_empty());
        assert!(warnings.of(&row(0.01, collapsed)).is_empty());
    }

    #[test]
    fn starving_is_told_once_and_not_of_the_first_steps() {
        let mut warnings = Warnings::default();
        let healthy = row(0.8, Diagnostics::default());
        let starving = Row {
            data_wait_s: 0.4,
            ..healthy.clone()
        };
        let told: Vec<usize> = [&starving, &healthy, &starving, &starving]
            .map(|row| warnings.of(row).len())
            .to_vec();
        assert_eq!(told, [0, 0, 1, 0]);
        let mut warnings = Warnings {
            has_begun: true,
            ..Warnings::default()
        };
        assert!(
            warnings.of(&starving)[0]
                .starts_with("warning: step 7: 40 % of the step waits for data")
        );
    }

    #[test]
    fn each_sign_alone_is_enough() {
        let healthy = Diagnostics {
            z_rank: Some(9.0),
            cluster_max: Some(0.6),
            ..Diagnostics::default()
        };
        let rank = Diagnostics {
            z_rank: Some(1.9),
            ..healthy
        };
        let cluster = Diagnostics {
            cluster_max: Some(0.96),
            ..healthy
        };
        let cells = Row {
            z2d_std: Some(0.01),
            ..row(0.8, healthy)
        };
        for row in [row(0.04, healthy), row(0.8, rank), row(0.8, cluster), cells] {
            assert_eq!(Warnings::default().of(&row).len(), 1, "{row:?}");
        }
    }
}
