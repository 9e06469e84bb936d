//! A request of the database as its peer can read it: without the entries that have no form there,
//! and in messages that are not too large. One entry keeps no other from a peer.

use super::size::{split, split_change};
use crate::Value;
use crate::wire::request::Family;
use crate::wire::{Body, BodyBuilder, EncodeError, MeshRequest, Tables};

/// Lists and maps that are around the value of an entry, at most.
const AROUND: usize = 2;

/// Checks that the value of an entry has a wire form, wherever an entry stands.
pub(crate) fn check_form(value: &Value) -> Result<(), EncodeError> {
    BodyBuilder::default().nested(value, AROUND)
}

/// The request in one message or several, each of which `fits`, and how many entries were left out.
///
/// An entry is left out if it does not fit alone. In a change it counts as deleted, for the peer
/// may have an older value. An answer that does not fit is null, as one that is too large for any
/// peer. `limit` is that of a message.
pub(crate) fn fit(request: MeshRequest, limit: usize, fits: &dyn Fn(&Body) -> bool) -> (Vec<Body>, usize) {
    let encode = |request: &MeshRequest| request.encode().ok().filter(fits);
    if let Some(body) = encode(&request) {
        return (vec![body], 0);
    }
    let mut sieve = Sieve { fits, left_out: 0 };
    // No form of a value is eight times as long as another one.
    let mut requests = sieve.parts(request, limit / 8);
    if let [reply @ MeshRequest::Reply(..)] = requests.as_mut_slice()
        && encode(reply).is_none()
        && let MeshRequest::Reply(_, result) = reply
    {
        *result = Value::Null;
    }
    (requests.iter().filter_map(encode).collect(), sieve.left_out)
}

/// Lets through what fits alone.
struct Sieve<'a> {
    fits: &'a dyn Fn(&Body) -> bool,
    left_out: usize,
}

