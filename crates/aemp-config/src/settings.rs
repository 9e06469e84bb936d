//! A configuration with types: what a node is started with.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::keys::find;
use super::{
    Arguments, ConfigError, ConfigFile, Effective, Host, Key, Places, Secret, SeedSources, effective,
    expand_advertise, expand_bind, expand_node_id, value_from_json,
};
use aemp::{AuthMethod, Builder, BundleError, Framing, Node, NodeId, PeerAddress, Value, check_bundle};

/// The settings of one node, complete and checked. [`Settings::builder`] describes the node that
/// they are for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// The profile that they come from.
    pub profile: String,
    /// The node ID, expanded.
    pub node: NodeId,
    /// Where to listen: `host:port`, port 0 where the system chooses, host `*` for every address of
    /// the machine.
    pub binds: Vec<String>,
    /// What others are told to dial, instead of where the node listens: `host:port`, port 0 for the
    /// port that it listens on.
    pub advertise: Vec<String>,
    /// The nodes to contact first: `host:port`.
    pub seeds: Vec<String>,
    /// Where they are named.
    pub seed_sources: SeedSources,
    /// The shared secret.
    pub secret: Option<Secret>,
    /// Key, certificate and certificates to trust, as PEM; at least one key and one certificate are
    /// in it.
    pub certificate: Option<Secret>,
    /// Functions to be run at the start, each in a port of its own.
    pub services: Vec<Service>,
    /// Refuse calls and spawns of registered functions from other nodes too.
    pub secure: bool,
    /// Other nodes cannot dial the addresses in `binds`.
    pub behind_nat: bool,
    /// Relay connections between nodes that cannot be dialled.
    pub relay: bool,
    /// How long a node may be silent, or take to be reached.
    pub monitor_timeout: Duration,
    /// How long a connection attempt may take, where that is configured.
    pub connect_interval: Option<Duration>,
    /// The framings to offer and accept, best first.
    pub framings: Vec<Framing>,
    /// The authentication methods that we are willing to send.
    pub auth_offer: Vec<AuthMethod>,
    /// The authentication methods that we accept.
    pub auth_accept: Vec<AuthMethod>,
    /// Whether the peer address in a greeting must be ours.
    pub verify_peeraddr: PeerAddress,
    /// `TCP_NODELAY` on connections.
    pub nodelay: bool,
    /// The folders in which scripts are looked for. For who runs scripts; the library itself does
    /// not.
    pub scripts: Vec<String>,
    /// Whether other nodes may have code evaluated here.
    pub script_eval: bool,
    /// Limits of scripts that differ from the defaults, each `NAME=NUMBER`.
    pub script_limits: Vec<String>,
    /// The address at which a gateway for edge clients listens. The library itself runs none.
    pub ws: Option<String>,
    /// The file with the rules for edge clients.
    pub ws_clients: Option<String>,
    /// The address at which monitoring is answered. The library itself does not.
    pub metrics: Option<String>,
    /// Bytes of memory that the flight recorder has, where that is configured.
    pub recorder: Option<usize>,
    /// What the node logs, for who shows logs. The library itself does not.
    pub log_filter: Option<String>,
}

/// A configuration as it was read, with what it was made of.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// What they were made of, for comparison with what is read later.
    pub effective: Effective,
}

/// A registered function that runs when the node starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// The name of the function.
    pub function: String,
    /// Its arguments.
    pub arguments: Vec<Value>,
}

impl Settings {
    /// Reads the configuration of this process: the arguments, the file that the environment names,
    /// and the seeds where they are said to be.
    ///
    /// # Errors
    ///
    /// Something cannot be read, or some setting does not fit.
    pub fn load(arguments: &Arguments) -> Result<Settings, ConfigError> {
        Loaded::read(arguments).map(|loaded| loaded.settings)
    }
}

impl Loaded {
    /// As [`Settings::load`].
    ///
    /// # Errors
    ///
    /// As [`Settings::load`].
    pub fn read(arguments: &Arguments) -> Result<Loaded, ConfigError> {
        let host = Host::current();
        let file = if arguments.norc { None } else { Some(ConfigFile::open(&Places::from_env())?) };
        if let Some(file) = &file {
            arguments.check_profile(file)?;
        }
        let effective = effective(file.as_ref(), arguments, &host)?;
        if let (Some(file), false) = (&file, effective.overruled.is_empty()) {
            tracing::warn!(
                file = %file.path().display(), profile = effective.profile, keys = effective.overruled.join(", "),
                "the file overrules these arguments; add `force 1` to let them win"
            );
        }
        if let Some(file) = file.filter(ConfigFile::is_exposed) {
            tracing::warn!(
                file = %file.path().display(),
                "everybody on this machine can read this file, and there are secrets in it: chmod o= FILE"
            );
        }
        let mut settings = Settings::resolve(&effective, &host)?;
        settings.seeds = settings.seed_sources.look_up(&host)?;
        if let Some(secret) = settings.secret.as_ref().filter(|secret| secret.is_short()) {
            let bytes = secret.bytes().len();
            tracing::warn!(
                bytes,
                "the secret is short enough to be guessed; `aemp gensecret` makes a good one"
            );
        }
        Ok(Loaded { settings, effective })
    }
}

