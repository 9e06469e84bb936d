//! A kill of an async port: its task sees it, no matter what its code waits for.

use std::sync::Arc;

use loom::thread;

use super::doom::{Doom, Kills};
use crate::check;
use crate::stand_ins::Bell;
use crate::sync::Mutex;

/// What the task of a port does, until it dies; gives what it dies of. Of these kills the even ones
/// were withdrawn.
fn live(kills: &Mutex<Kills<u32>>, doom: &Doom, bell: &Arc<Bell>) -> u32 {
    kills.lock().make_known(&bell.waker());
    loop {
        if doom.is_set()
            && let Some(kill) = kills.lock().take().into_iter().find(|kill| kill % 2 == 1)
        {
            return kill;
        }
        bell.wait();
    }
}

#[test]
pub(crate) fn a_kill_ends_a_task_that_waits() {
    check(3, || {
        let doom = Arc::new(Doom::default());
        let kills = Arc::new(Mutex::new(Kills::new(doom.clone())));
        let others = kills.clone();
        let killer = thread::spawn(move || {
            for kill in [2, 1] {
                let mut kills = others.lock();
                kills.add(kill);
                let task = kills.task();
                drop(kills);
                task.into_iter().for_each(std::task::Waker::wake);
            }
        });
        assert_eq!(live(&kills, &doom, &Bell::new()), 1);
        killer.join().expect("it ends");
    });
}