impl Sieve<'_> {
    /// The request without what does not fit alone, cut into parts of about `part` bytes.
    fn parts(&mut self, request: MeshRequest, part: usize) -> Vec<MeshRequest> {
        match request {
            MeshRequest::Slave(Some(tables)) => {
                self.tables(tables, part, |tables| MeshRequest::Slave(Some(tables)))
            }
            MeshRequest::Set(tables) => self.tables(tables, part, MeshRequest::Set),
            MeshRequest::Update(family, set, deleted) => self
                .change(set, deleted, part, |set, deleted| MeshRequest::Update(family.clone(), set, deleted)),
            MeshRequest::Changed(family, set, deleted) => self.change(set, deleted, part, |set, deleted| {
                MeshRequest::Changed(family.clone(), set, deleted)
            }),
            MeshRequest::Content(family, mut content) => {
                self.family(&mut content);
                let mut parts = split_change(content, Vec::new(), part).into_iter();
                let (first, _) = parts.next().unwrap_or_default();
                let rest = parts.map(|(set, deleted)| MeshRequest::Changed(family.clone(), set, deleted));
                [MeshRequest::Content(family.clone(), first)].into_iter().chain(rest).collect()
            }
            MeshRequest::Reply(id, mut result) => {
                match &mut result {
                    Value::Map(entries) => entries.retain(|(_, value)| self.lets_through("", value)),
                    Value::List(values) => values.retain(|value| self.lets_through("", value)),
                    _ => {}
                }
                vec![MeshRequest::Reply(id, result)]
            }
            other => vec![other],
        }
    }

    fn tables(
        &mut self,
        mut tables: Tables,
        part: usize,
        whole: impl FnOnce(Tables) -> MeshRequest,
    ) -> Vec<MeshRequest> {
        for family in tables.values_mut() {
            self.family(family);
        }
        let mut parts = split(tables, part).into_iter();
        let first = whole(parts.next().unwrap_or_default());
        let rest = parts.flatten().map(|(family, set)| MeshRequest::Update(family, set, Vec::new()));
        [first].into_iter().chain(rest).collect()
    }

    fn change(
        &mut self,
        mut set: Family,
        mut deleted: Vec<String>,
        part: usize,
        request: impl Fn(Family, Vec<String>) -> MeshRequest,
    ) -> Vec<MeshRequest> {
        deleted.extend(self.family(&mut set));
        split_change(set, deleted, part).into_iter().map(|(set, deleted)| request(set, deleted)).collect()
    }

    /// Takes out of a family what does not fit, and gives its subkeys.
    fn family(&mut self, family: &mut Family) -> Vec<String> {
        let mut gone = Vec::new();
        family.retain(|key, value| {
            let stays = self.lets_through(key, value);
            if !stays {
                gone.push(key.clone());
            }
            stays
        });
        gone
    }

    fn lets_through(&mut self, key: &str, value: &Value) -> bool {
        let mut alone = BodyBuilder::default();
        alone.name(key);
        let stays = alone.nested(value, AROUND).is_ok() && (self.fits)(&alone.finish());
        self.left_out += usize::from(!stays);
        stays
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Framing;
    use crate::db::size::{self, LEVELS_MAX};

    const LIMIT: usize = 10_000;

    fn family(entries: &[(&str, Value)]) -> Family {
        entries.iter().map(|(key, value)| ((*key).into(), value.clone())).collect()
    }

    fn mixed() -> Family {
        let deep = (0..600).fold(Value::Null, |inner, _| Value::List(vec![inner]));
        family(&[
            ("a", 1.into()),
            ("deep", deep),
            ("huge", Value::Int(1 << 100)),
            ("nan", Value::Float(f64::NAN)),
            ("tag", Value::Tag(29, Box::new(0.into()))),
            ("z", "z".into()),
        ])
    }

    /// What a peer reads of the request that reads this framing.
    fn read(framing: Framing, request: MeshRequest) -> (Vec<MeshRequest>, usize) {
        let fits = |body: &Body| body.len_in(framing, "").is_ok_and(|len| len <= LIMIT);
        let (bodies, left_out) = fit(request, LIMIT, &fits);
        let decoded = bodies.iter().map(|body| match crate::wire::Request::decode(body) {
            Ok(crate::wire::Request::Mesh(request)) => request,
            other => panic!("{other:?}"),
        });
        (decoded.collect(), left_out)
    }

    #[test]
    fn of_every_request_all_arrives_but_what_has_no_form() {
        for (framing, gone) in [
            (Framing::Json, &["deep", "huge", "nan", "tag"][..]),
            (Framing::Cbor, &["deep", "huge", "tag"]),
            (Framing::Native, &["deep", "huge"]),
        ] {
            let mut rest = mixed();
            rest.retain(|key, _| !gone.contains(&key.as_str()));
            let dropped: Vec<String> = gone.iter().map(ToString::to_string).collect();
            let tables = |family: &Family| Tables::from([("f".to_string(), family.clone())]);
            let f = || "f".to_string();
            for (request, expected) in [
                (MeshRequest::Slave(Some(tables(&mixed()))), MeshRequest::Slave(Some(tables(&rest)))),
                (MeshRequest::Set(tables(&mixed())), MeshRequest::Set(tables(&rest))),
                (MeshRequest::Content(f(), mixed()), MeshRequest::Content(f(), rest.clone())),
                (
                    MeshRequest::Update(f(), mixed(), vec!["y".into()]),
                    MeshRequest::Update(f(), rest.clone(), [vec!["y".into()], dropped.clone()].concat()),
                ),
                (
                    MeshRequest::Changed(f(), mixed(), Vec::new()),
                    MeshRequest::Changed(f(), rest.clone(), dropped.clone()),
                ),
            ] {
                let (got, left_out) = read(framing, request);
                // NaN equals nothing.
                assert_eq!(format!("{got:?}"), format!("{:?}", [expected]), "{framing}");
                assert_eq!(left_out, gone.len());
            }
        }
    }

    #[test]
    fn what_is_taken_has_a_form_wherever_an_entry_stands() {
        let deep = |levels| (0..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]));
        for levels in [LEVELS_MAX - 1, LEVELS_MAX, LEVELS_MAX + 1, LEVELS_MAX + 2] {
            let value = deep(levels);
            assert_eq!(size::levels(&value), levels);
            assert_eq!(check_form(&value).is_ok(), levels <= LEVELS_MAX);
            let tables = Tables::from([("f".to_string(), family(&[("k", value)]))]);
            assert_eq!(MeshRequest::Set(tables).encode().is_ok(), levels <= LEVELS_MAX);
        }
        assert!(check_form(&Value::Int(1 << 64)).is_err());
    }

    #[test]
    fn an_answer_has_what_has_a_form_and_is_null_if_that_is_too_much() {
        let id = || Value::name("7");
        let values = |values: Vec<Value>| MeshRequest::Reply(id(), Value::List(values));
        let (got, _) = read(Framing::Json, values(mixed().into_values().collect()));
        assert_eq!(got, [values(vec![1.into(), "z".into()])]);
        let entries = mixed().into_iter().map(|(key, value)| (Value::name(&key), value)).collect();
        let (got, left_out) = read(Framing::Cbor, MeshRequest::Reply(id(), Value::Map(entries)));
        let [MeshRequest::Reply(_, Value::Map(entries))] = got.as_slice() else { panic!("{got:?}") };
        assert_eq!((entries.len(), left_out), (3, 3));
        let many = (0..100).map(|_| Value::Text("\u{1}".repeat(50))).collect();
        assert_eq!(read(Framing::Json, values(many)).0, [MeshRequest::Reply(id(), Value::Null)]);
    }

    #[test]
    fn what_is_too_long_only_in_the_framing_of_the_peer_is_left_out_there() {
        let wide = family(&[("a", 1.into()), ("wide", Value::Text("\u{1}".repeat(LIMIT / 2)))]);
        let content = |family: &Family| MeshRequest::Content("f".into(), family.clone());
        assert_eq!(read(Framing::Cbor, content(&wide)), (vec![content(&wide)], 0));
        let rest = family(&[("a", 1.into())]);
        assert_eq!(read(Framing::Json, content(&wide)), (vec![content(&rest)], 1));
    }

    #[test]
    fn what_is_longer_in_the_framing_of_the_peer_travels_in_parts() {
        let wide: Family = (0..100).map(|n| (format!("k{n:02}"), Value::Text("\u{1}".repeat(90)))).collect();
        let (got, left_out) = read(Framing::Json, MeshRequest::Content("f".into(), wide.clone()));
        assert!(got.len() > 5 && left_out == 0);
        let mut all = Family::new();
        for (at, request) in got.into_iter().enumerate() {
            match request {
                MeshRequest::Content(_, part) if at == 0 => all.extend(part),
                MeshRequest::Changed(_, part, deleted) if deleted.is_empty() => all.extend(part),
                other => panic!("{other:?}"),
            }
        }
        assert!(all == wide);
    }
}
