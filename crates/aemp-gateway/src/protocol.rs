//! What travels between an edge client and its gateway: JSON arrays, each in one WebSocket text
//! message.
//!
//! `README.md` of this crate has the table. Nothing here does input or output.

use aemp::{PortId, Reason, Value};
use serde_json::{Map, Number, Value as Json, json};

/// The version of this protocol.
pub const VERSION: u64 = 1;

/// Milliseconds that a call may take; a longer time counts as this.
const TIMEOUT_MAX: u64 = 300_000;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Who it is: the first message.
    Hello {
        /// The token.
        token: String,
    },
    /// Send values to a port.
    Send(PortId, Vec<Value>),
    /// Call a port; the last number is the timeout in milliseconds.
    Call(u64, PortId, Vec<Value>, u64),
    /// Give up a call.
    Cancel(u64),
    /// Make a port.
    Open(u64),
    /// End an own port.
    Close(PortId, Vec<Value>),
    /// Monitor a port.
    Monitor(u64, PortId),
    /// The client knows that this monitor or call has told of a loss.
    Told(u64),
    /// Withdraw a monitor.
    Unmonitor(u64),
    /// Watch a family.
    Watch(u64, String),
    /// End a watch.
    Unwatch(u64),
    /// Answer this.
    Ping(u64),
}

/// Something that a client must not do. It is counted by its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it was, as one word.
    pub code: &'static str,
    /// For people.
    pub text: String,
    /// The number of the call, port, monitor or watch that is refused.
    pub id: Option<u64>,
    /// Whether the connection ends with it.
    pub ends: bool,
}

impl Refusal {
    /// The connection goes on.
    pub(crate) fn of(code: &'static str, id: Option<u64>, text: impl Into<String>) -> Refusal {
        Refusal { code, text: text.into(), id, ends: false }
    }

    /// The connection ends.
    pub(crate) fn end(code: &'static str, text: impl Into<String>) -> Refusal {
        Refusal { code, text: text.into(), id: None, ends: true }
    }
}

impl Act {
    /// Reads a message of a client.
    ///
    /// # Errors
    ///
    /// It is not one: the connection ends, unless the client asks for something that no client may
    /// do.
    pub fn parse(text: &str) -> Result<Act, Refusal> {
        let malformed = |what: &str| Refusal::end("malformed", what);
        let Ok(Json::Array(items)) = serde_json::from_str(text) else {
            return Err(malformed("a message is a JSON array that nests at most 127 levels deep"));
        };
        let mut items = items.into_iter();
        let Some(Json::String(name)) = items.next() else {
            return Err(malformed("a message begins with the name of what is asked for"));
        };
        let arguments = Arguments(items);
        arguments.read(&name).ok_or_else(|| match name.as_str() {
            "hello" | "send" | "call" | "cancel" | "open" | "close" | "monitor" | "told" | "unmonitor"
            | "watch" | "unwatch" | "ping" => {
                Refusal::end("malformed", format!("{name} has the wrong arguments"))
            }
            // What members can do, and others that do not exist.
            _ => Refusal::of(
                "unknown",
                None,
                format!("clients cannot do {:?}", name.chars().take(40).collect::<String>()),
            ),
        })
    }
}

struct Arguments(std::vec::IntoIter<Json>);

impl Arguments {
    fn read(mut self, name: &str) -> Option<Act> {
        let act = match name {
            "hello" => {
                (self.number()? == VERSION).then_some(())?;
                Act::Hello { token: self.text()? }
            }
            "send" => Act::Send(self.port()?, self.values()?),
            "call" => {
                Act::Call(self.number()?, self.port()?, self.values()?, self.number()?.min(TIMEOUT_MAX))
            }
            "cancel" => Act::Cancel(self.number()?),
            "open" => Act::Open(self.number()?),
            "close" => Act::Close(self.port()?, self.values()?),
            "monitor" => Act::Monitor(self.number()?, self.port()?),
            "told" => Act::Told(self.number()?),
            "unmonitor" => Act::Unmonitor(self.number()?),
            "watch" => Act::Watch(self.number()?, self.text()?),
            "unwatch" => Act::Unwatch(self.number()?),
            "ping" => Act::Ping(self.number()?),
            _ => return None,
        };
        self.0.next().is_none().then_some(act)
    }

    fn number(&mut self) -> Option<u64> {
        self.0.next()?.as_u64()
    }

