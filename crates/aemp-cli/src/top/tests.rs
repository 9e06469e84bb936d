//! What `top` does when keys are pressed, and how that looks, on made-up networks.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::{Value as Json, json};

use super::draw::{Look, draw};
use super::observe::{Picture, Wanted};
use super::state::{Dialog, Event, Order, State};
use super::view::View;
use crate::output::Table;

fn table(view: View, rows: &[Json]) -> Table {
    let mut table = Table::new(&view.columns());
    rows.iter().for_each(|row| table.row(row.as_array().unwrap().clone()));
    table
}

/// A network of two nodes of ours and one in Perl.
fn picture() -> Picture {
    let mut picture = Picture { time: 1_700_000_000.25, ..Picture::default() };
    let mut put = |view: View, rows: &[Json]| picture.tables[view.index()] = Some(table(view, rows));
    put(
        View::Nodes,
        &[
            json!(["seed", "up", "0.1.0", 7260, 12, 2, 2048, 150, 20_480, 1, 3, 0, ["192.0.2.1:4040"]]),
            json!([
                "perl",
                "up, tells nothing",
                null,
                null,
                null,
                null,
                null,
                null,
                null,
                null,
                null,
                null,
                null
            ]),
            json!(["worker/a", "up", "0.1.0", 59, 3, 1, 0, null, null, 0, 0, 0, null]),
        ],
    );
    put(
        View::Links,
        &[
            json!(["seed", "perl", "json", null, 0, null, 1, 500, 5, 6, 700, 800, 1, 0, 0]),
            json!(["seed", "worker/a", "aemp1+tls", 0.25, 4096, 2.5, 150, 20_000, 9, 9, 9, 9, 2, 1, 4]),
        ],
    );
    put(
        View::Ports,
        &[
            json!(["seed#a1", "idle", 0, 0]),
            json!(["seed#a2", "queued", 2048, 5]),
            json!(["worker/a#b1", "idle", 16, 1]),
        ],
    );
    put(View::Families, &[json!(["chat::room", 7, 300]), json!(["aemp::echo", 2, 40])]);
    put(View::Lost, &[json!(["seed", "2026-01-01T00:00:00.000Z", "seed#x", "hello", "no_such_port"])]);
    picture
}

fn seen(view: View) -> State {
    let mut state = State::new(view, false);
    assert_eq!(state.apply(Event::Seen(Box::new(picture()))), None);
    state
}

fn press(state: &mut State, keys: &str) -> Vec<Order> {
    let code = |key| match key {
        '\n' => KeyCode::Enter,
        '\t' => KeyCode::Tab,
        '\u{1b}' => KeyCode::Esc,
        key => KeyCode::Char(key),
    };
    let event = |key| Event::Key(KeyEvent::new(code(key), KeyModifiers::NONE));
    keys.chars().filter_map(|key| state.apply(event(key))).collect()
}

/// The names of the rows that are shown.
fn names(state: &State) -> Vec<&str> {
    (0..state.len()).map(|place| state.row_at(place)[0].as_str().unwrap()).collect()
}

fn drawn(state: &mut State, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state, Look { colour: true })).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}

#[test]
fn a_terminal_of_the_usual_size_shows_the_nodes() {
    let screen = drawn(&mut seen(View::Nodes), 80, 24);
    // Columns that do not fit are left out as a whole.
    let expected = [
        "aemp top  2023-11-14T22:13:20Z  (1 tell nothing)",
        " 1 nodes 3  2 links 2  3 ports 3  4 families 2  5 lost 1",
        "NODE\u{2191}     STATE              VERSION     UPTIME  PORTS  PEERS  MAILBOX  MSG/S",
        "perl      up, tells nothing  -                -      -      -        -      -",
        "seed      up                 0.1.0    2 h 1 min     12      2     2.0k    150",
        "worker/a  up                 0.1.0         59 s      3      1        0      -",
        "",
    ];
    assert_eq!(screen[..7], expected);
    assert_eq!(screen.len(), 24);
    assert_eq!(screen[23], "q quit  ? help  / filter  s sort  Enter more");
}

#[test]
fn a_large_terminal_shows_all_columns_and_numbers_stand_under_each_other() {
    let screen = drawn(&mut seen(View::Links), 120, 40);
    assert_eq!(
        &screen[2..5],
        [
            "NODE  PEER      CONNECTION  RTT MS  QUEUE\u{2193}  QUEUE AGE  MSG/S    B/S  SENT  RECV  SENT B  RECV B  CONNECTS  BREAKS  LOST",
            "seed  worker/a  aemp1+tls     0.25    4.1k        2.5    150  20.0k     9     9       9       9         2       1     4",
            "seed  perl      json             -       0          -      1    500     5     6     700     800         1       0     0",
        ]
    );
}

