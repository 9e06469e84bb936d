//! A monitor that fires while its guard is dropped.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use super::decision::Decision;
use crate::check;
use crate::stand_ins::Interruption;

#[test]
pub(crate) fn of_a_fire_and_a_withdrawal_one_has_the_action() {
    check(3, || {
        let monitor = Arc::new((Decision::new(()), AtomicBool::new(false), Interruption::new()));
        // The death of the port, and the loss of its node.
        let fires = [(); 2].map(|()| {
            let monitor = monitor.clone();
            thread::spawn(move || {
                // First it looks where the action must be done.
                if monitor.0.look(|_| monitor.2.meet()).is_none() {
                    return false;
                }
                let fired = monitor.0.take().is_some();
                assert!(!fired || !monitor.1.load(Ordering::Relaxed), "it fires after the guard was dropped");
                fired
            })
        });
        monitor.2.meet();
        let withdrawn = monitor.0.take().is_some();
        // From here on the guard is gone.
        assert!(!monitor.0.is_armed());
        if withdrawn {
            monitor.1.store(true, Ordering::Relaxed);
        }
        let fired = fires.map(|fire| fire.join().expect("it ends"));
        let done = fired.into_iter().chain([withdrawn]).filter(|done| *done).count();
        assert_eq!(done, 1);
    });
}
