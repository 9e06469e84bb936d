//! `aemp web` in real processes: what it shows, and whom it refuses.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value as Json, json};
use support::hosts::output_of;
use support::{Running, User};

/// Headers that stand in every answer, also in those to nonsense.
const HEADERS: [&str; 6] = [
    "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options: nosniff",
    "x-frame-options: DENY",
    "referrer-policy: no-referrer",
    "cross-origin-resource-policy: same-origin",
    "cache-control: no-store",
];

/// A node with a service, and a user whose commands know it as their seed.
fn network() -> (User, Running) {
    let user = User::new();
    let seed = user.seed("seed", &["services", "aemp::echo"]);
    (user, seed)
}

/// A page that is served.
struct Page {
    running: Running,
    address: String,
    token: String,
}

impl Page {
    fn start(user: &User, more: &[&str]) -> Page {
        let mut running = user.start(&[&["web", "127.0.0.1:0"], more].concat());
        let line = running.line();
        let (address, token) = line.strip_prefix("http://").unwrap().split_once("/#").unwrap();
        assert_eq!(token.len(), 43);
        Page { address: address.into(), token: token.into(), running }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Status, head and content of the answer to this.
    fn raw(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        Answer::read(stream)
    }

    /// The same for a request as a browser would send it, but for these headers.
    fn ask(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.raw(&self.request(line, headers, body))
    }

    fn request(&self, line: &str, headers: &[(&str, &str)], body: &str) -> String {
        let bearer = format!("Bearer {}", self.token);
        let length = body.len().to_string();
        let mut all = vec![("host", self.address.as_str()), ("authorization", &bearer)];
        if line.starts_with("POST") {
            all.extend([("content-type", "application/json"), ("content-length", &length)]);
        }
        all.retain(|(name, _)| headers.iter().all(|(other, _)| name != other));
        all.extend(headers.iter().filter(|(_, value)| !value.is_empty()));
        let head: String = all.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{line} HTTP/1.1\r\n{head}\r\n{body}")
    }

    /// The first line of the answer, of which there may be no end.
    fn first_line(&self, line: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(self.request(line, &[], "").as_bytes()).unwrap();
        let mut first = String::new();
        BufReader::new(stream).read_line(&mut first).unwrap();
        first
    }

    /// The pictures that are told to a page which sees this.
    fn pictures(&self, wanted: &str) -> Events {
        self.events(&format!("/events?want={wanted}"))
    }

    fn events(&self, path: &str) -> Events {
        let mut stream = self.connect();
        stream.write_all(self.request(&format!("GET {path}"), &[], "").as_bytes()).unwrap();
        let mut lines = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(lines.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"), "{head}");
        HEADERS.iter().for_each(|header| assert!(head.contains(header), "{header}\n{head}"));
        Events(lines)
    }
}

struct Answer {
    status: u16,
    head: String,
    content: String,
}

impl Answer {
    fn read(mut stream: TcpStream) -> Answer {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, content) =
            answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        HEADERS.iter().for_each(|header| assert!(head.contains(header), "{header}\n{head}"));
        Answer { status, head: head.into(), content: content.into() }
    }
}

struct Events(BufReader<TcpStream>);

impl Events {
    fn next(&mut self) -> Json {
        let mut line = String::new();
        while !line.starts_with("data: ") {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream has ended");
        }
        serde_json::from_str(&line[6..]).unwrap()
    }

