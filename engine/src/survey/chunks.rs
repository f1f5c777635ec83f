//! A list that grows without moving what it holds: with a million groups that takes as long as adding to them.

use datafusion::logical_expr::EmitTo;

/// Items of a chunk.
const SIZE: usize = 1 << 12;

/// Items by their place.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    /// All but the last hold [`SIZE`].
    chunks: Vec<Vec<T>>,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T: Copy + Default> Chunks<T> {
    pub(super) fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * SIZE + last.len())
    }

    /// Makes it hold so many, if it holds fewer.
    pub(super) fn grow(&mut self, len: usize) {
        while self.len() < len {
            if self.chunks.last().is_none_or(|last| last.len() == SIZE) {
                self.chunks.push(Vec::new());
            }
            let before = (self.chunks.len() - 1) * SIZE;
            if let Some(last) = self.chunks.last_mut() {
                last.resize((len - before).min(SIZE), T::default());
            }
        }
    }

    #[inline(always)]
    pub(super) fn at(&self, place: usize) -> &T {
        &self.chunks[place / SIZE][place % SIZE]
    }

    #[inline(always)]
    pub(super) fn at_mut(&mut self, place: usize) -> &mut T {
        &mut self.chunks[place / SIZE][place % SIZE]
    }

    /// The first of them, in order. The others move up.
    pub(super) fn take(&mut self, emit_to: EmitTo) -> impl Iterator<Item = T> + use<T> {
        let mut taken = std::mem::take(&mut self.chunks);
        if let EmitTo::First(count) = emit_to {
            let mut first = taken.into_iter().flatten().collect::<Vec<_>>();
            let rest = first.split_off(count.min(first.len()));
            self.chunks = rest.chunks(SIZE).map(<[T]>::to_vec).collect();
            taken = vec![first];
        }
        taken.into_iter().flatten()
    }

    pub(super) fn size(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.capacity() * size_of::<T>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_stay_at_their_places_and_come_out_in_order() {
        let mut chunks = Chunks::<usize>::default();
        for len in [0, 1, 5, SIZE, SIZE + 1, 3 * SIZE - 1, 3 * SIZE + 7] {
            let before = chunks.len();
            chunks.grow(len);
            (before..len).for_each(|place| *chunks.at_mut(place) = place);
            assert_eq!(chunks.len(), len);
        }
        chunks.grow(4);
        assert!(chunks.take(EmitTo::First(SIZE + 3)).eq(0..SIZE + 3));
        assert_eq!((chunks.len(), *chunks.at(SIZE)), (2 * SIZE + 4, 2 * SIZE + 3));
        chunks.grow(3 * SIZE);
        let wanted = (SIZE + 3..3 * SIZE + 7).chain(std::iter::repeat_n(0, SIZE - 4));
        assert!(chunks.take(EmitTo::All).eq(wanted));
        assert_eq!((chunks.len(), chunks.size()), (0, 0));
    }
}
