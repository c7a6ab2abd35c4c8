//! Ranks in threads, against what one process has.

use super::*;
use anyhow::anyhow;

fn scattered(shape: &[i64], salt: f64) -> Tensor {
    let index = Tensor::arange(shape.iter().product::<i64>(), (Kind::Double, Device::Cpu));
    (index * (1.7 + salt)).sin().view(shape)
}

#[test]
fn alone_everything_is_what_it_was() {
    let ranks = Ranks::alone();
    let x = scattered(&[3, 2], 0.1);
    assert_eq!(
        (ranks.rank(), ranks.size(), ranks.are_several()),
        (0, 1, false)
    );
    assert_eq!(ranks.gather(&x), x);
    assert_eq!(ranks.mean(&x), x);
    assert_eq!(ranks.total(3).unwrap(), 3);
    assert_eq!(ranks.gather_bytes(b"ab").unwrap(), [b"ab"]);
    assert_eq!(ranks.together(Ok(4)).unwrap(), 4);
    assert_eq!(ranks.first_alone(|| Ok(5)).unwrap(), Some(5));
    assert_eq!(Agreement::new(&ranks).pass(7).unwrap(), 7);
    assert_eq!(ranks.counted(), Counted::default());
    ranks.leave().unwrap();
}

/// What c10d keeps for all groups of a process must not suffer from groups that begin at once.
#[test]
fn groups_begin_at_the_same_time() {
    thread::scope(|scope| {
        for begins in 0..4 {
            scope.spawn(move || {
                for round in 0..2 {
                    let found = Ranks::in_threads(2, |ranks| ranks.total(begins + round).unwrap());
                    assert_eq!(found, [2 * (begins + round); 2]);
                }
            });
        }
    });
}

#[test]
fn rows_and_bytes_come_in_the_order_of_the_ranks() {
    for size in [2, 4] {
        Ranks::in_threads(size, |ranks| {
            let rank = ranks.rank();
            let whole = scattered(&[2 * size as i64, 3], 0.2);
            let mine = whole.narrow(0, 2 * rank as i64, 2);
            assert_eq!(ranks.gather(&mine), whole);
            let bytes = ranks.gather_bytes(&vec![rank as u8; rank]).unwrap();
            let expected: Vec<Vec<u8>> = (0..size).map(|r| vec![r as u8; r]).collect();
            assert_eq!(bytes, expected);
            let of_first = ranks.bytes_of_first(format!("of {rank}").into_bytes());
            assert_eq!(of_first.unwrap(), b"of 0");
            assert_eq!(ranks.bytes_of_first(Vec::new()).unwrap(), b"");
            assert_eq!(
                ranks.total(rank as i64).unwrap(),
                (0..size as i64).sum::<i64>()
            );
            assert_eq!(ranks.largest(rank as i64).unwrap(), size as i64 - 1);
        });
    }
}

#[test]
fn rows_of_all_ranks_are_permuted() {
    // Of each size a permutation that mixes: multiplication by a number without common factor.
    for (size, factor) in [(1, 5), (2, 5), (3, 5), (4, 7)] {
        Ranks::in_threads(size, |ranks| {
            let total = 4 * size;
            let whole = scattered(&[total as i64, 2, 2], 0.3);
            let part = |whole: &Tensor| whole.narrow(0, 4 * ranks.rank() as i64, 4);
            let source = |row: usize| row * factor % total;
            let rows: Vec<i64> = (0..total).map(|row| source(row) as i64).collect();
            let expected = whole.index_select(0, &Tensor::from_slice(&rows));
            assert_eq!(ranks.permute(&part(&whole), source), part(&expected));
        });
    }
}

#[test]
fn a_failure_of_one_is_a_failure_of_all() {
    let found = Ranks::in_threads(3, |ranks| {
        let mine = match ranks.rank() {
            1 => Err(anyhow!("no disk")),
            rank => Ok(rank),
        };
        ranks.together(mine).unwrap_err()
    });
    assert_eq!(found[1].to_string(), "no disk");
    for other in [&found[0], &found[2]] {
        assert!(other.is::<PeerFailed>());
        assert_eq!(other.to_string(), "rank 1 of 3 has failed: no disk");
    }
}

#[test]
fn one_failure_of_several_is_told_by_one() {
    let found = Ranks::in_threads(3, |ranks| {
        let reason = if ranks.rank() == 0 {
            "no disk"
        } else {
            "no room"
        };
        ranks.together(Err::<(), _>(anyhow!(reason))).unwrap_err()
    });
    let told = |rank: usize| (found[rank].is::<PeerFailed>(), found[rank].to_string());
    assert_eq!(told(0), (false, "no disk".to_owned()));
    assert_eq!(told(1), (false, "no room".to_owned()));
    assert_eq!(told(2), (false, "no room".to_owned()));
    let alike = Ranks::in_threads(3, |ranks| {
        let failed = ranks.together(Err::<(), _>(anyhow!("no disk")));
        failed.unwrap_err().is::<PeerFailed>()
    });
    assert_eq!(alike, [false, true, true]);
}

