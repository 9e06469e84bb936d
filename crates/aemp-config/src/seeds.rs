//! Where seeds are named: in the settings themselves, or in something that these name, which may
//! change while a node runs.
//!
//! | written | where the seeds are |
//! |---|---|
//! | `host:4040` and the other forms of a seed | there |
//! | `@FILE` or `file:FILE` | in a file, one or more in a line; `#` begins a comment |
//! | `env:NAME` | in an environment variable, separated by commas |
//! | `srv:NAME` | in the SRV records of a name (feature `dns`) |

use std::path::PathBuf;
use std::time::Duration;
use std::{env, io};

#[cfg(feature = "dns")]
use super::srv;
use super::{ConfigError, Host, expand_seed, read};

/// How often a file may be looked at, which is small, and a name server be asked.
const FILE_INTERVAL: Duration = Duration::from_secs(1);
const SERVICE_INTERVAL: Duration = Duration::from_secs(15);

/// One entry of the list of seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Fixed(String),
    File(PathBuf),
    Variable(String),
    Service(String),
}

/// The list of seeds as it was configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeedSources(Vec<Source>);

impl SeedSources {
    /// Reads the entries of the list, and looks nowhere.
    pub(super) fn of(texts: &[String]) -> SeedSources {
        let source = |text: &String| {
            let text = text.trim();
            // `file` and `env` may be hosts.
            let is_port =
                text.rsplit_once(':').is_some_and(|(_, port)| port == "*" || port.parse::<u16>().is_ok());
            if is_port {
                Source::Fixed(text.into())
            } else if let Some(path) = text.strip_prefix('@').or_else(|| text.strip_prefix("file:")) {
                Source::File(path.into())
            } else if let Some(name) = text.strip_prefix("env:") {
                Source::Variable(name.into())
            } else if let Some(name) = text.strip_prefix("srv:") {
                Source::Service(name.into())
            } else {
                Source::Fixed(text.into())
            }
        };
        SeedSources(texts.iter().map(source).collect())
    }

    /// How often a node that runs should look whether the seeds have become others; `None` if they
    /// cannot.
    pub fn interval(&self) -> Option<Duration> {
        let interval = |source: &Source| match source {
            Source::Fixed(_) | Source::Variable(_) => None,
            Source::File(_) => Some(FILE_INTERVAL),
            Source::Service(_) => Some(SERVICE_INTERVAL),
        };
        self.0.iter().filter_map(interval).max()
    }

    /// Those that stand in the settings themselves, as `host:port`.
    ///
    /// # Errors
    ///
    /// One of them is no address.
    pub(super) fn fixed(&self, host: &Host) -> Result<Vec<String>, ConfigError> {
        let fixed = self.0.iter().filter(|source| matches!(source, Source::Fixed(_)));
        collect(fixed.cloned(), host)
    }

    /// The seeds as they are named now, as `host:port`, each once. It reads files and asks name
    /// servers, and blocks the thread meanwhile.
    ///
    /// # Errors
    ///
    /// A file or variable cannot be read, or what stands there is no address.
    pub fn look_up(&self, host: &Host) -> Result<Vec<String>, ConfigError> {
        collect(self.0.iter().cloned(), host)
    }
}

fn collect(sources: impl Iterator<Item = Source>, host: &Host) -> Result<Vec<String>, ConfigError> {
    let mut seeds: Vec<String> = Vec::new();
    for source in sources {
        for text in texts(&source)? {
            let found = expand_seed(&text, host).map_err(|error| in_source(&source, error))?;
            for seed in found {
                if !seeds.contains(&seed) {
                    seeds.push(seed);
                }
            }
        }
    }
    Ok(seeds)
}

fn texts(source: &Source) -> Result<Vec<String>, ConfigError> {
    let unread = |error: io::Error| ConfigError::SeedSource {
        from: name(source),
        what: format!("it cannot be read: {error}"),
    };
    let text = match source {
        Source::Fixed(text) => return Ok(vec![text.clone()]),
        Source::Service(name) => return service(name).map_err(|error| unread(io::Error::other(error))),
        Source::Variable(name) => env::var(name).map_err(|error| unread(io::Error::other(error)))?,
        Source::File(path) => {
            let missing = || io::Error::from(io::ErrorKind::NotFound);
            let found = read::file(path).and_then(|found| found.ok_or_else(missing)).map_err(unread)?;
            String::from_utf8(found.bytes).map_err(|error| unread(io::Error::other(error)))?
        }
    };
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let entries = lines.flat_map(|line| line.split(',')).map(str::trim);
    Ok(entries.filter(|entry| !entry.is_empty()).map(str::to_owned).collect())
}

