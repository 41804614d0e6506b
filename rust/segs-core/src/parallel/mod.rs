//! Sharing work over one bounded pool of threads.
//!
//! The pool is private and belongs to one process: threads do not survive `fork`, so a child makes its own. The calling
//! thread works too, and asks from time to time whether it is to stop, which is how Ctrl-C reaches a long call.

mod team;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};
use crate::pixel::Pixel;
use crate::view::{Band, FramesMut};

use team::run_with_helpers;

/// Below this many bytes moved, waking other threads costs more than it saves: 50 to 110 us after idle, about the time
/// in which one core moves 1 MB of warm memory each way.
pub const PARALLEL_BYTES: usize = 2 << 20;

/// How often the calling thread asks whether to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Threads used when nothing is set: more gain nothing, since the kernels are bound by memory.
const DEFAULT_MAX_THREADS: usize = 8;

/// No request is granted more: a mistyped number must not exhaust the system's threads.
pub const MAX_THREADS: usize = 256;

/// Jobs that the rows of a copy are shared out in, for each thread: few, so that threads stay apart, and enough for
/// them to end at about the same time.
const SHARES_PER_THREAD: usize = 4;

/// Environment variables that set the number of threads, in order of precedence.
const THREAD_VARIABLES: [&str; 3] = ["SEGS_DETAILER_NUM_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS"];

/// 0 stands for "not set".
static REQUESTED_THREADS: AtomicUsize = AtomicUsize::new(0);

/// Asks whether to stop; called by the calling thread only.
pub type Interrupted<'a> = &'a dyn Fn() -> bool;

/// For callers that never stop.
pub const NEVER: Interrupted<'static> = &|| false;

/// Sets the number of threads for all kernels from now on, at most [`MAX_THREADS`]; 0 goes back to the environment's or
/// the default.
pub fn set_num_threads(threads: usize) {
    REQUESTED_THREADS.store(threads.min(MAX_THREADS), Ordering::Relaxed);
}

/// Number of threads that kernels may use, the calling one included.
pub fn num_threads() -> usize {
    match REQUESTED_THREADS.load(Ordering::Relaxed) {
        0 => default_threads(),
        threads => threads,
    }
}

/// The environment's number of threads, or the default. Found once: the system's answer takes as long as a small kernel.
fn default_threads() -> usize {
    // Not a `OnceLock`: a fork while it is being set would leave it locked in the child.
    static FOUND: AtomicUsize = AtomicUsize::new(0);
    match FOUND.load(Ordering::Relaxed) {
        0 => {
            let threads = find_default_threads();
            FOUND.store(threads, Ordering::Relaxed);
            threads
        }
        threads => threads,
    }
}

fn find_default_threads() -> usize {
    let from_environment =
        |name: &&str| std::env::var(name).ok().and_then(|value| value.trim().parse::<usize>().ok()).filter(|&n| n > 0);
    THREAD_VARIABLES.iter().find_map(from_environment).map_or_else(
        || std::thread::available_parallelism().map_or(1, |n| n.get().min(DEFAULT_MAX_THREADS)),
        |threads| threads.min(MAX_THREADS),
    )
}

/// Asks at intervals, for kernels that run on the calling thread alone.
pub(crate) struct Watch<'a> {
    interrupted: Interrupted<'a>,
    asked: Instant,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(interrupted: Interrupted<'a>) -> Self {
        Self { interrupted, asked: Instant::now() }
    }

    /// [`Error::Interrupted`] if it was time to ask and the answer is to stop.
    pub(crate) fn check(&mut self) -> Result<()> {
        if self.asked.elapsed() < POLL_INTERVAL {
            return Ok(());
        }
        self.asked = Instant::now();
        if (self.interrupted)() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Tells long jobs whether to stop, on any thread: the calling one asks, the others are told.
pub(crate) struct Brake<'a> {
    stop: &'a AtomicBool,
    watch: Option<Watch<'a>>,
}

impl Brake<'_> {
    /// One that never stops, for tests of what a job does.
    #[cfg(test)]
    pub(crate) fn released() -> Brake<'static> {
        static NEVER_SET: AtomicBool = AtomicBool::new(false);
        Brake { stop: &NEVER_SET, watch: None }
    }

    /// Whether to stop. Reading the time makes this as slow as some hundred samples.
    pub(crate) fn stops(&mut self) -> bool {
        if self.watch.as_mut().is_some_and(|watch| watch.check().is_err()) {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.stop.load(Ordering::Relaxed)
    }
}

/// Runs `work` on every job. `bytes` is the memory that all jobs together move; little work stays on this thread.
///
/// Jobs are taken in order but finish in any; each must write only what is its own. When `interrupted` says so, jobs
/// not yet begun are dropped and [`Error::Interrupted`] is returned.
pub fn for_each<J: Send>(
    jobs: Vec<J>,
    bytes: usize,
    interrupted: Interrupted<'_>,
    work: impl Fn(J) + Sync,
) -> Result<()> {
    for_each_long(jobs, bytes, interrupted, |job, _| work(job))
}

