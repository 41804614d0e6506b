//! The module `segs_detailer._native`: one thin function per kernel. Each checks its arrays while attached to the
//! interpreter, then runs the kernel detached from it.

use pyo3::prelude::*;

mod arrays;
mod door;
mod feather;
mod gather;
mod geometry;
mod morphology;
mod paste;
mod planes;
mod resize;
mod threads;

#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::feather::feather_mask;
    #[pymodule_export]
    use crate::gather::crop_frames;
    #[pymodule_export]
    use crate::geometry::rescale_regions;
    #[pymodule_export]
    use crate::morphology::{components, dilate, erode, fill_holes, threshold};
    #[pymodule_export]
    use crate::paste::{copy_paste, paste};
    #[pymodule_export]
    use crate::planes::{blend_planes, planes_to_rgb};
    #[pymodule_export]
    use crate::resize::{resize_frames, resize_masks};
    #[pymodule_export]
    use crate::threads::{cpu_has_avx512, cpu_level, get_num_threads, set_cpu_level, set_num_threads};
}
