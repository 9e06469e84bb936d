//! The workloads on aemp: callback ports, through nothing but the public interface.
//!
//! | file | what |
//! |---|---|
//! | [`work`] | the messages of all workloads |
//! | [`local`] | inside of one node |
//! | [`kinds`] | kinds of messages, moved and encoded |
//! | [`monitors`] | monitors by the million |
//! | [`near`] | several nodes in one process |
//! | [`mesh`] | a network of many processes |
//! | [`remote`] | to a port of another process |
//! | [`far`] | that other process |
//! | [`transport`] | how the two talk |
//! | [`database`] | entries that one process sets and the other watches |
//! | [`latency`] | times under load |
//! | [`costs`] | starting, dialling, being idle, many nodes |

mod costs;
mod database;
mod far;
mod kinds;
mod latency;
mod local;
mod mesh;
mod monitors;
mod near;
mod remote;
mod transport;
mod work;

use crate::measure::Measured;

pub(crate) use far::peer;
pub(crate) use mesh::form;
pub(crate) use monitors::set_fire_and_drop;
pub(crate) use near::connected;
pub(crate) use work::Work;

/// Runs a workload; `None` if nothing has this name.
pub(crate) async fn run(system: String, workload: String, count: u64) -> Option<Measured> {
    let (system, workload) = (system.as_str(), workload.as_str());
    match workload {
        name if name.starts_with("k-") => kinds::run(name, count).await,
        name if name.starts_with("lat") || name == "fair" => latency::run(system, name, count).await,
        "monitors" => monitors::run(workload, count).await,
        "db" => database::run(system, workload, count).await,
        "start" | "dial" | "idle" | "fan100" => costs::run(system, workload, count).await,
        name if name.starts_with('l') || name == "fan10k" => local::run(name, count).await,
        _ => remote::run(system, workload, count).await,
    }
}
