//! Resize and augmentation of one 224 × 224 view, for every instruction set of the CPU.
//!
//!     cargo bench -p sampler --bench pixels
//!
//! `docs/benchmarks.md` has the last numbers. All operations but "store" include the store.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use fast_image_resize as fir;
use sampler::Interpolation;
use sampler::pixels::augment::{Jitter, JitterOp, Out, ViewOps, Workspace, apply};
use sampler::pixels::resize::Resizer;
use sampler::pixels::simd::Simd;
use sampler::stages::StageTimes;
use schemas::geom::Size;

const SIDE: usize = 224;

/// Crops as they come from the right level, one that needs no resize, and two of whole frames.
const CROPS: [(u32, u32); 5] = [(320, 300), (500, 400), (224, 224), (900, 800), (1300, 1000)];

/// Waves and noise, as RGB triples.
fn picture(width: u32, height: u32) -> Vec<u8> {
    let value = |i: u32| {
        let (x, y) = ((i / 3 % width) as f32, (i / 3 / width) as f32);
        let wave = (x / 20.0 + (i % 3) as f32).sin() * 70.0 + (y / 13.0).cos() * 40.0;
        let noise = (i.wrapping_mul(2_654_435_761) >> 28) as f32;
        (wave + noise + 120.0) as u8
    };
    (0..3 * width * height).map(value).collect()
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    group
        .sample_size(30)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400));
    group
}

fn resize(criterion: &mut Criterion) {
    for (width, height) in CROPS {
        let rgb = picture(width, height);
        let size = Size::new(width, height);
        let crop = [0.25, 0.5, f64::from(width) - 0.75, f64::from(height) - 1.0];
        let mut group = group(criterion, &format!("resize {size}"));
        for simd in Simd::available() {
            let mut resizer = Resizer::with_simd(simd);
            let mut workspace = Workspace::with_simd(SIDE, simd);
            let stride = 3 * width as usize;
            group.bench_function(simd.name(), |bencher| {
                let bicubic = Interpolation::Bicubic;
                bencher.iter(|| {
                    resizer.resize(
                        black_box(&rgb),
                        size,
                        stride,
                        crop,
                        bicubic,
                        &mut workspace.planes,
                    )
                });
            });
        }
        let source = fir::images::ImageRef::new(width, height, &rgb, fir::PixelType::U8x3)
            .expect("size and bytes agree");
        let mut view = fir::images::Image::new(SIDE as u32, SIDE as u32, fir::PixelType::U8x3);
        let options = fir::ResizeOptions::new()
            .crop(crop[0], crop[1], crop[2], crop[3])
            .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom));
        let mut resizer = fir::Resizer::new();
        group.bench_function("fast_image_resize", |bencher| {
            bencher.iter(|| {
                resizer
                    .resize(black_box(&source), &mut view, &options)
                    .expect("the crop lies inside")
            });
        });
    }
}

fn augment(criterion: &mut Criterion) {
    use JitterOp::{Brightness, Contrast, Hue, Saturation};
    let jitter = Jitter {
        brightness: 1.2,
        contrast: 0.8,
        saturation: 1.1,
        hue: 0.05,
        order: [Hue, Contrast, Brightness, Saturation],
    };
    let none = ViewOps::default();
    let cases = [
        ("store", none),
        ("flip and store", ViewOps { flip: true, ..none }),
        (
            "jitter",
            ViewOps {
                jitter: Some(jitter),
                ..none
            },
        ),
        (
            "grayscale",
            ViewOps {
                grayscale: true,
                ..none
            },
        ),
        (
            "blur 0.8",
            ViewOps {
                blur_sigma: Some(0.8),
                ..none
            },
        ),
        (
            "blur 1.7",
            ViewOps {
                blur_sigma: Some(1.7),
                ..none
            },
        ),
        (
            "solarize",
            ViewOps {
                solarize: true,
                ..none
            },
        ),
        (
            "first view",
            ViewOps {
                jitter: Some(jitter),
                blur_sigma: Some(1.0),
                flip: true,
                ..none
            },
        ),
    ];
    let rgb = picture(SIDE as u32, SIDE as u32);
    let mut out = vec![0; rgb.len()];
    let mut times = StageTimes::default();
    for simd in Simd::available() {
        let mut workspace = Workspace::with_simd(SIDE, simd);
        workspace.planes.load(simd, &rgb);
        let mut group = group(criterion, &format!("augment {}", simd.name()));
        for (name, ops) in &cases {
            group.bench_function(*name, |bencher| {
                bencher.iter(|| {
                    apply(
                        black_box(ops),
                        &mut workspace,
                        Out::Bytes(&mut out),
                        &mut times,
                    )
                });
            });
        }
    }
}

criterion_group!(benches, resize, augment);
criterion_main!(benches);