impl Settings {
    /// Gives an effective configuration its types. Of the seeds it has those that stand in it.
    ///
    /// # Errors
    ///
    /// Some setting does not fit.
    pub fn resolve(effective: &Effective, host: &Host) -> Result<Settings, ConfigError> {
        let Effective { profile, settings, .. } = effective;
        let lookup = Lookup { settings };
        if find(settings, "eval").is_some() {
            tracing::warn!(profile, "the setting `eval` is Perl code and has no effect here");
        }
        let node = lookup.text("nodeid")?.unwrap_or_else(|| format!("{profile}/"));
        let binds = lookup.texts("binds")?.unwrap_or_else(|| vec!["*".into()]);
        let advertise = lookup.texts("advertise")?.unwrap_or_default();
        let seed_sources = SeedSources::of(&lookup.texts("seeds")?.unwrap_or_default());
        Ok(Settings {
            profile: profile.clone(),
            node: expand_node_id(&node, &host.name)?,
            binds: expand_all(&binds, host, expand_bind)?,
            advertise: expand_all(&advertise, host, expand_advertise)?,
            seeds: seed_sources.fixed(host)?,
            seed_sources,
            secret: lookup.secret()?,
            certificate: lookup.certificate()?,
            services: lookup.services()?,
            secure: lookup.flag("secure")?.unwrap_or(false),
            behind_nat: lookup.flag("behind_nat")?.unwrap_or(false),
            relay: lookup.flag("relay")?.unwrap_or(true),
            monitor_timeout: lookup.seconds("monitor_timeout")?.unwrap_or(Duration::from_secs(30)),
            connect_interval: lookup.seconds("connect_interval")?,
            framings: lookup.choices("framing_format", Framing::from_name)?,
            auth_offer: lookup.choices("auth_offer", AuthMethod::from_name)?,
            auth_accept: lookup.choices("auth_accept", AuthMethod::from_name)?,
            verify_peeraddr: lookup.verify_peeraddr()?,
            nodelay: lookup.flag("nodelay")?.unwrap_or(true),
            scripts: lookup.texts("scripts")?.unwrap_or_default(),
            script_eval: lookup.flag("script_eval")?.unwrap_or(false),
            script_limits: lookup.texts("script_limits")?.unwrap_or_default(),
            ws: lookup.text("ws")?,
            ws_clients: lookup.text("ws_clients")?,
            metrics: lookup.text("metrics")?,
            recorder: lookup.bytes("recorder")?,
            log_filter: lookup.text("log_filter")?,
        })
    }

    /// Describes the node that these settings are for. What is set afterwards wins, and what
    /// concerns scripts is left to those who run them.
    pub fn builder(self) -> Builder {
        let mut builder = Node::builder()
            .id(self.node.as_str())
            .behind_nat(self.behind_nat)
            .relay(self.relay)
            .monitor_timeout(self.monitor_timeout)
            .framings(self.framings)
            .authentication(self.auth_offer, self.auth_accept)
            .verify_peeraddr(self.verify_peeraddr)
            .nodelay(self.nodelay)
            .secure(self.secure);
        builder = self.binds.into_iter().fold(builder, Builder::bind);
        builder = self.advertise.into_iter().fold(builder, Builder::advertise);
        builder = self.seeds.into_iter().fold(builder, Builder::seed);
        builder = self.secret.into_iter().fold(builder, Builder::secret);
        builder = self.certificate.into_iter().fold(builder, Builder::certificate_pem);
        builder = self.recorder.into_iter().fold(builder, Builder::recorder);
        builder = self.connect_interval.into_iter().fold(builder, Builder::connect_interval);
        self.services
            .into_iter()
            .fold(builder, |builder, Service { function, arguments }| builder.service(&function, arguments))
    }
}

type Expand = fn(&str, &Host) -> Result<Vec<String>, ConfigError>;

