//! `aemp families`: the families of the shared database.

use std::collections::BTreeMap;

use aemp::Node;
use aemp::stats::FamilyStats;
use clap::Args;
use serde_json::json;

use super::connected;
use super::known::Known;
use crate::client::Access;
use crate::failure::Failure;
use crate::output::{Output, Table};

/// List the families of the shared database
///
/// With the number of their entries, and about how many bytes these have. The names of the
/// network's own families begin with '. Perl nodes cannot tell; the question needs one seed of this
/// kind.
#[derive(Debug, Args)]
pub(crate) struct Families {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    access: Access,
}

impl Families {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let list = async |node: &Node| {
            let known = Known::of(node, self.access.limit.timeout).await;
            let families = known.families.ok_or_else(|| {
                Failure::failed("no seed can list the families: Perl nodes do not know that question")
            })?;
            Ok(table(&families))
        };
        connected(&self.access, list).await?.print(self.output.format)
    }
}

/// The families as a list.
pub(crate) fn table(families: &BTreeMap<String, FamilyStats>) -> Table {
    let mut table = Table::new(&["family", "entries", "bytes"]);
    for (family, size) in families {
        table.row(vec![json!(family), json!(size.entries), json!(size.bytes)]);
    }
    table
}
