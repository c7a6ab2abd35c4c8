//! The panic hook belongs to the process, so this is a test program of its own.

use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};

use schemas::untrusted::caught;

static PRINTED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_caught_panic_is_not_printed_and_any_other_is() {
    panic::set_hook(Box::new(|_| {
        PRINTED.fetch_add(1, Ordering::SeqCst);
    }));
    let fail = || -> u8 { panic!("on purpose") };
    assert_eq!(
        (caught(|| 7), caught(fail), caught(|| caught(fail))),
        (Some(7), None, Some(None))
    );
    assert_eq!(PRINTED.load(Ordering::SeqCst), 0);
    assert!(panic::catch_unwind(fail).is_err());
    assert_eq!(PRINTED.load(Ordering::SeqCst), 1);
    // Other threads are not silenced by a call that is under way here.
    caught(|| std::thread::spawn(fail).join().is_err());
    assert_eq!(PRINTED.load(Ordering::SeqCst), 2);
}