fn expand_all(texts: &[String], host: &Host, expand: Expand) -> Result<Vec<String>, ConfigError> {
    let mut addresses: Vec<String> = Vec::new();
    for text in texts {
        for address in expand(text, host)? {
            // Two ephemeral ports on one address are two listeners; the same fixed port cannot be
            // bound twice.
            if address.ends_with(":0") || !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    Ok(addresses)
}

/// Settings by key, each read in the shape that the key has.
struct Lookup<'a> {
    settings: &'a Map<String, Json>,
}

impl Lookup<'_> {
    fn read<T>(
        &self,
        key: &str,
        read: impl FnOnce(Key, &Json) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        let key = Key::find(key)?;
        find(self.settings, key.name).map(|value| read(key, value)).transpose()
    }

    fn text(&self, key: &str) -> Result<Option<String>, ConfigError> {
        self.read(key, Key::text)
    }

    fn texts(&self, key: &str) -> Result<Option<Vec<String>>, ConfigError> {
        self.read(key, Key::texts)
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        self.read(key, Key::stored_flag)
    }

    fn seconds(&self, key: &str) -> Result<Option<Duration>, ConfigError> {
        self.read(key, Key::seconds)
    }

    fn bytes(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        self.read(key, Key::bytes)
    }

    /// An empty secret would let everybody in, so it counts as none.
    fn secret(&self) -> Result<Option<Secret>, ConfigError> {
        Ok(self.text("secret")?.filter(|text| !text.is_empty()).map(|text| Secret::from_text(&text)))
    }

    fn certificate(&self) -> Result<Option<Secret>, ConfigError> {
        self.read("cert", |key, value| {
            let pem = Vec::from(Secret::from_text(&key.text(value)?));
            match check_bundle(&pem) {
                Ok(()) => Ok(Secret::from(pem)),
                Err(BundleError::NoKey(_) | BundleError::NoCertificate) => {
                    Err(key.bad("a private key and a certificate in PEM form", value))
                }
                Err(error) => Err(ConfigError::Certificate(error)),
            }
        })
    }

    fn services(&self) -> Result<Vec<Service>, ConfigError> {
        let services = self.read("services", |key, value| {
            key.list(value)?.iter().map(|item| service(item).ok_or_else(|| bad_service(key, item))).collect()
        })?;
        Ok(services.unwrap_or_default())
    }

    /// The known ones of a list of names; others may be Perl's and are left out.
    fn choices<T>(&self, key: &str, from_name: fn(&str) -> Option<T>) -> Result<Vec<T>, ConfigError> {
        let chosen = self.read(key, |key, value| {
            let chosen: Vec<T> = key.texts(value)?.iter().filter_map(|name| from_name(name)).collect();
            if chosen.is_empty() { Err(key.bad("at least one known name", value)) } else { Ok(chosen) }
        })?;
        Ok(chosen.unwrap_or_default())
    }

    fn verify_peeraddr(&self) -> Result<PeerAddress, ConfigError> {
        let found = self.read("verify_peeraddr", |key, value| match key.text(value)?.as_str() {
            "auto" => Ok(PeerAddress::Auto),
            "strict" => Ok(PeerAddress::Strict),
            "warn" => Ok(PeerAddress::Warn),
            "off" => Ok(PeerAddress::Off),
            _ => Err(key.bad("auto, strict, warn or off", value)),
        })?;
        Ok(found.unwrap_or_default())
    }
}

/// `"function"` or `["function", argument…]`.
fn service(item: &Json) -> Option<Service> {
    let (function, arguments) = match item {
        Json::String(function) => (function, &[][..]),
        Json::Array(items) => match items.split_first()? {
            (Json::String(function), arguments) => (function, arguments),
            _ => return None,
        },
        _ => return None,
    };
    let arguments = arguments.iter().map(value_from_json).collect();
    (!function.is_empty()).then(|| Service { function: function.clone(), arguments })
}