    /// The first picture for which this holds.
    fn until(&mut self, holds: impl Fn(&Json) -> bool) -> Json {
        loop {
            let picture = self.next();
            if holds(&picture) {
                return picture;
            }
        }
    }
}

fn names(picture: &Json, list: &str, column: usize) -> Vec<String> {
    let rows = picture["tables"][list]["rows"].as_array().unwrap();
    rows.iter().map(|row| row[column].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_node_that_joins_or_leaves_is_seen_with_its_links_and_families() {
    let (user, _seed) = network();
    let page = Page::start(&user, &[]);
    let mut pictures = page.pictures("");
    let first = pictures.next();
    assert_eq!((&first["version"], names(&first, "nodes", 0)), (&json!(1), vec!["seed".to_owned()]));
    assert_eq!(first["tables"]["nodes"]["columns"][1], "state");
    assert_eq!(first["tables"]["ports"], Json::Null);
    let mut worker =
        user.start(&["run", "nodeid", "worker", "binds", "127.0.0.1:0", "services", "aemp::sink"]);
    worker.ready();
    let joined = pictures.until(|picture| names(picture, "links", 1).contains(&"worker".into()));
    assert_eq!(names(&joined, "nodes", 0), ["seed", "worker"]);
    pictures.until(|picture| names(picture, "families", 0).contains(&"aemp::sink".into()));
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    // It is remembered for a while.
    let left = pictures.until(|picture| names(picture, "nodes", 1) != ["up", "up"]);
    assert_eq!(names(&left, "nodes", 1), ["up", "unreachable"]);
    pictures.until(|picture| {
        picture["tables"]["links"]["rows"].as_array().unwrap().iter().all(|link| link[2].is_null())
    });
}

#[test]
fn ports_and_lost_messages_are_told_where_they_are_wanted() {
    let (user, _seed) = network();
    user.fails(1, &["snd", "seed#nobody", "<b>hello</b>"]);
    let page = Page::start(&user, &[]);
    let picture = page.pictures("ports,lost").next();
    assert!(names(&picture, "ports", 0)[0].starts_with("seed#"), "{picture}");
    assert_eq!(names(&picture, "lost", 3), ["<b>hello</b>"]);
}

#[test]
fn logs_of_all_nodes_are_told_down_to_a_level() {
    let (user, _seed) = network();
    let page = Page::start(&user, &[]);
    // Records are heard once the nodes were asked for them; of a cause there is one line a second.
    let heard_over = |path: &str, text: &str| {
        let mut events = page.events(path);
        let heard = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in (0..).take_while(|_| !heard.load(Ordering::Relaxed)) {
                    user.ok(&["snd", "seed", &format!("no::such::function{number}")]);
                }
            });
            let record = loop {
                let event = events.next();
                assert_eq!(event["columns"], json!(["time", "node", "level", "context", "text"]));
                let records = event["records"].as_array().unwrap();
                let mut with_text =
                    records.iter().filter(|record| record[4].as_str().unwrap().contains(text));
                if let Some(record) = with_text.next() {
                    break record.clone();
                }
            };
            heard.store(true, Ordering::Relaxed);
            record
        })
    };
    let record = heard_over("/logs?level=warn", "no::such::function");
    assert_eq!((&record[1], &record[2], &record[3]), (&json!("seed"), &json!("warn"), &json!("aemp::spawn")));
    // Clients come and go in what is logged for debugging only.
    assert_eq!(heard_over("/logs?level=debug", "node down")[2], "debug");
    assert_eq!(page.ask("GET /logs?level=loud", &[], "").status, 400);
    let _open: Vec<Events> = (0..8).map(|_| page.events("/logs")).collect();
    // Those of before may still be there, so this can be refused earlier, but never later.
    assert_eq!(page.ask("GET /logs", &[], "").status, 503);
}

