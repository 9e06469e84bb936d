//! Values in the database that one of the framings cannot say.

use aemp::{DbWatch, Node, Value};
use serde_json::json;

use crate::network::{Pair, Setup, addresses, listed, plain, seeds, soon, up};
use crate::peer::Perl;

/// What a Perl node has of the family `odd`, each time that it changes.
const WATCH: &str = "my %c; $guard = db_mon odd => sub { my ($f, @l) = @_; $c{$_} = $f->{$_} for map @$_, @l[0, 1]; \
    delete @c{@{ $l[2] }}; ev (odd => map { my $v = $c{$_}; \"$_=\" . (!defined $v ? 'undef' : ref $v ? $json->encode ($v) : \
    $v != $v ? 'nan' : $v) } sort keys %c) }";

/// What stands there in the end.
const ALL: [&str; 5] =
    ["empty=", "inf=Inf", "nan=nan", "nested={\"a\":[1,null,{\"b\":\"x\"}]}", "none=undef"];

/// The same for a node that reads JSON only: it has no form for the others.
const IN_JSON: [&str; 3] = [ALL[0], ALL[3], ALL[4]];

fn nested() -> Value {
    let map = |key: &str, value| Value::Map([(Value::name(key), value)].into());
    map("a", Value::List(vec![1.into(), Value::Null, map("b", Value::name("x"))]))
}

fn set_all(node: &Node, nan: bool) {
    let floats = [("nan", Value::Float(f64::NAN)), ("inf", Value::Float(f64::INFINITY))];
    let others = [("empty", Value::name("")), ("nested", nested()), ("none", Value::Null)];
    for (key, value) in floats.into_iter().filter(|_| nan).chain(others) {
        node.db().set("odd", key, value).unwrap().detach();
    }
}

/// Waits until a Rust node has these keys, and compares their values.
async fn sees(watch: &mut DbWatch, nan: bool) {
    let keys = if nan { 5 } else { 3 };
    let content = soon("the entries", async {
        loop {
            let change = watch.next().await.unwrap();
            if change.content.len() == keys {
                return change.content.clone();
            }
        }
    })
    .await;
    assert_eq!(plain(&content["empty"]), Value::name(""));
    assert_eq!(plain(&content["nested"]), nested());
    assert_eq!(content["none"], Value::Null);
    if nan {
        assert!(matches!(content["nan"], Value::Float(number) if number.is_nan()), "{:?}", content["nan"]);
        assert_eq!(content["inf"], Value::Float(f64::INFINITY));
    }
}

async fn told(perl: &mut Perl, expected: &[&str]) {
    while perl.event("odd").await != expected.iter().map(|text| json!(text)).collect::<Vec<_>>() {}
}

/// An owner of either kind, watched by the other one.
pub(crate) async fn odd_values(setup: Setup) {
    let Pair { rust, mut perl, .. } = Pair::start(setup).await;
    let nan = !setup.is_json();
    let mut watch = rust.db().watch("odd");
    perl.run(WATCH).await;
    perl.event("odd").await;
    let infinite = if nan { "nan => -sin 9**9**9, inf => 9**9**9, " } else { "" };
    let entries = format!(
        "my %e = ({infinite} empty => '', nested => {{ a => [1, undef, {{ b => 'x' }}] }}, none => undef)"
    );
    perl.run(&format!("{entries}; db_set odd => $_ => $e{{$_}} for keys %e")).await;
    sees(&mut watch, nan).await;
    told(&mut perl, if nan { &ALL } else { &IN_JSON }).await;
    perl.run("db_del odd => qw(nan inf empty nested none)").await;
    told(&mut perl, &[]).await;
    let gone = async { while !watch.next().await.unwrap().content.is_empty() {} };
    soon("the end of the entries", gone).await;
    // A node that reads JSON only is not told of the others.
    set_all(&rust, true);
    told(&mut perl, if nan { &ALL } else { &IN_JSON }).await;
    perl.finish().await;
    rust.shutdown().await;
}

/// A global node of ours leaves out what its slave cannot read, in its first answer and in changes.
pub(crate) async fn for_a_slave_with_json(setup: Setup) {
    assert!(!setup.is_json() && !setup.tls);
    let rust = setup.rust("rust").global(true).start().await.unwrap();
    let owner = seeds(setup.rust("owner"), &addresses(&rust)).start().await.unwrap();
    up(&owner, rust.id()).await;
    set_all(&owner, true);
    listed(&rust, "owner").await;
    let mut config = setup.perl("json", &addresses(&rust));
    config["framing_format"] = json!(["json"]);
    let mut slave = Perl::start(config).await;
    slave.up(rust.id()).await;
    slave.run(WATCH).await;
    told(&mut slave, &IN_JSON).await;
    owner.db().set("odd", "more", Value::Float(f64::NEG_INFINITY)).unwrap().detach();
    owner.db().set("odd", "none", 5).unwrap().detach();
    told(&mut slave, &[ALL[0], ALL[3], "none=5"]).await;
    slave.finish().await;
    for node in [owner, rust] {
        node.shutdown().await;
    }
}
