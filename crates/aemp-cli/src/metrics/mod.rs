//! Numbers for monitoring: `aemp run metrics HOST:PORT` answers `/metrics`, `/ready` and `/alive`.
//!
//! [`collect`] has the metrics and their names, [`serve`] the little HTTP that this needs.

#[cfg(feature = "metrics")]
mod collect;
#[cfg(all(test, feature = "metrics"))]
mod dashboard;
#[cfg(feature = "metrics")]
mod serve;

use aemp::Node;

use crate::failure::Failure;

/// Opens the listener, where one is configured, until the process ends; returns its address.
#[cfg(feature = "metrics")]
pub(crate) async fn open(address: Option<&str>, node: &Node) -> Result<Option<String>, Failure> {
    let Some(address) = address else { return Ok(None) };
    let failed = |error| Failure::failed(format!("metrics {address} cannot be listened on: {error}"));
    let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    tokio::spawn(serve::serve(listener, node.clone()));
    Ok(Some(bound.to_string()))
}

/// A listener that is configured is an error.
#[cfg(not(feature = "metrics"))]
pub(crate) async fn open(address: Option<&str>, _: &Node) -> Result<Option<String>, Failure> {
    match address {
        None => Ok(None),
        Some(_) => Err(Failure::configuration("this aemp was built without the feature metrics")),
    }
}
