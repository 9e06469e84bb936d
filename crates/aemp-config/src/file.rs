//! The file of profiles: found, read, changed in memory and written back whole, by one process at a
//! time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::digits::{Digits, Place, Section};
use super::lock::Lock;
use super::relaxed::to_plain;
use super::write::{replace, resolve};
use super::{ConfigError, Places, read};

/// A change takes milliseconds, and a slow disk some of these a second: who has the lock for so
/// long hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the profiles are in the object of the file.
const PROFILES: &str = "profile";

/// Where the name of the profile is that commands use.
const USED: &str = "use";

/// The configuration file in memory. What is not understood is kept as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigFile {
    path: PathBuf,
    root: Map<String, Json>,
    digits: Digits,
    /// Whether everybody on this machine can read it.
    is_open: bool,
}

impl ConfigFile {
    /// Reads the first file that is there. When none is, the settings are empty, and saving makes a
    /// new file.
    ///
    /// # Errors
    ///
    /// A file is there and cannot be read or understood, or no place is known at all.
    pub fn open(places: &Places) -> Result<ConfigFile, ConfigError> {
        for path in places.all() {
            let content =
                read::file(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
            if let Some(content) = content {
                let read = ConfigFile::parse(path.clone(), &content.bytes)?;
                let path = places.target(Some(read.path))?;
                return Ok(ConfigFile { path, is_open: content.is_open, ..read });
            }
        }
        let root = Map::from_iter([("version".into(), json!(1))]);
        Ok(ConfigFile { path: places.target(None)?, root, digits: Digits::default(), is_open: false })
    }

    /// Understands the content of the file at `path`. An empty one is one without settings.
    ///
    /// # Errors
    ///
    /// It is not relaxed JSON (as Perl's `JSON::XS` reads it: with comments, and commas at the ends
    /// of lists), or no object with profiles that are objects; or a number is larger than any that
    /// there are.
    pub fn parse(path: PathBuf, bytes: &[u8]) -> Result<ConfigFile, ConfigError> {
        match understand(bytes) {
            Ok((root, digits)) => Ok(ConfigFile { path, root, digits, is_open: false }),
            Err(what) => Err(ConfigError::Corrupt { path, what }),
        }
    }

    /// The content as it is written: plain JSON, in lines. Numbers that were not changed have their
    /// digits of before.
    pub fn to_bytes(&self) -> Vec<u8> {
        let place = Place::Global { profiles: PROFILES };
        let section = Section { digits: &self.digits, settings: &self.root, place };
        let mut bytes =
            serde_json::to_vec_pretty(&section).expect("an object with texts as keys can be written");
        bytes.push(b'\n');
        bytes
    }

    /// Where the file is written to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The settings of a profile, or the global ones (which hold the profiles too).
    pub fn section(&self, profile: Option<&str>) -> Option<&Map<String, Json>> {
        match profile {
            None => Some(&self.root),
            Some(name) => self.root.get(PROFILES)?.get(name)?.as_object(),
        }
    }

    /// Whether there is a secret or a private key in the file while everybody on this machine can
    /// read it.
    pub fn is_exposed(&self) -> bool {
        let profiles = self.profiles().filter_map(|name| self.section(Some(name)));
        let mut sections = profiles.chain([&self.root]);
        let has_secret = |section: &Map<String, Json>| {
            ["secret", "cert"].iter().any(|key| section.get(*key).is_some_and(|value| !value.is_null()))
        };
        self.is_open && sections.any(has_secret)
    }

    /// The names of the profiles, sorted.
    pub fn profiles(&self) -> impl Iterator<Item = &str> {
        self.root.get(PROFILES).and_then(Json::as_object).into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// The settings of a profile, made if it is not there, or the global ones.
    pub fn section_mut(&mut self, profile: Option<&str>) -> &mut Map<String, Json> {
        match profile {
            None => &mut self.root,
            Some(name) => object(object(&mut self.root, PROFILES), name),
        }
    }

    /// The profile that commands use for which none is named, if that was set.
    pub fn used_profile(&self) -> Option<&str> {
        self.root.get(USED)?.as_str()
    }

    /// Sets it, or removes it.
    pub fn use_profile(&mut self, name: Option<&str>) {
        match name {
            Some(name) => self.root.insert(USED.into(), name.into()),
            None => self.root.remove(USED),
        };
    }

    /// Removes a profile. False if it was not there.
    pub fn remove_profile(&mut self, name: &str) -> bool {
        self.root
            .get_mut(PROFILES)
            .and_then(Json::as_object_mut)
            .is_some_and(|all| all.remove(name).is_some())
    }
}

/// The configuration file while it is being changed: nobody else who asks for a change gets it
/// before this is saved or dropped. (Somebody who just writes the file, as an editor or the Perl
/// tool does, is not kept from it.)
///
/// ```
/// use aemp_config::{ConfigChange, Places};
///
/// let folder = tempfile::tempdir()?;
/// let places = Places { chosen: Some(folder.path().join("config.json")), ..Places::default() };
/// let mut change = ConfigChange::begin(&places)?;
/// change.file_mut().section_mut(Some("server")).insert("nodeid".into(), "server/".into());
/// change.save()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ConfigChange {
    file: ConfigFile,
    /// The file that `file` leads to, behind its symbolic links.
    real: PathBuf,
    _lock: Lock,
}

impl ConfigChange {
    /// Waits for its turn, and reads the file. This may block the thread for up to ten seconds.
    ///
    /// The lock is a file beside it, `.NAME.lock`, which is gone when the change is over. Where the
    /// file system has no locks (some network file systems) it goes on without, and of two changes
    /// at the same moment one may be lost.
    ///
    /// # Errors
    ///
    /// As [`ConfigFile::open`]; also if somebody else has the file for too long, or its folder
    /// cannot be written.
    pub fn begin(places: &Places) -> Result<ConfigChange, ConfigError> {
        loop {
            let path = ConfigFile::open(places)?.path;
            let fault = |source| ConfigError::Write { path: path.clone(), source };
            let real = resolve(&path).map_err(fault)?;
            let lock = Lock::take(&path, &real, PATIENCE)?;
            let file = ConfigFile::open(places)?;
            // Somebody may have made a file at a place that comes first, or moved a link, in
            // between.
            if file.path == path && resolve(&path).is_ok_and(|now| now == real) {
                return Ok(ConfigChange { file, real, _lock: lock });
            }
        }
    }

