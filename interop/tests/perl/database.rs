//! The shared database, with owner, watcher and global node of either kind.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use aemp::{Change, DbWatch, Node, Reason, Value};
use serde_json::{Value as Json, json};

use crate::network::{Kind, LIMIT, Setup, addresses, inbox, plain, seeds, soon, up};
use crate::peer::Perl;
use crate::reserved::Reserved;

/// A node of either kind, as one that owns and watches entries.
pub(crate) enum Member {
    Rust(Node, Option<DbWatch>),
    Perl(Box<Perl>),
}

/// What a watcher was told: the subkeys, and the content as JSON.
#[derive(Debug, PartialEq)]
struct Told {
    added: Vec<String>,
    changed: Vec<String>,
    deleted: Vec<String>,
    content: Content,
}

/// Perl's form of a value.
fn to_json(value: &Value) -> Json {
    match plain(value) {
        Value::Null => Json::Null,
        Value::Int(number) => json!(i64::try_from(number).unwrap()),
        Value::List(values) => values.iter().map(to_json).collect(),
        other => other.to_name().map_or_else(|| panic!("not used here: {other:?}"), Json::from),
    }
}

fn sorted(mut keys: Vec<String>) -> Vec<String> {
    keys.sort();
    keys
}

type Content = BTreeMap<String, Json>;

impl From<Change> for Told {
    fn from(change: Change) -> Told {
        Told {
            added: sorted(change.added),
            changed: sorted(change.changed),
            deleted: sorted(change.deleted),
            content: change.content.iter().map(|(key, value)| (key.clone(), to_json(value))).collect(),
        }
    }
}

impl Member {
    async fn set(&mut self, family: &str, key: &str, value: &Json) {
        match self {
            Member::Rust(node, _) => {
                let value = match value {
                    Json::Number(number) => Value::from(number.as_i64().unwrap()),
                    other => Value::name(other.as_str().unwrap()),
                };
                node.db().set(family, key, value).unwrap().detach();
            }
            Member::Perl(perl) => {
                perl.run(&format!("db_set '{family}', '{key}', $json->decode ('[{value}]')->[0]; ()")).await
            }
        }
    }

    async fn delete(&mut self, family: &str, key: &str) {
        match self {
            Member::Rust(node, _) => node.db().delete(family, key).unwrap(),
            Member::Perl(perl) => perl.run(&format!("db_del '{family}', '{key}'")).await,
        }
    }

    async fn watch(&mut self, family: &str) {
        match self {
            Member::Rust(node, watch) => *watch = Some(node.db().watch(family)),
            Member::Perl(perl) => perl.run(&format!("$guard = watch ('{family}')")).await,
        }
    }

    async fn unwatch(&mut self) {
        match self {
            Member::Rust(_, watch) => drop(watch.take()),
            Member::Perl(perl) => perl.run("undef $guard").await,
        }
    }

    async fn told(&mut self) -> Told {
        match self {
            Member::Rust(node, watch) => {
                soon(format!("a change at {}", node.id()), watch.as_mut().unwrap().next())
                    .await
                    .unwrap()
                    .into()
            }
            Member::Perl(perl) => {
                let told = perl.event("told").await;
                let list = |at: usize| serde_json::from_value(told[at].clone()).unwrap();
                Told {
                    content: serde_json::from_value(told[0].clone()).unwrap(),
                    added: list(1),
                    changed: list(2),
                    deleted: list(3),
                }
            }
        }
    }

    /// Waits until it is told this content, no matter what the steps; the last content if that does
    /// not come.
    async fn told_until(&mut self, content: &Content) -> Result<(), Option<Content>> {
        let last = Mutex::new(None);
        let wait = async {
            loop {
                let told = self.told().await.content;
                if told == *content {
                    return;
                }
                *last.lock().unwrap() = Some(told);
            }
        };
        // Before a wait inside gives up.
        let limit = LIMIT - Duration::from_secs(1);
        tokio::time::timeout(limit, wait).await.map_err(|_| last.into_inner().unwrap())
    }

    /// Family, subkeys and values, as JSON.
    async fn queries(&mut self, family: &str) -> (Json, Json, Json) {
        match self {
            Member::Rust(node, _) => {
                let db = node.db();
                let content = soon("the family", db.family(family)).await.unwrap();
                let content = content.iter().map(|(key, value)| (key.clone(), to_json(value))).collect();
                let keys = sorted(soon("the keys", db.keys(family)).await.unwrap());
                let mut values: Vec<String> = soon("the values", db.values(family))
                    .await
                    .unwrap()
                    .iter()
                    .map(|v| to_json(v).to_string())
                    .collect();
                values.sort();
                (Json::Object(content), json!(keys), json!(values))
            }
            Member::Perl(perl) => {
                for query in ["family", "keys", "values"] {
                    perl.run(&format!("db_{query} '{family}', sub {{ ev ({query} => @_) }}")).await;
                }
                let family = perl.event("family").await.remove(0);
                let mut keys: Vec<String> =
                    serde_json::from_value(perl.event("keys").await.remove(0)).unwrap();
                keys.sort();
                let values: Vec<Json> = serde_json::from_value(perl.event("values").await.remove(0)).unwrap();
                let mut values: Vec<String> = values.iter().map(Json::to_string).collect();
                values.sort();
                (family, json!(keys), json!(values))
            }
        }
    }