fn bad_service(key: Key, item: &Json) -> ConfigError {
    key.bad("function names, or lists of a function name and its arguments", item)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PEM: &str = include_str!("../../aemp/tests/data/network.pem");

    fn resolve(settings: Json) -> Result<Settings, String> {
        let host = Host { name: "doomed".into(), addresses: vec!["192.0.2.2".parse().unwrap()] };
        let mut arguments = Arguments::default();
        for (key, value) in settings.as_object().unwrap() {
            arguments.set(key, value).map_err(|error| error.to_string())?;
        }
        let effective = effective(None, &arguments, &host).unwrap();
        Settings::resolve(&effective, &host).map_err(|error| error.to_string())
    }

    #[test]
    fn without_any_setting_there_are_defaults() {
        let settings = resolve(json!({})).unwrap();
        assert!(settings.node.as_str().starts_with("doomed/") && settings.node.as_str().len() > 20);
        assert_eq!(settings.binds, ["*:0"]);
        assert_eq!(settings.monitor_timeout, Duration::from_secs(30));
        assert_eq!(settings.framings, Framing::ALL);
        assert_eq!(settings.auth_offer, [AuthMethod::TlsSha3, AuthMethod::HmacSha3]);
        assert_eq!(settings.auth_accept, [AuthMethod::TlsSha3, AuthMethod::HmacSha3]);
        assert!(settings.secret.is_none() && settings.connect_interval.is_none() && settings.nodelay);
        assert!(settings.seeds.is_empty() && settings.services.is_empty() && !settings.secure);
    }

    #[test]
    fn everything_that_can_be_set_arrives() {
        let settings = resolve(json!({
            "nodeid": "%n/x", "binds": "*:4040,127.0.0.1", "advertise": "203.0.113.7:14040,node.example", "seeds": ["seed", "*:7"], "secret": "caf\u{e9}", "cert": PEM,
            "services": ["a::b", ["c", 1, [null]]], "secure": "1", "monitor_timeout": "2.5", "connect_interval": 1,
            "framing_format": ["storable", "json"], "auth_accept": ["cleartext", "hmac_md6_64_256"],
            "verify_peeraddr": "strict", "nodelay": 0,
        }))
        .unwrap();
        assert_eq!(settings.node.as_str(), "doomed/x");
        assert_eq!(settings.binds, ["*:4040", "127.0.0.1:0"]);
        assert_eq!(settings.advertise, ["203.0.113.7:14040", "node.example:0"]);
        assert_eq!(settings.seeds, ["seed:4040", "192.0.2.2:7"]);
        assert_eq!(settings.secret.unwrap().bytes(), b"caf\xe9");
        assert_eq!(settings.certificate.unwrap().bytes(), PEM.as_bytes());
        let arguments = vec![Value::Int(1), Value::List(vec![Value::Null])];
        assert_eq!(settings.services[0], Service { function: "a::b".into(), arguments: vec![] });
        assert_eq!(settings.services[1], Service { function: "c".into(), arguments });
        assert!(settings.secure && !settings.nodelay);
        assert_eq!(settings.monitor_timeout, Duration::from_millis(2500));
        assert_eq!(settings.connect_interval, Some(Duration::from_secs(1)));
        assert_eq!(settings.framings, [Framing::Json]);
        assert_eq!(settings.auth_accept, [AuthMethod::Cleartext]);
        assert_eq!(settings.verify_peeraddr, PeerAddress::Strict);
    }

    #[test]
    fn an_empty_secret_is_none_and_an_empty_list_of_binds_means_none() {
        let settings = resolve(json!({"secret": "", "binds": []})).unwrap();
        assert!(settings.secret.is_none() && settings.binds.is_empty());
    }

    #[test]
    fn two_chosen_ports_are_two_listeners_but_the_same_port_is_one() {
        let settings = resolve(json!({"binds": "a:0,a:0,a:1,a:1"})).unwrap();
        assert_eq!(settings.binds, ["a:0", "a:0", "a:1"]);
    }

    #[test]
    fn a_word_that_says_no_is_refused_in_the_file_because_perl_takes_it_for_yes() {
        let host = Host { name: "doomed".into(), addresses: vec![] };
        for (stored, secure) in [
            (json!("0"), Some(false)),
            (json!(""), Some(false)),
            (json!("yes"), Some(true)),
            (json!("no"), None),
        ] {
            let settings = Map::from_iter([("secure".to_owned(), stored)]);
            let mut found = effective(None, &Arguments::default(), &host).unwrap();
            found.settings.extend(settings);
            let resolved = Settings::resolve(&found, &host);
            assert_eq!(resolved.as_ref().ok().map(|settings| settings.secure), secure, "{resolved:?}");
        }
        assert!(!resolve(json!({"secure": "no"})).unwrap().secure, "typed, it is what it says");
    }

    #[test]
    fn misfits_name_their_key() {
        for (settings, says) in [
            (json!({"nodeid": "a#b"}), "nodeid: \"a#b\" is not a node ID"),
            (json!({"binds": ["a:b"]}), "binds: expected HOST:PORT"),
            (json!({"advertise": ["a:b"]}), "advertise: expected HOST:PORT"),
            (
                json!({"cert": "geheim"}),
                "cert: expected a private key and a certificate in PEM form, found a text",
            ),
            (json!({"services": [1]}), "services: expected function names"),
            (json!({"framing_format": ["storable"]}), "framing_format: expected at least one"),
            (json!({"verify_peeraddr": "x"}), "verify_peeraddr: expected auto"),
        ] {
            let error = resolve(settings).unwrap_err();
            assert!(error.starts_with(says), "{error}");
        }
    }
}
