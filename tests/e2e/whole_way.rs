//! From raw data to trained steps, with the literal commands of the README.

use std::fs;

use serde_json::Value;

use crate::programs::{demo_set, json, ok, png_size};

#[test]
fn the_set_is_whole_and_says_what_it_holds() {
    let dir = demo_set();
    let inspected = json(dir, "ingest inspect shards/");
    let frames = inspected["frames"].as_u64().unwrap();
    assert!(frames >= 20, "{inspected}");
    assert_eq!(
        inspected["by_camera"]["FRONT"].as_u64(),
        inspected["by_camera"]["SIDE_RIGHT"].as_u64()
    );
    let levels: Vec<_> = inspected["levels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["level"].as_u64().unwrap())
        .collect();
    assert_eq!(levels, [0, 1, 2]);

    let verified = json(dir, "ingest verify shards/");
    assert_eq!(
        (verified["frames"].as_u64(), &verified["bad"]),
        (Some(frames), &Value::Array(vec![]))
    );

    let front = json(dir, "ingest inspect shards/ --where `camera = 'FRONT'`");
    assert_eq!(front["frames"], inspected["by_camera"]["FRONT"]);
}

#[test]
fn ingesting_again_adds_nothing() {
    let dir = demo_set();
    let again = json(dir, "ingest waymo --out shards/");
    assert_eq!(again["frames_written"], 0);
    assert!(again["frames_kept"].as_u64().unwrap() > 0);
}

#[test]
fn sampler_bench_reports_every_promised_number() {
    let bench = json(
        demo_set(),
        "sampler bench shards/ --seconds 1 --batch 8 --threads 2",
    );
    for key in [
        "pairs_per_s",
        "cpu_ms_per_pair",
        "bytes_per_pair",
        "stages_ms",
        "threads",
        "batch",
        "mean_tries",
        "fallbacks",
        "rss_mib",
        "pinned",
    ] {
        assert!(bench.get(key).is_some(), "{key} is missing: {bench}");
    }
    let stages: f64 = bench["stages_ms"]
        .as_object()
        .unwrap()
        .values()
        .map(|ms| ms.as_f64().unwrap())
        .sum();
    let cpu = bench["cpu_ms_per_pair"].as_f64().unwrap();
    assert!(bench["pairs_per_s"].as_f64().unwrap() > 0.0);
    assert!(
        stages > 0.5 * cpu && stages < 2.0 * cpu,
        "stages {stages} ms, CPU {cpu} ms"
    );
}

#[test]
fn preview_and_stats_write_pictures() {
    let dir = demo_set();
    ok(dir, "sampler preview shards/ --out pairs.png --pairs 2");
    ok(dir, "sampler stats shards/ --out stats.png --pairs 2000");
    for name in ["pairs.png", "stats.png"] {
        let (width, height) = png_size(&dir.join(name));
        assert!(width >= 400 && height >= 200, "{name}: {width} x {height}");
    }
}

#[test]
fn training_writes_metrics_resumes_and_exports() {
    let dir = demo_set();
    let run = "trainer run shards/ --config demo_cpu --out runs/e2e --device cpu --threads 2 --batch 8 \
               --set schedule.total_steps=6 --set schedule.warmup_steps=2 --set run.log_every_steps=1";
    ok(dir, &format!("{run} --steps 3"));
    ok(dir, run);
    let rows = testkit::log_rows(&dir.join("runs/e2e"));
    assert_eq!(
        rows.iter()
            .map(|row| row["step"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6]
    );
    for key in [
        "epoch",
        "loss",
        "loss_1d",
        "loss_2d",
        "lr",
        "tau",
        "pairs_per_s",
        "step_s",
        "data_wait_s",
        "z_std",
        "z2d_std",
    ] {
        assert!(
            rows.iter()
                .all(|row| row[key].as_f64().is_some_and(f64::is_finite)),
            "{key}: {rows:?}"
        );
    }
    assert!(
        rows.iter().all(|row| row["z_std"].as_f64() > Some(0.1)),
        "not collapsed: {rows:?}"
    );

    ok(dir, "trainer export runs/e2e --out backbone.safetensors");
    let exported = fs::read(dir.join("backbone.safetensors")).unwrap();
    let header_len = u64::from_le_bytes(exported[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&exported[8..8 + header_len]).unwrap();
    assert_eq!(
        header["conv1.weight"]["shape"],
        serde_json::json!([64, 3, 7, 7])
    );
    assert_eq!(
        header["layer4.1.bn2.running_var"]["shape"],
        serde_json::json!([512])
    );

    ok(
        dir,
        "trainer visualize runs/e2e shards/ --frames 2 --out clusters.png --device cpu",
    );
    assert!(png_size(&dir.join("clusters.png")).0 >= 400);
}
