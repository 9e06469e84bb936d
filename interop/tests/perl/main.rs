//! Rust and Perl nodes form one network.
//!
//! The tests run where `AEMP_PERL_LIB` names a folder with AnyEvent::MP 2.02 (the one in which
//! `AnyEvent/MP.pm` lies), and its dependencies are installed. Elsewhere they pass, and say that
//! they were skipped.

#![allow(clippy::unwrap_used)] // a test may

mod clients;
mod command;
mod database;
mod entries;
mod logs;
mod loss;
mod network;
mod order;
mod peer;
mod ports;
mod reach;
#[path = "../../../crates/aemp/tests/support/reserved.rs"]
mod reserved;
mod scripts;
mod settings;
mod spawn;
mod streams;
mod values;

use network::{CBOR, JSON, Kind, MIXED, Pair, Setup, with_perl};

/// Makes tests of a case: one for each seed, framing and protection.
macro_rules! in_every_setup {
    ($($case:ident: $run:path;)*) => {$(
        mod $case {
            use super::*;
            in_every_setup! { @each $run,
                rust_seed_cbor: Rust CBOR false; rust_seed_json: Rust JSON false;
                rust_seed_cbor_tls: Rust CBOR true; rust_seed_json_tls: Rust JSON true;
                perl_seed_cbor: Perl CBOR false; perl_seed_json: Perl JSON false;
                perl_seed_cbor_tls: Perl CBOR true; perl_seed_json_tls: Perl JSON true;
                rust_seed_mixed: Rust MIXED false; perl_seed_mixed_tls: Perl MIXED true;
            }
        }
    )*};
    (@each $run:path, $($name:ident: $seed:ident $framing:ident $tls:literal;)*) => {$(
        #[test]
        fn $name() {
            with_perl(async {
                let mut pair = Pair::start(Setup::new(Kind::$seed, $framing, $tls)).await;
                $run(&mut pair).await;
                pair.finish().await;
            });
        }
    )*};
}

in_every_setup! {
    calls: ports::calls;
    a_hundred_thousand_in_order: order::both_directions;
    every_value: values::every_value;
    kills_and_monitors: ports::kills_and_monitors;
    spawning_in_perl: spawn::in_perl;
    spawning_in_rust: spawn::in_rust;
    tags: values::tags;
    logs_of_perl: logs::of_perl;
    orderly_end: loss::orderly_end;
    node_requests: ports::node_requests;
    withdrawn_monitors: ports::withdrawn_monitors;
}

/// Makes tests of a case that starts its own nodes: one for each seed and framing.
macro_rules! for_each_seed {
    ($($name:ident: $run:expr;)*) => {$(
        mod $name {
            use super::*;
            #[test]
            fn rust_seed_cbor() {
                with_perl($run(Setup::new(Kind::Rust, CBOR, false)));
            }
            #[test]
            fn rust_seed_json_tls() {
                with_perl($run(Setup::new(Kind::Rust, JSON, true)));
            }
            #[test]
            fn perl_seed_cbor() {
                with_perl($run(Setup::new(Kind::Perl, CBOR, false)));
            }
            #[test]
            fn perl_seed_json_tls() {
                with_perl($run(Setup::new(Kind::Perl, JSON, true)));
            }
        }
    )*};
}

for_each_seed! {
    streams_to_perl: streams::to_perl;
    streams_from_perl: streams::from_perl;
    an_idle_node_is_kept: loss::idleness;
    a_silent_node_is_given_up: loss::silence;
    owners_and_watchers: database::owners_and_watchers;
    odd_values_in_the_database: entries::odd_values;
    simultaneous_connect: loss::simultaneous_connect;
    scripts_evaluate_for_perl: scripts::eval;
    scripts_serve_perl: scripts::chat;
}

/// Makes tests of a case that depends on the secret and not on the framing.
macro_rules! with_a_secret {
    ($($name:ident: $run:expr;)*) => {$(
        mod $name {
            use super::*;
            #[test]
            fn rust_seed() {
                with_perl($run(Setup::new(Kind::Rust, CBOR, false)));
            }
            #[test]
            fn perl_seed() {
                with_perl($run(Setup::new(Kind::Perl, CBOR, false)));
            }
        }
    )*};
}

with_a_secret! {
    one_shot_commands: clients::ask;
    one_shot_commands_out_of_reach: clients::out_of_reach;
    the_command_evaluates: command::eval;
    the_command_traces: command::trace;
    the_shell: command::shell;
    restarts: command::restart;
    a_wrong_secret: loss::wrong_secret;
    perl_killed_and_restarted: loss::perl_killed_and_restarted;
    rust_killed_and_restarted: loss::rust_killed_and_restarted;
}

mod logs_by_perl {
    use super::*;
    #[test]
    fn cbor() {
        with_perl(logs::by_perl(Setup::new(Kind::Rust, CBOR, false)));
    }
    #[test]
    fn json() {
        with_perl(logs::by_perl(Setup::new(Kind::Rust, JSON, false)));
    }
    #[test]
    fn two_catchers() {
        with_perl(logs::both(Setup::new(Kind::Rust, CBOR, false)));
    }
}

/// Makes tests of a case that does not depend on the setup.
macro_rules! once {
    ($($name:ident: $run:path;)*) => {$(
        #[test]
        fn $name() {
            with_perl($run(Setup::new(Kind::Rust, CBOR, false)));
        }
    )*};
}

once! {
    an_advertised_address_is_dialled: reach::advertised_address;
    an_advertised_name_is_dialled: reach::advertised_name;
    a_perl_node_listens_everywhere: reach::wildcard;
    a_perl_node_listens_at_another_loopback_address: reach::another_loopback_address;
    a_perl_node_dials_a_wildcard: reach::wildcard_as_a_seed;
    a_perl_node_that_nobody_can_dial: reach::out_of_reach;
    entries_for_a_slave_that_reads_json: entries::for_a_slave_with_json;
}

/// Makes tests with these global nodes, of which the first one dies.
macro_rules! global_nodes {
    ($($name:ident: $($kind:ident)*;)*) => {
        mod a_master_that_dies {
            use super::*;
            $(
                #[test]
                fn $name() {
                    with_perl(database::globals(Setup::new(Kind::Rust, CBOR, false), &[$(Kind::$kind),*]));
                }
            )*
        }
    };
}

global_nodes! {
    perl_then_rust: Perl Rust;
    rust_then_perl: Rust Perl;
    two_perl_one_rust: Perl Rust Perl;
    two_rust_one_perl: Rust Perl Rust;
}

/// The same commands on the same file, by the tools of both.
mod one_configuration_for_both {
    use super::*;

    #[test]
    fn every_command() {
        with_perl(settings::every_command());
    }

    #[test]
    fn chains_by_chance() {
        with_perl(settings::chains_by_chance());
    }
}

#[test]
fn a_stream_that_perl_cannot_make() {
    with_perl(streams::impossible(Setup::new(Kind::Rust, CBOR, false)));
}
