//! The corpora of the fuzz targets of this crate.

#[path = "support/broker_checks.rs"]
mod broker_checks;
#[path = "support/checks.rs"]
mod checks;
#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/relay_checks.rs"]
mod relay_checks;

use aemp_proto::wire::Framing;
use corpus::replay;

#[test]
fn frames_in_cbor() {
    replay("read_cbor", |bytes| checks::read_frames(Framing::Cbor, bytes));
}

#[test]
fn frames_in_json() {
    replay("read_json", |bytes| checks::read_frames(Framing::Json, bytes));
}

#[test]
fn frames_between_our_own_nodes() {
    replay("read_native", |bytes| checks::read_frames(Framing::Native, bytes));
}

#[test]
fn requests() {
    replay("request", checks::read_request);
}

#[test]
fn handshakes() {
    replay("handshake", checks::read_handshake);
}

#[test]
fn requests_that_a_node_acts_on() {
    replay("database", checks::act_on_requests);
}

#[test]
fn connections_that_a_node_relays() {
    replay("relay", relay_checks::relay);
}

#[test]
fn streams_over_a_broker_that_loses() {
    replay("broker", broker_checks::lossy);
}

#[test]
fn streams_over_a_broker_that_forges() {
    replay("broker", broker_checks::forged);
}
