//! A hundred thousand messages in order, in both directions at once.

use aemp::Value;
use serde_json::json;

use crate::network::{Pair, inbox, next};

const COUNT: u32 = 100_000;

pub(crate) async fn both_directions(pair: &mut Pair) {
    let Pair { rust, perl, .. } = pair;
    let (me, mut received) = inbox(rust);
    let counter = rust.spawn(&perl.node, "main::counter", ()).unwrap();
    // In pieces, so that Perl reads between them.
    perl.run(&format!(
        "$n = 0; $flood = AE::idle sub {{ snd '{me}', $n++ for 1 .. 1000; undef $flood if $n == {COUNT} }}"
    ))
    .await;
    for n in 0..COUNT {
        rust.send(&counter, (n,)).unwrap();
    }
    for n in 0..COUNT {
        assert_eq!(next(&mut received).await, [Value::from(n)]);
    }
    rust.send(&counter, ("end", &me)).unwrap();
    assert_eq!(next(&mut received).await, [Value::from(COUNT), Value::from(1)]);
    assert_eq!(perl.ask("$n").await, [json!(COUNT)]);
}
