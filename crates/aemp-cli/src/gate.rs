//! The WebSocket gateway of `aemp run`, where it is configured and not left out of the build.

use aemp::Node;
use aemp_config::Settings;

use crate::failure::Failure;

/// A gateway that may be wanted.
pub(crate) struct Gate(Option<Wanted>);

#[cfg(feature = "ws")]
struct Wanted {
    address: String,
    access: aemp_gateway::Access,
}

#[cfg(not(feature = "ws"))]
enum Wanted {}

#[cfg(feature = "ws")]
impl Gate {
    /// What the settings say; the rules are read now, so that nothing starts if they are wrong.
    pub(crate) fn of(settings: &Settings) -> Result<Gate, Failure> {
        match (&settings.ws, &settings.ws_clients) {
            (None, None) => Ok(Gate(None)),
            (Some(address), Some(file)) => {
                let failed = |error: &dyn std::fmt::Display| {
                    Failure::configuration(format!("ws_clients {file}: {error}"))
                };
                let text = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
                let access = aemp_gateway::Access::parse(&text).map_err(|error| failed(&error))?;
                Ok(Gate(Some(Wanted { address: address.clone(), access })))
            }
            _ => Err(Failure::configuration(
                "ws and ws_clients go together: an address, and a file with the rules",
            )),
        }
    }

    /// Opens it, until the process ends; returns its address.
    pub(crate) async fn open(self, node: &Node) -> Result<Option<String>, Failure> {
        let Some(Wanted { address, access }) = self.0 else { return Ok(None) };
        let gateway = aemp_gateway::Gateway::bind(node.clone(), &address, access)
            .await
            .map_err(|error| Failure::failed(format!("ws {address} cannot be listened on: {error}")))?;
        let address = gateway.local_addr().to_string();
        tokio::spawn(gateway.serve());
        Ok(Some(address))
    }
}

#[cfg(not(feature = "ws"))]
impl Gate {
    /// A gateway that is configured is an error.
    pub(crate) fn of(settings: &Settings) -> Result<Gate, Failure> {
        match settings.ws.as_ref().or(settings.ws_clients.as_ref()) {
            None => Ok(Gate(None)),
            Some(_) => Err(Failure::configuration("this aemp was built without the feature ws")),
        }
    }

    /// There is no gateway.
    pub(crate) async fn open(self, _: &Node) -> Result<Option<String>, Failure> {
        Ok(self.0.map(|wanted| match wanted {}))
    }
}
