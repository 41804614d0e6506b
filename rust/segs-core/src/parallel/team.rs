//! One call's helpers: those that come in time work, those that come late find the door closed and leave.
//!
//! A scope of rayon waits until every task that it spawned has run, also when nothing is left to do; where the pool's
//! threads get no core at once, that is milliseconds for a call of microseconds. Here the caller waits only for those
//! who are at work.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rayon::ThreadPool;

/// Runs `lead` here and `help` on up to `helpers` threads of `pool`, until `lead` has returned and nobody is in `help`
/// any more. While it waits for that it calls `poll` each `interval`. A panic in `help` is resumed here.
pub(super) fn run_with_helpers(
    pool: &ThreadPool,
    helpers: usize,
    help: &(dyn Fn() + Sync),
    lead: impl FnOnce(),
    interval: Duration,
    mut poll: impl FnMut(),
) {
    let team = Arc::new(Team::new(help));
    // Also when `lead` or `poll` unwinds, `help` outlives those who are inside.
    let closing = CloseOnDrop(&team);
    for _ in 0..helpers {
        let team = Arc::clone(&team);
        pool.spawn(move || team.join());
    }
    lead();
    while !team.close_within(interval) {
        poll();
    }
    drop(closing);
    let panic = team.members().panic.take();
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

/// What the caller shares with its helpers. Late ones may hold it long after the call, hence no borrow in it.
struct Team {
    /// Valid until the team is closed with nobody inside.
    help: *const (dyn Fn() + Sync),
    members: Mutex<Members>,
    left: Condvar,
}

#[derive(Default)]
struct Members {
    closed: bool,
    inside: usize,
    panic: Option<Box<dyn Any + Send>>,
}

// SAFETY: `help` points to a `Sync` closure, which any thread may call; the rest is `Send` and `Sync` by itself.
unsafe impl Send for Team {}
// SAFETY: as above.
unsafe impl Sync for Team {}

impl Team {
    /// A team for `help`, which must not be dropped before [`Team::close`] has returned.
    fn new(help: &(dyn Fn() + Sync)) -> Self {
        let help = std::ptr::from_ref(help);
        #[allow(clippy::transmute_ptr_to_ptr)]
        // SAFETY: only the lifetime changes, in a raw pointer, which promises nothing about it.
        let help = unsafe { std::mem::transmute::<*const (dyn Fn() + Sync + '_), *const (dyn Fn() + Sync)>(help) };
        Self { help, members: Mutex::default(), left: Condvar::new() }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Helps, unless the team is closed. Never unwinds.
    fn join(&self) {
        {
            let mut members = self.members();
            if members.closed {
                return;
            }
            members.inside += 1;
        }
        // SAFETY: the team was open when this thread was counted, under the lock under which it is closed. So the
        // caller, who keeps the closure alive, waits from its closing on until this thread is no longer counted.
        let help = unsafe { &*self.help };
        let result = catch_unwind(AssertUnwindSafe(help));
        let mut members = self.members();
        if let Err(panic) = result {
            members.panic = Some(panic);
        }
        members.inside -= 1;
        if members.inside == 0 {
            self.left.notify_all();
        }
    }

    /// Lets nobody in any more, and waits for those inside, at most for `time`. Whether they have all left.
    fn close_within(&self, time: Duration) -> bool {
        let mut members = self.members();
        members.closed = true;
        let waiting = self.left.wait_timeout_while(members, time, |members| members.inside > 0);
        waiting.unwrap_or_else(PoisonError::into_inner).0.inside == 0
    }

    /// Lets nobody in any more, and waits for those inside.
    fn close(&self) {
        let mut members = self.members();
        members.closed = true;
        drop(self.left.wait_while(members, |members| members.inside > 0).unwrap_or_else(PoisonError::into_inner));
    }
}

struct CloseOnDrop<'a>(&'a Team);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{channel, sync_channel};

    const INTERVAL: Duration = Duration::from_millis(5);

    fn pool(threads: usize) -> ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    #[test]
    fn who_comes_late_does_nothing() {
        let team = {
            let help = || panic!("the team is closed");
            let team = Team::new(&help);
            team.close();
            team
        };
        team.join();
        assert!(team.members().panic.is_none());
    }

    #[test]
    fn a_call_ends_while_all_helpers_are_busy_elsewhere() {
        let pool = pool(2);
        let (release, wait) = channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        for _ in 0..2 {
            let wait = Arc::clone(&wait);
            pool.spawn(move || assert!(wait.lock().unwrap().recv().is_err()));
        }
        let helped = AtomicUsize::new(0);
        let help = || {
            helped.fetch_add(1, Ordering::Relaxed);
        };
        run_with_helpers(&pool, 2, &help, || (), INTERVAL, || ());
        // The helpers come now, after the call.
        drop(release);
        assert_eq!(helped.into_inner(), 0);
    }

    #[test]
    fn those_inside_are_waited_for_and_meanwhile_the_caller_polls() {
        let pool = pool(1);
        let (entered, come) = sync_channel(0);
        let done = AtomicUsize::new(0);
        let polled = AtomicUsize::new(0);
        let help = || {
            entered.send(()).unwrap();
            while polled.load(Ordering::Relaxed) < 3 {
                std::thread::yield_now();
            }
            done.fetch_add(1, Ordering::Relaxed);
        };
        let poll = || {
            polled.fetch_add(1, Ordering::Relaxed);
        };
        run_with_helpers(&pool, 1, &help, || come.recv().unwrap(), INTERVAL, poll);
        assert_eq!(done.into_inner(), 1);
    }

    #[test]
    fn a_panic_of_the_caller_waits_for_those_inside() {
        let pool = pool(1);
        let (entered, come) = sync_channel(0);
        let done = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let own = [1, 2, 3];
            let help = || {
                entered.send(()).unwrap();
                std::thread::sleep(INTERVAL);
                done.store(own.iter().sum(), Ordering::Relaxed);
            };
            let lead = || {
                come.recv().unwrap();
                panic!("the caller's");
            };
            run_with_helpers(&pool, 1, &help, lead, INTERVAL, || ());
        }));
        assert_eq!(*result.unwrap_err().downcast::<&str>().unwrap(), "the caller's");
        assert_eq!(done.into_inner(), 6);
    }

    #[test]
    fn a_panic_of_a_helper_reaches_the_caller_and_leaves_the_pool_usable() {
        let pool = pool(1);
        for _ in 0..3 {
            let (entered, come) = sync_channel(0);
            let help = || {
                entered.send(()).unwrap();
                panic!("the helper's");
            };
            let result = catch_unwind(AssertUnwindSafe(|| {
                run_with_helpers(&pool, 1, &help, || come.recv().unwrap(), INTERVAL, || ());
            }));
            assert_eq!(*result.unwrap_err().downcast::<&str>().unwrap(), "the helper's");
        }
    }
}
