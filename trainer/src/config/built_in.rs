//! The runs inside the binary, one file a run: those of `configs/paper/` and `configs/small/`.
//!
//! Every row of the paper's tables that is trained on driving data has one; rows of several tables
//! that are the same run share it. A file holds what differs from the defaults, which are the
//! paper's final model, and stands on its own: what rows have in common is repeated in each, and
//! checked here.

/// Name and text of each config, in the order of the tables.
pub const BUILT_IN: &[(&str, &str)] = &[
    (
        "multisiam_waymo",
        include_str!("../../../configs/paper/multisiam_waymo.toml"),
    ),
    (
        "multisiam_moco_waymo",
        include_str!("../../../configs/paper/multisiam_moco_waymo.toml"),
    ),
    (
        "multisiam_soda5m",
        include_str!("../../../configs/paper/multisiam_soda5m.toml"),
    ),
    (
        "multisiam_no_kmeans_waymo",
        include_str!("../../../configs/paper/multisiam_no_kmeans_waymo.toml"),
    ),
    (
        "byol_waymo",
        include_str!("../../../configs/paper/byol_waymo.toml"),
    ),
    (
        "moco_waymo",
        include_str!("../../../configs/paper/moco_waymo.toml"),
    ),
    (
        "mocov2_waymo",
        include_str!("../../../configs/paper/mocov2_waymo.toml"),
    ),
    (
        "table2_iou03",
        include_str!("../../../configs/paper/table2_iou03.toml"),
    ),
    (
        "table2_iou04",
        include_str!("../../../configs/paper/table2_iou04.toml"),
    ),
    (
        "table2_iou06",
        include_str!("../../../configs/paper/table2_iou06.toml"),
    ),
    (
        "table2_iou07",
        include_str!("../../../configs/paper/table2_iou07.toml"),
    ),
    (
        "table2_none",
        include_str!("../../../configs/paper/table2_none.toml"),
    ),
    (
        "table2_offset",
        include_str!("../../../configs/paper/table2_offset.toml"),
    ),
    (
        "table2_offset_nonorm",
        include_str!("../../../configs/paper/table2_offset_nonorm.toml"),
    ),
    (
        "table3_k4",
        include_str!("../../../configs/paper/table3_k4.toml"),
    ),
    (
        "table3_k5",
        include_str!("../../../configs/paper/table3_k5.toml"),
    ),
    (
        "table3_dense",
        include_str!("../../../configs/paper/table3_dense.toml"),
    ),
    (
        "table3_euclidean",
        include_str!("../../../configs/paper/table3_euclidean.toml"),
    ),
    (
        "table4_byol",
        include_str!("../../../configs/paper/table4_byol.toml"),
    ),
    (
        "table4_iou",
        include_str!("../../../configs/paper/table4_iou.toml"),
    ),
    (
        "table4_cluster",
        include_str!("../../../configs/paper/table4_cluster.toml"),
    ),
    (
        "table4_attention",
        include_str!("../../../configs/paper/table4_attention.toml"),
    ),
    (
        "table4_offset",
        include_str!("../../../configs/paper/table4_offset.toml"),
    ),
    (
        "table4_offset_nonorm",
        include_str!("../../../configs/paper/table4_offset_nonorm.toml"),
    ),
    (
        "ablation_small",
        include_str!("../../../configs/small/ablation_small.toml"),
    ),
    (
        "mocov2_small",
        include_str!("../../../configs/small/mocov2_small.toml"),
    ),
    (
        "demo_cpu",
        include_str!("../../../configs/small/demo_cpu.toml"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{RunConfig, find, resolve};
    use console::layers::differences;
    use sampler::Recipe;

    fn config(name: &str) -> RunConfig {
        resolve(&find(name).unwrap(), &[]).unwrap()
    }

    /// `key = value` of everything in which a config differs from `base`.
    fn changes(base: &RunConfig, name: &str) -> Vec<String> {
        differences(base, &config(name))
            .into_iter()
            .map(|(key, _, value)| format!("{key} = {value}"))
            .collect()
    }

    #[test]
    fn every_config_file_is_built_in() {
        let mut files: Vec<String> = ["paper", "small"]
            .iter()
            .flat_map(|folder| {
                let configs = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs");
                std::fs::read_dir(format!("{configs}/{folder}")).unwrap()
            })
            .filter_map(|entry| {
                let name = entry.unwrap().file_name();
                Some(name.to_str()?.strip_suffix(".toml")?.to_owned())
            })
            .collect();
        let mut names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        files.sort();
        names.sort_unstable();
        assert_eq!(files, names);
    }

    #[test]
    fn multisiam_waymo_is_the_paper_and_soda5m_its_other_data() {
        assert_eq!(config("multisiam_waymo"), RunConfig::default());
        let soda = [
            r#"data.where = "split in ('0','2','4','6','8')""#,
            "schedule.epochs = 55.0",
        ];
        assert_eq!(changes(&RunConfig::default(), "multisiam_soda5m"), soda);
        assert_eq!(
            changes(&RunConfig::default(), "multisiam_no_kmeans_waymo"),
            [r#"method.target = "pixel""#]
        );
    }

    #[test]
    fn an_ablation_is_the_final_model_at_its_length_but_for_its_row() {
        let setup = [
            "data.accumulate = 4",
            "optim.base_lr = 0.3",
            "schedule.epochs = 150.0",
        ];
        assert_eq!(changes(&RunConfig::default(), "table4_offset"), setup);
        let (roi, no_attention) = (r#"method.align = "roi""#, "method.attention = false");
        let pixel = r#"method.offset_unit = "pixel""#;
        let byol = r#"method.name = "byol""#;
        let iou = |threshold: f32| format!("augment.pair.min_iou = {:?}", f64::from(threshold)); // a single-precision key
        let rows: [(&str, &[&str]); 16] = [
            ("table2_iou03", &[&iou(0.3), roi, no_attention]),
            ("table2_iou04", &[&iou(0.4), roi, no_attention]),
            ("table2_iou06", &[&iou(0.6), roi, no_attention]),
            ("table2_iou07", &[&iou(0.7), roi, no_attention]),
            ("table2_none", &[r#"method.align = "none""#, no_attention]),
            ("table2_offset", &[no_attention]),
            ("table2_offset_nonorm", &[no_attention, pixel]),
            ("table3_k4", &[roi, no_attention, "method.k = 4"]),
            ("table3_k5", &[roi, no_attention, "method.k = 5"]),
            (
                "table3_dense",
                &[roi, no_attention, r#"method.target = "dense""#],
            ),
            (
                "table3_euclidean",
                &[roi, no_attention, r#"method.km_metric = "euclidean""#],
            ),
            ("table4_byol", &[&iou(0.0), byol]),
            ("table4_iou", &[byol]),
            ("table4_cluster", &[roi, no_attention]),
            ("table4_attention", &[roi]),
            ("table4_offset_nonorm", &[pixel]),
        ];
        let base = config("table4_offset");
        for (name, expected) in rows {
            assert_eq!(changes(&base, name), expected, "{name}");
        }
        let tables = BUILT_IN
            .iter()
            .filter(|(name, _)| name.starts_with("table"));
        assert_eq!(tables.count(), rows.len() + 1, "every row is listed here");
    }

    #[test]
    fn baselines_take_their_papers_views_and_openselfsups_values() {
        for (name, recipe, temperature) in [
            ("moco_waymo", Recipe::MocoV1, 0.07),
            ("mocov2_waymo", Recipe::MocoV2, 0.2),
        ] {
            let config = config(name);
            assert_eq!(
                [config.augment.view_a, config.augment.view_b],
                recipe.views(),
                "{name}"
            );
            assert_eq!(
                (config.augment.pair.area, config.augment.pair.min_iou),
                (recipe.area(), 0.0),
                "{name}"
            );
            assert_eq!(
                (config.method.temperature, config.method.queue),
                (temperature, 65_536),
                "{name}"
            );
            assert_eq!(
                (config.data.batch, config.model.bn_splits),
                (256, 8),
                "{name}: 32 pairs on each of 8 GPUs"
            );
        }
        for name in ["byol_waymo", "moco_waymo", "mocov2_waymo"] {
            let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name).unwrap();
            assert!(text.contains("OpenSelfSup defaults"), "{name}");
            assert_eq!(config(name).schedule.epochs, 325.0, "{name}");
        }
        assert_eq!(config("byol_waymo").pairs_per_step(1), 4096);
    }
}