    /// The file as it will be written.
    pub fn file(&self) -> &ConfigFile {
        &self.file
    }

    /// The file, to be changed.
    pub fn file_mut(&mut self) -> &mut ConfigFile {
        &mut self.file
    }

    /// Writes the file: a new one beside it, then renamed over it. A symbolic link stays one.
    /// Either the old or the new content is there at any time, a crash included. A new file is
    /// readable for the owner only; one that was there keeps its owner, its group and what these
    /// may do, but others may do nothing.
    ///
    /// # Errors
    ///
    /// The folder or the file cannot be written. The old file is untouched then.
    pub fn save(self) -> Result<(), ConfigError> {
        let fault = |source| ConfigError::Write { path: self.file.path.clone(), source };
        replace(&self.real, &self.file.to_bytes()).map_err(fault)
    }
}

/// The object under `key`; what else stands there cannot be kept, and `read` has refused it.
fn object<'a>(map: &'a mut Map<String, Json>, key: &str) -> &'a mut Map<String, Json> {
    let entry = map.entry(key).or_insert_with(|| json!({}));
    if !entry.is_object() {
        *entry = json!({});
    }
    entry.as_object_mut().expect("the entry was made an object above")
}

/// The object, or what is wrong.
fn understand(bytes: &[u8]) -> Result<(Map<String, Json>, Digits), String> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err("it begins with a byte order mark (U+FEFF), which has to go".into());
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("it is UTF-16, and has to be UTF-8".into());
    }
    if bytes.trim_ascii().is_empty() {
        return Ok((Map::new(), Digits::default()));
    }
    let plain = to_plain(bytes);
    let Json::Object(root) = serde_json::from_slice(&plain).map_err(|error| error.to_string())? else {
        return Err("the outermost value must be an object".into());
    };
    match root.get(PROFILES) {
        None | Some(Json::Null) => {}
        Some(Json::Object(profiles)) => {
            let misfit = profiles.iter().find(|(_, profile)| !profile.is_object() && !profile.is_null());
            if let Some((name, _)) = misfit {
                return Err(format!("the profile {name:?} must be an object"));
            }
        }
        Some(_) => return Err(format!("{PROFILES:?} must be an object of profiles")),
    }
    let digits = Digits::of(&plain, &root, PROFILES);
    Ok((root, digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn folder() -> (TempDir, Places) {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| Some(folder.path().join(name));
        let places = Places { chosen: None, own: place("aemp/config.json"), perl: place("perl-rc") };
        (folder, places)
    }

    fn set(places: &Places, profile: Option<&str>, key: &str, value: Json) -> Result<PathBuf, ConfigError> {
        let mut change = ConfigChange::begin(places)?;
        change.file_mut().section_mut(profile).insert(key.into(), value);
        let path = change.file().path().to_owned();
        change.save().map(|()| path)
    }

    #[test]
    fn a_new_file_is_made_at_our_own_place_for_the_owner_only() {
        let (_folder, places) = folder();
        let path = places.own.clone().unwrap();
        assert_eq!(set(&places, Some("server"), "nodeid", json!("server/")).unwrap(), path);
        let text = fs::read_to_string(&path).unwrap();
        let written: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(written, json!({"version": 1, "profile": {"server": {"nodeid": "server/"}}}));
        assert_eq!(Json::Object(ConfigFile::open(&places).unwrap().root), written);
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions()) & 0o777,
            0o600
        );
        let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(names.len(), 1, "neither a temporary file nor a lock stays behind");
    }

    #[test]
    fn what_nobody_here_knows_survives_in_the_file_that_was_read() {
        let (_folder, places) = folder();
        let path = places.perl.clone().unwrap();
        fs::write(&path, r#"{"eval": "1", "new": {"x": [1.5]}, "profile": {"p": {"colour": null},},}"#)
            .unwrap();
        set(&places, None, "secret", json!("s")).unwrap();
        let written: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let kept =
            json!({"eval": "1", "new": {"x": [1.5]}, "profile": {"p": {"colour": null}}, "secret": "s"});
        assert_eq!(written, kept);
        assert!(!places.own.unwrap().exists());
    }

    #[test]
    fn numbers_keep_their_digits() {
        let (_folder, places) = folder();
        let path = places.perl.clone().unwrap();
        let numbers =
            ["12345678901234567890123", "0.1000000000000000055", "1.50", "-0", "1E2", "[1.0,{\"x\":2.000}]"];
        let settings: Vec<String> =
            numbers.iter().enumerate().map(|(n, number)| format!("\"new{n}\": {number}")).collect();
        let settings = settings.join(", ");
        let text = format!(
            "{{{settings}, \"monitor_timeout\": 30.0, \"profile\": {{\"p\": {{{settings}}}, \"q\": null}}}}"
        );
        fs::write(&path, text).unwrap();
        set(&places, Some("p"), "monitor_timeout", json!(5)).unwrap();
        set(&places, None, "monitor_timeout", json!(7)).unwrap();
        let written = fs::read_to_string(&path).unwrap();
        for number in numbers {
            assert_eq!(written.matches(&format!(": {number}")).count(), 2, "{number}: {written}");
        }
        assert!(
            written.contains("\"monitor_timeout\": 5") && written.contains("\"monitor_timeout\": 7"),
            "{written}"
        );
    }

    #[test]
    fn our_own_file_wins_over_the_perl_one_and_the_chosen_one_over_both() {
        let (folder, mut places) = folder();
        fs::write(places.perl.as_ref().unwrap(), r#"{"nodeid": "perl"}"#).unwrap();
        let nodeid =
            |places: &Places| ConfigFile::open(places).unwrap().section(None).unwrap()["nodeid"].clone();
        assert_eq!(nodeid(&places), json!("perl"));
        fs::create_dir(folder.path().join("aemp")).unwrap();
        fs::write(places.own.as_ref().unwrap(), r#"{"nodeid": "own"}"#).unwrap();
        assert_eq!(nodeid(&places), json!("own"));
        places.chosen = Some(folder.path().join("chosen"));
        assert_eq!(nodeid(&places), json!("own"), "nothing is there yet");
        ConfigChange::begin(&places).unwrap().save().unwrap();
        assert!(places.chosen.as_ref().unwrap().exists(), "what $AEMP_RC names is what is written");
        fs::write(places.chosen.as_ref().unwrap(), r#"{"nodeid": "chosen"}"#).unwrap();
        assert_eq!(nodeid(&places), json!("chosen"));
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_an_error_and_stays() {
        let (_folder, places) = folder();
        let path = places.perl.clone().unwrap();
        for (text, says) in [
            ("{\"nodeid\":\n\"a\"", "line 2"),
            ("[]", "outermost"),
            ("{\"profile\": []}", "object of profiles"),
            ("{\"profile\": {\"x\": 1}}", "\"x\""),
            ("{} {}", "trailing"),
            ("\u{0}", "expected value"),
            ("\u{feff}{}", "byte order mark"),
            ("{\"new\":\n1e400}", "number out of range at line 2"),
        ] {
            fs::write(&path, text).unwrap();
            let error = ConfigFile::open(&places).unwrap_err();
            assert!(matches!(error, ConfigError::Corrupt { .. }), "{error}");
            let shown = error.to_string();
            assert!(shown.contains(says) && shown.contains(path.to_str().unwrap()), "{shown}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_even_if_a_later_one_could_be() {
        let (_folder, places) = folder();
        fs::create_dir_all(places.own.as_ref().unwrap()).unwrap();
        fs::write(places.perl.as_ref().unwrap(), "{}").unwrap();
        let error = ConfigFile::open(&places).unwrap_err();
        assert!(matches!(error, ConfigError::Read { .. }), "{error}");
    }

    #[test]
    fn an_empty_file_has_no_settings() {
        let (_folder, places) = folder();
        fs::write(places.perl.as_ref().unwrap(), "\n").unwrap();
        assert_eq!(ConfigFile::open(&places).unwrap().section(None).unwrap().len(), 0);
    }

    #[test]
    fn a_device_or_a_folder_is_not_replaced() {
        let (folder, mut places) = folder();
        places.chosen = Some("/dev/null".into());
        assert!(matches!(ConfigChange::begin(&places), Err(ConfigError::Write { .. })));
        places.chosen = None;
        let change = ConfigChange::begin(&places).unwrap();
        fs::remove_dir_all(folder.path().join("aemp")).unwrap();
        fs::write(folder.path().join("aemp"), "in the way of the folder").unwrap();
        assert!(matches!(change.save(), Err(ConfigError::Write { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_stays_one_even_if_it_leads_nowhere_yet() {
        let (folder, places) = folder();
        let (real, link) = (folder.path().join("dotfiles"), places.perl.clone().unwrap());
        std::os::unix::fs::symlink("dotfiles", &link).unwrap();
        let chosen = Places { chosen: Some(link.clone()), ..places };
        for id in ["n", "m"] {
            set(&chosen, None, "nodeid", json!(id)).unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert!(fs::read_to_string(&real).unwrap().contains(&format!("{id:?}")));
        }
    }

    #[test]
    fn what_happened_while_it_waited_is_not_lost() {
        let (_folder, places) = folder();
        let mut first = ConfigChange::begin(&places).unwrap();
        let second = std::thread::spawn({
            let places = places.clone();
            move || set(&places, None, "nodeid", json!("n")).unwrap()
        });
        first.file_mut().section_mut(None).insert("secret".into(), json!("s"));
        first.save().unwrap();
        second.join().unwrap();
        let root = ConfigFile::open(&places).unwrap().root;
        assert_eq!((&root["nodeid"], &root["secret"]), (&json!("n"), &json!("s")));
    }

    #[test]
    fn profiles_can_be_removed() {
        let (_folder, places) = folder();
        let mut file = ConfigFile::open(&places).unwrap();
        assert!(!file.remove_profile("p"));
        file.section_mut(Some("p")).insert("nodeid".into(), json!("n"));
        assert!(file.remove_profile("p"));
        assert!(file.section(Some("p")).is_none());
    }

    #[test]
    fn the_profile_that_commands_use_is_kept_and_is_no_setting() {
        let (_folder, places) = folder();
        let mut change = ConfigChange::begin(&places).unwrap();
        assert_eq!(change.file().used_profile(), None);
        change.file_mut().use_profile(Some("p"));
        change.save().unwrap();
        let mut file = ConfigFile::open(&places).unwrap();
        assert_eq!(file.used_profile(), Some("p"));
        let host = crate::Host { name: "h".into(), addresses: vec![] };
        let settings = crate::effective(Some(&file), &crate::Arguments::default(), &host).unwrap().settings;
        assert!(!settings.contains_key("use"));
        file.use_profile(None);
        assert_eq!(file.used_profile(), None);
    }

    #[test]
    fn without_any_place_there_is_an_error() {
        assert!(matches!(ConfigFile::open(&Places::default()), Err(ConfigError::NoPlace)));
    }
}