    async fn finish(self) {
        match self {
            Member::Rust(node, _) => drop(node.shutdown().await),
            Member::Perl(perl) => perl.finish().await,
        }
    }

    /// A slave of the nodes with these addresses.
    pub(crate) async fn start(kind: Kind, setup: Setup, id: &str, addresses: &[String]) -> Member {
        match kind {
            Kind::Rust => Member::Rust(seeds(setup.rust(id), addresses).start().await.unwrap(), None),
            Kind::Perl => Member::Perl(Box::new(Perl::start(setup.perl(id, addresses)).await)),
        }
    }

    /// A node that listens on this address.
    async fn start_at(kind: Kind, setup: Setup, id: &str, address: &str, known: &[String]) -> Member {
        match kind {
            Kind::Rust => {
                let builder = seeds(setup.rust_at(id, address), known);
                Member::Rust(builder.start().await.unwrap(), None)
            }
            Kind::Perl => {
                let mut config = setup.perl(id, known);
                config["binds"] = json!([address]);
                Member::Perl(Box::new(Perl::start(config).await))
            }
        }
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        match self {
            Member::Rust(node, _) => addresses(node),
            Member::Perl(perl) => perl.binds.clone(),
        }
    }

    pub(crate) fn id(&self) -> &aemp::NodeId {
        match self {
            Member::Rust(node, _) => node.id(),
            Member::Perl(perl) => &perl.node,
        }
    }

    pub(crate) async fn up(&mut self, peer: &aemp::NodeId) {
        match self {
            Member::Rust(node, _) => up(node, peer).await,
            Member::Perl(perl) => perl.up(peer).await,
        }
    }

    /// Ends as a crash does, if it is Perl, and in order otherwise.
    pub(crate) async fn end(self) {
        match self {
            Member::Rust(node, _) => drop(node.shutdown().await),
            Member::Perl(perl) => perl.kill().await,
        }
    }
}

/// A global node of the setup's kind and a slave of each kind.
async fn three(setup: Setup) -> Vec<Member> {
    let global = Member::start(setup.seed, setup, "global", &[]).await;
    let addresses = global.addresses();
    let mut rust = Member::start(Kind::Rust, setup, "rust", &addresses).await;
    let mut perl = Member::start(Kind::Perl, setup, "perl", &addresses).await;
    rust.up(global.id()).await;
    perl.up(global.id()).await;
    vec![global, rust, perl]
}

/// Every member owns in turn, all watch, and all ask.
pub(crate) async fn owners_and_watchers(setup: Setup) {
    let mut members = three(setup).await;
    for member in &mut members {
        member.watch("fruit").await;
        let first = member.told().await;
        assert_eq!(first, Told { added: vec![], changed: vec![], deleted: vec![], content: BTreeMap::new() });
    }
    for owner in 0..3 {
        let key = ["pear", "plum", "fig"][owner];
        let step = |value: Option<Json>| Told {
            added: vec![],
            changed: vec![],
            deleted: vec![],
            content: value.into_iter().map(|value| (key.to_string(), value)).collect(),
        };
        members[owner].set("fruit", key, &json!(1)).await;
        everyone(&mut members, Told { added: vec![key.into()], ..step(Some(json!(1))) }).await;
        members[owner].set("fruit", key, &json!("two")).await;
        everyone(&mut members, Told { changed: vec![key.into()], ..step(Some(json!("two"))) }).await;
        for member in &mut members {
            let (family, keys, values) = member.queries("fruit").await;
            assert_eq!(family, json!({ key: "two" }));
            assert_eq!((keys, values), (json!([key]), json!(["\"two\""])));
        }
        members[owner].delete("fruit", key).await;
        everyone(&mut members, Told { deleted: vec![key.into()], ..step(None) }).await;
    }
    for member in &mut members {
        assert_eq!(member.queries("fruit").await, (json!({}), json!([]), json!([])));
    }
    two_owners(members).await;
}

/// Waits until all members are told this content, no matter what the steps.
async fn all_told(members: impl IntoIterator<Item = &mut Member>, content: &[(&str, Json)]) {
    let content = content.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
    let (mut missing, mut about) = (Vec::new(), Vec::new());
    for member in members {
        if let Err(last) = member.told_until(&content).await {
            missing.push(format!("{} was told {last:?} last", member.id()));
        }
        if let (Member::Perl(perl), false) = (member, missing.is_empty()) {
            about.push(perl.state().await);
        }
    }
    assert!(missing.is_empty(), "{content:?} expected, but {missing:#?}; {about:#?}");
}

