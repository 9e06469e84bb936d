//! Logs across the network: the records of any node, shown on the node that asked for them.
//!
//! Two halves, which speak what Perl's `AnyEvent::MP::LogCatcher` speaks:
//!
//! - A program that lets its records be caught adds the layer of a [`LogSource`] to its subscriber,
//!   and gives the source to its node. Every node answers the call
//!   `AnyEvent::MP::LogCatcher::connect` with what its source has (module `forward`).
//! - [`Node::catch_logs`](crate::Node::catch_logs) calls that on all other nodes, also on those
//!   that come later, and yields [`Record`]s (module `catch`).
//!
//! ```
//! use aemp::Node;
//! use aemp::log::{Level, LogSource};
//! use tracing_subscriber::prelude::*;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let source = LogSource::new();
//! tracing_subscriber::registry().with(source.layer()).init();
//! let node = Node::builder().logs(&source).start().await?;
//!
//! let mut caught = node.catch_logs(Level::Debug);
//! # node.shutdown().await;
//! while let Some(record) = caught.next().await {
//!     println!("{record}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! **No record travels twice.** A record that was caught and is logged again ([`Record::log`]) is
//! never forwarded, and neither is what the forwarding itself makes the program log. A program with
//! several nodes gives its source to one of them: a source holds the records of a program, and each
//! node with it forwards all of them.
//!
//! **What others say is theirs.** A record has the text as its node has sent it; [`OneLine`] makes
//! it fit for a terminal or a log file. The same holds for all that the library logs: reasons and
//! error texts come from other nodes. A subscriber should escape and cut them, as the one of the
//! command `aemp` does.
//!
//! **Logging never waits.** A catcher that is slower than the log loses records; how many stands in
//! a record of its own.

pub(crate) mod catch;
pub(crate) mod clock;
#[cfg(feature = "logs")]
pub(crate) mod forward;
#[cfg(feature = "logs")]
mod layer;
mod level;
mod limited;
mod names;
mod one_line;
mod record;
#[cfg(feature = "logs")]
mod source;

pub use catch::LogCatcher;
pub use level::{Level, LevelError};
pub use names::CAUGHT;
pub(crate) use names::CONNECT;
pub use one_line::{OneLine, is_plain};
pub use record::Record;
#[cfg(feature = "logs")]
pub use source::LogSource;
