//! Batch norm over the batches of several ranks: kernels and composed operations against float64 over
//! the whole batch.

use std::panic::{AssertUnwindSafe, catch_unwind};

use native::{After, Lane, NormTensors, Ranks, Team, batch_norm, batch_norms, f_batch_norms};
use native_emulator::norms::{NormInputs, Passed, difference, map, values};
use native_emulator::with_kernels;
use tch::{Device, Kind, Tensor};

const CPU: Device = Device::Cpu;
const ROWS: i64 = 8;

/// Channels that fill blocks, do not, and need several; vectors; more rows than one round of threads.
const SHAPES: [&[i64]; 4] = [
    &[ROWS, 64, 5, 7],
    &[ROWS, 24, 9, 4],
    &[ROWS, 264],
    &[ROWS, 8, 33, 31],
];

/// Inputs of the whole batch. Every sample has another mean, so that those of the ranks differ.
fn whole(shape: &[i64]) -> NormInputs {
    let shift = Tensor::arange(ROWS, (Kind::Double, CPU)) * 3.0 + 5.0;
    let shift = match shape.len() {
        4 => shift.view([ROWS, 1, 1, 1]),
        _ => shift.view([ROWS, 1]),
    };
    let rounded = |x: Tensor| x.to_kind(Kind::BFloat16).to_kind(Kind::Double);
    let channel = |centre: f64, salt| rounded(values(&[shape[1]], salt, CPU) * 2.0 + centre);
    NormInputs {
        x: rounded(map(shape, 0.1, CPU).to_kind(Kind::Double) + shift),
        residual: map(shape, 0.2, CPU).to_kind(Kind::Double) * 2.0,
        dy: rounded(values(shape, 0.7, CPU) + 0.3),
        channels: [
            channel(0.5, 0.3),
            channel(0.0, 0.4),
            channel(0.0, 0.5),
            channel(2.0, 0.6),
        ],
        eps: 1e-5,
    }
}

/// Those rows of it.
fn part(whole: &NormInputs, first: i64, rows: i64) -> NormInputs {
    let cut = |x: &Tensor| x.narrow(0, first, rows);
    NormInputs {
        x: cut(&whole.x),
        residual: cut(&whole.residual),
        dy: cut(&whole.dy),
        channels: std::array::from_fn(|ix| whole.channels[ix].copy()),
        eps: whole.eps,
    }
}

/// What a rank has to have found: its rows of what has rows, its own share of the gradients of weight
/// and bias once they are added up over the team.
fn assert_parts(ranks: &Ranks, team: i64, found: &Passed, exact: &Passed, most: f64, label: &str) {
    let rows = ROWS / ranks.size() as i64;
    let first = ranks.rank() as i64 % team * rows;
    for ((name, found), (_, exact)) in found.iter().zip(exact) {
        let (found, exact) = match *name {
            "gradient of the weight" | "gradient of the bias" => {
                let all = ranks.gather(&found.unsqueeze(0));
                let team_first = ranks.rank() as i64 / team * team;
                let sum = all
                    .narrow(0, team_first, team)
                    .sum_dim_intlist(0, false, found.kind());
                (sum, exact.shallow_clone())
            }
            "running mean" | "running variance" => (found.shallow_clone(), exact.shallow_clone()),
            _ => (found.shallow_clone(), exact.narrow(0, first, rows)),
        };
        let gap = difference(&found, &exact);
        assert!(gap <= most, "{label}: {name} is off by {gap:e}");
    }
}

/// Ranks in teams of `team`, each team with a batch of its own.
fn check(size: usize, team: i64, kind: Kind, is_kernel: bool, most: f64) {
    Ranks::in_threads(size, |ranks| {
        tch::set_num_threads(1);
        let rows = ROWS / size as i64;
        let team_first = ranks.rank() as i64 / team * team;
        for shape in SHAPES {
            let all = whole(shape);
            let of_team = part(&all, team_first * rows, team * rows);
            let mine = part(&all, ranks.rank() as i64 * rows, rows);
            let members = ranks.team(team as usize);
            for after in 0..3 {
                let pass = || mine.pass_among(members.as_ref(), kind, after);
                let found = if is_kernel {
                    with_kernels(pass)
                } else {
                    pass()
                };
                let exact = of_team.pass(Kind::Double, after);
                let label = format!("{size} ranks, teams of {team}, {shape:?}, {after}");
                assert_parts(ranks, team, &found, &exact, most, &label);
            }
        }
    });
}

