//! One list of `top`: which rows are shown, in which order, and which one is chosen.

use std::cmp::Ordering;

use serde_json::Value as Json;

use super::view::View;
use crate::output::{Table, shown};

/// How a list is sorted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sort {
    pub(super) column: usize,
    pub(super) descending: bool,
}

/// What is shown of one list.
#[derive(Debug)]
pub(super) struct List {
    pub(super) table: Table,
    /// Whether it was ever seen.
    pub(super) seen: bool,
    pub(super) sort: Sort,
    /// The rows that are shown, by their places in the table.
    pub(super) order: Vec<usize>,
    /// The place of the chosen row in `order`, and what tells it from others.
    pub(super) chosen: usize,
    key: Option<Vec<Json>>,
    /// The place in `order` of the first row on the screen.
    first: usize,
}

impl List {
    pub(super) fn new(view: View) -> List {
        let table = Table::new(&view.columns());
        let column = table.columns().iter().position(|column| *column == view.sorted_by()).unwrap_or(0);
        // The fullest and the last are looked for, and names are looked up.
        let descending = !matches!(view, View::Nodes | View::Families);
        let sort = Sort { column, descending };
        List { table, seen: false, sort, order: Vec::new(), chosen: 0, key: None, first: 0 }
    }

    /// Finds the rows that are shown, in their order, and the chosen one among them.
    pub(super) fn arrange(&mut self, view: View, of: Option<&str>, filter: &str) {
        let rows = self.table.rows();
        let is_of_node = |row: &[Json]| of.is_none_or(|of| is_of(view, row, of));
        let has = |row: &[Json]| row.iter().any(|cell| shown(cell).to_lowercase().contains(filter));
        let is_shown = |at: &usize| is_of_node(&rows[*at]) && (filter.is_empty() || has(&rows[*at]));
        let Sort { column, descending } = self.sort;
        let mut order: Vec<usize> = (0..rows.len()).filter(is_shown).collect();
        order.sort_by(|one, other| {
            let by = compare(&rows[*one][column], &rows[*other][column]);
            if descending { by.reverse() } else { by }
        });
        self.order = order;
        let same = self
            .key
            .as_ref()
            .and_then(|key| self.order.iter().position(|at| rows[*at][..view.keys()] == key[..]));
        self.chosen = same.unwrap_or(self.chosen).min(self.order.len().saturating_sub(1));
        self.keep(view.keys());
    }

    pub(super) fn go(&mut self, by: isize) {
        let last = self.order.len().saturating_sub(1);
        self.chosen = self.chosen.saturating_add_signed(by).min(last);
        let keys = self.key.as_ref().map_or(0, Vec::len);
        self.keep(keys);
    }

    /// The place of the first row on a screen with `height` rows; the chosen one is on it.
    pub(super) fn scroll(&mut self, height: usize) -> usize {
        let height = height.max(1);
        let last = self.order.len().saturating_sub(height);
        self.first = self.first.clamp((self.chosen + 1).saturating_sub(height), self.chosen).min(last);
        self.first
    }

    /// Remembers the chosen row for when the rows have moved.
    fn keep(&mut self, keys: usize) {
        let row = self.order.get(self.chosen).map(|at| self.table.rows()[*at][..keys].to_vec());
        self.key = row.or_else(|| self.key.take());
    }
}

/// Whether a row belongs to a node.
fn is_of(view: View, row: &[Json], node: &str) -> bool {
    let name = row[0].as_str().unwrap_or_default();
    match view {
        View::Ports => name.strip_prefix(node).is_some_and(|rest| rest.starts_with('#')),
        _ => name == node,
    }
}

/// What is not known is less than everything else.
fn compare(one: &Json, other: &Json) -> Ordering {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => {
            one.as_f64().unwrap_or_default().total_cmp(&other.as_f64().unwrap_or_default())
        }
        (Json::String(one), Json::String(other)) => one.cmp(other),
        (Json::Null, Json::Null) => Ordering::Equal,
        (Json::Null, _) => Ordering::Less,
        (_, Json::Null) => Ordering::Greater,
        (one, other) => shown(one).cmp(&shown(other)),
    }
}
