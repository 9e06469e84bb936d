//! A message to the node port as a request: lenient with what Perl writes, strict where it would do
//! harm.

use std::borrow::Cow;

use super::{Family, MeshRequest, RelayRequest, Request, RequestError, Tables, hops};
use crate::name::PORT_NAME_MAX;
use crate::wire::{Body, memory};
use crate::{NameError, NodeId, PortId, Reason, Value};

/// Bytes of memory that the values of a request may take that are decoded: a million entries of a
/// database fit.
pub const REQUEST_MEMORY_MAX: usize = memory::VALUES_MAX;

/// Bytes of memory that a reason may take: it is kept for everybody who monitors the port.
pub const REASON_MEMORY_MAX: usize = 1 << 20;

impl Request {
    /// Whether a message to the node port is a request of the shared database, by its tag alone.
    pub fn is_mesh(body: &Body) -> bool {
        body.first_name().is_some_and(|tag| MESH.contains(&&*tag))
    }

    /// Reads a message to the node port.
    ///
    /// Strings may be bytes, text or numbers, and null stands for an empty map or list. Names of
    /// ports must not be empty: no request of these means the node port.
    ///
    /// # Errors
    ///
    /// An argument is missing or of the wrong kind.
    pub fn decode(body: &Body) -> Result<Request, RequestError> {
        let tag = match body.first_name() {
            Some(tag) => tag,
            None if body.is_empty() => return Ok(Request::Nothing),
            None => Cow::Owned(string_at(body).ok_or(RequestError::Tag)?),
        };
        let mut args = Args { tag: "", left: body.rest() };
        Ok(match &*tag {
            "" | "devnull" => Request::Nothing,
            "mon1" => Request::Monitor(args.of("mon1").port_name()?),
            "mon0" => Request::Unmonitor(args.of("mon0").port_name()?),
            "kil0" => Request::Died(args.of("kil0").port_name()?, args.reason()?),
            // The short one is the tag of AnyEvent::MP 1.x.
            "kil1" | "kil" => Request::Kill(args.of("kil1").port_name()?, args.reason()?),
            "snd" => Request::Send(args.of("snd").destination()?, args.left),
            "can" => Request::Can(args.of("can").string("the tag")?, args.destination()?, args.left),
            "time" => Request::Time(args.of("time").destination()?, args.left),
            "eval" => {
                let code = args.of("eval").string("the code")?;
                let answer = !args.left.is_empty() && args.left.first_scalar() != Some(Value::Null);
                Request::Eval(code, if answer { Some((args.destination()?, args.left)) } else { None })
            }
            "AnyEvent::MP::_spawn" => Request::Spawn {
                name: args.of("_spawn").port_name()?,
                function: args.string("the function")?,
                args: args.left,
            },
            _ => match mesh(&tag, &mut args)? {
                Some(request) => Request::Mesh(request),
                None => match RelayRequest::decode(&tag, &mut args)? {
                    Some(request) => request,
                    None => Request::Call(tag.into_owned(), args.left),
                },
            },
        })
    }
}

/// The tags of all that [`mesh`] reads.
const MESH: [&str; 15] = [
    "g_slave",
    "g_global",
    "g_set",
    "g_upd",
    "g_find",
    "g_found",
    "x_found",
    "g_db_family",
    "g_db_keys",
    "g_db_values",
    "g_reply",
    "g_mon1",
    "g_mon0",
    "g_chg1",
    "g_chg2",
];

fn mesh(tag: &str, args: &mut Args) -> Result<Option<MeshRequest>, RequestError> {
    Ok(Some(match tag {
        "g_slave" => MeshRequest::Slave(args.of("g_slave").tables()?),
        "g_global" => MeshRequest::Global,
        "g_set" => MeshRequest::Set(args.of("g_set").tables()?.unwrap_or_default()),
        "g_upd" => MeshRequest::Update(args.of("g_upd").family()?, args.content()?, args.keys()?),
        "g_find" => MeshRequest::Find(args.of("g_find").node()?),
        "g_found" => MeshRequest::Found(args.of("g_found").node()?, args.strings("the list of binds")?),
        "x_found" => {
            let node = args.of("x_found").node()?;
            MeshRequest::FoundRelayed(node, args.strings("the list of addresses")?.unwrap_or_default())
        }
        "g_db_family" => MeshRequest::Family(args.of("g_db_family").family()?, args.value("the query")?),
        "g_db_keys" => MeshRequest::Keys(args.of("g_db_keys").family()?, args.value("the query")?),
        "g_db_values" => MeshRequest::Values(args.of("g_db_values").family()?, args.value("the query")?),
        "g_reply" => {
            MeshRequest::Reply(args.of("g_reply").value("the query")?, args.next()?.unwrap_or_default())
        }
        "g_mon1" => MeshRequest::Watch(args.of("g_mon1").family()?),
        "g_mon0" => MeshRequest::Unwatch(args.of("g_mon0").family()?),
        "g_chg1" => MeshRequest::Content(args.of("g_chg1").family()?, args.content()?),
        "g_chg2" => MeshRequest::Changed(args.of("g_chg2").family()?, args.content()?, args.keys()?),
        _ => return Ok(None),
    }))
}

