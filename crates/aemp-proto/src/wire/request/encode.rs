//! A request as a message to the node port, in the shapes that Perl writes.

use super::{Family, MeshRequest, Request, Tables};
use crate::wire::body::{Body, BodyBuilder};
use crate::wire::cbor;
use crate::wire::error::EncodeError;
use crate::wire::scan::{ARRAY, MAP};
use crate::{PortId, Reason, Value};

impl Request {
    /// The message for the node port of the other node.
    ///
    /// # Errors
    ///
    /// A value in it cannot be encoded.
    pub fn encode(&self) -> Result<Body, EncodeError> {
        let mut out = BodyBuilder::default();
        match self {
            Request::Monitor(name) => out.name("mon1").name(name),
            Request::Unmonitor(name) => out.name("mon0").name(name),
            Request::Died(name, reason) => put_reason(out.name("kil0").name(name), reason)?,
            Request::Kill(name, reason) => put_reason(out.name("kil1").name(name), reason)?,
            Request::Send(port, message) => put_port(out.name("snd"), port).body(message),
            Request::Can(tag, port, message) => put_port(out.name("can").name(tag), port).body(message),
            Request::Time(port, message) => put_port(out.name("time"), port).body(message),
            Request::Eval(code, None) => out.name("eval").name(code),
            Request::Eval(code, Some((port, message))) => {
                put_port(out.name("eval").name(code), port).body(message)
            }
            Request::Nothing => out.name(""),
            Request::Spawn { name, function, args } => {
                out.name("AnyEvent::MP::_spawn").name(name).name(function).body(args)
            }
            Request::Mesh(request) => return request.encode(),
            Request::Relay(request) => return request.encode(),
            Request::Call(function, args) => out.name(function).body(args),
        };
        Ok(out.finish())
    }
}

impl MeshRequest {
    /// The message for the node port of the other node.
    ///
    /// Changes always have a map and a list, as global nodes write them: a master in Perl takes
    /// that from its slaves too.
    ///
    /// # Errors
    ///
    /// A value in it cannot be encoded.
    pub fn encode(&self) -> Result<Body, EncodeError> {
        let mut out = BodyBuilder::default();
        match self {
            MeshRequest::Slave(None) => out.name("g_slave"),
            MeshRequest::Slave(Some(tables)) => put_tables(out.name("g_slave"), tables)?,
            MeshRequest::Global => out.name("g_global"),
            MeshRequest::Set(tables) => put_tables(out.name("g_set"), tables)?,
            MeshRequest::Update(family, set, deleted) => {
                put_strings(put_family(out.name("g_upd").name(family), set)?, deleted)?
            }
            MeshRequest::Find(node) => out.name("g_find").name(node.as_str()),
            MeshRequest::Found(node, binds) => {
                let out = out.name("g_found").name(node.as_str());
                match binds {
                    Some(binds) => put_strings(out, binds)?,
                    None => put(out, &Value::Null)?,
                }
            }
            MeshRequest::FoundRelayed(node, addresses) => {
                put_strings(out.name("x_found").name(node.as_str()), addresses)?
            }
            MeshRequest::Family(family, id) => put(out.name("g_db_family").name(family), id)?,
            MeshRequest::Keys(family, id) => put(out.name("g_db_keys").name(family), id)?,
            MeshRequest::Values(family, id) => put(out.name("g_db_values").name(family), id)?,
            MeshRequest::Reply(id, result) => put(put(out.name("g_reply"), id)?, result)?,
            MeshRequest::Watch(family) => out.name("g_mon1").name(family),
            MeshRequest::Unwatch(family) => out.name("g_mon0").name(family),
            MeshRequest::Content(family, content) if content.is_empty() => {
                put(out.name("g_chg1").name(family), &Value::Null)?
            }
            MeshRequest::Content(family, content) => put_family(out.name("g_chg1").name(family), content)?,
            MeshRequest::Changed(family, set, deleted) => {
                put_strings(put_family(out.name("g_chg2").name(family), set)?, deleted)?
            }
        };
        Ok(out.finish())
    }
}

type Put<'a> = Result<&'a mut BodyBuilder, EncodeError>;

fn put<'a>(out: &'a mut BodyBuilder, value: &Value) -> Put<'a> {
    out.value(value)?;
    Ok(out)
}

fn put_port<'a>(out: &'a mut BodyBuilder, port: &PortId) -> &'a mut BodyBuilder {
    out.name(&port.to_string())
}

fn put_reason<'a>(out: &'a mut BodyBuilder, reason: &Reason) -> Put<'a> {
    reason.values().iter().try_for_each(|value| out.value(value))?;
    Ok(out)
}

fn put_strings<'a>(out: &'a mut BodyBuilder, strings: &[String]) -> Put<'a> {
    out.item(|out| {
        cbor::write_head(out, ARRAY, strings.len() as u64);
        strings.iter().for_each(|string| cbor::write_name(out, string));
        Ok(())
    })?;
    Ok(out)
}

fn put_family<'a>(out: &'a mut BodyBuilder, family: &Family) -> Put<'a> {
    out.item(|out| write_family(out, family, 1))?;
    Ok(out)
}

fn put_tables<'a>(out: &'a mut BodyBuilder, tables: &Tables) -> Put<'a> {
    out.item(|out| {
        cbor::write_head(out, MAP, tables.len() as u64);
        tables.iter().try_for_each(|(name, family)| {
            cbor::write_name(out, name);
            write_family(out, family, 2)
        })
    })?;
    Ok(out)
}

/// Writes a family whose values are inside of this many maps.
fn write_family(out: &mut Vec<u8>, family: &Family, outer: usize) -> Result<(), EncodeError> {
    cbor::write_head(out, MAP, family.len() as u64);
    family.iter().try_for_each(|(key, value)| {
        cbor::write_name(out, key);
        cbor::write_value(out, value, outer)
    })
}
