//! What `top` shows, as a pure value: keys and pictures go in, orders come out.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::Value as Json;

use super::list::{List, Sort};
use super::observe::{Picture, Wanted};
use super::view::View;
use crate::output::Table;

/// What happens to it.
#[derive(Debug)]
pub(super) enum Event {
    Key(KeyEvent),
    /// The network was looked at.
    Seen(Box<Picture>),
    /// Something is to be told.
    Told(String),
}

/// What the loop around it has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    Quit,
    /// Look at the network at once: something else is shown.
    Look,
    Kill(String),
}

/// What stands above the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dialog {
    Help,
    /// All cells of the chosen row.
    Details,
    /// Whether this port is to be killed.
    Kill(String),
}

/// What is shown.
#[derive(Debug)]
pub(super) struct State {
    pub(super) view: View,
    lists: [List; 5],
    /// The node whose rows alone are shown.
    pub(super) of: Option<String>,
    pub(super) filter: String,
    /// Whether the filter is being typed.
    pub(super) typing: bool,
    pub(super) dialog: Option<Dialog>,
    /// What was told last, until a key is pressed.
    pub(super) told: Option<String>,
    /// When the network was last looked at, in seconds since 1970.
    pub(super) time: Option<f64>,
    pub(super) read_only: bool,
    /// The rows that were asked for, by their places.
    #[cfg(test)]
    pub(super) looked_at: std::cell::RefCell<Vec<usize>>,
}

impl State {
    pub(super) fn new(view: View, read_only: bool) -> State {
        State {
            view,
            lists: View::ALL.map(List::new),
            of: None,
            filter: String::new(),
            typing: false,
            dialog: None,
            told: None,
            time: None,
            read_only,
            #[cfg(test)]
            looked_at: std::cell::RefCell::default(),
        }
    }

