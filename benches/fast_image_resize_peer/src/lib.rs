//! Lanczos-3 of RGB float32 frames by the crate fast_image_resize, behind one C function.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

/// Bytes of a pixel of three float32.
const PIXEL: usize = 12;

/// Resizes `count` frames one after the other, on one thread, with one reused `Resizer`; 0 on success.
///
/// # Safety
/// `source` holds `count * height * width * 3` floats and `target` `count * new_height * new_width * 3`; they do not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resize_f32x3(
    source: *const u8,
    target: *mut u8,
    count: usize,
    height: u32,
    width: u32,
    new_height: u32,
    new_width: u32,
) -> i32 {
    let source_frame = height as usize * width as usize * PIXEL;
    let target_frame = new_height as usize * new_width as usize * PIXEL;
    // SAFETY: the caller gives buffers of these sizes that do not overlap.
    let (source, target) = unsafe {
        (
            std::slice::from_raw_parts(source, count * source_frame),
            std::slice::from_raw_parts_mut(target, count * target_frame),
        )
    };
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    let mut resizer = Resizer::new();
    for (from, to) in source.chunks_exact(source_frame).zip(target.chunks_exact_mut(target_frame)) {
        let Ok(from) = ImageRef::new(width, height, from, PixelType::F32x3) else { return 1 };
        let Ok(mut to) = Image::from_slice_u8(new_width, new_height, to, PixelType::F32x3) else { return 2 };
        if resizer.resize(&from, &mut to, Some(&options)).is_err() {
            return 3;
        }
    }
    0
}