    fn text(&mut self) -> Option<String> {
        match self.0.next()? {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    fn port(&mut self) -> Option<PortId> {
        PortId::parse(&self.text()?).ok()
    }

    fn values(&mut self) -> Option<Vec<Value>> {
        match self.0.next()? {
            Json::Array(items) => Some(items.into_iter().map(to_value).collect()),
            _ => None,
        }
    }
}

/// What a gateway tells a client.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    Welcome { node: &'a str },
    Refused(&'a Refusal),
    Reply(u64, &'a [Value]),
    Failed(u64, &'a [Value], bool),
    Opened(u64, &'a PortId),
    Message(&'a PortId, &'a [Value]),
    Closed(&'a PortId, &'a Reason),
    Fired(u64, &'a Reason),
    Changed { id: u64, added: Map<String, Json>, changed: Map<String, Json>, deleted: &'a [String] },
    Pong(u64),
}

impl Event<'_> {
    /// The message.
    pub(crate) fn to_text(&self) -> String {
        let event = match self {
            Event::Welcome { node } => json!(["welcome", VERSION, node]),
            Event::Refused(refusal) => json!(["refused", refusal.id, refusal.code, refusal.text]),
            Event::Reply(id, values) => json!(["reply", id, to_list(values)]),
            Event::Failed(id, reason, lost) => json!(["failed", id, to_list(reason), lost]),
            Event::Opened(id, port) => json!(["opened", id, port.to_string()]),
            Event::Message(port, values) => json!(["message", port.to_string(), to_list(values)]),
            Event::Closed(port, reason) => json!(["closed", port.to_string(), to_list(reason.values())]),
            Event::Fired(id, reason) => json!(["fired", id, to_list(reason.values())]),
            Event::Changed { id, added, changed, deleted } => json!(["changed", id, added, changed, deleted]),
            Event::Pong(id) => json!(["pong", id]),
        };
        event.to_string()
    }
}

/// A value of a client.
fn to_value(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => truth.into(),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number.into()),
            (None, Some(number)) => Value::Int(number.into()),
            (None, None) => Value::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::Text(text),
        Json::Array(items) => Value::List(items.into_iter().map(to_value).collect()),
        Json::Object(entries) => {
            Value::Map(entries.into_iter().map(|(key, value)| (Value::Text(key), to_value(value))).collect())
        }
    }
}

/// A value for a client. A string of bytes is one of the code points U+0000 to U+00FF, as
/// everywhere in the network.
pub(crate) fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Int(number) => {
            Number::from_i128(*number).map_or_else(|| number.to_string().into(), Json::Number)
        }
        // Those that are not finite have no form in JSON.
        Value::Float(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::List(items) => to_list(items),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|(key, value)| (to_key(key), to_json(value))).collect())
        }
        Value::Tag(_, value) => to_json(value),
        text => text.to_name().unwrap_or_default().into(),
    }
}

fn to_list(values: &[Value]) -> Json {
    Json::Array(values.iter().map(to_json).collect())
}

fn to_key(key: &Value) -> String {
    match to_json(key) {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_read() {
        let port = PortId::parse("n#p").unwrap();
        for (text, act) in [
            (r#"["hello",1,"token"]"#, Act::Hello { token: "token".into() }),
            (
                r#"["send","n#p",["x",1]]"#,
                Act::Send(port.clone(), vec![Value::Text("x".into()), Value::Int(1)]),
            ),
            (r#"["call",3,"n#p",[],5000]"#, Act::Call(3, port.clone(), vec![], 5000)),
            (r#"["call",3,"n#p",[],18446744073709551615]"#, Act::Call(3, port.clone(), vec![], TIMEOUT_MAX)),
            (r#"["close","n#p",[]]"#, Act::Close(port.clone(), vec![])),
            (r#"["monitor",4,"n#p"]"#, Act::Monitor(4, port)),
            (r#"["told",4]"#, Act::Told(4)),
            (r#"["watch",5,"f"]"#, Act::Watch(5, "f".into())),
            (r#"["ping",6]"#, Act::Ping(6)),
        ] {
            assert_eq!(Act::parse(text), Ok(act), "{text}");
        }
    }

    #[test]
    fn what_is_not_an_act_ends_the_connection() {
        let deep = format!("[\"send\",\"n#p\",{}{}]", "[".repeat(1000), "]".repeat(1000));
        for text in [
            "",
            "null",
            "{}",
            "[",
            "[]",
            "[1]",
            "[[\"ping\",1]]",
            r#"["ping"]"#,
            r#"["ping",-1]"#,
            r#"["ping",1.5]"#,
            r#"["ping",1,2]"#,
            r#"["hello",2,"token"]"#,
            r#"["hello",1]"#,
            r#"["hello",1,null]"#,
            r#"["send","n#p"]"#,
            r#"["send","n#p",{}]"#,
            r#"["send","a b",[]]"#,
            r##"["send","#",[]]"##,
            r#"["send",["n#p"],[]]"#,
            r#"["call","1","n#p",[],1]"#,
            r#"["watch",1,null]"#,
            "[\"ping\",1] x",
            "[\"\\ud800\"]",
            &deep,
        ] {
            let refusal = Act::parse(text).unwrap_err();
            assert!(refusal.ends && refusal.code == "malformed", "{text}: {refusal:?}");
        }
    }

    #[test]
    fn what_members_can_do_is_refused_by_name() {
        for name in ["spawn", "eval", "kill", "register", "set", "delete", "mon1", "g_slave", "snd", ""] {
            let refusal = Act::parse(&json!([name, 1]).to_string()).unwrap_err();
            assert_eq!((refusal.code, refusal.ends), ("unknown", false), "{name}");
        }
    }

    #[test]
    fn values_pass_in_both_directions() {
        let json = json!([null, true, -1, u64::MAX, i64::MIN, 0.5, "é€", [[]], {"a": {"b": []}}]);
        assert_eq!(to_json(&to_value(json.clone())), json);
        assert_eq!(to_json(&Value::Bytes(vec![0, 0xe9].into())), json!("\0é"));
        assert_eq!(to_json(&Value::Float(f64::NAN)), Json::Null);
    }
}