#[test]
fn a_tiny_terminal_shows_what_fits() {
    let mut state = seen(View::Ports);
    assert_eq!(
        drawn(&mut state, 40, 10),
        [
            "aemp top  2023-11-14T22:13:20Z  (1 tell",
            " 1 nodes 3  2 links 2  3 ports 3  4 fami",
            "PORT         STATE   BYTES\u{2193}  MONITORS",
            "seed#a2      queued    2.0k         5",
            "worker/a#b1  idle        16         1",
            "seed#a1      idle         0         0",
            "",
            "",
            "",
            "q quit  ? help  / filter  s sort  Enter",
        ]
    );
    for (width, height) in [(1, 1), (3, 2), (40, 3), (2, 30)] {
        for dialog in [None, Some(Dialog::Help), Some(Dialog::Kill("seed#a1".into())), Some(Dialog::Details)]
        {
            state.dialog = dialog;
            drawn(&mut state, width, height);
        }
    }
}

#[test]
fn a_chosen_node_shows_its_ports_and_a_chosen_port_all_of_itself() {
    let mut state = seen(View::Nodes);
    assert_eq!(names(&state), ["perl", "seed", "worker/a"]);
    assert_eq!(press(&mut state, "j\n"), [Order::Look]);
    assert_eq!((state.view, state.of.as_deref()), (View::Ports, Some("seed")));
    assert_eq!(state.wanted(), Wanted { ports: true, lost: false, of: Some("seed".into()) });
    assert_eq!(names(&state), ["seed#a2", "seed#a1"]);
    press(&mut state, "\n");
    let screen = drawn(&mut state, 60, 14).join("\n");
    assert!(screen.contains("of seed") && screen.contains("state            queued"), "{screen}");
    // Any key closes it; then Esc goes back.
    assert_eq!(press(&mut state, "x\u{1b}"), [Order::Look]);
    assert_eq!((state.view, state.of.as_deref()), (View::Nodes, None));
    assert_eq!(press(&mut state, "l\u{1b}"), [Order::Look, Order::Look]);
    assert_eq!(press(&mut state, "l"), [Order::Look]);
    assert_eq!((state.view, state.of.as_deref(), state.len()), (View::Links, Some("seed"), 2));
    press(&mut state, "\u{1b}");
    assert_eq!(press(&mut state, "2j\n"), [Order::Look, Order::Look]);
    assert_eq!((state.view, state.of.as_deref()), (View::Links, Some("perl")));
}

#[test]
fn a_filter_leaves_what_has_its_text_in_any_column() {
    let mut state = seen(View::Ports);
    press(&mut state, "/QUE");
    assert_eq!(names(&state), ["seed#a2"]);
    assert_eq!(drawn(&mut state, 40, 6)[5], "/QUE_");
    // Letters are typed, and do nothing else.
    assert_eq!(press(&mut state, "q"), []);
    assert_eq!(state.len(), 0);
    assert!(drawn(&mut state, 60, 6)[3].starts_with("no row has this text"));
    press(&mut state, "\u{1b}");
    assert_eq!(state.len(), 3);
    press(&mut state, "/worker\n");
    assert_eq!(names(&state), ["worker/a#b1"]);
    assert_eq!(press(&mut state, "\u{1b}"), []);
    assert_eq!(state.len(), 3);
}

#[test]
fn lists_are_sorted_by_any_column_in_both_directions() {
    let mut state = seen(View::Ports);
    assert_eq!(names(&state), ["seed#a2", "worker/a#b1", "seed#a1"]);
    press(&mut state, "r");
    assert_eq!(names(&state), ["seed#a1", "worker/a#b1", "seed#a2"]);
    press(&mut state, "ss");
    assert_eq!(names(&state), ["seed#a1", "seed#a2", "worker/a#b1"]);
    assert!(state.sort_by("monitors") && !state.sort_by("nonsense"));
    assert_eq!(names(&state), ["seed#a1", "worker/a#b1", "seed#a2"]);
    assert_eq!(names(&seen(View::Families)), ["aemp::echo", "chat::room"]);
}

