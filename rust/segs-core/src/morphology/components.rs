//! Connected regions of a mask, and holes in it.

use super::check_same;
use super::runs::{Neighbors, RunForest};
use crate::error::{Error, Result};
use crate::parallel::{Interrupted, Watch};
use crate::view::{Frames, FramesMut};

/// The box and the size of one connected region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// First column.
    pub x1: usize,
    /// First row.
    pub y1: usize,
    /// Column after the last one.
    pub x2: usize,
    /// Row after the last one.
    pub y2: usize,
    /// Number of pixels.
    pub area: usize,
}

/// Labels the regions of pixels that are not 0 and touch by a side or a corner.
///
/// `labels` gets 0 for the background and 1, 2, ... for the regions in the raster order of their first pixels; the
/// result has the regions in the same order.
pub fn components(
    mask: Frames<'_, u8>,
    labels: FramesMut<'_, i32>,
    interrupted: Interrupted<'_>,
) -> Result<Vec<Component>> {
    let shape = mask.shape();
    if labels.shape() != shape {
        return Err(Error::shape("labels", shape.to_string(), labels.shape().to_string()));
    }
    if shape.is_empty() {
        return Ok(Vec::new());
    }
    let mut forest = RunForest::new(mask, true, Neighbors::Eight, interrupted)?;
    let mut watch = Watch::new(interrupted);
    let mut found: Vec<Component> = Vec::new();
    // Label of each run: a root comes before the runs of its region, so it has its label when they ask.
    let mut label_of = vec![0i32; forest.len()];
    for band in labels.all_bands(1) {
        watch.check()?;
        let mut done = 0;
        for index in forest.row(band.y) {
            let run = forest.run(index);
            let (start, end) = (run.start as usize, run.end as usize);
            let root = forest.root(index);
            if root == index {
                found.push(Component { x1: start, y1: band.y, x2: end, y2: band.y + 1, area: 0 });
                label_of[index] = found.len() as i32;
            }
            let label = label_of[root];
            label_of[index] = label;
            let component = &mut found[label as usize - 1];
            component.x1 = component.x1.min(start);
            component.x2 = component.x2.max(end);
            component.y2 = band.y + 1;
            component.area += end - start;
            band.data[done..start].fill(0);
            band.data[start..end].fill(label);
            done = end;
        }
        band.data[done..].fill(0);
    }
    Ok(found)
}

/// Writes 1 where the mask is not 0, and in its holes: background that cannot reach the mask's edge by steps over
/// sides. Everything else is 0.
pub fn fill_holes(mask: Frames<'_, u8>, out: FramesMut<'_, u8>, interrupted: Interrupted<'_>) -> Result<()> {
    let shape = mask.shape();
    check_same(shape, out.shape())?;
    if shape.is_empty() {
        return Ok(());
    }
    // The foreground touches by corners, so the background does not pass between them.
    let mut background = RunForest::new(mask, false, Neighbors::Four, interrupted)?;
    let mut open = vec![false; background.len()];
    for y in 0..shape.height {
        for index in background.row(y) {
            let run = background.run(index);
            if y == 0 || y + 1 == shape.height || run.start == 0 || run.end as usize == shape.width {
                let root = background.root(index);
                open[root] = true;
            }
        }
    }
    let mut watch = Watch::new(interrupted);
    for band in out.all_bands(1) {
        watch.check()?;
        for (out, pixel) in band.data.iter_mut().zip(mask.row(0, band.y)) {
            *out = u8::from(*pixel != 0);
        }
        for index in background.row(band.y) {
            if !open[background.root(index)] {
                let run = background.run(index);
                band.data[run.start as usize..run.end as usize].fill(1);
            }
        }
    }
    Ok(())
}
