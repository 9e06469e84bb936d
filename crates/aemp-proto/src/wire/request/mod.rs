//! Requests to the node port, as one enum (`PROTOCOL.md` §3, §7).

mod decode;
mod encode;
mod hops;
mod relay;

use std::collections::BTreeMap;

use thiserror::Error;

pub use decode::{REASON_MEMORY_MAX, REQUEST_MEMORY_MAX};
pub use hops::HOPS_MAX;
pub use relay::{RelayId, RelayRequest};

use crate::wire::Body;
use crate::{NameError, NodeId, PortId, Reason, Value};

/// Family → subkey → value: the content of a database.
pub type Tables = BTreeMap<String, Family>;

/// Subkey → value: the content of one family.
pub type Family = BTreeMap<String, Value>;

/// What one node asks of another by a message to its node port.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// `mon1 PORT`: the sender monitors this port of ours.
    Monitor(String),
    /// `mon0 PORT`: it does not any more.
    Unmonitor(String),
    /// `kil0 PORT REASON…`: a port of the sender is gone.
    Died(String, Reason),
    /// `kil1 PORT REASON…`: kill this port of ours.
    Kill(String, Reason),
    /// `snd PORTID VALUE…`: send this message from here.
    Send(PortId, Body),
    /// `can TAG PORTID VALUE…`: say whether `TAG` is a request known here.
    Can(String, PortId, Body),
    /// `time PORTID VALUE…`: say what time it is.
    Time(PortId, Body),
    /// `eval STRING [PORTID VALUE…]`: evaluate a string.
    Eval(String, Option<(PortId, Body)>),
    /// `devnull …`, `"" …` and the empty message: nothing.
    Nothing,
    /// `AnyEvent::MP::_spawn NAME FUNC ARG…`: create this port and run the function in it.
    Spawn {
        /// The name of the port, chosen by the sender.
        name: String,
        /// The registered function.
        function: String,
        /// Its arguments.
        args: Body,
    },
    /// Requests of the shared database.
    Mesh(MeshRequest),
    /// Requests about relayed connections.
    Relay(RelayRequest),
    /// Any other tag: the name of a function to be called.
    Call(String, Body),
}

/// Requests of the global service (`PROTOCOL.md` §7).
#[derive(Debug, Clone, PartialEq)]
pub enum MeshRequest {
    /// `g_slave [DB]`: become global; with a database, the sender attaches to us.
    Slave(Option<Tables>),
    /// `g_global`: the sender is global.
    Global,
    /// `g_set DB`: all that the sender's slaves own.
    Set(Tables),
    /// `g_upd FAMILY SET DEL`: changes.
    Update(String, Family, Vec<String>),
    /// `g_find NODE`: where does it listen?
    Find(NodeId),
    /// `g_found NODE BINDS`: there, if known.
    Found(NodeId, Option<Vec<String>>),
    /// `x_found NODE ADDRESSES`: it can be reached through other nodes; comes before `g_found`, and
    /// from native masters only.
    FoundRelayed(NodeId, Vec<String>),
    /// `g_db_family FAMILY ID`.
    Family(String, Value),
    /// `g_db_keys FAMILY ID`.
    Keys(String, Value),
    /// `g_db_values FAMILY ID`.
    Values(String, Value),
    /// `g_reply ID RESULT`.
    Reply(Value, Value),
    /// `g_mon1 FAMILY`.
    Watch(String),
    /// `g_mon0 FAMILY`.
    Unwatch(String),
    /// `g_chg1 FAMILY HASH`: the whole content.
    Content(String, Family),
    /// `g_chg2 FAMILY SET DEL`: changes of a watched family.
    Changed(String, Family, Vec<String>),
}

/// A message to the node port that is not a request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The tag is neither a string nor a number.
    #[error("a request whose tag is not a string")]
    Tag,
    /// An argument is not there.
    #[error("{tag}: {argument} is missing")]
    Missing {
        /// The tag of the request.
        tag: &'static str,
        /// What the argument is.
        argument: &'static str,
    },
    /// An argument is of the wrong kind, or a name that has to say something is empty.
    #[error("{tag}: {argument} is not {wanted}")]
    Wrong {
        /// The tag of the request.
        tag: &'static str,
        /// What the argument is.
        argument: &'static str,
        /// What it has to be.
        wanted: &'static str,
    },
    /// Its values take too much memory when they are decoded.
    #[error("{tag}: its values take more than {limit} bytes of memory when they are decoded")]
    Memory {
        /// The tag of the request.
        tag: &'static str,
        /// Bytes that they may take.
        limit: usize,
    },
    /// Too many nodes would pass it on.
    #[error("more than {HOPS_MAX} nodes would pass a request on, one after the other")]
    Hops,
    /// An argument is not a node ID or port ID.
    #[error("{tag}: {error}")]
    Name {
        /// The tag of the request.
        tag: &'static str,
        /// Why not.
        #[source]
        error: NameError,
    },
}