#[test]
fn the_others_wait_for_what_the_first_does_alone() {
    let found = Ranks::in_threads(2, |ranks| {
        let began = Instant::now();
        let value = ranks.first_alone(|| {
            thread::sleep(Duration::from_millis(1500));
            Ok(3)
        });
        let failed = ranks.first_alone(|| Err::<(), _>(anyhow!("no room")));
        (
            value.unwrap(),
            began.elapsed(),
            failed.unwrap_err().to_string(),
        )
    });
    assert_eq!((found[0].0, found[1].0), (Some(3), None));
    assert!(found[1].1 >= Duration::from_millis(1400));
    assert_eq!(found[0].2, "no room");
    assert_eq!(found[1].2, "rank 0 of 2 has failed: no room");
}

#[test]
fn a_panic_of_the_first_is_heard_of_at_once() {
    let began = Instant::now();
    let found = Ranks::in_threads(2, |ranks| {
        let alone = || ranks.first_alone(|| -> Result<()> { panic!("no room") });
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(alone)) {
            Ok(failed) => format!("{:#}", failed.unwrap_err()),
            Err(panic) => (*panic.downcast_ref::<&str>().unwrap()).to_owned(),
        }
    });
    assert_eq!(found[0], "no room");
    assert!(is_among_ranks(&found[1]), "{}", found[1]);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn all_hear_of_a_stop_at_the_same_step() {
    let heard = Ranks::in_threads(3, |ranks| {
        let mut agreement = Agreement::new(ranks);
        let signal = |step| i64::from(step >= 4 && ranks.rank() == 2) * 15;
        let heard = (0..10).find(|step| agreement.pass(signal(*step)).unwrap() > 0);
        agreement.finish().unwrap();
        heard
    });
    assert_eq!(heard, [Some(5); 3]);
}

/// Gradients of a small network on each rank's part of a batch, averaged, against those of the whole.
#[test]
fn averaged_gradients_are_those_of_the_whole_batch() {
    for size in [1, 2, 4] {
        for bucket_bytes in [None, Some(300)] {
            Ranks::in_threads(size, |ranks| averaged(ranks, bucket_bytes));
        }
    }
}

fn averaged(ranks: &Ranks, bucket_bytes: Option<u64>) {
    let size = ranks.size() as i64;
    let leaf = |shape: &[i64], salt| scattered(shape, salt).set_requires_grad(true);
    let filters = scattered(&[4, 3, 2, 2], 0.4)
        .permute([0, 2, 3, 1])
        .contiguous()
        .permute([0, 3, 1, 2])
        .set_requires_grad(true);
    let unused = leaf(&[5], 0.5);
    let params = [filters, leaf(&[6, 4], 0.6), unused, leaf(&[6], 0.7)];
    let other = Tensor::full([2], ranks.rank() as f64, (Kind::Double, Device::Cpu));
    let mut gradients = Gradients::new(ranks, &params, &[other.shallow_clone()], bucket_bytes);
    let loss = |images: &Tensor| {
        let [filters, weight, _, bias] = &params;
        let map = images.conv2d(filters, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1);
        let pooled = map.mean_dim([2, 3].as_slice(), false, None::<Kind>);
        pooled
            .linear(weight, Some(bias))
            .tanh()
            .square()
            .mean(None::<Kind>)
    };
    let batch = |number| scattered(&[8, 3, 4, 4], 0.8 + f64::from(number));
    let mean_of = |images: &dyn Fn(i32) -> Tensor, gradients: Option<&mut Gradients>| {
        crate::drop_grads(&params);
        (loss(&images(0)) / 2.0).backward();
        let mut gradients = gradients;
        gradients.as_mut().iter_mut().for_each(|g| g.arm());
        (loss(&images(1)) / 2.0).backward();
        gradients.iter_mut().for_each(|g| g.finish());
        [0, 1, 3].map(|ix: usize| params[ix].grad().copy())
    };
    let expected = mean_of(&batch, None);
    let n = 8 / size;
    let part = |number| batch(number).narrow(0, n * ranks.rank() as i64, n);
    for _ in 0..2 {
        let found = mean_of(&part, Some(&mut gradients));
        for (found, expected) in found.iter().zip(&expected) {
            let gap = (found - expected).abs().max().double_value(&[]);
            assert!(gap < 1e-14, "{gap:e} of {size}, {bucket_bytes:?}");
        }
        assert!(
            !params[2].grad().defined(),
            "what has no gradient keeps none"
        );
    }
    let mean = (size - 1) as f64 / 2.0;
    assert_eq!(Vec::<f64>::try_from(&other).unwrap(), [mean; 2]);
    let most = if bucket_bytes.is_some() { 2 * 3 } else { 2 };
    assert!(ranks.counted().calls[0] <= most);
}

#[test]
fn buckets_set_out_during_the_backward_pass_that_was_announced() {
    let found = Ranks::in_threads(2, |ranks| {
        let params = [0.1, 0.2, 0.3].map(|salt| scattered(&[64], salt).set_requires_grad(true));
        let mut gradients = Gradients::new(ranks, &params, &[], Some(64 * 8));
        let sums_of = |work: &mut dyn FnMut()| {
            let before = ranks.counted().calls[0];
            work();
            ranks.counted().calls[0] - before
        };
        let mut backward = || {
            let [a, b, c] = &params;
            (a * b * c).sum(None::<Kind>).backward();
        };
        let unannounced = sums_of(&mut backward);
        gradients.arm();
        let announced = sums_of(&mut backward);
        (unannounced, announced, sums_of(&mut || gradients.finish()))
    });
    // The last one has room for the others, which are known behind the pass.
    assert_eq!(found, [(0, 2, 1); 2]);
}
