//! Networks with certificates: a shared one, a private CA, and what is refused.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::time::Duration;

use aemp::{AuthMethod, Builder, BundleError, Context, Node, ReplyTo, StartError};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use support::{LIMIT, builder, soon};

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}

fn params() -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "AnyEvent::MP");
    params
}

/// One bundle for all nodes: key and self-signed certificate.
fn shared() -> String {
    let key = KeyPair::generate().unwrap();
    let certificate = params().self_signed(&key).unwrap();
    format!("{}{}", key.serialize_pem(), certificate.pem())
}

/// Bundles for several nodes of one private CA: key, certificate, certificate of the CA.
fn of_one_ca<const N: usize>() -> [String; N] {
    of_one_ca_with(std::array::from_fn(|_| params()))
}

/// As [`of_one_ca`], with certificates as described.
fn of_one_ca_with<const N: usize>(params_of: [CertificateParams; N]) -> [String; N] {
    let key = KeyPair::generate().unwrap();
    let mut authority = params();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&key).unwrap();
    let issuer = Issuer::new(authority, key);
    params_of.map(|params| {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        format!("{}{}{}", key.serialize_pem(), certificate.pem(), root.pem())
    })
}

/// A certificate that is for these purposes only.
fn only_for(purposes: &[ExtendedKeyUsagePurpose]) -> CertificateParams {
    let mut params = params();
    params.extended_key_usages = purposes.to_vec();
    params
}

/// Whether the second node can call a port of the first.
async fn reaches(listening: Builder, dialling: Builder) -> bool {
    let seed = listening.id("seed").bind("127.0.0.1:0").start().await.unwrap();
    let echo = seed.port(|cx: &mut Context<'_>, (n, reply): (u64, ReplyTo<u64>)| cx.reply(reply, n));
    let node =
        dialling.connect_interval(Duration::from_secs(1)).seed(seed.local_addrs()[0]).start().await.unwrap();
    let answer =
        soon("an answer or an error", node.call(&echo, LIMIT, |reply: ReplyTo<u64>| (7, reply))).await;
    assert!(matches!(answer, Ok(7) | Err(_)));
    // Nobody is up who did not get an answer.
    assert_eq!(answer.is_ok(), !seed.connected_nodes().is_empty());
    answer.is_ok()
}

fn with(pem: &str) -> Builder {
    builder(false).certificate_pem(pem)
}

#[test]
fn a_shared_certificate_is_enough() {
    run(async {
        let pem = shared();
        assert!(reaches(with(&pem), with(&pem)).await);
    });
}

#[test]
fn nodes_of_one_private_ca_trust_each_other_and_nobody_else() {
    run(async {
        let [one, two] = of_one_ca();
        assert!(reaches(with(&one), with(&two)).await);
        let [other] = of_one_ca();
        assert!(!reaches(with(&one), with(&other)).await);
        assert!(!reaches(with(&one), with(&shared())).await);
        assert!(!reaches(with(&shared()), with(&shared())).await);
    });
}

#[test]
fn a_certificate_on_one_side_falls_back_to_the_secret_and_tls_is_never_left() {
    run(async {
        let pem = shared();
        assert!(reaches(with(&pem).secret("s"), builder(false).secret("s")).await);
        assert!(!reaches(with(&pem).secret("s"), builder(false).secret("t")).await);
        // Both want TLS: a certificate that is not trusted is not made up for by the secret.
        assert!(!reaches(with(&pem).secret("s"), with(&shared()).secret("s")).await);
        let only_tls = with(&pem).secret("s").authentication([AuthMethod::TlsSha3], [AuthMethod::TlsSha3]);
        assert!(!reaches(only_tls, builder(false).secret("s")).await);
    });
}

#[test]
fn a_bundle_that_cannot_be_used_is_refused_with_a_reason() {
    run(async {
        let pem = shared();
        let (key, certificate) = pem.split_at(pem.find("-----BEGIN CERTIFICATE").unwrap());
        for (pem, expected) in
            [(certificate, "private key"), (key, "certificate"), ("nonsense", "private key")]
        {
            let error = Node::builder().certificate_pem(pem).start().await.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    });
}

#[test]
fn what_a_certificate_is_meant_for_does_not_count() {
    run(async {
        use ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};
        for purposes in [[ServerAuth, ServerAuth], [ClientAuth, ServerAuth], [CodeSigning, ClientAuth]] {
            let [one, two] = of_one_ca_with(purposes.map(|purpose| only_for(&[purpose])));
            // The nonces decide which end is the client of TLS: in eight connections each of them
            // is, once at least, but for one run of a hundred.
            for _ in 0..8 {
                assert!(reaches(with(&one), with(&two)).await);
            }
        }
    });
}

#[test]
fn whose_certificate_is_for_one_purpose_still_has_to_be_trusted() {
    run(async {
        let server = || only_for(&[ExtendedKeyUsagePurpose::ServerAuth]);
        let ([one], [other]) = (of_one_ca_with([server()]), of_one_ca_with([server()]));
        assert!(!reaches(with(&one), with(&other)).await);
    });
}

#[test]
fn a_certificate_that_every_peer_would_refuse_is_refused_at_the_start() {
    run(async {
        let (mut expired, mut early) = (params(), params());
        (expired.not_before, expired.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2020, 1, 1));
        early.not_before = date_time_ymd(3000, 1, 1);
        let [expired, early] = of_one_ca_with([expired, early]);
        let [one, two] = of_one_ca();
        let key = |pem: &str| pem.split_inclusive("-----END PRIVATE KEY-----\n").next().unwrap().to_owned();
        let mixed = one.replace(&key(&one), &key(&two));
        let version1 = include_str!("data/version1.pem").to_owned();
        for (pem, expected) in [
            (expired, "expired"),
            (early, "is valid only in"),
            (mixed, "does not belong to the first certificate"),
            (version1, "version 1"),
        ] {
            let error = Node::builder().certificate_pem(pem).start().await.unwrap_err();
            assert!(matches!(error, StartError::Certificate(_)), "{error:?}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    });
}

#[test]
fn the_dates_of_a_certificate_that_all_nodes_have_do_not_count() {
    run(async {
        let mut expired = params();
        (expired.not_before, expired.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2020, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = expired.self_signed(&key).unwrap();
        let pem = format!("{}{}", key.serialize_pem(), certificate.pem());
        assert!(reaches(with(&pem), with(&pem)).await);
    });
}

#[test]
fn the_reasons_are_types() {
    run(async {
        let error = Node::builder().certificate_pem("nothing").start().await.unwrap_err();
        assert!(matches!(error, StartError::Certificate(BundleError::NoKey(_))), "{error:?}");
    });
}
