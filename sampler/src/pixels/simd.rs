//! Which vector instructions the CPU has, found once at run time.
//!
//! A kernel is one ordinary `#[inline(always)]` function over slices. `kernel!` compiles it three
//! times: for the baseline of the target, for AVX2 and for AVX-512, and picks by a [`Simd`]. The
//! three are equal bit for bit by construction: the same operations in the same order, and Rust
//! never contracts `a * b + c` into a fused one. Only where the compiler finds no good code by
//! itself (gathers of the resize) are there intrinsics.
//!
//! On other architectures the baseline serves (NEON belongs to the baseline of aarch64).

/// Proof that this CPU has an instruction set. There is no other way to make one than
/// [`Simd::detect`] and [`Simd::available`], so kernels may rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simd(Level);

/// What [`Simd`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// The baseline of the target.
    Scalar,
    /// AVX2: x86-64 since 2013.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, BW, DQ, VL, VBMI and VNNI: Ice Lake, Zen 4 and later.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Simd {
    /// The baseline, which every CPU of the target has.
    pub const SCALAR: Self = Self(Level::Scalar);

    /// The best that this CPU has.
    pub fn detect() -> Self {
        Self::available().last().unwrap_or(Self::SCALAR)
    }

    /// All that this CPU has, from the baseline to the best. Tests compare them.
    pub fn available() -> impl Iterator<Item = Self> {
        [Some(Level::Scalar), avx2(), avx512()]
            .into_iter()
            .flatten()
            .map(Self)
    }

    /// `scalar`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        }
    }

    pub(crate) fn level(self) -> Level {
        self.0
    }
}

#[cfg(target_arch = "x86_64")]
fn avx2() -> Option<Level> {
    std::arch::is_x86_feature_detected!("avx2").then_some(Level::Avx2)
}

#[cfg(target_arch = "x86_64")]
fn avx512() -> Option<Level> {
    let all = std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512dq")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && std::arch::is_x86_feature_detected!("avx512vbmi")
        && std::arch::is_x86_feature_detected!("avx512vnni");
    (all && avx2().is_some()).then_some(Level::Avx512)
}

#[cfg(not(target_arch = "x86_64"))]
fn avx2() -> Option<Level> {
    None
}

#[cfg(not(target_arch = "x86_64"))]
fn avx512() -> Option<Level> {
    None
}

/// Declares a function that runs `body`, compiled for the instruction set that its first argument
/// proves.
macro_rules! kernel {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $out:ty)? = $body:ident) => {
        $(#[$meta])*
        #[cfg_attr(
            target_arch = "x86_64",
            expect(unsafe_code, reason = "calls functions compiled for instructions beyond the baseline")
        )]
        $vis fn $name(simd: $crate::pixels::simd::Simd, $($arg: $ty),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2($($arg: $ty),*) $(-> $out)? {
                $body($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")]
            fn avx512($($arg: $ty),*) $(-> $out)? {
                $body($($arg),*)
            }
            match simd.level() {
                $crate::pixels::simd::Level::Scalar => $body($($arg),*),
                // SAFETY: a `Simd` of this level exists only where the CPU has AVX2.
                #[cfg(target_arch = "x86_64")]
                $crate::pixels::simd::Level::Avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: a `Simd` of this level exists only where the CPU has all of these.
                #[cfg(target_arch = "x86_64")]
                $crate::pixels::simd::Level::Avx512 => unsafe { avx512($($arg),*) },
            }
        }
    };
}
pub(crate) use kernel;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_among_the_available_and_the_baseline_comes_first() {
        let all: Vec<Simd> = Simd::available().collect();
        assert_eq!(all[0], Simd::SCALAR);
        assert_eq!(all.last(), Some(&Simd::detect()));
    }
}
