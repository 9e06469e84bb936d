//! Draws a [`State`]. Only the rows that are on the screen are looked at.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};
use serde_json::Value as Json;

use super::state::{Dialog, State};
use super::view::View;
use crate::inspect::stats::{time, uptime};
use crate::output::shown;
use crate::values::escaped;

/// The widest first column beside others.
const NAME_MAX: usize = 40;

const HELP: &str = "\
1-5, Tab     nodes, links, ports, families, lost messages
Up, Down     choose a row (also k, j, Page Up, Page Down, g, G)
Enter        of a node: its ports; of a link: the links of its peer;
             else all of the row
l            of a node: its links
i            all of the row
/            show only rows with a text; Esc shows all again
Esc          back to all nodes
s, S         sort by the next column, by the one before
r            turn the order round
K            kill the port, after a question
q            quit";

const KEYS: &str = "q quit  ? help  / filter  s sort  Enter more";

/// How it looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) colour: bool,
}

impl Look {
    fn of(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }
}

pub(super) fn draw(frame: &mut Frame, state: &mut State, look: Look) {
    let [head, tabs, list, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Line::from(title(state)), head);
    frame.render_widget(views(state), tabs);
    draw_list(frame, state, look, list);
    frame.render_widget(footer(state, look), foot);
    if let Some(dialog) = state.dialog.clone() {
        draw_dialog(frame, state, &dialog);
    }
}

fn title(state: &State) -> String {
    let mut title = String::from("aemp top");
    if let Some(now) = state.time {
        // The seconds are enough.
        title += &format!("  {}Z", time(now).split_once('.').map_or("-", |(time, _)| time));
    }
    if let Some(of) = &state.of {
        title += &format!("  of {}", escaped(of));
    }
    if !state.filter.is_empty() {
        title += &format!("  with {}", escaped(&state.filter));
    }
    if state.read_only {
        title += "  read-only";
    }
    if state.untold() > 0 {
        title += &format!("  ({} tell nothing)", state.untold());
    }
    title
}

fn views(state: &State) -> Line<'static> {
    let one = |view: View| {
        let count = state.count(view).map(|count| format!(" {count}")).unwrap_or_default();
        let text = format!(" {} {}{count} ", view.index() + 1, view.name());
        let style = if view == state.view { Modifier::REVERSED } else { Modifier::empty() };
        Span::styled(text, Style::new().add_modifier(style))
    };
    View::ALL.map(one).to_vec().into()
}

fn footer(state: &State, look: Look) -> Line<'static> {
    if state.typing {
        return format!("/{}_", escaped(&state.filter)).into();
    }
    match &state.told {
        Some(told) => Line::styled(escaped(told), look.of(Color::Yellow).add_modifier(Modifier::BOLD)),
        None => Line::styled(KEYS, Style::new().add_modifier(Modifier::DIM)),
    }
}

