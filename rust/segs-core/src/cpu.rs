//! Choosing code for the CPU at run time.

use std::sync::atomic::{AtomicU8, Ordering};

/// Environment variable that forbids the faster levels: `scalar`.
const VARIABLE: &str = "SEGS_DETAILER_CPU";

/// Instruction sets that kernels are compiled for. On aarch64 the baseline includes NEON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Level {
    /// The target's baseline.
    Baseline = 1,
    /// x86-64 with AVX2.
    Avx2 = 2,
}

/// 0 stands for "not yet known".
static LEVEL: AtomicU8 = AtomicU8::new(0);

/// The level in use.
#[inline]
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        1 => Level::Baseline,
        2 => Level::Avx2,
        _ => {
            let baseline = std::env::var(VARIABLE).is_ok_and(|v| v.eq_ignore_ascii_case("scalar"));
            let level = if baseline { Level::Baseline } else { best() };
            LEVEL.store(level as u8, Ordering::Relaxed);
            level
        }
    }
}

/// Uses `level`, or the best that the CPU has if it lacks that. For tests and benchmarks.
pub fn set_level(level: Level) {
    let level = if best() == Level::Avx2 { level } else { Level::Baseline };
    LEVEL.store(level as u8, Ordering::Relaxed);
}

fn best() -> Level {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return Level::Avx2;
    }
    Level::Baseline
}

/// Compiles the body, an `#[inline(always)]` function, once per [`Level`] and picks one at each call.
///
/// `multiversion! { fn blend(a: &mut [f32], b: &[f32]) = blend_body; }`; generic parameters go in brackets:
/// `multiversion! { fn blend[T: Pixel](a: &mut [T], b: &[T]) = blend_body; }`.
macro_rules! multiversion {
    ($(#[$meta:meta])* fn $name:ident $([$($generic:ident: $bound:path),+])? ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:path;) => {
        $(#[$meta])*
        #[inline]
        #[allow(clippy::too_many_arguments)]
        pub(super) fn $name $(<$($generic: $bound),+>)? ($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                #[allow(clippy::too_many_arguments)]
                fn avx2 $(<$($generic: $bound),+>)? ($($arg: $ty),*) $(-> $ret)? {
                    $body($($arg),*)
                }
                if $crate::cpu::level() == $crate::cpu::Level::Avx2 {
                    // SAFETY: the level is Avx2 only where the CPU was found to have it.
                    return unsafe { avx2 $(::<$($generic),+>)? ($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}
pub(crate) use multiversion;
