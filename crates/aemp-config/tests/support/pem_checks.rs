//! What must hold for any content of a certificate bundle. A fuzz target and the test that replays
//! its corpus call this.

use std::time::Duration;

use aemp::{Node, StartError};
use aemp_config::{Arguments, Host, Secret, Settings, effective};
use serde_json::json;

/// Longer than two nodes on one machine take to connect, or not to.
const LIMIT: Duration = Duration::from_secs(2);

/// Bytes read as a bundle: there is an error that holds nothing of them, or a node that listens
/// with them, and another that dials it; whether they trust each other is for the certificates to
/// say.
pub(crate) fn use_bundle(bytes: &[u8]) {
    configure(bytes);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let start = |id: &str| Node::builder().id(id).certificate_pem(bytes).monitor_timeout(LIMIT);
        let listener = match start("listener").bind("127.0.0.1:0").start().await {
            Ok(node) => node,
            Err(error) => return assert!(matches!(error, StartError::Certificate(_)), "{error}"),
        };
        let dialler =
            start("dialler").seed(listener.local_addrs()[0]).start().await.expect("the bundle was good");
        let died = dialler.exited(&listener.id().named("nobody"));
        // It dies in any case: there is no such port, or no connection.
        tokio::time::timeout(LIMIT * 10, died).await.expect("an end");
        dialler.shutdown().await;
        listener.shutdown().await;
    });
}

/// The same as a setting.
fn configure(bytes: &[u8]) {
    let text = Secret::to_text(bytes);
    let host = Host { name: "doomed".into(), addresses: Vec::new() };
    let mut arguments = Arguments::for_profile("doomed").without_file();
    arguments.set("cert", &json!(text)).expect("any text can be set");
    let found = effective(None, &arguments, &host).expect("there are no parents");
    if let Err(error) = Settings::resolve(&found, &host) {
        let error = error.to_string();
        // Short texts may be a part of any message.
        let shown = text
            .lines()
            .filter(|line| line.len() > 20 && !line.starts_with("-----"))
            .any(|line| error.contains(line));
        assert!(!shown, "{error}");
    }
}
