//! Weights of one axis of a Lanczos resize.

use std::f64::consts::PI;

use crate::view::Shape;

/// Lobes of the filter on each side of its center.
const LOBES: f64 = 3.0;

/// The input samples that make one output sample: `inputs` starts at `start`, its weights at `offset`.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    len: usize,
    offset: usize,
}

/// Which input samples, with which weights, make each output sample along one axis.
///
/// This is Pillow's definition: the filter is centered on the output sample's center in input coordinates, widened by
/// the scale when shrinking, cut at the edges, and its weights are normalized to sum to 1 in `f64`.
#[derive(Debug)]
pub(super) struct Axis {
    spans: Vec<Span>,
    weights: Vec<f32>,
    longest: usize,
    identity: bool,
}

impl Axis {
    /// The weights that take `from` samples, at least one, to `to`.
    pub(super) fn new(from: usize, to: usize) -> Self {
        let scale = from as f64 / to as f64;
        let widening = scale.max(1.0);
        let support = LOBES * widening;
        let mut spans = Vec::with_capacity(to);
        let mut weights = Vec::with_capacity(to * (2 * support.ceil() as usize + 1));
        let mut span_weights: Vec<f64> = Vec::new();
        for index in 0..to {
            let center = (index as f64 + 0.5) * scale;
            // `as` truncates and takes negative values to 0.
            let start = (center - support + 0.5) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            span_weights.clear();
            span_weights.extend((start..end).map(|i| lanczos((i as f64 - center + 0.5) / widening)));
            let sum: f64 = span_weights.iter().sum();
            spans.push(Span { start, len: end - start, offset: weights.len() });
            weights.extend(span_weights.iter().map(|w| (w / sum) as f32));
        }
        let longest = spans.iter().map(|span| span.len).max().unwrap_or(0);
        Self { spans, weights, longest, identity: from == to }
    }

    /// First input sample of output sample `index`, and the weights from there on.
    #[inline(always)]
    pub(super) fn taps(&self, index: usize) -> (usize, &[f32]) {
        let span = self.spans[index];
        (span.start, &self.weights[span.offset..span.offset + span.len])
    }

    /// The input sample after the last one of output sample `index`.
    pub(super) fn end(&self, index: usize) -> usize {
        self.spans[index].start + self.spans[index].len
    }

    /// Most input samples in one output sample.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Most input samples in `count` output samples in a row, the gaps between them included.
    pub(super) fn window(&self, count: usize) -> usize {
        let last = |index: usize| (index + count.max(1) - 1).min(self.spans.len() - 1);
        let window = |(index, span): (usize, &Span)| self.end(last(index)) - span.start;
        self.spans.iter().enumerate().map(window).max().unwrap_or(0)
    }

    /// Number of output samples.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether the axis keeps its size: then nothing is to be done along it.
    pub(super) fn is_identity(&self) -> bool {
        self.identity
    }
}

/// Whether Pillow 13 filters columns of pixels before rows: where the height loses more than twice the pixels that the
/// width does, and in columns of pixels. Earlier releases do so only in the latter.
pub(super) fn pillow_vertical_first(from: Shape, to: Shape) -> bool {
    let lost = |from: usize, to: usize| from as i64 - to as i64;
    let (height, width) = (lost(from.height, to.height), lost(from.width, to.width));
    height > 0 && (height > 2 * width || from.height > 100 * from.width)
}

/// The filter: a `sinc` under the middle lobe of a wider one.
pub(crate) fn lanczos(x: f64) -> f64 {
    if (-LOBES..LOBES).contains(&x) { sinc(x) * sinc(x / LOBES) } else { 0.0 }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}
