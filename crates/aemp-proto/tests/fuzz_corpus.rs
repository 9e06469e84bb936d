//! The corpus of the fuzz targets, replayed: what was found once is checked for ever.

#[path = "support/checks.rs"]
mod checks;
#[path = "support/relay_checks.rs"]
mod relay_checks;

use std::path::Path;

use aemp_proto::wire::Framing;

fn replay(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files = 0;
    for entry in folder.read_dir().expect("the corpus is beside the fuzz targets") {
        check(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
        files += 1;
    }
    assert!(files > 10, "{target} has a corpus of {files}");
}

#[test]
fn frames_in_cbor() {
    replay("read_cbor", |octets| checks::read_frames(Framing::Cbor, octets));
}

#[test]
fn frames_in_json() {
    replay("read_json", |octets| checks::read_frames(Framing::Json, octets));
}

#[test]
fn frames_between_our_own_nodes() {
    replay("read_native", |octets| checks::read_frames(Framing::Native, octets));
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