#[test]
fn the_chosen_row_stays_chosen_when_the_rows_move() {
    let mut state = seen(View::Ports);
    press(&mut state, "j");
    assert_eq!(state.row().unwrap()[0], "worker/a#b1");
    let mut later = picture();
    let rows = [json!(["worker/a#b1", "idle", 9999, 1]), json!(["seed#a1", "idle", 0, 0])];
    later.tables[View::Ports.index()] = Some(table(View::Ports, &rows));
    state.apply(Event::Seen(Box::new(later)));
    assert_eq!((state.chosen(), &state.row().unwrap()[0]), (0, &json!("worker/a#b1")));
    // One that is gone gives its place to the next.
    let mut last = picture();
    last.tables[View::Ports.index()] = Some(table(View::Ports, &rows[1..]));
    state.apply(Event::Seen(Box::new(last)));
    assert_eq!(state.row().unwrap()[0], "seed#a1");
    // A list that is empty has no row to show.
    last = picture();
    last.tables[View::Ports.index()] = Some(table(View::Ports, &[]));
    state.apply(Event::Seen(Box::new(last)));
    assert_eq!(state.row(), None);
    assert_eq!(press(&mut state, "jGk\niK"), []);
}

#[test]
fn a_port_is_killed_after_a_question_and_nothing_when_only_looking() {
    let mut state = seen(View::Ports);
    assert_eq!(press(&mut state, "K"), []);
    assert_eq!(state.dialog, Some(Dialog::Kill("seed#a2".into())));
    assert!(drawn(&mut state, 60, 12).join("\n").contains("Kill seed#a2?"));
    assert_eq!(press(&mut state, "n"), []);
    assert_eq!(press(&mut state, "Ky"), [Order::Kill("seed#a2".into())]);
    state.apply(Event::Told("seed#a2 is dead: killed by aemp top".into()));
    assert_eq!(drawn(&mut state, 60, 12)[11], "seed#a2 is dead: killed by aemp top");
    assert_eq!(press(&mut state, "1K"), [Order::Look]);
    assert_eq!(state.dialog, None);

    let mut careful = State::new(View::Ports, true);
    careful.apply(Event::Seen(Box::new(picture())));
    assert_eq!(press(&mut careful, "Ky"), []);
    assert!(drawn(&mut careful, 80, 5)[0].contains("read-only"));
}

#[test]
fn keys_end_it_and_explain_it() {
    let mut state = seen(View::Nodes);
    assert_eq!(press(&mut state, "?"), []);
    let help = drawn(&mut state, 80, 24).join("\n");
    assert!(help.contains("nodes, links, ports, families, lost messages") && help.contains("quit"), "{help}");
    // The key that closes the help does nothing else.
    assert_eq!(press(&mut state, "q"), []);
    assert_eq!(press(&mut state, "q"), [Order::Quit]);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(state.apply(Event::Key(interrupt)), Some(Order::Quit));
    assert_eq!(press(&mut state, "\t\t\t\t"), [const { Order::Look }; 4]);
    assert_eq!(state.view, View::Lost);
}

#[test]
fn what_is_not_known_is_said() {
    let mut state = State::new(View::Families, false);
    assert!(drawn(&mut state, 80, 6)[3].starts_with("asking"));
    let mut of_perl = picture();
    of_perl.tables[View::Families.index()] = None;
    state.apply(Event::Seen(Box::new(of_perl)));
    assert!(drawn(&mut state, 80, 6)[3].starts_with("no node here can list the families"));
}

#[test]
fn text_of_others_does_not_steer_the_terminal() {
    let mut state = State::new(View::Families, false);
    let mut picture = picture();
    picture.tables[View::Families.index()] =
        Some(table(View::Families, &[json!(["\u{1b}[2J\u{202e}x", 1, 1])]));
    state.apply(Event::Seen(Box::new(picture)));
    assert!(drawn(&mut state, 60, 5)[3].starts_with("\\u{1b}[2J\\u{202e}x"));
}

#[test]
fn of_a_thousand_nodes_only_those_on_the_screen_are_looked_at() {
    let node = |n: usize| json!([format!("node/{n:04}"), "up", "1", n, 1, 1, 0, 1, 1, 0, 0, 0, null]);
    let mut picture = Picture::default();
    picture.tables[View::Nodes.index()] = Some(table(View::Nodes, &(0..1000).map(node).collect::<Vec<_>>()));
    let mut state = State::new(View::Nodes, false);
    state.apply(Event::Seen(Box::new(picture)));
    press(&mut state, "G");
    state.looked_at.take();
    let screen = drawn(&mut state, 120, 40);
    let looked_at = state.looked_at.take();
    assert!(screen[38].starts_with("node/0999"), "{screen:#?}");
    assert!(looked_at.iter().all(|place| (964..1000).contains(place)), "{looked_at:?}");
    assert!(!looked_at.is_empty());
    press(&mut state, "g");
    assert!(drawn(&mut state, 120, 40)[3].starts_with("node/0000"));
}
