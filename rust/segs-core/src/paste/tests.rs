//! The kernels against a plain per-pixel oracle.

use super::*;
use crate::cpu::{Level, set_level};
use crate::parallel::NEVER;
use crate::region::Region;
use half::f16;
use proptest::prelude::*;
