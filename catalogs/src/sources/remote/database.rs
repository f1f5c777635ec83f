//! A database behind a server as a source: its schemas and tables, as a dataset names them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use engine::{Error, TableEntry, TableProviderRef};
use tokio::sync::Mutex;

use super::listings::{Listing, Listings};
use super::{Relation, Remote, RemoteTable, thread};
use crate::source::ScopedTable;
use crate::{Scope, Source};

/// How long a server may take to list a schema.
pub(crate) const LISTING_TIMEOUT: Duration = Duration::from_secs(30);

/// A server whose schemas hold tables.
pub(crate) trait Server: Remote {
    /// Where it is, without credentials.
    fn location(&self) -> &str;

    /// The schema and the table that the source's own options name.
    fn named(&self) -> (&str, Option<&str>);

    /// How long a connection may take to open.
    fn connect_timeout(&self) -> Duration;

    /// What is remembered of its schemas.
    fn listings(&self) -> &Listings<Self::Column>;

    /// Reads what a schema holds, sorted by name. It blocks.
    fn relations(&self, schema: &str) -> Result<Vec<Arc<Relation<Self::Column>>>, Error>;

    /// Opens a session and closes it. It blocks.
    fn greet(&self) -> Result<(), Error>;

    /// A part of a qualified name, without the quotes that it may have in SQL.
    fn unquoted(part: &str) -> &str;

    /// Why nobody connects at the moment.
    fn outage(&self) -> Option<String>;

    /// Connections that are open, idle, and allowed.
    fn connections(&self) -> (u32, u32, u32);
}

/// One database.
#[derive(Debug)]
pub(crate) struct Database<R> {
    server: Arc<R>,
    /// Held while a schema is read, so that many who ask at once ask once.
    listing: Mutex<()>,
}

#[async_trait]
impl<R: Server> Source for Database<R> {
    fn location(&self) -> String {
        self.server.location().to_owned()
    }

    fn default_schema(&self) -> &str {
        self.server.named().0
    }

    async fn tables(&self, scope: &Scope) -> Result<Vec<TableEntry>, Error> {
        let (schemas, chosen) = self.chosen(scope);
        let mut entries = Vec::new();
        if chosen.is_empty() {
            for schema in &schemas {
                entries.extend(self.listing(schema).await?.relations().iter().map(|relation| relation.entry()));
            }
            return Ok(entries);
        }
        for table in &chosen {
            if let Some(relation) = self.find(&schemas, table).await? {
                let schema = shown_schema(&schemas, &relation.schema).to_owned();
                entries.push(TableEntry { schema, name: table.name.clone(), ..relation.entry() });
            }
        }
        let rank = |entry: &TableEntry| schemas.iter().position(|schema| *schema == entry.schema);
        entries.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name)));
        Ok(entries)
    }

    async fn open(&self, scope: &Scope, schema: &str, table: &str) -> Result<Option<TableProviderRef>, Error> {
        let (schemas, chosen) = self.chosen(scope);
        let relation = if chosen.is_empty() {
            if !schemas.iter().any(|known| known == schema) {
                return Ok(None);
            }
            self.relation(schema, table).await?
        } else {
            let Some(named) = chosen.iter().find(|named| named.name == table) else { return Ok(None) };
            let found = self.find(&schemas, named).await?;
            found.filter(|found| found.schema == schema || shown_schema(&schemas, &found.schema) == schema)
        };
        Ok(relation
            .map(|relation| -> TableProviderRef { Arc::new(RemoteTable::new(relation, Arc::clone(&self.server))) }))
    }

    async fn test(&self) -> Result<(), Error> {
        let server = Arc::clone(&self.server);
        thread::ask(self.server.id(), self.server.connect_timeout() * 2, move |_| server.greet()).await
    }

    fn forget(&self) {
        self.server.listings().forget();
    }

    fn outage(&self) -> Option<String> {
        self.server.outage()
    }

    fn pool(&self) -> Option<(u32, u32, u32)> {
        Some(self.server.connections())
    }
}

