//! A picture of the cluster, on which changes are only laid: for dry runs and tests.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Cluster, ClusterError};
use crate::change::ClusterChange;

/// No cluster at all: below a [`Picture`], what the objects of a test stand on.
#[derive(Debug, Default, Clone, Copy)]
pub struct Absent;

/// Changes laid over a cluster that is only read.
#[derive(Debug, Default)]
pub struct Picture<B> {
    base: B,
    objects: BTreeMap<String, Option<Value>>,
    ready: BTreeSet<String>,
}

impl<B> Picture<B> {
    /// Over `base`, with nothing changed yet.
    pub fn new(base: B) -> Self {
        Self {
            base,
            objects: BTreeMap::new(),
            ready: BTreeSet::new(),
        }
    }

    /// Puts an object there.
    pub fn put(&mut self, path: &str, object: Value) {
        self.objects.insert(path.to_owned(), Some(object));
    }
}

impl<B: Cluster> Cluster for Picture<B> {
    fn ready(&self, at: &str) -> Result<(), String> {
        if self.ready.contains(at) {
            Ok(())
        } else {
            self.base.ready(at)
        }
    }

    fn get(&self, path: &str) -> Result<Option<Value>, ClusterError> {
        match self.objects.get(path) {
            Some(object) => Ok(object.clone()),
            // A cluster that cannot be asked has nothing, as far as a plan can tell.
            None => Ok(self.base.get(path).unwrap_or_default()),
        }
    }

    fn change(&mut self, change: &ClusterChange) -> Result<(), ClusterError> {
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
        let path = change.path().to_owned();
        let after = match change {
            ClusterChange::Apply { object, .. } => Some(parse(object.bytes())),
            ClusterChange::Merge { patch, .. } => {
                let mut object = self.get(&path)?.unwrap_or_default();
                api::merge(&mut object, &parse(patch.bytes()));
                Some(object)
            }
            ClusterChange::Delete { .. } => None,
        };
        self.objects.insert(path, after);
        Ok(())
    }

    fn assume(&mut self, path: &str) {
        self.objects
            .entry(path.to_owned())
            .or_insert_with(|| Some(Value::Object(serde_json::Map::new())));
    }

    fn assume_ready(&mut self, at: &str) {
        self.ready.insert(at.to_owned());
    }
}

impl Cluster for Absent {
    fn ready(&self, _: &str) -> Result<(), String> {
        Err("nobody answers".to_owned())
    }

    fn get(&self, _: &str) -> Result<Option<Value>, ClusterError> {
        Ok(None)
    }

    fn change(&mut self, _: &ClusterChange) -> Result<(), ClusterError> {
        Ok(())
    }

    fn assume(&mut self, _: &str) {}

    fn assume_ready(&mut self, _: &str) {}
}