#[test]
fn the_page_and_its_parts_are_there_without_the_token_and_data_is_not() {
    let (user, _seed) = network();
    let page = Page::start(&user, &[]);
    let index = page.ask("GET /", &[("authorization", "")], "");
    assert_eq!(index.status, 200);
    assert!(index.head.contains("content-type: text/html"), "{}", index.head);
    let parts = index.content.split('"').filter(|word| word.starts_with('/') && word.contains('.'));
    for part in parts.collect::<Vec<_>>() {
        assert_eq!(page.ask(&format!("GET {part}"), &[("authorization", "")], "").status, 200, "{part}");
    }
    let acts = page.ask("GET /acts", &[("origin", &format!("http://{}", page.address))], "");
    assert_eq!((acts.status, acts.content.as_str()), (200, r#"{"acts":[]}"#));
}

#[test]
fn hostile_requests_are_refused() {
    let (user, _seed) = network();
    let page = Page::start(&user, &["--allow", "send"]);
    let port = user.ok(&["db", "aemp::echo"]);
    let wish = json!({"port": port.split(' ').next().unwrap().trim(), "values": ["x"]}).to_string();
    let in_query = format!("POST /send?token={}", page.token);
    let large = "x".repeat(70_000);
    let last = if page.token.ends_with('x') { 'y' } else { 'x' };
    let almost = format!("Bearer {}{last}", &page.token[..page.token.len() - 1]);
    let wrong = format!("Bearer {}", "x".repeat(43));
    type Case<'a> = (&'a str, u16, &'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        ("another host", 421, "GET /", &[("host", "evil.example")], ""),
        ("a host that begins like ours", 421, "GET /events", &[("host", "127.0.0.1.evil.example")], ""),
        ("a host that is no host", 421, "GET /", &[("host", "[::1")], ""),
        ("no host", 400, "GET /", &[("host", "")], ""),
        ("another origin", 403, "GET /events", &[("origin", "http://evil.example")], ""),
        ("a sandboxed page", 403, "GET /events", &[("origin", "null")], ""),
        ("another port of this machine", 403, "POST /send", &[("origin", "http://127.0.0.1:1")], &wish),
        ("another site, by its own word", 403, "GET /events", &[("sec-fetch-site", "cross-site")], ""),
        ("no token", 401, "GET /events", &[("authorization", "")], ""),
        ("logs without a token", 401, "GET /logs", &[("authorization", "")], ""),
        ("logs for another page", 403, "GET /logs", &[("origin", "http://evil.example")], ""),
        ("a wrong token", 401, "GET /events", &[("authorization", &wrong)], ""),
        ("a token that is almost right", 401, "GET /events", &[("authorization", &almost)], ""),
        ("a token in the query", 401, &in_query, &[("authorization", "")], &wish),
        ("a token in a cookie", 401, "GET /events", &[("authorization", ""), ("cookie", &page.token)], ""),
        ("an act without a token", 401, "POST /send", &[("authorization", "")], &wish),
        ("an act by GET", 405, "GET /send", &[], ""),
        ("an act by a form", 415, "POST /send", &[("content-type", "text/plain")], &wish),
        ("an act that is not allowed", 403, "POST /kill", &[], &wish),
        ("an act that is no JSON", 400, "POST /send", &[], "{"),
        ("an act without a port", 400, "POST /send", &[], "{}"),
        ("another method", 405, "TRACE /", &[], ""),
        ("a preflight", 405, "OPTIONS /send", &[("origin", "http://evil.example")], ""),
        ("a method of nobody", 405, "BREW /events", &[], ""),
        ("an unknown path", 404, "GET /metrics", &[], ""),
        ("a path to elsewhere", 404, "GET /../../etc/passwd", &[], ""),
        ("the same, encoded", 404, "GET /%2e%2e/%2e%2e/etc/passwd", &[], ""),
        ("a proxy request", 400, "GET http://evil.example/", &[], ""),
        ("a large header", 431, "GET /", &[("x-large", &large)], ""),
        ("a large body", 413, "POST /send", &[], &large),
        ("a body in chunks", 501, "POST /send", &[("transfer-encoding", "chunked")], &wish),
        ("two lengths", 400, "POST /send", &[("content-length", "1\r\ncontent-length: 2")], &wish),
    ];
    for (what, status, line, headers, body) in cases {
        let answer = page.ask(line, headers, body);
        assert_eq!(answer.status, *status, "{what}: {}", answer.content);
        assert!(!answer.content.contains(&page.token) && !answer.head.contains("access-control"), "{what}");
    }
    assert_eq!(page.raw("\u{1}\u{2}\r\n\r\n").status, 400);
    // What is right is still done.
    assert_eq!(page.ask("POST /send", &[], &wish).status, 200);
}

#[test]
fn who_is_slow_is_told_so_and_keeps_nobody_from_the_page() {
    let (user, _seed) = network();
    let page = Page::start(&user, &[]);
    let slow: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut stream = page.connect();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: ").unwrap();
            stream
        })
        .collect();
    assert_eq!(page.ask("GET /", &[], "").status, 200);
    for stream in slow {
        assert_eq!(Answer::read(stream).status, 408);
    }
    // So is a body that does not come.
    let mut stream = page.connect();
    stream.write_all(page.request("POST /send", &[("content-length", "100")], "{").as_bytes()).unwrap();
    assert_eq!(Answer::read(stream).status, 408);
}

