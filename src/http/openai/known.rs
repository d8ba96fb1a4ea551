//! The models that have answered: only these are named in logs, metrics and usage, whatever callers
//! ask for.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
};

/// More models than a gateway has. Beyond them none is learnt.
const MOST: usize = 1_000;

/// The models that have answered since the start.
#[derive(Debug, Default)]
pub(crate) struct KnownModels(RwLock<HashSet<Arc<str>>>);

impl KnownModels {
    /// The model `id`, if it has answered before.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<str>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(id).cloned()
    }

    /// Takes note that `id` has answered.
    pub(crate) fn learn(&self, id: &str) -> Option<Arc<str>> {
        if let Some(known) = self.find(id) {
            return Some(known);
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            return None;
        }
        let id: Arc<str> = id.into();
        known.insert(id.clone());
        Some(id)
    }
}