    /// What has to be looked at for what is shown.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted { ports: self.view == View::Ports, lost: self.view == View::Lost, of: self.of.clone() }
    }

    /// Takes an event, and gives an order if it needs one.
    pub(super) fn apply(&mut self, event: Event) -> Option<Order> {
        match event {
            Event::Key(key) => {
                self.told = None;
                self.press(key)
            }
            Event::Seen(picture) => {
                self.time = Some(picture.time);
                for (list, table) in self.lists.iter_mut().zip(picture.tables) {
                    if let Some(table) = table {
                        (list.table, list.seen) = (table, true);
                    }
                }
                self.arrange();
                None
            }
            Event::Told(text) => {
                self.told = Some(text);
                None
            }
        }
    }

    fn press(&mut self, KeyEvent { code, modifiers, .. }: KeyEvent) -> Option<Order> {
        if modifiers.contains(KeyModifiers::CONTROL) && matches!(code, KeyCode::Char('c' | 'd')) {
            return Some(Order::Quit);
        }
        match self.dialog.take() {
            Some(Dialog::Kill(port)) => {
                return matches!(code, KeyCode::Char('y' | 'Y')).then_some(Order::Kill(port));
            }
            Some(Dialog::Help | Dialog::Details) => return None,
            None if self.typing => {
                self.type_filter(code);
                return None;
            }
            None => {}
        }
        match code {
            KeyCode::Char('q') => return Some(Order::Quit),
            KeyCode::Char('?') => self.dialog = Some(Dialog::Help),
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('i') => self.dialog = self.row().map(|_| Dialog::Details),
            KeyCode::Char(digit @ '1'..='5') => {
                let at = digit.to_digit(10).map_or(0, |digit| digit as usize - 1);
                return self.show(View::ALL[at]);
            }
            KeyCode::Tab | KeyCode::Right => return self.show(self.view.step(1)),
            KeyCode::BackTab | KeyCode::Left => return self.show(self.view.step(View::ALL.len() - 1)),
            KeyCode::Char('s') => self.sort(|sort, columns| sort.column = (sort.column + 1) % columns),
            KeyCode::Char('S') => {
                self.sort(|sort, columns| sort.column = (sort.column + columns - 1) % columns);
            }
            KeyCode::Char('r') => self.sort(|sort, _| sort.descending = !sort.descending),
            KeyCode::Enter => return self.enter(),
            KeyCode::Char('l') if self.view == View::Nodes => return self.show_of(0, View::Links),
            KeyCode::Esc => return self.leave(),
            KeyCode::Char('K') | KeyCode::Delete => self.ask_to_kill(),
            KeyCode::Down | KeyCode::Char('j') => self.list_mut().go(1),
            KeyCode::Up | KeyCode::Char('k') => self.list_mut().go(-1),
            KeyCode::PageDown => self.list_mut().go(10),
            KeyCode::PageUp => self.list_mut().go(-10),
            KeyCode::Home | KeyCode::Char('g') => self.list_mut().go(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.list_mut().go(isize::MAX),
            _ => {}
        }
        None
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(typed) => self.filter.push(typed),
            _ => {}
        }
        self.arrange();
    }

    fn show(&mut self, view: View) -> Option<Order> {
        self.view = view;
        self.filter.clear();
        self.arrange();
        Some(Order::Look)
    }

    /// Goes from a node to its ports, and from a link to the links of the node at its other end.
    fn enter(&mut self) -> Option<Order> {
        match self.view {
            View::Nodes => self.show_of(0, View::Ports),
            View::Links => self.show_of(1, View::Links),
            View::Ports | View::Families | View::Lost => {
                self.dialog = self.row().map(|_| Dialog::Details);
                None
            }
        }
    }

    /// Shows another list of the node whose name stands in this column of the chosen row.
    fn show_of(&mut self, column: usize, view: View) -> Option<Order> {
        self.of = Some(self.cell(column)?);
        self.show(view)
    }

    /// Takes back what was chosen last: the filter, or the node.
    fn leave(&mut self) -> Option<Order> {
        if !self.filter.is_empty() {
            self.filter.clear();
            self.arrange();
            return None;
        }
        self.of.take().and_then(|_| self.show(View::Nodes))
    }

    fn ask_to_kill(&mut self) {
        if self.view != View::Ports {
            self.told = Some("only ports can be killed: choose one with 3".into());
        } else if self.read_only {
            self.told = Some("nothing can be killed with --read-only".into());
        } else if let Some(port) = self.cell(0) {
            self.dialog = Some(Dialog::Kill(port));
        }
    }

    fn sort(&mut self, change: impl Fn(&mut Sort, usize)) {
        let list = self.list_mut();
        change(&mut list.sort, list.table.columns().len());
        self.arrange();
    }

    /// Sorts by a column with this name; false if there is no such column.
    pub(super) fn sort_by(&mut self, name: &str) -> bool {
        let list = self.list_mut();
        let Some(column) = list.table.columns().iter().position(|column| *column == name) else {
            return false;
        };
        list.sort.column = column;
        self.arrange();
        true
    }

    fn arrange(&mut self) {
        let of = self.of.as_deref().filter(|_| self.view.is_of_nodes() && self.view != View::Nodes);
        self.lists[self.view.index()].arrange(self.view, of, &self.filter.to_lowercase());
    }

    fn list(&self) -> &List {
        &self.lists[self.view.index()]
    }

    fn list_mut(&mut self) -> &mut List {
        &mut self.lists[self.view.index()]
    }

    /// How many rows a list has.
    pub(super) fn count(&self, view: View) -> Option<usize> {
        let list = &self.lists[view.index()];
        list.seen.then(|| list.table.rows().len())
    }

    /// Whether the list that is shown was ever seen.
    pub(super) fn is_seen(&self) -> bool {
        self.list().seen
    }

    /// The nodes that do not tell how they are.
    pub(super) fn untold(&self) -> usize {
        let rows = self.lists[View::Nodes.index()].table.rows();
        rows.iter().filter(|row| row[1] != "up").count()
    }

    pub(super) fn columns(&self) -> &[&'static str] {
        self.list().table.columns()
    }

    /// The column that is sorted by, and whether the largest comes first.
    pub(super) fn sorted(&self) -> (usize, bool) {
        (self.list().sort.column, self.list().sort.descending)
    }

    /// The list that is shown, as it is shown.
    pub(super) fn table(&self) -> Table {
        let mut table = Table::new(self.columns());
        (0..self.len()).for_each(|place| table.row(self.row_at(place).to_vec()));
        table
    }

    /// How many rows are shown.
    pub(super) fn len(&self) -> usize {
        self.list().order.len()
    }

    /// The row at this place among those that are shown.
    pub(super) fn row_at(&self, place: usize) -> &[Json] {
        #[cfg(test)]
        self.looked_at.borrow_mut().push(place);
        let list = self.list();
        list.order.get(place).and_then(|at| list.table.rows().get(*at)).map_or(&[], Vec::as_slice)
    }

    /// The chosen row.
    pub(super) fn row(&self) -> Option<&[Json]> {
        Some(self.row_at(self.chosen())).filter(|row| !row.is_empty())
    }

    pub(super) fn chosen(&self) -> usize {
        self.list().chosen
    }

    fn cell(&self, column: usize) -> Option<String> {
        self.row()?.get(column)?.as_str().map(str::to_owned)
    }

    /// The place of the first row on a screen with `height` rows; the chosen one is on it.
    pub(super) fn scroll(&mut self, height: usize) -> usize {
        self.list_mut().scroll(height)
    }
}
