//! Lists on stdout: as a table for people, as JSON or CSV for programs.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value as Json};

use crate::failure::Failure;
use crate::values::{escaped, json_text};

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns
    Table,
    /// More columns, where there are
    Wide,
    /// One JSON list
    Json,
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values (RFC 4180), with a line of names
    Csv,
}

/// The option that says how a list is printed.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// How to print it
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,
}

/// A list: rows of cells under the names of their columns. What is not known is null.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Json>>,
}

impl Table {
    pub(crate) fn new(columns: &[&'static str]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, which has a cell for each column.
    pub(crate) fn row(&mut self, cells: Vec<Json>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// Prints it; an empty list is nothing but the names of its columns.
    pub(crate) fn print(&self, format: Format) -> Result<(), Failure> {
        let text = self.text(format);
        if text.is_empty() { Ok(()) } else { crate::print(&text) }
    }

    fn text(&self, format: Format) -> String {
        match format {
            Format::Table | Format::Wide => self.aligned(),
            Format::Json => json_text(&self.json()),
            Format::Jsonl => self.objects().map(|object| json_text(&object)).collect::<Vec<_>>().join("\n"),
            Format::Csv => self.csv(),
        }
    }

    /// The names of the columns.
    pub(crate) fn columns(&self) -> &[&'static str] {
        &self.columns
    }

    /// The rows, as they were added.
    pub(crate) fn rows(&self) -> &[Vec<Json>] {
        &self.rows
    }

    /// The rows as JSON.
    pub(crate) fn json(&self) -> Json {
        self.objects().collect()
    }

    fn objects(&self) -> impl Iterator<Item = Json> {
        self.rows.iter().map(|row| {
            let names = self.columns.iter().map(ToString::to_string);
            Json::Object(names.zip(row.iter().cloned()).collect::<Map<_, _>>())
        })
    }

    fn aligned(&self) -> String {
        let head: Vec<String> =
            self.columns.iter().map(|name| name.to_uppercase().replace('_', " ")).collect();
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(shown).map(|cell| dash(&cell)).collect()).collect();
        let all = || std::iter::once(&head).chain(&rows);
        let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let is_number = |column: usize| {
            let mut cells =
                self.rows.iter().map(|row| &row[column]).filter(|cell| !cell.is_null()).peekable();
            cells.peek().is_some() && cells.all(Json::is_number)
        };
        let right: Vec<bool> = (0..head.len()).map(is_number).collect();
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(&widths).zip(&right) {
                let _ =
                    if *right { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
            }
            line.trim_end().to_owned()
        };
        all().map(line).collect::<Vec<_>>().join("\n")
    }

    fn csv(&self) -> String {
        let quoted = |cell: String| match cell.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell,
        };
        let head = self.columns.join(",");
        let rows = self
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| quoted(shown(cell))).collect::<Vec<_>>().join(","));
        std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n")
    }
}

/// A cell as text.
pub(crate) fn shown(cell: &Json) -> String {
    match cell {
        Json::Null => String::new(),
        Json::String(text) => escaped(text),
        Json::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(" "),
        other => json_text(other),
    }
}

fn dash(cell: &str) -> String {
    if cell.is_empty() { "-".into() } else { cell.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table() -> Table {
        let mut table = Table::new(&["name", "queue_bytes", "list"]);
        table.row(vec![json!("a, \"b\""), json!(5), json!(["x", "y"])]);
        table.row(vec![json!("c\u{1b}"), json!(12345), Json::Null]);
        table
    }

    #[test]
    fn people_get_columns() {
        let expected = "\
NAME     QUEUE BYTES  LIST
a, \"b\"             5  x y
c\\u{1b}        12345  -";
        assert_eq!(table().text(Format::Table), expected);
        assert_eq!(Table::new(&["a", "b_c"]).text(Format::Table), "A  B C");
    }

    #[test]
    fn programs_get_json_or_csv() {
        let objects = [
            r#"{"list":["x","y"],"name":"a, \"b\"","queue_bytes":5}"#,
            r#"{"list":null,"name":"c\u001b","queue_bytes":12345}"#,
        ];
        assert_eq!(table().text(Format::Jsonl), objects.join("\n"));
        assert_eq!(table().text(Format::Json), format!("[{}]", objects.join(",")));
        assert_eq!(
            table().text(Format::Csv),
            "name,queue_bytes,list\n\"a, \"\"b\"\"\",5,x y\nc\\u{1b},12345,"
        );
        assert_eq!(Table::new(&["a"]).text(Format::Jsonl), "");
    }
}