#[test]
fn only_so_many_pages_are_open_and_one_that_is_closed_makes_room() {
    let (user, _seed) = network();
    let page = Page::start(&user, &[]);
    let mut open: Vec<Events> = (0..16).map(|_| page.pictures("ports")).collect();
    assert_eq!(page.ask("GET /events", &[], "").status, 503);
    let closed = open.pop().unwrap();
    closed.0.get_ref().shutdown(Shutdown::Both).unwrap();
    drop(closed);
    // Its end is noticed by and by.
    while page.first_line("GET /events").contains(" 503 ") {}
    open[0].next();
}

#[test]
fn acts_are_done_where_they_are_allowed() {
    let (user, _seed) = network();
    let page = Page::start(&user, &["--allow", "kill,call"]);
    let port = user.ok(&["db", "aemp::echo"]).split(' ').next().unwrap().trim().to_owned();
    assert_eq!(page.ask("GET /acts", &[], "").content, r#"{"acts":["kill","call"]}"#);
    let wish = |port: &str, values: Json| json!({"port": port, "values": values}).to_string();
    let call = page.ask("POST /call", &[], &wish(&port, json!(["hello", 5])));
    assert_eq!(call.status, 200, "{}", call.content);
    let answer: Json = serde_json::from_str(&call.content).unwrap();
    assert_eq!(answer["answer"][0], "hello", "{answer}");
    assert_eq!(page.ask("POST /send", &[], &wish(&port, json!([]))).status, 403);
    let lost = page.ask("POST /call", &[], &wish("seed#nobody", json!(["x"])));
    assert_eq!((lost.status, lost.content.contains("no_such_port")), (502, true), "{}", lost.content);
    assert_eq!(page.ask("POST /kill", &[], &wish("seed", json!(["x"]))).status, 400);
    let killed = page.ask("POST /kill", &[], &json!({ "port": port }).to_string());
    assert_eq!(killed.status, 200);
    assert!(killed.content.contains("killed by aemp web"), "{}", killed.content);
    assert!(user.fails(1, &["snd", &port, "x"]).contains("killed by aemp web"));
}

#[test]
fn it_listens_on_this_machine_and_tells_the_token_once() {
    let (user, _seed) = network();
    assert!(user.fails(2, &["web", "0.0.0.0:0"]).contains("--exposed"));
    assert!(user.fails(1, &["web", "--allow", "kill", "--read-only"]).contains("web --allow is refused"));
    assert!(user.fails(2, &["web", "127.0.0.1:0", "--token", "short"]).contains("--token"));
    let mut page = Page::start(&user, &["--log", "trace"]);
    page.pictures("").next();
    page.ask("GET /events", &[("authorization", "Bearer wrong")], "");
    page.running.signal("TERM");
    assert_eq!(page.running.wait(), Some(0));
    let logged = page.running.errors().join("\n");
    assert!(!logged.is_empty() && !logged.contains(&page.token), "{logged}");
    // One that was given is not told.
    let mut given = user.start(&["web", "127.0.0.1:0", "--token", "0123456789abcdef"]);
    let line = given.line();
    assert!(line.ends_with('/') && !line.contains("0123456789abcdef"), "{line}");
    let mut exposed = user.start(&["web", "0.0.0.0:0", "--exposed", "--log", "warn"]);
    exposed.logged("the page is not encrypted");
    assert!(exposed.line().starts_with("http://0.0.0.0:"));
}

#[test]
fn what_the_page_reckons_is_right() {
    if output_of("node", "--version").is_none() {
        println!("what_the_page_reckons_is_right: skipped, it needs node");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/web.test.mjs");
    let ran = Command::new("node").args(["--test", script]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}

#[test]
fn the_page_works_in_a_browser() {
    if output_of("node", "--version").is_none() || output_of("chromium", "--version").is_none() {
        println!("the_page_works_in_a_browser: skipped, it needs node and chromium");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/screenshots/web.test.mjs");
    let mut node = Command::new("node");
    node.args(["--test", script]).env("AEMP", env!("CARGO_BIN_EXE_aemp"));
    let mut node = Running::start(node);
    let told = node.rest().join("\n");
    assert_eq!(node.wait(), Some(0), "{told}");
}
