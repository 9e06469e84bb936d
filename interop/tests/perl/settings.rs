//! The `aemp` commands of ours and of Perl do the same to the same file, and read it in the same
//! way.
//!
//! Where the Perl tool is: `$AEMP_PERL_TOOL`, else `bin/aemp` beside the folder of the library.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aemp_config::Key;
use serde_json::{Map, Value as Json, json};
use tokio::task::spawn_blocking;

use crate::command::binary;
use crate::peer::library;

type Settings = Map<String, Json>;

/// The two tools, each with a configuration file.
struct Tools {
    ours: PathBuf,
    perl: PathBuf,
    folder: tempfile::TempDir,
    /// What is in force without any file: ours, and Perl's.
    defaults: (Settings, Settings),
}

impl Tools {
    /// Nothing if there is only ours.
    fn find() -> Option<Tools> {
        let beside = || Some(library()?.parent()?.join("bin/aemp"));
        let perl = std::env::var_os("AEMP_PERL_TOOL").map(PathBuf::from).or_else(beside)?;
        if !perl.is_file() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut tools = Tools { ours: binary(), perl, folder, defaults: Default::default() };
        let args = ["showconfig", "p", "norc", "1"].map(str::to_owned);
        let none = tools.file("none");
        tools.defaults = (shown_by_us(tools.ours(&none, &args)), shown_by_perl(tools.perl(&none, &args)));
        Some(tools)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ours(&self, rc: &Path, args: &[String]) -> Output {
        let mut command = Command::new(&self.ours);
        command.args(args).env_clear().env("AEMP_RC", rc).env("HOME", self.folder.path()).output().unwrap()
    }

    fn perl(&self, rc: &Path, args: &[String]) -> Output {
        let mut command = Command::new("perl");
        command.arg("-I").arg(library().unwrap()).arg(&self.perl).args(args);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("PERL_ANYEVENT_MP_RC", rc).env("HOME", self.folder.path()).output().unwrap()
    }

    /// Gives both tools a file with this content and these arguments, and compares what they make
    /// of it.
    fn compare(&self, before: &Json, args: &[&str]) {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let (ours, perl) = (self.file("ours"), self.file("perl"));
        for rc in [&ours, &perl] {
            std::fs::write(rc, before.to_string()).unwrap();
        }
        let (by_us, by_perl) = (self.ours(&ours, &args), self.perl(&perl, &args));
        assert!(by_us.status.success() && by_perl.status.success(), "{args:?}: {by_us:?} {by_perl:?}");
        assert_eq!(read(&ours), read(&perl), "{args:?} on {before}");
        // Each reads what the other one wrote, and what a node would use is the same.
        for profile in ["p", "nowhere"] {
            let from_ours = self.effective(&ours, profile);
            assert_eq!(from_ours, self.effective(&perl, profile), "{profile} after {args:?} on {before}");
        }
    }

    /// The settings in force as both tools show them, which must be the same.
    fn effective(&self, rc: &Path, profile: &str) -> Settings {
        let args = ["showconfig", profile, "--secrets"].map(str::to_owned);
        // What is nowhere in the file has the default of each tool.
        let set = |settings: Settings, defaults: &Settings| -> Settings {
            settings.into_iter().filter(|(key, value)| defaults.get(key) != Some(value)).collect()
        };
        let ours = set(shown_by_us(self.ours(rc, &args)), &self.defaults.0);
        let perl = set(shown_by_perl(self.perl(rc, &args[..2])), &self.defaults.1);
        assert_eq!(ours, perl, "{profile} in {}", std::fs::read_to_string(rc).unwrap());
        ours
    }
}

fn shown_by_us(output: Output) -> Settings {
    shown(&output, str::from_utf8(&output.stdout).unwrap())
}

/// Perl prints characters up to U+FF as bytes.
fn shown_by_perl(output: Output) -> Settings {
    let text: String = output.stdout.iter().copied().map(char::from).collect();
    shown(&output, &text)
}

/// The outcome of `showconfig`. The version is the file's, not a node's.
fn shown(output: &Output, text: &str) -> Settings {
    assert!(output.status.success(), "{output:?}");
    let mut settings: Settings = serde_json::from_str(text).unwrap();
    settings.remove("version");
    normal(settings)
}

/// A configuration file in a form in which equal settings are equal.
fn read(rc: &Path) -> Json {
    let Json::Object(mut root) = serde_json::from_slice(&std::fs::read(rc).unwrap()).unwrap() else {
        panic!("no object in {}", rc.display())
    };
    // Whether there is an empty object of profiles says nothing.
    if let Some(Json::Object(profiles)) = root.remove("profile").filter(|profiles| *profiles != json!({})) {
        let normal = |(name, settings)| match settings {
            Json::Object(settings) => (name, Json::Object(normal(settings))),
            other => (name, other),
        };
        root.insert("profile".into(), profiles.into_iter().map(normal).collect::<Settings>().into());
    }
    normal(root).into()
}

/// Perl stores what was typed, `"30"`; we store what it means, `30`.
fn normal(mut settings: Settings) -> Settings {
    for (key, value) in &mut settings {
        if let Some(normal) = Key::find(key).ok().and_then(|key| key.normal(value).ok()) {
            *value = normal;
        }
    }
    settings
}

async fn with_tools(test: fn(&Tools)) {
    let run = move || match Tools::find() {
        Some(tools) => test(&tools),
        None => eprintln!("skipped: there is no Perl tool"),
    };
    spawn_blocking(run).await.unwrap();
}

/// Every command once, with what is special about it.
pub(crate) async fn every_command() {
    with_tools(|tools| {
        let file = json!({
            "version": 1, "seeds": ["a:1", "b:2", "a:1"], "unknown": {"of": [null, "somebody", 1.5]},
            "profile": {"p": {"parent": "q", "binds": ["c"], "services": ["f", "g", "f"], "new": 7}, "q": {"eval": "1"}},
        });
        for args in [
            &["gensecret", "delsecret"][..],
            &["setsecret", "geheim"],
            &["secret", "caf\u{e9} \u{20ac}"],
            &["secret", "\"caf\u{e9}\""],
            &["\"setsecret\"", "\"x y\""],
            &["[\"setnodeid\", \"a\", \"setbinds\", [\"x:1\"], \"profile\", \"p\", \"setseeds\", \"y,z\"]"],
            &["profile", "xyzzy", "binds", "4040,4041", "nodeid", "anon/"],
            &["setbinds", "*:4040,", "binds", ",,a,,"],
            &["setbinds", "", "profile", "p", "setseeds", ","],
            &["addseed", "a:1"],
            &["delseed", "a:1", "delseed", "nowhere", "profile", "p", "delseed", "nowhere"],
            &["profile", "p", "addbind", "c", "addbind", "d", "delbind", "c"],
            &["profile", "p", "addservice", "f", "delservice", "f", "delservice", "nowhere"],
            &["setservices", "[[\"mymod::myfun\",1,2,3],\"g\"]", "addservice", "[\"h\"]"],
            &["services", "AnyEvent::MP::Global::"],
            &["profile", "q", "seteval", "print 1"],
            &["profile", "q", "deleval"],
            &["delprofile", "p", "delprofile", "nowhere"],
            &["delprofile", "p", "delprofile", "q"],
            &["profile", "p", "delparent", "profile", "q", "setparent", "p"],
            &["profile", "p", "parent", "nowhere"],
            &["profile", "new"],
            &[
                "secure",
                "1",
                "monitor_timeout",
                "5",
                "connect_interval",
                "0.5",
                "nodelay",
                "0",
                "autocork",
                "1",
            ],
            &["setframing_format", "[\"json\",\"cbor\"]", "auth_offer", "[\"hmac_sha3_512\"]"],
            &["setauth_accept", "[\"cleartext\"]", "profile", "p", "setsecure", "0"],
            &["secure", "1", "delsecure", "monitor_timeout", "9", "delmonitor_timeout", "delautocork"],
            &["delnodeid", "delbinds", "delseeds", "delservices", "delcert", "delnodelay", "delauth_offer"],
            &["showprofile", "p", "setnodeid", "after", "showprofile", "nowhere"],
        ] {
            tools.compare(&file, args);
        }
        tools.compare(&json!({}), &["addseed", "a", "profile", "p", "delbind", "a", "delservice", "f"]);
    })
    .await;
}

/// Chains of commands by chance.
pub(crate) async fn chains_by_chance() {
    with_tools(|tools| {
        let mut dice = Dice(0x2545_f491_4f6c_dd1d);
        let mut file = json!({"version": 1, "unknown": true});
        for _ in 0..15 {
            let mut args = Vec::new();
            for _ in 0..1 + dice.below(6) {
                args.extend_from_slice(COMMANDS[dice.below(COMMANDS.len())]);
            }
            tools.compare(&file, &args);
            file = serde_json::from_slice(&std::fs::read(tools.file("perl")).unwrap()).unwrap();
        }
    })
    .await;
}

/// No profile becomes its own ancestor, and what `profile` chose is not removed while it is chosen:
/// there the tools differ.
const COMMANDS: &[&[&str]] = &[
    &["profile", "p"],
    &["profile", "q"],
    &["profile", "p", "setparent", "q"],
    &["profile", "p", "delparent"],
    &["profile", "q", "delprofile", "p"],
    &["delprofile", "q", "profile", "p"],
    &["setnodeid", "a/%n"],
    &["nodeid", "b/"],
    &["delnodeid"],
    &["secret", "s"],
    &["delsecret"],
    &["binds", "a:1,b:2,"],
    &["addbind", "a:1"],
    &["delbind", "b:2"],
    &["delbinds"],
    &["setseeds", "[\"a:1\", \"b\"]"],
    &["addseed", "b"],
    &["delseed", "a:1"],
    &["delseeds"],
    &["addservice", "f"],
    &["delservice", "f"],
    &["setservices", "f,g"],
    &["delservices"],
    &["monitor_timeout", "7"],
    &["delmonitor_timeout"],
    &["secure", "1"],
    &["setsecure", "0"],
    &["delsecure"],
    &["framing_format", "[\"cbor\"]"],
    &["delframing_format"],
    &["seteval", "0"],
    &["deleval"],
    &["showprofile", "q"],
];

/// A seeded generator (xorshift), so that a failure repeats.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 32).unwrap() % limit
    }
}
