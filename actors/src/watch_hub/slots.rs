//! Numbers for watchers and for streams, and tables by them. A number is used again after its owner has gone.
//!
//! A watcher's number and a stream's are types of their own, so that one cannot be passed for the other. Must never hand out
//! a number that is in use.

/// A number of one kind.
pub(super) trait SlotNumber: Copy {
    fn of(number: usize) -> Self;
    fn number(self) -> usize;
}

macro_rules! slot_number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(super) struct $name(u32);

        impl SlotNumber for $name {
            fn of(number: usize) -> Self {
                Self(u32::try_from(number).expect("fewer than 2^32 of a kind"))
            }

            fn number(self) -> usize {
                self.0 as usize
            }
        }
    };
}

slot_number! {
    /// Number of a watcher.
    WatcherSlot
}

slot_number! {
    /// Number of a stream.
    StreamSlot
}

/// Values under numbers that are handed out here.
#[derive(Debug)]
pub(super) struct Slots<K, T> {
    values: Vec<Option<T>>,
    free: Vec<K>,
}

impl<K, T> Default for Slots<K, T> {
    fn default() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }
}

impl<K: SlotNumber, T> Slots<K, T> {
    pub(super) fn insert(&mut self, value: T) -> K {
        if let Some(slot) = self.free.pop() {
            self.values[slot.number()] = Some(value);
            return slot;
        }
        self.values.push(Some(value));
        K::of(self.values.len() - 1)
    }

    pub(super) fn remove(&mut self, slot: K) -> Option<T> {
        let value = self.values.get_mut(slot.number())?.take()?;
        self.free.push(slot);
        Some(value)
    }

    pub(super) fn get(&self, slot: K) -> Option<&T> {
        self.values.get(slot.number())?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: K) -> Option<&mut T> {
        self.values.get_mut(slot.number())?.as_mut()
    }

    /// Numbers in use.
    pub(super) fn numbers(&self) -> Vec<K> {
        self.values.iter().enumerate().filter(|(_, value)| value.is_some()).map(|(n, _)| K::of(n)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.values.len() - self.free.len()
    }
}

/// Values under numbers that are handed out elsewhere.
#[derive(Debug)]
pub(super) struct BySlot<T>(Vec<Option<T>>);

impl<T> Default for BySlot<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> BySlot<T> {
    pub(super) fn insert(&mut self, slot: impl SlotNumber, value: T) {
        let at = slot.number();
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        self.0[at] = Some(value);
    }

    pub(super) fn remove(&mut self, slot: impl SlotNumber) -> Option<T> {
        self.0.get_mut(slot.number())?.take()
    }

    pub(super) fn get(&self, slot: impl SlotNumber) -> Option<&T> {
        self.0.get(slot.number())?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: impl SlotNumber) -> Option<&mut T> {
        self.0.get_mut(slot.number())?.as_mut()
    }
}