impl<R: Server> Database<R> {
    pub(crate) fn new(server: R) -> Self {
        Self { server: Arc::new(server), listing: Mutex::new(()) }
    }

    /// The schemas and tables that `scope` means, with what the source's own options say where it is silent.
    fn chosen(&self, scope: &Scope) -> (Vec<String>, Vec<ScopedTable>) {
        let (schema, table) = self.server.named();
        let schemas = if scope.schemas.is_empty() { vec![schema.to_owned()] } else { scope.schemas.clone() };
        let tables = match table {
            Some(table) if scope.tables.is_empty() => vec![ScopedTable { name: table.to_owned(), at: None }],
            _ => scope.tables.clone(),
        };
        (schemas, tables)
    }

    /// A chosen table: by its name in one of the schemas, else as `schema.table`.
    async fn find(&self, schemas: &[String], chosen: &ScopedTable) -> Result<Option<Arc<Relation<R::Column>>>, Error> {
        let at = chosen.at.as_ref().unwrap_or(&chosen.name);
        for schema in schemas {
            if let Some(relation) = self.relation(schema, at).await? {
                return Ok(Some(relation));
            }
        }
        match at.split_once('.') {
            Some((schema, table)) => self.relation(R::unquoted(schema), R::unquoted(table)).await,
            None => Ok(None),
        }
    }

    async fn relation(&self, schema: &str, table: &str) -> Result<Option<Arc<Relation<R::Column>>>, Error> {
        let listing = self.listing(schema).await?;
        match listing.relation(table) {
            None if listing.may_lack() => {
                let listing = self.read_listing(schema, |known| !known.may_lack()).await?;
                Ok(listing.relation(table).cloned())
            }
            found => Ok(found.cloned()),
        }
    }

    async fn listing(&self, schema: &str) -> Result<Listing<R::Column>, Error> {
        let Some(listing) = self.server.listings().get(schema) else {
            return self.read_listing(schema, |_| true).await;
        };
        let (open, idle, most) = self.server.connections();
        let has_room = most.saturating_sub(open.saturating_sub(idle)) > 1;
        if has_room && self.server.listings().has_aged(schema) {
            let (server, schema) = (Arc::clone(&self.server), schema.to_owned());
            // Whoever uses it next finds out what is wrong, if anything is.
            drop(thread::spawn(self.server.id(), move || drop(read(&*server, &schema))));
        }
        Ok(listing)
    }

    /// Reads a schema, unless somebody else just did and it `serves`.
    async fn read_listing(
        &self,
        schema: &str,
        serves: impl Fn(&Listing<R::Column>) -> bool + Send,
    ) -> Result<Listing<R::Column>, Error> {
        let _one_at_a_time = self.listing.lock().await;
        if let Some(listing) = self.server.listings().get(schema).filter(serves) {
            return Ok(listing);
        }
        let (server, schema) = (Arc::clone(&self.server), schema.to_owned());
        let patience = server.connect_timeout() * 2 + LISTING_TIMEOUT;
        thread::ask(self.server.id(), patience, move |_| read(&*server, &schema)).await
    }
}

/// Reads a schema and remembers it. It blocks.
fn read<R: Server>(server: &R, schema: &str) -> Result<Listing<R::Column>, Error> {
    let (began, forgotten) = (Instant::now(), server.listings().forgotten());
    let listing = Listing::new(began, server.relations(schema)?);
    server.listings().put(schema, listing.clone(), forgotten);
    Ok(listing)
}

/// The schema under which a chosen table is listed: its own if the scope has it, else the default one.
fn shown_schema<'a>(schemas: &'a [String], own: &'a String) -> &'a str {
    schemas.iter().find(|schema| *schema == own).or(schemas.first()).unwrap_or(own)
}