#[cfg(feature = "dns")]
fn service(name: &str) -> Result<Vec<String>, String> {
    srv::look_up(name)
}

#[cfg(not(feature = "dns"))]
fn service(_: &str) -> Result<Vec<String>, String> {
    Err("this program was built without the feature dns, which looks for SRV records".into())
}

/// Says where it stands that something is no seed.
fn in_source(source: &Source, error: ConfigError) -> ConfigError {
    match source {
        Source::Fixed(_) => error,
        Source::File(_) | Source::Variable(_) | Source::Service(_) => {
            ConfigError::SeedSource { from: name(source), what: error.to_string() }
        }
    }
}

fn name(source: &Source) -> String {
    match source {
        Source::Fixed(text) => text.clone(),
        Source::File(path) => format!("the file {}", path.display()),
        Source::Service(name) => format!("the SRV records of {name}"),
        Source::Variable(name) => format!("the environment variable {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(texts: &[&str]) -> SeedSources {
        SeedSources::of(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    fn host() -> Host {
        Host { name: "doomed".into(), addresses: Vec::new() }
    }

    #[test]
    fn seeds_may_stand_in_a_file_and_change_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seeds");
        std::fs::write(&file, "# ours\na\n b:5000, [fd00::1]:1 # two\n\n").unwrap();
        for form in ["@", "file:"] {
            let sources = sources(&["c", &format!("{form}{}", file.display()), "a:4040"]);
            assert_eq!(sources.interval(), Some(FILE_INTERVAL));
            assert_eq!(sources.fixed(&host()).unwrap(), ["c:4040", "a:4040"]);
            assert_eq!(sources.look_up(&host()).unwrap(), ["c:4040", "a:4040", "b:5000", "[fd00::1]:1"]);
        }
        std::fs::write(&file, "").unwrap();
        assert_eq!(sources(&[&format!("@{}", file.display())]).look_up(&host()).unwrap(), [""; 0]);
    }

    #[test]
    fn seeds_may_stand_in_the_environment() {
        // Of the variables that every test has this one is an address by its form.
        assert_eq!(sources(&["env:CARGO_PKG_NAME"]).interval(), None);
        assert_eq!(sources(&["env:CARGO_PKG_NAME"]).look_up(&host()).unwrap(), ["aemp-config:4040"]);
    }

    #[test]
    fn hosts_may_have_the_names_of_the_forms() {
        assert_eq!(
            sources(&["env:4041", "file:*", "srv:1"]).look_up(&host()).unwrap(),
            ["env:4041", "file:4040", "srv:1"]
        );
    }

    #[test]
    fn what_is_wrong_says_where_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seeds");
        let error = |texts: &[&str]| sources(texts).look_up(&host()).unwrap_err().to_string();
        let named = format!("@{}", file.display());
        let says = error(&[&named]);
        assert!(
            says.starts_with(&format!("seeds: the file {}: it cannot be read", file.display())),
            "{says}"
        );
        #[cfg(unix)]
        {
            // Nobody writes to it.
            rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RUSR).unwrap();
            let says = error(&[&named]);
            assert!(says.ends_with("cannot be read: it is a FIFO, and not a file"), "{says}");
            std::fs::remove_file(&file).unwrap();
        }
        std::fs::write(&file, "a:b\n").unwrap();
        let says = error(&[&named]);
        assert!(says.contains("expected HOST:PORT") && says.contains(&named[1..]), "{says}");
        #[cfg(not(feature = "dns"))]
        assert!(error(&["srv:_aemp._tcp.example.org"]).contains("without the feature dns"));
        assert!(error(&["env:NO_SUCH_VARIABLE"]).contains("environment variable NO_SUCH_VARIABLE"));
    }
}