/// As [`for_each`], for jobs that may take long: they ask now and then whether to stop, and return early.
pub(crate) fn for_each_long<J: Send>(
    jobs: Vec<J>,
    bytes: usize,
    interrupted: Interrupted<'_>,
    work: impl Fn(J, &mut Brake<'_>) + Sync,
) -> Result<()> {
    let threads = if bytes < PARALLEL_BYTES { 1 } else { num_threads().min(jobs.len()) };
    let queue = Mutex::new(jobs.into_iter());
    let stop = AtomicBool::new(false);
    // The guard of the queue must be gone before the job is run: hence a function of its own.
    let next = || queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    let take_jobs = |watch: Option<Watch<'_>>| {
        let mut brake = Brake { stop: &stop, watch };
        while let Some(job) = next() {
            work(job, &mut brake);
            if brake.stops() {
                break;
            }
        }
    };
    let help = || take_jobs(None);
    let lead = || take_jobs(Some(Watch::new(interrupted)));
    match if threads > 1 { pool(threads - 1) } else { None } {
        Some(pool) => run_with_helpers(pool, threads - 1, &help, lead, POLL_INTERVAL, || {
            if interrupted() {
                stop.store(true, Ordering::Relaxed);
            }
        }),
        None => lead(),
    }
    if stop.into_inner() { Err(Error::Interrupted) } else { Ok(()) }
}

/// Runs `work` on every band of rows, for kernels that do little but move memory: each thread works on bands that follow
/// each other. See [`for_each`].
pub(crate) fn for_each_band<T: Pixel>(
    out: FramesMut<'_, T>,
    band_rows: usize,
    bytes: usize,
    interrupted: Interrupted<'_>,
    work: impl Fn(Band<'_, T>) + Sync,
) -> Result<()> {
    for_each_long(out.shares(band_rows, SHARES_PER_THREAD * num_threads()), bytes, interrupted, |share, brake| {
        for band in share {
            work(band);
            if brake.stops() {
                return;
            }
        }
    })
}

struct OwnedPool {
    process: u32,
    threads: usize,
    pool: ThreadPool,
}

static POOL: AtomicPtr<OwnedPool> = AtomicPtr::new(std::ptr::null_mut());

/// This process's pool, with at least `threads` threads; `None` if the system refuses to start them.
///
/// A pool that is too small, or that was made before a `fork`, is replaced and leaked: its threads may still be busy
/// for another caller, or exist no more. That happens once per process or per larger `set_num_threads`.
fn pool(threads: usize) -> Option<&'static ThreadPool> {
    let process = std::process::id();
    let current = POOL.load(Ordering::Acquire);
    // SAFETY: a pointer stored in POOL comes from `Box::leak` and is never freed.
    if let Some(owned) = unsafe { current.as_ref() }
        && owned.process == process
        && owned.threads >= threads
    {
        return Some(&owned.pool);
    }
    let threads = threads.max(default_threads().saturating_sub(1));
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("segs-detailer-{index}"))
        .build()
        .ok()?;
    let owned: &'static OwnedPool = Box::leak(Box::new(OwnedPool { process, threads, pool }));
    POOL.store(std::ptr::from_ref(owned).cast_mut(), Ordering::Release);
    Some(&owned.pool)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn every_job_runs_once_on_any_number_of_threads() {
        for threads in [1, 2, 3, 7] {
            set_num_threads(threads);
            let sum = AtomicU64::new(0);
            let jobs: Vec<u64> = (1..=1000).collect();
            for_each(jobs, PARALLEL_BYTES, NEVER, |n| {
                sum.fetch_add(n, Ordering::Relaxed);
            })
            .unwrap();
            assert_eq!(sum.into_inner(), 500_500);
        }
        set_num_threads(0);
    }

    #[test]
    fn an_interrupt_drops_the_jobs_that_are_left() {
        let done = AtomicU64::new(0);
        let result = for_each(vec![(); 1000], 0, &|| true, |()| {
            std::thread::sleep(Duration::from_millis(10));
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(result, Err(Error::Interrupted));
        assert!(done.into_inner() < 100);
    }

    #[test]
    fn a_long_job_is_told_to_stop_on_any_thread() {
        set_num_threads(2);
        // One job ends only when it is told to, whichever thread has it.
        let long = |endless: bool, brake: &mut Brake<'_>| {
            while endless && !brake.stops() {
                std::thread::yield_now();
            }
        };
        for jobs in [vec![true, true], vec![true, false], vec![false, true], vec![true]] {
            let result = for_each_long(jobs, PARALLEL_BYTES, &|| true, long);
            assert_eq!(result, Err(Error::Interrupted));
        }
        set_num_threads(0);
    }

    #[test]
    fn a_panic_in_a_job_reaches_the_caller_and_no_job_outlives_the_call() {
        set_num_threads(3);
        for bad in 0..40 {
            let running = AtomicU64::new(0);
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for_each((0..40).collect(), PARALLEL_BYTES, NEVER, |job| {
                    running.fetch_add(1, Ordering::Relaxed);
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::Relaxed);
                    assert_ne!(job, bad);
                })
            }));
            assert!(result.is_err());
            assert_eq!(running.into_inner(), 0);
        }
        set_num_threads(0);
    }

    #[test]
    fn calls_nest_and_come_from_several_threads() {
        set_num_threads(3);
        let sum = AtomicU64::new(0);
        let call = || {
            for_each((0..8u64).collect(), PARALLEL_BYTES, NEVER, |outer| {
                for_each((0..50u64).collect(), PARALLEL_BYTES, NEVER, |inner| {
                    sum.fetch_add(50 * outer + inner, Ordering::Relaxed);
                })
                .unwrap();
            })
            .unwrap();
        };
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| (0..20).for_each(|_| call()));
            }
        });
        assert_eq!(sum.into_inner(), 6 * 20 * (0..400).sum::<u64>());
        set_num_threads(0);
    }
}