async fn everyone(members: &mut [Member], expected: Told) {
    for member in members {
        assert_eq!(member.told().await, expected, "told to {}", member.id());
    }
}

/// Two owners of one subkey; the content when a watch begins; owners that go; registered ports.
async fn two_owners(mut members: Vec<Member>) {
    members[1].set("fruit", "kiwi", &json!("of rust")).await;
    all_told(&mut members, &[("kiwi", json!("of rust"))]).await;
    members[2].set("fruit", "kiwi", &json!("of perl")).await;
    all_told(&mut members, &[("kiwi", json!("of perl"))]).await;
    members[2].delete("fruit", "kiwi").await;
    all_told(&mut members, &[("kiwi", json!("of rust"))]).await;
    for member in &mut members {
        member.unwatch().await;
        member.watch("fruit").await;
        let first = member.told().await;
        assert_eq!((first.added, first.changed, first.deleted), (vec!["kiwi".into()], vec![], vec![]));
    }
    registered_ports(members).await;
}

/// Ports of both kinds in a family: they leave when they die, or when their node goes.
async fn registered_ports(mut members: Vec<Member>) {
    let Member::Perl(perl) = &mut members[2] else { panic!("perl is the third") };
    let there = perl.port("$port = port { }; db_reg 'ports', $port; $port").await;
    let Member::Rust(rust, _) = &members[1] else { panic!("rust is the second") };
    let (here, _received) = inbox(rust);
    let rust = rust.clone();
    rust.db().register("ports", &here).unwrap();
    let both = [(&*here.to_string(), Json::Null), (&*there.to_string(), Json::Null)];
    for member in &mut members {
        member.watch("ports").await;
    }
    all_told(&mut members, &both).await;
    rust.kill(&there, Reason::NORMAL);
    all_told(&mut members, &both[..1]).await;
    rust.kill(&here, Reason::NORMAL);
    all_told(&mut members, &[]).await;
    // A slave of each kind leaves with what it owned.
    members[2].set("ports", "kept by perl", &json!(2)).await;
    members[1].set("ports", "kept by rust", &json!(1)).await;
    all_told(&mut members, &[("kept by perl", json!(2)), ("kept by rust", json!(1))]).await;
    members.remove(2).end().await;
    all_told(&mut members, &[("kept by rust", json!(1))]).await;
    members.remove(1).end().await;
    all_told(&mut members, &[]).await;
    for member in members {
        member.finish().await;
    }
}

/// Two or three global nodes, of which the first is the master of a slave of each kind, and dies:
/// the slaves find another master and nothing is lost. Only once: a Perl slave that goes from one
/// master straight to the next does not notice when that one is lost (its monitor is withdrawn
/// together with the previous one).
pub(crate) async fn globals(setup: Setup, kinds: &[Kind]) {
    let reserved: Vec<Reserved> = kinds.iter().map(|_| Reserved::new()).collect();
    let addresses: Vec<String> = reserved.iter().map(Reserved::address).collect();
    let mut all = vec![Member::start_at(kinds[0], setup, "global0", &addresses[0], &[]).await];
    let mut rust = Member::start(Kind::Rust, setup, "rust", &addresses).await;
    let mut perl = Member::start(Kind::Perl, setup, "perl", &addresses).await;
    rust.up(all[0].id()).await;
    perl.up(all[0].id()).await;
    for at in 1..kinds.len() {
        let id = format!("global{at}");
        all.push(Member::start_at(kinds[at], setup, &id, &addresses[at], &addresses[..at]).await);
    }
    for global in &all {
        rust.up(global.id()).await;
        perl.up(global.id()).await;
    }
    rust.set("family", "of rust", &json!("r")).await;
    perl.set("family", "of perl", &json!("p")).await;
    for (at, global) in all.iter_mut().enumerate() {
        global.set("family", &format!("of {at}"), &json!(at)).await;
    }
    let names: Vec<String> = (0..all.len()).map(|at| format!("of {at}")).collect();
    let mut content: Vec<(&str, Json)> = vec![("of rust", json!("r")), ("of perl", json!("p"))];
    content.extend(names.iter().enumerate().map(|(at, name)| (name.as_str(), json!(at))));
    for member in [&mut rust, &mut perl].into_iter().chain(&mut all) {
        member.watch("family").await;
    }
    all_told([&mut rust, &mut perl].into_iter().chain(&mut all), &content).await;

    all.remove(0).end().await;
    content.retain(|(name, _)| *name != "of 0");
    all_told([&mut rust, &mut perl].into_iter().chain(&mut all), &content).await;
    perl.set("family", "of perl", &json!("p again")).await;
    rust.set("family", "of rust", &json!("r again")).await;
    content[0].1 = json!("r again");
    content[1].1 = json!("p again");
    all_told([&mut rust, &mut perl].into_iter().chain(&mut all), &content).await;
    perl.finish().await;
    rust.finish().await;
    for global in all {
        global.finish().await;
    }
}
