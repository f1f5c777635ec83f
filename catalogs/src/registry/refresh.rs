//! Reading a dataset's tables again, and what is otherwise than it was last seen.

use std::collections::{BTreeSet, HashSet};

use engine::{Catalog, Dataset, Drift, Error, TableDrift, TableEntry, Unreadable};
use futures::stream::{self, StreamExt};

use super::Registry;
use super::seen::Tables;
use crate::home::DeclaredPart;

/// Tables that are opened at once.
const AT_ONCE: usize = 16;

impl Registry {
    /// As [`Catalog::refresh`].
    pub(super) async fn read_again(&self, dataset: &Dataset) -> Result<Drift, Error> {
        let before = self.inner.seen.of(&dataset.id);
        self.forget(self.parts(dataset)?);
        let entries = self.tables(dataset).await?;
        let opened = stream::iter(entries.to_vec()).map(|entry| async move {
            let table = self.table(dataset, &entry.schema, &entry.name).await;
            (entry, table.map(|table| table.map(|table| table.schema())))
        });
        let mut drift = Drift { is_first: before.listed.is_none(), ..Drift::default() };
        let (mut now, mut listed) = (Tables::default(), BTreeSet::new());
        let mut opened = opened.buffered(AT_ONCE);
        while let Some((entry, schema)) = opened.next().await {
            let key = (entry.schema.clone(), entry.name.clone());
            let name = named(dataset, &entry);
            let earlier = before.columns.get(&key);
            match schema {
                // It went away in between.
                Ok(None) => continue,
                Ok(Some(schema)) => {
                    drift.changed.extend(earlier.and_then(|earlier| TableDrift::between(&name, earlier, &schema)));
                    now.columns.insert(key.clone(), schema);
                }
                Err(error) => {
                    drift.unreadable.push(Unreadable { table: name.clone(), error });
                    now.columns.extend(earlier.map(|earlier| (key.clone(), earlier.clone())));
                }
            }
            if before.listed.as_ref().is_some_and(|listed| !listed.contains(&key)) && earlier.is_none() {
                drift.added.push(name);
            }
            listed.insert(key);
            drift.tables += 1;
        }
        now.listed = Some(listed);
        drift.removed =
            before.missing_from(&now).map(|(schema, table)| dataset.listed_name(schema, table).into_owned()).collect();
        drift.added.sort();
        drift.removed.sort();
        drift.changed.sort_by(|a, b| a.table.cmp(&b.table));
        self.inner.seen.put(&dataset.id, now);
        Ok(drift)
    }

    /// Drops what is remembered of the sources of `parts`, and the listings of every dataset that comes from them.
    fn forget(&self, parts: &[DeclaredPart]) {
        let sources: HashSet<&str> = parts.iter().map(|part| part.source.as_str()).collect();
        for source in self.inner.sources.iter().filter(|source| sources.contains(source.declared.id.as_str())) {
            source.declared.source.forget();
        }
        let comes_from_them =
            |parts: &Vec<DeclaredPart>| parts.iter().any(|part| sources.contains(part.source.as_str()));
        let datasets = &self.inner.parts;
        self.listings().retain(|dataset, _| !datasets.get(dataset).is_some_and(comes_from_them));
    }
}

fn named(dataset: &Dataset, entry: &TableEntry) -> String {
    dataset.listed_name(&entry.schema, &entry.name).into_owned()
}