fn draw_list(frame: &mut Frame, state: &mut State, look: Look, area: Rect) {
    let height = usize::from(area.height).saturating_sub(1);
    let first = state.scroll(height);
    let places = first..state.len().min(first + height);
    let rows: Vec<Vec<String>> =
        places.clone().map(|place| cells(state.columns(), state.row_at(place))).collect();
    let heads = heads(state);
    let columns = fit(&heads, &rows, usize::from(area.width));
    let numbers: Vec<bool> = (0..heads.len())
        .map(|column| places.clone().any(|place| state.row_at(place)[column].is_number()))
        .collect();
    let line = |cells: &[String]| {
        let mut line = String::new();
        for (column, width) in columns.iter().enumerate() {
            line += &padded(&cells[column], *width, numbers[column]);
            line += "  ";
        }
        line
    };
    let mut lines = vec![Line::styled(line(&heads), look.of(Color::Cyan).add_modifier(Modifier::BOLD))];
    for (place, cells) in places.zip(&rows) {
        let style = if place == state.chosen() {
            Style::new().add_modifier(Modifier::REVERSED)
        } else {
            row_style(state, state.row_at(place), look)
        };
        lines.push(Line::styled(line(cells), style));
    }
    if rows.is_empty() {
        lines.push(Line::from(nothing(state)));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn nothing(state: &State) -> &'static str {
    match state.view {
        _ if !state.filter.is_empty() && state.is_seen() => "no row has this text; Esc shows all",
        View::Families if state.time.is_some() && !state.is_seen() => {
            "no node here can list the families: Perl nodes do not know that question"
        }
        View::Nodes if state.is_seen() => "no node is connected, and no seed answers",
        _ if state.is_seen() => "there are none, or they are not told",
        _ => "asking the nodes…",
    }
}

/// Names of the columns, with a mark at the one that is sorted by.
fn heads(state: &State) -> Vec<String> {
    let (sorted, descending) = state.sorted();
    let mark = |column| match (column == sorted, descending) {
        (true, true) => "\u{2193}",
        (true, false) => "\u{2191}",
        (false, _) => "",
    };
    let name = |(column, name): (usize, &&str)| format!("{}{}", short(name).to_uppercase(), mark(column));
    state.columns().iter().enumerate().map(name).collect()
}

/// The name of a column where room is scarce.
fn short(name: &str) -> String {
    match name {
        "mailbox_bytes" => "mailbox".into(),
        "messages_per_s" => "msg/s".into(),
        "bytes_per_s" => "B/s".into(),
        "round_trip_ms" => "rtt ms".into(),
        "queue_bytes" => "queue".into(),
        "undeliverable" => "lost".into(),
        "blocked_handlers" => "blocked".into(),
        "received" => "recv".into(),
        "sent_bytes" => "sent B".into(),
        "received_bytes" => "recv B".into(),
        other => other.replace('_', " "),
    }
}

/// The cells of a row as they are read best.
fn cells(columns: &[&str], row: &[Json]) -> Vec<String> {
    columns.iter().zip(row).map(|(column, cell)| text(column, cell)).collect()
}

fn text(column: &str, cell: &Json) -> String {
    match (column, cell.as_f64()) {
        (_, None) => Some(shown(cell)).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".into()),
        ("uptime", Some(seconds)) => uptime(seconds),
        (
            "bytes" | "mailbox_bytes" | "queue_bytes" | "bytes_per_s" | "sent_bytes" | "received_bytes",
            Some(bytes),
        ) => size(bytes),
        _ => shown(cell),
    }
}

/// Bytes with three digits and a unit.
fn size(bytes: f64) -> String {
    let (mut rest, mut unit) = (bytes, 0);
    let units = ["", "k", "M", "G", "T", "P"];
    while rest >= 999.5 && unit + 1 < units.len() {
        (rest, unit) = (rest / 1000.0, unit + 1);
    }
    let digits = usize::from(unit > 0 && rest < 99.95);
    format!("{rest:.digits$}{}", units[unit])
}

/// The widths of as many columns as there is room for; the first one is cut if it is wide.
fn fit(heads: &[String], rows: &[Vec<String>], room: usize) -> Vec<usize> {
    let width = |column: usize| {
        std::iter::once(&heads[column])
            .chain(rows.iter().map(|row| &row[column]))
            .map(|cell| wide(cell))
            .max()
    };
    let mut widths: Vec<usize> = (0..heads.len()).filter_map(width).collect();
    let others: usize = widths.iter().skip(1).map(|width| width + 2).sum();
    if let Some(first) = widths.first_mut() {
        *first = (*first).min(room.saturating_sub(others).max(NAME_MAX)).min(room);
    }
    let mut taken = 0;
    let fits = |width: &usize| {
        taken += width + 2;
        taken - 2 <= room
    };
    widths.into_iter().take_while(fits).collect()
}

fn wide(text: &str) -> usize {
    Span::raw(text).width()
}

/// A cell in a column of this width.
fn padded(cell: &str, width: usize, right: bool) -> String {
    let mut text = cell.to_owned();
    if wide(&text) > width {
        while wide(&text) + 1 > width && text.pop().is_some() {}
        text.push('…');
    }
    let blanks = " ".repeat(width.saturating_sub(wide(&text)));
    if right { blanks + &text } else { text + &blanks }
}

/// What is wrong stands out.
fn row_style(state: &State, row: &[Json], look: Look) -> Style {
    let cell = |name: &str| {
        let column = state.columns().iter().position(|column| *column == name);
        column.and_then(|column| row.get(column)).unwrap_or(&Json::Null)
    };
    match state.view {
        View::Nodes => match cell("state").as_str() {
            Some("unreachable" | "silent") => look.of(Color::Red),
            Some("up") | None => Style::new(),
            Some(_) => look.of(Color::DarkGray),
        },
        View::Links if cell("queue_age").as_f64().is_some_and(|age| age > 1.0) => look.of(Color::Red),
        View::Links if cell("connection").is_null() => look.of(Color::DarkGray),
        _ => Style::new(),
    }
}

fn draw_dialog(frame: &mut Frame, state: &State, dialog: &Dialog) {
    let (title, text) = match dialog {
        Dialog::Help => (" help ", HELP.to_owned()),
        Dialog::Details => (" any key closes ", details(state)),
        Dialog::Kill(port) => {
            (" kill ", format!("Kill {}?\ny kills it, any other key does not.", escaped(port)))
        }
    };
    let all = frame.area();
    let widest = text.lines().map(wide).max().unwrap_or(0) + 4;
    let width = u16::try_from(widest).unwrap_or(u16::MAX).min(all.width);
    let inner = usize::from(width.saturating_sub(4)).max(1);
    let lines: usize = text.lines().map(|line| wide(line).div_ceil(inner).max(1)).sum();
    let height = u16::try_from(lines + 2).unwrap_or(u16::MAX).min(all.height);
    let area =
        Rect { x: all.x + (all.width - width) / 2, y: all.y + (all.height - height) / 2, width, height };
    let block = Block::bordered().title(title).padding(ratatui::widgets::Padding::horizontal(1));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }).block(block), area);
}

/// All cells of the chosen row, one a line.
fn details(state: &State) -> String {
    let row = state.row().unwrap_or_default();
    let line = |(column, cell): (&&str, String)| format!("{:<16} {cell}", column.replace('_', " "));
    state.columns().iter().zip(cells(state.columns(), row)).map(line).collect::<Vec<_>>().join("\n")
}
