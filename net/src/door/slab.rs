//! Calls by their tokens: a slab with generations, so that the token of a call that is over finds nothing.

use super::token::CallToken;

pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

struct Slot<T> {
    generation: u32,
    entry: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(super) fn insert(&mut self, entry: T) -> CallToken {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.entry = Some(entry);
            return CallToken { index, generation: slot.generation };
        }
        let index = u32::try_from(self.slots.len()).unwrap_or_else(|_| panic!("invariant: fewer than 2^32 open calls"));
        self.slots.push(Slot { generation: 0, entry: Some(entry) });
        CallToken { index, generation: 0 }
    }

    pub(super) fn get(&self, token: CallToken) -> Option<&T> {
        let slot = self.slots.get(token.index as usize)?;
        if slot.generation == token.generation { slot.entry.as_ref() } else { None }
    }

    pub(super) fn get_mut(&mut self, token: CallToken) -> Option<&mut T> {
        let slot = self.slots.get_mut(token.index as usize)?;
        if slot.generation == token.generation { slot.entry.as_mut() } else { None }
    }

    pub(super) fn contains(&self, token: CallToken) -> bool {
        self.get(token).is_some()
    }

    pub(super) fn remove(&mut self, token: CallToken) -> Option<T> {
        let slot = self.slots.get_mut(token.index as usize)?;
        if slot.generation != token.generation {
            return None;
        }
        let entry = slot.entry.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(token.index);
        Some(entry)
    }

    /// Everything that is in it.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.entry.as_ref())
    }

    /// Tokens of everything for which `select` holds.
    pub(super) fn tokens(&self, mut select: impl FnMut(&T) -> bool) -> Vec<CallToken> {
        let mut out = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            if slot.entry.as_ref().is_some_and(&mut select) {
                out.push(CallToken { index: index as u32, generation: slot.generation });
            }
        }
        out
    }
}
