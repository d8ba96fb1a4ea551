//! The best k of many, in a heap that never holds more than k.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Collects the greatest `capacity` items that it is shown.
#[derive(Debug)]
pub(crate) struct Top<T> {
    capacity: usize,
    worst_first: BinaryHeap<Reverse<T>>,
}

impl<T: Ord> Top<T> {
    /// Room for the best `capacity`.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            worst_first: BinaryHeap::new(),
        }
    }

    /// Shows an item: kept if it is among the best so far.
    pub(crate) fn offer(&mut self, item: T) {
        if self.worst_first.len() < self.capacity {
            self.worst_first.push(Reverse(item));
        } else if let Some(mut worst) = self.worst_first.peek_mut()
            && item > worst.0
        {
            *worst = Reverse(item);
        }
    }

    /// What was kept, best first.
    pub(crate) fn into_sorted(self) -> Vec<T> {
        let sorted = self.worst_first.into_sorted_vec();
        sorted.into_iter().map(|Reverse(item)| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_keeps_what_sorting_would_put_first(items: Vec<u8>, capacity in 0..20_usize) {
            let mut top = Top::new(capacity);
            items.iter().for_each(|item| top.offer(*item));
            let mut expected = items;
            expected.sort_unstable_by(|a, b| b.cmp(a));
            expected.truncate(capacity);
            prop_assert_eq!(top.into_sorted(), expected);
        }
    }
}
