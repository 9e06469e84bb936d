//! The commands that read and write the configuration.

#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::User;

fn read(path: &std::path::Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn shown(user: &User, args: &[&str]) -> Value {
    serde_json::from_str(&user.ok(args)).unwrap()
}

#[test]
fn chained_commands_write_one_file_in_the_format_of_the_perl_tool() {
    let user = User::new();
    let args = [
        "setsecret",
        "geheim",
        "profile",
        "xyzzy",
        "binds",
        "4040,4041",
        "nodeid",
        "anon/",
        "setparent",
        "base",
    ];
    assert_eq!(user.ok(&args), "");
    let profile = json!({"binds": ["4040", "4041"], "nodeid": "anon/", "parent": "base"});
    assert_eq!(read(&user.rc()), json!({"version": 1, "secret": "geheim", "profile": {"xyzzy": profile}}));
    assert_eq!(shown(&user, &["showprofile", "xyzzy"]), profile);
}

#[test]
fn every_setting_can_be_set_and_removed() {
    let user = User::new();
    let values = [
        ("nodeid", "a/%n"),
        ("secret", "geheim"),
        ("binds", "127.0.0.1"),
        ("seeds", "a:1,b"),
        ("services", "aemp::echo"),
        ("secure", "1"),
        ("behind_nat", "1"),
        ("relay", "0"),
        ("monitor_timeout", "5"),
        ("connect_interval", "0.5"),
        ("framing_format", "json"),
        ("auth_offer", "hmac_sha3_512"),
        ("auth_accept", "cleartext"),
        ("verify_peeraddr", "off"),
        ("nodelay", "0"),
        ("autocork", "1"),
        ("scripts", "a,b"),
        ("script_eval", "1"),
        ("script_limits", "steps=1000"),
        ("ws", "127.0.0.1:4041"),
        ("ws_clients", "clients.json"),
    ];
    for (key, value) in values {
        user.ok(&["profile", "p", &format!("set{key}"), value]);
        assert!(read(&user.rc())["profile"]["p"][key] != Value::Null, "{key}");
        user.ok(&["profile", "p", &format!("del{key}"), "profile", "p", key, value]);
        assert!(read(&user.rc())["profile"]["p"][key] != Value::Null, "{key} without set");
        user.ok(&["profile", "p", &format!("del{key}")]);
    }
    assert_eq!(read(&user.rc())["profile"], json!({"p": {}}));
}

#[test]
fn old_names_of_settings_still_work() {
    let user = User::new();
    user.ok(&["profile", "p", "setprivate", "1", "carry", "0"]);
    assert_eq!(read(&user.rc())["profile"]["p"], json!({"behind_nat": 1, "relay": 0}));
    user.ok(&["profile", "p", "delprivate", "delcarry"]);
    assert_eq!(read(&user.rc())["profile"]["p"], json!({}));
}

#[test]
fn lists_grow_and_shrink() {
    let user = User::new();
    user.ok(&[
        "addseed", "a:1", "addseed", "b:2", "addseed", "a:1", "delseed", "c", "addbind", "*", "delbind", "*",
    ]);
    user.ok(&[
        "addservice",
        r#"["aemp::echo",1]"#,
        "addservice",
        "aemp::sink",
        "delservice",
        r#"["aemp::echo",1]"#,
    ]);
    let expected = json!({"version": 1, "seeds": ["b:2", "a:1"], "binds": [], "services": ["aemp::sink"]});
    assert_eq!(read(&user.rc()), expected);
}

#[test]
fn secrets_are_made_but_not_shown() {
    let user = User::new();
    user.ok(&["gensecret", "gencert"]);
    let file = read(&user.rc());
    let (secret, cert) = (file["secret"].as_str().unwrap(), file["cert"].as_str().unwrap());
    assert_eq!(secret.len(), 180);
    assert!(cert.contains("BEGIN PRIVATE KEY") && cert.contains("BEGIN CERTIFICATE"));
    for command in ["showconfig", "gensecret"] {
        let ran = user.run(&["--log", "trace", command]);
        assert_eq!(ran.status, Some(0));
        assert!(!ran.stdout.contains(secret) && !ran.stdout.contains("BEGIN"), "{}", ran.stdout);
        assert!(!ran.stderr.contains(secret) && !ran.stderr.contains("BEGIN"), "{}", ran.stderr);
    }
    assert_ne!(read(&user.rc())["secret"], secret);
}

#[test]
fn a_certificate_comes_from_a_file() {
    let user = User::new();
    user.ok(&["gencert"]);
    let pem = user.home().join("own.pem");
    fs::write(&pem, read(&user.rc())["cert"].as_str().unwrap()).unwrap();
    user.ok(&["delcert", "setcert", pem.to_str().unwrap()]);
    assert_eq!(read(&user.rc())["cert"], fs::read_to_string(&pem).unwrap());
    fs::write(&pem, "nonsense").unwrap();
    assert!(user.fails(2, &["setcert", pem.to_str().unwrap()]).contains("PEM"));
    assert!(user.fails(1, &["setcert", "nowhere.pem"]).contains("nowhere.pem"));
}

#[test]
fn showconfig_shows_what_is_in_force() {
    let user = User::new();
    user.ok(&["setnodeid", "global", "profile", "p", "setparent", "q", "profile", "q", "setseeds", "s:1"]);
    let config = shown(&user, &["showconfig", "p", "monitor_timeout", "7", "nodeid", "mine"]);
    let of = |key: &str| config[key].clone();
    assert_eq!(
        (of("nodeid"), of("seeds"), of("monitor_timeout")),
        (json!("global"), json!(["s:1"]), json!(7))
    );
    assert_eq!(shown(&user, &["showconfig", "p", "nodeid", "mine", "force", "1"])["nodeid"], "mine");
    assert_eq!(shown(&user, &["showconfig", "p", "norc", "1"])["nodeid"], Value::Null);
}

#[test]
fn a_file_of_the_perl_tool_is_read_and_kept_in_its_place() {
    let user = User::new();
    let perl = user.home().join(".perl-anyevent-mp");
    fs::write(
        &perl,
        r#"{"version": 1, "profile": {"p": {"nodeid": "x", "eval": "1"}}, "foreign": {"a": [1,]},}"#,
    )
    .unwrap();
    assert_eq!(shown(&user, &["showconfig", "p"])["nodeid"], "x");
    user.ok(&["profile", "p", "setnodeid", "y"]);
    let expected =
        json!({"version": 1, "profile": {"p": {"nodeid": "y", "eval": "1"}}, "foreign": {"a": [1]}});
    assert_eq!(read(&perl), expected);
    assert!(!user.rc().exists());
}

#[test]
fn the_environment_names_the_file() {
    let user = User::new();
    let chosen = user.home().join("chosen");
    assert!(user.command(&["setnodeid", "a"]).env("AEMP_RC", &chosen).status().unwrap().success());
    assert_eq!(read(&chosen)["nodeid"], "a");
    assert!(!user.rc().exists());
    let xdg = user.home().join("xdg");
    assert!(user.command(&["setnodeid", "b"]).env("XDG_CONFIG_HOME", &xdg).status().unwrap().success());
    assert_eq!(read(&xdg.join("aemp/config.json"))["nodeid"], "b");
    let perl = user.home().join("perl");
    fs::write(&perl, r#"{"nodeid": "c"}"#).unwrap();
    let output = user.command(&["showconfig"]).env("PERL_ANYEVENT_MP_RC", &perl).output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["nodeid"], "c");
}

#[test]
fn a_file_that_is_not_understood_is_left_alone() {
    let user = User::new();
    fs::create_dir_all(user.rc().parent().unwrap()).unwrap();
    for text in ["{\"nodeid\": ", "[]", "not json"] {
        fs::write(user.rc(), text).unwrap();
        for command in ["gensecret", "showconfig", "run"] {
            let error = user.fails(3, &[command]);
            assert!(error.contains(user.rc().to_str().unwrap()), "{error}");
        }
        assert_eq!(fs::read_to_string(user.rc()).unwrap(), text);
    }
}

#[test]
fn nothing_is_written_when_one_of_the_commands_is_wrong() {
    let user = User::new();
    for args in [
        &["setnodeid", "a", "setbinds", "a:b"][..],
        &["setnodeid", "a", "nonsense"],
        &["setnodeid", "a", "setnodeid"],
        &["setnodeid", "a#b"],
        &["setsecret", ""],
        &["setmonitor_timeout", "soon"],
        &["setseeds", "[1"],
        &["showconfig", "nodid", "x"],
        &["--log", "no=such=filter", "setnodeid", "a"],
        &[],
    ] {
        user.fails(2, args);
        assert!(!user.rc().exists(), "{args:?}");
    }
}

#[test]
fn help_is_there_for_every_command() {
    let user = User::new();
    let help = user.ok(&["--help"]);
    let settings = user.ok(&["config"]);
    for command in [
        "run",
        "snd",
        "cal",
        "mon",
        "gensecret",
        "setsecret",
        "gencert",
        "setnodeid",
        "setbinds",
        "setseeds",
        "showconfig",
        "demo",
    ] {
        // A line names a command, or several of one kind.
        let names = |line: &str| line.starts_with("  ") && line.split([' ', ',']).any(|word| word == command);
        assert!(help.lines().chain(settings.lines()).any(names), "{command}");
        assert!(user.ok(&[command, "--help"]).contains("Usage: aemp"), "{command}");
    }
    assert!(help.contains("Exit status:"));
    assert!(user.ok(&["--version"]).starts_with("aemp "));
}

#[test]
fn a_secret_need_not_stand_in_the_list_of_processes() {
    let user = User::new();
    let secret = "correct horse battery";
    fs::write(user.home().join("secret"), format!("{secret}\n")).unwrap();
    let run = |args: &[&str]| {
        let mut command = user.command(args);
        let stdin = fs::File::open(user.home().join("secret")).unwrap();
        let output = command.env("MY_SECRET", secret).stdin(stdin).output().unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    for source in ["-", "@secret", "env:MY_SECRET"] {
        run(&["setsecret", source]);
        assert_eq!(read(&user.rc())["secret"], json!(secret), "{source}");
        let shown = run(&["showconfig", "--secrets", "--json", "norc", "1", "secret", source]);
        assert_eq!(serde_json::from_slice::<Value>(&shown).unwrap()["secret"], json!(secret), "{source}");
    }
    user.ok(&["setsecret", "\"-\""]);
    assert_eq!(read(&user.rc())["secret"], json!("-"));
    assert!(user.run(&["setsecret", "geheim"]).stderr.contains("a secret of 6 bytes can be guessed"));
    assert!(
        user.fails(3, &["setsecret", "@nowhere"]).contains("setsecret: the file nowhere cannot be read: ")
    );
    assert!(user.fails(2, &["setsecret", "-"]).contains("must not be empty"));
}

#[test]
fn a_secret_that_others_can_read_is_reported() {
    use std::os::unix::fs::PermissionsExt;
    let user = User::new();
    user.ok(&["setsecret", "correct horse battery", "setseeds", "127.0.0.1:1"]);
    let told =
        || user.run(&["db", "f", "--timeout", "0.01"]).stderr.contains("everybody on this machine can read");
    assert!(!told());
    fs::set_permissions(user.rc(), PermissionsExt::from_mode(0o644)).unwrap();
    assert!(told());
    user.ok(&["setnodeid", "a"]);
    assert!(!told(), "a file that is written is ours alone again");
}

#[test]
fn who_reads_no_more_is_not_told_of_it() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = User::new().command(&["showconfig"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(1), String::new()));
}

#[test]
fn what_run_would_refuse_is_refused_when_it_is_set() {
    let user = User::new();
    let version1 = concat!(env!("CARGO_MANIFEST_DIR"), "/../aemp/tests/data/version1.pem");
    for (args, says) in [
        (["setmonitor_timeout", "1"], "monitor_timeout: expected a number of seconds from 2 to 86400"),
        (["setmonitor_timeout", "86401"], "monitor_timeout: expected a number of seconds from 2 to 86400"),
        (["setconnect_interval", "0"], "connect_interval: expected a number of seconds from 0.1 to 86400"),
        (["setseeds", "a:b"], "seeds: expected HOST:PORT"),
        (["setseeds", "a:0"], "seeds: expected HOST:PORT"),
        (["setcert", version1], "cert: the certificate is of X.509 version 1"),
    ] {
        let error = user.fails(2, &args);
        assert!(error.contains(says), "{args:?}: {error}");
    }
    assert!(!user.rc().exists());
}
