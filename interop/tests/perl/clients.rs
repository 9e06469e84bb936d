//! One-shot commands are clients: they ask Perl nodes, wait for them, and leave nothing behind.

use serde_json::{Value as Json, json};

use crate::command::{aemp, seed_of};
use crate::network::{Kind, Pair, Setup, listed};
use crate::peer::Perl;

/// The commands with a Perl node that only the database tells of.
pub(crate) async fn ask(setup: Setup) {
    let mut pair = Pair::start(setup).await;
    let seed = seed_of(&pair);
    let mut far = Perl::start(setup.perl("far", &seed)).await;
    listed(&pair.rust, "far").await;
    let echo = far.port("$echo = port; peval $echo, \\&echo; $echo").await.to_string();

    let ran = aemp("cal", &seed, &[&echo, "one", "[2,null]"], "").await;
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "\"one\",[2,null]\n"), "{}", ran.stderr);

    let told = far.port("port { ev (told => @_) }").await.to_string();
    let ran = aemp("snd", &seed, &[&told, "hello", "{\"a\":1}"], "").await;
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "message sent successfully\n"), "{}", ran.stderr);
    assert_eq!(far.event("told").await, [json!("hello"), json!({"a": 1})]);
    let ran = aemp("snd", &seed, &["far#gone", "hello"], "").await;
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("no_such_port"), "{}", ran.stderr);

    // A Perl node keeps the monitors of those who have gone.
    let told = far.port("port { }").await.to_string();
    let name = told.split_once('#').unwrap().1;
    let arguments = [told.as_str()];
    let (ran, ()) = tokio::join!(aemp("mon", &seed, &arguments, ""), async {
        let monitored = format!("scalar keys %{{ $AnyEvent::MP::Kernel::LMON{{'{name}'}} }}");
        while far.ask(&monitored).await == [json!(0)] {}
        far.run(&format!("kil '{told}', enough => 7")).await;
    });
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "enough 7\n"), "{}", ran.stderr);

    // Nothing stays of them in the database, and nobody has complained.
    let ran = aemp("db", &seed, &["--json", "'l"], "").await;
    let nodes = ran.stdout.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()["key"].clone());
    assert_eq!(nodes.collect::<Vec<_>>(), ["far", "perl", "rust"].map(Json::from), "{}", ran.stderr);
    if setup.seed == Kind::Perl {
        let owners =
            "sort grep %{ $AnyEvent::MP::Kernel::LOCAL_DBS{$_} }, keys %AnyEvent::MP::Kernel::LOCAL_DBS";
        while pair.perl.ask(owners).await != ["far", "perl", "rust"].map(Json::from) {}
    }
    far.finish().await;
    pair.finish().await;
}

/// A Perl node that listens nowhere cannot be asked, and the command says so.
pub(crate) async fn out_of_reach(setup: Setup) {
    let pair = Pair::start(setup).await;
    let seed = seed_of(&pair);
    let mut config = setup.perl("hidden", &seed);
    config["binds"] = json!([]);
    let mut hidden = Perl::start(config).await;
    listed(&pair.rust, "hidden").await;
    let echo = hidden.port("$echo = port; peval $echo, \\&echo; $echo").await.to_string();
    for command in ["cal", "snd"] {
        let ran = aemp(command, &seed, &[&echo, "x"], "").await;
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.contains("no known address"), "{command}: {}", ran.stderr);
    }
    hidden.finish().await;
    pair.finish().await;
}