/// The arguments of a request that are not read yet.
pub(super) struct Args {
    tag: &'static str,
    left: Body,
}

impl Args {
    /// Says whose arguments these are, for the errors.
    pub(super) fn of(&mut self, tag: &'static str) -> &mut Args {
        self.tag = tag;
        self
    }

    /// The next value; `None` if nothing is there.
    fn next(&mut self) -> Result<Option<Value>, RequestError> {
        if !memory::fits(self.left.items(), REQUEST_MEMORY_MAX) {
            return Err(RequestError::Memory { tag: self.tag, limit: REQUEST_MEMORY_MAX });
        }
        let value = self.left.first();
        self.left = self.left.rest();
        Ok(value)
    }

    pub(super) fn value(&mut self, argument: &'static str) -> Result<Value, RequestError> {
        self.next()?.ok_or(RequestError::Missing { tag: self.tag, argument })
    }

    /// A value that is no list and no map.
    pub(super) fn scalar(
        &mut self,
        argument: &'static str,
        wanted: &'static str,
    ) -> Result<Value, RequestError> {
        if self.left.is_empty() {
            return Err(RequestError::Missing { tag: self.tag, argument });
        }
        let value = self.left.first_scalar().ok_or_else(|| self.wrong(argument, wanted))?;
        self.left = self.left.rest();
        Ok(value)
    }

    pub(super) fn string(&mut self, argument: &'static str) -> Result<String, RequestError> {
        if let Some(name) = self.left.first_name() {
            let name = name.into_owned();
            self.left = self.left.rest();
            return Ok(name);
        }
        string(self.scalar(argument, "a string")?).ok_or_else(|| self.wrong(argument, "a string"))
    }

    fn family(&mut self) -> Result<String, RequestError> {
        self.string("the family")
    }

    fn port_name(&mut self) -> Result<String, RequestError> {
        let name = self.string("the port name")?;
        if name.is_empty() {
            return Err(self.wrong("the port name", "the name of a port"));
        }
        if name.len() > PORT_NAME_MAX {
            let error = NameError::TooLong { len: name.len(), limit: PORT_NAME_MAX };
            return Err(RequestError::Name { tag: self.tag, error });
        }
        Ok(name)
    }

    /// The port that all values behind it are to be sent to.
    fn destination(&mut self) -> Result<PortId, RequestError> {
        let text = self.string("the port ID")?;
        let to = PortId::parse(&text).map_err(|error| RequestError::Name { tag: self.tag, error })?;
        hops::check(&to, &self.left)?;
        Ok(to)
    }

    pub(super) fn node(&mut self) -> Result<NodeId, RequestError> {
        let text = self.string("the node ID")?;
        NodeId::new(&text).map_err(|error| RequestError::Name { tag: self.tag, error })
    }

    /// All that is left. A port dies also of a reason that is too large to be decoded.
    fn reason(&mut self) -> Result<Reason, RequestError> {
        let left = std::mem::take(&mut self.left);
        if !memory::fits(left.items(), REASON_MEMORY_MAX) {
            let text = format_args!("the reason takes more than {REASON_MEMORY_MAX} bytes of memory");
            return Ok(Reason::text("reason_too_large", text));
        }
        let values = left.decode();
        Ok(Reason::new(values.map_err(|_| self.wrong("the reason", "well formed"))?))
    }

    /// The content of a family; none if it is null or not there.
    fn content(&mut self) -> Result<Family, RequestError> {
        let value = self.next()?.unwrap_or_default();
        family(value).ok_or_else(|| self.wrong("the content of the family", "a map with strings as keys"))
    }

