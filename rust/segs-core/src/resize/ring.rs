//! Rows between the two passes of a resize.

/// Rows that are still needed, each at a place of its own until [`Ring::capacity`] rows later.
#[derive(Debug)]
pub(super) struct Ring<T> {
    data: Vec<T>,
    row_len: usize,
    /// Power of two, so that the place of a row takes no division.
    capacity: usize,
}

impl<T: Copy + Default> Ring<T> {
    /// A ring of at least `rows` rows.
    pub(super) fn new(rows: usize, row_len: usize) -> Self {
        let capacity = rows.next_power_of_two();
        Self { data: vec![T::default(); capacity * row_len], row_len, capacity }
    }

    /// All rows, in the order of their slots.
    #[inline(always)]
    pub(super) fn data(&self) -> &[T] {
        &self.data
    }

    /// Samples of a row.
    #[inline(always)]
    pub(super) fn row_len(&self) -> usize {
        self.row_len
    }

    /// Number of slots.
    #[inline(always)]
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The slot of row `row`.
    #[inline(always)]
    pub(super) fn slot(&self, row: usize) -> usize {
        row & (self.capacity - 1)
    }

    /// Row `row`, to be overwritten.
    #[inline(always)]
    pub(super) fn row_mut(&mut self, row: usize) -> &mut [T] {
        let offset = self.slot(row) * self.row_len;
        &mut self.data[offset..offset + self.row_len]
    }
}
