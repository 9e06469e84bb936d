//! The shared database: entries that are set, deleted, and go with their guards or ports; watches,
//! and questions.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use aemp::{DatabaseError, DbGuard, PortId, Value};
use aemp_sim::history::{Event, Kind};
use tokio::sync::oneshot;

use super::history::Pen;
use super::world::{Shared, World};

/// The families that are used.
const FAMILIES: [&str; 2] = ["alpha", "beta"];

/// Guards that are kept; the oldest is dropped.
const GUARDS: usize = 5;

/// Watches that go on; the oldest is ended.
const WATCHES: usize = 2;

/// The subkey of an entry, and its family.
type Key = (String, String);

/// What this node has in the database.
#[derive(Default)]
pub(super) struct Own {
    /// Which setting of an entry was the last one.
    last: BTreeMap<Key, u64>,
    guards: Vec<(Key, u64, DbGuard)>,
    /// Entries that go with a port.
    of_ports: BTreeMap<String, Vec<Key>>,
    watches: Vec<oneshot::Sender<()>>,
    settings: u64,
}

/// Does something with the database.
pub(super) fn use_entries(world: &Shared, me: &PortId) {
    let ending = world.ending.read().unwrap_or_else(PoisonError::into_inner);
    if *ending {
        return;
    }
    let (family, number) = world.random(|random| (FAMILIES[random.below(2)], random.below(3)));
    let own = world.percent(60);
    let key = if own { format!("{}{number}", me.node()) } else { format!("shared{number}") };
    let key = (family.to_owned(), key);
    match world.random(|random| random.below(100)) {
        0..45 => set(world, key),
        45..60 => delete(world, &key),
        60..70 => register(world, family, me),
        70..78 => watch(world, family),
        78..82 => drop_guard(world),
        _ => ask(
            world,
            family,
            world.random(|random| [Kind::Family, Kind::Keys, Kind::Values][random.below(3)]),
        ),
    }
}

/// Asks for everything.
pub(super) fn ask_all(world: &Shared) {
    for family in FAMILIES {
        [Kind::Family, Kind::Keys, Kind::Values].into_iter().for_each(|kind| ask(world, family, kind));
    }
}

/// A port has ended: so have its entries.
pub(super) fn leave(world: &World, pen: &mut Pen, port: &str) {
    let mut own = world.entries.lock().unwrap_or_else(PoisonError::into_inner);
    for (f, k) in own.of_ports.remove(port).unwrap_or_default() {
        pen.note(Event::Del { f, k });
    }
}

fn set(world: &Shared, key: Key) {
    let mut pen = world.history.pen();
    let mut own = world.entries.lock().unwrap_or_else(PoisonError::into_inner);
    own.settings += 1;
    let setting = own.settings;
    let value = format!("v{}", world.number(setting));
    let (f, k) = key.clone();
    pen.note(Event::Set { f: f.clone(), k: k.clone(), v: value.clone() });
    let guard = world.node().db().set(&f, &k, value).expect("the entry is one that can be");
    own.last.insert(key.clone(), setting);
    own.guards.push((key, setting, guard));
    let oldest = (own.guards.len() > GUARDS).then(|| own.guards.remove(0));
    if let Some((_, _, oldest)) = oldest {
        oldest.detach();
    }
}

fn delete(world: &Shared, key: &Key) {
    let mut pen = world.history.pen();
    let mut own = world.entries.lock().unwrap_or_else(PoisonError::into_inner);
    own.last.remove(key);
    pen.note(Event::Del { f: key.0.clone(), k: key.1.clone() });
    world.node().db().delete(&key.0, &key.1).expect("the family is one that can be");
}

fn drop_guard(world: &Shared) {
    let mut pen = world.history.pen();
    let mut own = world.entries.lock().unwrap_or_else(PoisonError::into_inner);
    if own.guards.is_empty() {
        return;
    }
    let (key, setting, guard) = own.guards.remove(0);
    if own.last.get(&key) == Some(&setting) {
        own.last.remove(&key);
        pen.note(Event::Del { f: key.0, k: key.1 });
    }
    drop(guard);
}

fn register(world: &Shared, family: &str, port: &PortId) {
    let mut pen = world.history.pen();
    let mut own = world.entries.lock().unwrap_or_else(PoisonError::into_inner);
    let (f, k) = (family.to_owned(), port.to_string());
    pen.note(Event::Set { f: f.clone(), k: k.clone(), v: text(&Value::Null) });
    let keys = own.of_ports.entry(k.clone()).or_default();
    if !keys.contains(&(f.clone(), k.clone())) {
        keys.push((f, k));
    }
    world.node().db().register(family, port).expect("the family is one that can be");
}

fn watch(world: &Shared, family: &str) {
    let (end, mut ended) = oneshot::channel();
    let mut pen = world.history.pen();
    let m = pen.id();
    pen.note(Event::Dbmon { m, f: family.into() });
    let mut watch = world.node().db().watch(family);
    let mut own = world.entries.lock().unwrap_or_else(PoisonError::into_inner);
    own.watches.push(end);
    if own.watches.len() > WATCHES {
        drop(own.watches.remove(0));
    }
    let world_of_task = world.clone();
    world.runtime.spawn(async move {
        loop {
            let change = tokio::select! {
                biased;
                _ = &mut ended => break,
                change = watch.next() => change,
            };
            let Some(change) = change else { return };
            let db = change.content.iter().map(|(key, value)| (key.clone(), text(value))).collect();
            let (add, chg, del) = (change.added, change.changed, change.deleted);
            world_of_task.history.note(Event::Dbev { m, add, chg, del, db });
        }
        drop(watch);
        world_of_task.history.note(Event::Dbunmon { m });
    });
}

fn ask(world: &Shared, family: &str, kind: Kind) {
    let mut pen = world.history.pen();
    let id = pen.id();
    pen.note(Event::Q { id, f: family.into(), kind });
    drop(pen);
    let (db, family, world) = (world.node().db(), family.to_owned(), world.clone());
    let history = world.clone();
    world.runtime.spawn(async move {
        let answer = match kind {
            Kind::Family => db.family(&family).await.map(|all| {
                let values = all.values().map(text).collect();
                (all.into_keys().collect(), values)
            }),
            Kind::Keys => db.keys(&family).await.map(|keys| (keys, Vec::new())),
            Kind::Values => {
                db.values(&family).await.map(|values| (Vec::new(), values.iter().map(text).collect()))
            }
        };
        match answer {
            Ok((keys, values)) => history.history.note(Event::A { id, keys, values }),
            Err(DatabaseError::Shutdown) => {}
            Err(error) => panic!("a question has failed: {error}"),
        }
    });
}

/// A value as the history shows it.
fn text(value: &Value) -> String {
    value.to_name().unwrap_or_else(|| format!("{value:?}"))
}