    fn tables(&mut self) -> Result<Option<Tables>, RequestError> {
        match self.next()? {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Map(entries)) => {
                let tables =
                    entries.into_iter().map(|(name, content)| Some((string(name)?, family(content)?)));
                let tables: Option<Tables> = tables.collect();
                tables
                    .map(Some)
                    .ok_or_else(|| self.wrong("the database", "a map of maps with strings as keys"))
            }
            Some(_) => Err(self.wrong("the database", "a map")),
        }
    }

    fn keys(&mut self) -> Result<Vec<String>, RequestError> {
        Ok(self.strings("the list of deleted keys")?.unwrap_or_default())
    }

    /// A list of strings; `None` if it is null or not there.
    fn strings(&mut self, argument: &'static str) -> Result<Option<Vec<String>>, RequestError> {
        match self.next()? {
            None | Some(Value::Null) => Ok(None),
            Some(Value::List(values)) => {
                let strings: Option<Vec<String>> = values.into_iter().map(string).collect();
                strings.map(Some).ok_or_else(|| self.wrong(argument, "a list of strings"))
            }
            Some(_) => Err(self.wrong(argument, "a list")),
        }
    }

    pub(super) fn wrong(&self, argument: &'static str, wanted: &'static str) -> RequestError {
        RequestError::Wrong { tag: self.tag, argument, wanted }
    }
}

/// The string that Perl would see in the first value. Lists and maps, which can be large, are not
/// decoded for that.
pub(super) fn string_at(body: &Body) -> Option<String> {
    string(body.first_scalar()?)
}

/// The string that Perl would see in this value.
fn string(value: Value) -> Option<String> {
    Some(match value {
        Value::Text(text) => text,
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Null | Value::Bool(false) => String::new(),
        Value::Bool(true) => "1".into(),
        value => value.to_name()?,
    })
}

fn family(value: Value) -> Option<Family> {
    match value {
        Value::Null => Some(Family::new()),
        Value::Map(entries) => entries.into_iter().map(|(key, value)| Some((string(key)?, value))).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cbor;
    use crate::wire::scan::ARRAY;

    /// A request with this tag, strings, and a list of as many nulls.
    fn with_list(start: &[&str], nulls: usize) -> Body {
        let mut items = Vec::new();
        start.iter().for_each(|text| cbor::write_name(&mut items, text));
        cbor::write_head(&mut items, ARRAY, nulls as u64);
        items.resize(items.len() + nulls, 0xf6);
        Body::new(start.len() as u32 + 1, items.into())
    }

    #[test]
    fn what_takes_too_much_memory_is_not_decoded() {
        let over = REQUEST_MEMORY_MAX / size_of::<Value>() + 1;
        for start in [&["g_set"][..], &["g_upd", "f"], &["g_reply", "1"]] {
            let refused = Request::decode(&with_list(start, over));
            assert!(matches!(refused, Err(RequestError::Memory { .. })), "{start:?}");
        }
        // A string is no list, however large that is.
        for start in [&["snd"][..], &["mon1"], &["x_ack", "1"], &["eval"]] {
            let refused = Request::decode(&with_list(start, over));
            assert!(matches!(refused, Err(RequestError::Wrong { .. })), "{start:?}");
        }
    }

    #[test]
    fn a_port_dies_of_a_reason_that_is_too_large_too() {
        let fits = REASON_MEMORY_MAX / size_of::<Value>() - 100;
        for (nulls, whole) in [(fits, true), (2 * fits, false)] {
            let request = Request::decode(&with_list(&["kil1", "port"], nulls)).unwrap();
            let Request::Kill(name, reason) = request else { panic!("{request:?}") };
            assert_eq!((&*name, reason.identifier().is_none(), reason.is_normal()), ("port", whole, false));
        }
    }

    #[test]
    fn names_of_ports_have_a_limit_everywhere() {
        for (length, good) in [(PORT_NAME_MAX, true), (PORT_NAME_MAX + 1, false)] {
            let name = "n".repeat(length);
            for start in [&["mon1", &name][..], &["mon0", &name], &["kil0", &name], &["kil1", &name]] {
                assert_eq!(Request::decode(&with_list(start, 1)).is_ok(), good, "{start:?}");
            }
            let spawn = with_list(&["AnyEvent::MP::_spawn", &name, "function"], 1);
            assert_eq!(Request::decode(&spawn).is_ok(), good);
        }
    }
}
