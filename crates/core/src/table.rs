//! A map that remembers which of its entries were touched: what a checkpoint has to write.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::btree_map::Iter;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

/// A map that remembers which of its entries were changed, added or removed since [`Table::touched`] was last asked.
/// It reads as the map it is. Each entry has a box of its own: the map's nodes are half empty as a rule, since names grow,
/// and what they hold is big.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    map: BTreeMap<K, Box<V>>,
    /// None until somebody wants to know: else names would pile up for as long as the process lives.
    touched: Option<BTreeSet<K>>,
}

impl<K: Ord + Copy, V> Table<K, V> {
    /// An empty table.
    pub(crate) fn new() -> Table<K, V> {
        Table { map: BTreeMap::new(), touched: None }
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let value = self.map.get_mut(key)?;
        self.touched.as_mut().map(|touched| touched.insert(*key));
        Some(value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.touched.as_mut().map(|touched| touched.insert(key));
        self.map.insert(key, Box::new(value)).map(|before| *before)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let value = self.map.remove(key)?;
        self.touched.as_mut().map(|touched| touched.insert(*key));
        Some(*value)
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key).map(Box::as_ref)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.map.values().map(Box::as_ref)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.into_iter()
    }

    /// An entry to be changed in a way that does not count as a change.
    pub(crate) fn untouched(&mut self, key: &K) -> Option<&mut V> {
        self.map.get_mut(key).map(Box::as_mut)
    }

    /// The entries touched since the last time, present or gone.
    pub(crate) fn touched(&mut self) -> BTreeSet<K> {
        self.touched.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Every entry counts as touched, and from now on it is remembered which are.
    pub(crate) fn touch_all(&mut self) {
        self.touched = Some(self.map.keys().copied().collect());
    }

    /// Nobody asks any more.
    pub(crate) fn forget_touched(&mut self) {
        self.touched = None;
    }
}

impl<K: Ord + Copy, V> Default for Table<K, V> {
    fn default() -> Table<K, V> {
        Table::new()
    }
}

impl<K, V> Deref for Table<K, V> {
    type Target = BTreeMap<K, Box<V>>;

    fn deref(&self) -> &BTreeMap<K, Box<V>> {
        &self.map
    }
}

impl<'a, K, V> IntoIterator for &'a Table<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = std::iter::Map<Iter<'a, K, Box<V>>, Opened<'a, K, V>>;

    fn into_iter(self) -> Self::IntoIter {
        self.map.iter().map(|(key, value)| (key, value.as_ref()))
    }
}

/// How an entry is taken out of its box.
type Opened<'a, K, V> = fn((&'a K, &'a Box<V>)) -> (&'a K, &'a V);

impl<K: Ord + Serialize, V: Serialize> Serialize for Table<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.map.serialize(serializer)
    }
}

impl<'de, K: Ord + Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Table<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Table { map: BTreeMap::deserialize(deserializer)?, touched: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_added_or_removed_is_touched_and_what_is_read_is_not() {
        let mut table = Table::new();
        table.insert(1, 'a');
        assert!(table.touched.is_none() && table.touched().is_empty(), "nobody has asked for it");
        table.touch_all();
        table.insert(2, 'b');
        assert_eq!(table.touched(), BTreeSet::from([1, 2]));
        assert_eq!((table.get(&1), table.len()), (Some(&'a'), 2));
        assert!(table.touched().is_empty());
        *table.get_mut(&2).unwrap() = 'c';
        assert_eq!(table.get_mut(&7), None);
        assert_eq!(table.remove(&8), None);
        table.remove(&1);
        assert_eq!(table.touched(), BTreeSet::from([1, 2]));
        table.forget_touched();
        table.insert(3, 'd');
        assert!(table.touched.is_none());
    }
}