#[test]
fn composed_norms_over_ranks_are_those_of_the_whole_batch() {
    for (size, team) in [(1, 1), (2, 2), (4, 4), (4, 2)] {
        check(size, team, Kind::Double, false, 1e-11);
        check(size, team, Kind::Float, false, 1e-4);
    }
}

#[test]
fn kernels_over_ranks_agree_with_float64_over_the_whole_batch() {
    for (size, team) in [(2, 2), (4, 4), (4, 2)] {
        check(size, team, Kind::Float, true, 3e-5);
        check(size, team, Kind::BFloat16, true, 2e-2);
    }
}

/// Outputs and running statistics of two norms, and the calls that they took; in one operation or in
/// two.
fn two_norms(ranks: &Ranks, is_one: bool) -> (Vec<Tensor>, i64) {
    let team = ranks.team(ranks.size());
    let rows = ROWS / ranks.size() as i64;
    let inputs = [1.0, 3.0]
        .map(|scale| {
            let mut all = whole(SHAPES[1]);
            all.x *= scale;
            part(&all, ranks.rank() as i64 * rows, rows)
        })
        .map(|inputs| (inputs.x.to_kind(Kind::Float), inputs.channels))
        .map(|(x, channels)| (x, channels.map(|channel| channel.to_kind(Kind::Float))));
    let lane = |ix: usize| {
        let (x, [weight, bias, running_mean, running_var]) = &inputs[ix];
        let norm = NormTensors {
            weight,
            bias,
            running_mean,
            running_var,
            team: team.as_ref(),
        };
        let after = After::Relu;
        Lane { x, norm, after }
    };
    let num_gathers = || ranks.counted().calls[1];
    let before = num_gathers();
    let ys = match is_one {
        true => batch_norms([lane(0), lane(1)], 0.1, 1e-5),
        false => [0, 1].map(|ix| batch_norm(lane(ix), 0.1, 1e-5)),
    };
    let found = ys
        .into_iter()
        .chain(inputs.into_iter().flat_map(|(_, channels)| channels));
    (found.collect(), num_gathers() - before)
}

#[test]
fn norms_of_two_networks_share_a_call_and_stay_what_they_are() {
    Ranks::in_threads(2, |ranks| {
        tch::set_num_threads(1);
        let both = |is_one| two_norms(ranks, is_one);
        for [(one, calls), (two, twice)] in [
            [true, false].map(both),
            with_kernels(|| [true, false].map(both)),
        ] {
            assert_eq!((calls, twice), (1, 2));
            assert_eq!(one, two);
        }
    });
}

fn lane<'a>((x, ones): &'a (Tensor, Tensor), team: Option<&'a Team>) -> Lane<'a> {
    let norm = NormTensors {
        weight: ones,
        bias: ones,
        running_mean: ones,
        running_var: ones,
        team,
    };
    let after = After::Nothing;
    Lane { x, norm, after }
}

#[test]
fn norms_that_cannot_share_a_call_are_refused() {
    Ranks::in_threads(2, |ranks| {
        let [narrow, wide] = [8, 16].map(|channels| {
            let x = map(&[4, channels], 0.1, CPU).to_kind(Kind::Float);
            (x, Tensor::ones([channels], (Kind::Float, CPU)))
        });
        let [whole, own] = [2, 1].map(|count| ranks.team(count));
        let team = whole.as_ref();
        let unlike = f_batch_norms([lane(&narrow, team), lane(&wide, team)], 0.1, 1e-5);
        let line = unlike.unwrap_err().to_string();
        assert!(line.contains("norms that share a call are alike"), "{line}");
        let apart = || {
            batch_norms(
                [lane(&narrow, team), lane(&narrow, own.as_ref())],
                0.1,
                1e-5,
            )
        };
        assert!(catch_unwind(AssertUnwindSafe(apart)).is_err());
    });
}
