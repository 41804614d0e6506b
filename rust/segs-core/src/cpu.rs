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
    /// x86-64 with AVX2, FMA and F16C: every CPU that has the first has the others.
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

/// The best level that this CPU has.
pub(crate) fn best() -> Level {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("f16c")
    {
        return Level::Avx2;
    }
    Level::Baseline
}

/// Whether the CPU has AVX-512. No kernel uses it; encoders of others do.
pub fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512f")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Compiles the body, an `#[inline(always)]` function, once per [`Level`] and picks one at each call.
///
/// `multiversion! { fn blend(a: &mut [f32], b: &[f32]) = blend_body; }`; generic parameters go in brackets:
/// `multiversion! { fn blend[T: Pixel](a: &mut [T], b: &[T]) = blend_body; }`. With two bodies,
/// `= fast_body, baseline_body;`, the first is that of the higher levels, which have fused multiply-add: it may call
/// `mul_add`, which the baseline of x86-64 would compute in software. The compiler fuses nothing by itself, so one body
/// gives the same bits at every level.
macro_rules! multiversion {
    ($(#[$meta:meta])* fn $name:ident $([$($generic:ident: $bound:path),+])? ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:expr;) => {
        $crate::cpu::multiversion! {
            $(#[$meta])* fn $name $([$($generic: $bound),+])? ($($arg: $ty),*) $(-> $ret)? = $body, $body;
        }
    };
    ($(#[$meta:meta])* fn $name:ident $([$($generic:ident: $bound:path),+])? ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $fast:expr, $baseline:expr;) => {
        $(#[$meta])*
        #[inline]
        #[allow(clippy::too_many_arguments)]
        pub(super) fn $name $(<$($generic: $bound),+>)? ($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma,f16c")]
                #[allow(clippy::too_many_arguments)]
                fn avx2 $(<$($generic: $bound),+>)? ($($arg: $ty),*) $(-> $ret)? {
                    $fast($($arg),*)
                }
                if $crate::cpu::level() == $crate::cpu::Level::Avx2 {
                    // SAFETY: the level is Avx2 only where the CPU was found to have it.
                    return unsafe { avx2 $(::<$($generic),+>)? ($($arg),*) };
                }
            }
            $baseline($($arg),*)
        }
    };
}
pub(crate) use multiversion;

/// Held by tests: for writing by those that change the level, for reading by those that compare bits.
#[cfg(test)]
pub(crate) static LEVEL_LOCK: std::sync::RwLock<()> = std::sync::RwLock::new(());
