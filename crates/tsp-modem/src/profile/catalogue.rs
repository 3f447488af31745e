//! The catalogue of profiles: those that come with the crate, and above them those of the system and of its
//! administrator, each layer changing what is below by the profiles' `id`.

use super::{Clues, Profile, ProfileError, Question, error_at, inherit};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use toml::Table;

/// The profiles that come with the crate, by id.
pub(super) const BUILTIN: &[(&str, &str)] = &[
    ("v253", include_str!("../../profiles/v253.toml")),
    ("is101", include_str!("../../profiles/is101.toml")),
    ("rockwell-hashv", include_str!("../../profiles/rockwell-hashv.toml")),
    ("usr5637", include_str!("../../profiles/usr5637.toml")),
    ("conexant-cx93001", include_str!("../../profiles/conexant-cx93001.toml")),
    ("zoom-3095", include_str!("../../profiles/zoom-3095.toml")),
    ("agere-lucent", include_str!("../../profiles/agere-lucent.toml")),
    ("multitech", include_str!("../../profiles/multitech.toml")),
    ("zyxel-omni", include_str!("../../profiles/zyxel-omni.toml")),
    ("elsa", include_str!("../../profiles/elsa.toml")),
    ("smartlink", include_str!("../../profiles/smartlink.toml")),
    ("27007", include_str!("../../profiles/27007.toml")),
    ("huawei-e1550", include_str!("../../profiles/huawei-e1550.toml")),
    ("quectel-ec2x", include_str!("../../profiles/quectel-ec2x.toml")),
    ("simcom-sim7600", include_str!("../../profiles/simcom-sim7600.toml")),
    ("zte-connect", include_str!("../../profiles/zte-connect.toml")),
    ("wavecom-legacy", include_str!("../../profiles/wavecom-legacy.toml")),
    ("ublox-sara", include_str!("../../profiles/ublox-sara.toml")),
    ("telit-le910", include_str!("../../profiles/telit-le910.toml")),
    ("sierra-mc", include_str!("../../profiles/sierra-mc.toml")),
    ("option-hso", include_str!("../../profiles/option-hso.toml")),
    ("cinterion", include_str!("../../profiles/cinterion.toml")),
    ("fibocom", include_str!("../../profiles/fibocom.toml")),
    ("phonesim", include_str!("../../profiles/phonesim.toml")),
];

/// The longest file that is read as a profile, in bytes.
const LONGEST_FILE: u64 = 256 * 1024;

static BUILT_IN: LazyLock<Catalogue> = LazyLock::new(|| {
    let mut catalogue = Catalogue { profiles: BTreeMap::new() };
    let wrong = catalogue.add_layer(BUILTIN);
    assert!(wrong.is_empty(), "the crate's own profiles are tested: {wrong:?}");
    catalogue
});

/// Profiles by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    profiles: BTreeMap<String, Profile>,
}

/// A file that is no profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueError {
    /// Which file or directory.
    pub path: PathBuf,
    /// Why, with the place in it where there is one.
    pub message: String,
}

impl std::fmt::Display for CatalogueError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}

impl std::error::Error for CatalogueError {}

impl Catalogue {
    /// The profiles that come with the crate.
    pub fn builtin() -> &'static Catalogue {
        &BUILT_IN
    }

    /// The built-in profiles with the layers of these directories above them, the last one highest
    /// (`/usr/share/tapid/modems.d`, `/etc/tapid/modems.d`). What cannot be used is left out and told.
    pub fn load(dirs: &[&Path]) -> (Catalogue, Vec<CatalogueError>) {
        let mut catalogue = Catalogue::builtin().clone();
        let wrong = dirs.iter().flat_map(|dir| catalogue.load_dir(dir)).collect();
        (catalogue, wrong)
    }

    /// Adds a layer: every `*.toml` of a directory. One that does not exist is an empty layer.
    pub fn load_dir(&mut self, dir: &Path) -> Vec<CatalogueError> {
        let fault = |path: &Path, message: String| CatalogueError { path: path.to_owned(), message };
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => return vec![fault(dir, error.to_string())],
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        let (mut wrong, mut files) = (Vec::new(), Vec::new());
        for path in paths {
            let size = std::fs::metadata(&path).map_or(0, |data| data.len());
            match std::fs::read_to_string(&path) {
                Ok(_) if size > LONGEST_FILE => wrong.push(fault(&path, format!("more than {LONGEST_FILE} bytes"))),
                Ok(text) => files.push((path.display().to_string(), text)),
                Err(error) => wrong.push(fault(&path, error.to_string())),
            }
        }
        let texts: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let refused = self.add_layer(&texts).into_iter();
        wrong.extend(refused.map(|(name, error)| fault(Path::new(&name), error.to_string())));
        wrong
    }

    /// Adds a layer of texts, each with a name for errors. One may inherit another one of the layer, in any order, or one
    /// below, also the one that it replaces.
    pub fn add_layer(&mut self, files: &[(&str, &str)]) -> Vec<(String, ProfileError)> {
        let mut wrong: Vec<(String, ProfileError)> = Vec::new();
        let mut waiting = Vec::new();
        for (name, text) in files {
            match table(text) {
                Ok(own) => waiting.push((*name, *text, own)),
                Err(error) => wrong.push(((*name).to_owned(), error)),
            }
        }
        while !waiting.is_empty() {
            let ids: BTreeSet<String> = waiting.iter().filter_map(|(.., own)| word(own, "id")).collect();
            let free = |own: &Table| {
                word(own, "inherits").is_none_or(|base| !ids.contains(&base) || word(own, "id") == Some(base))
            };
            let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(.., own)| free(own));
            if now.is_empty() {
                wrong.extend(later.iter().map(|(name, text, _)| {
                    let message = "inherits itself, by way of another one";
                    ((*name).to_owned(), error_at(text, inherit::locate(text, "inherits"), message))
                }));
                break;
            }
            for (name, text, own) in now {
                match self.resolve(text, &own) {
                    Ok(profile) => drop(self.profiles.insert(profile.id.clone(), profile)),
                    Err(error) => wrong.push((name.to_owned(), error)),
                }
            }
            waiting = later;
        }
        wrong
    }

    /// Reads one profile and checks it; it may inherit any of the catalogue.
    pub fn parse(&self, toml: &str) -> Result<Profile, ProfileError> {
        self.resolve(toml, &table(toml)?)
    }

    fn resolve(&self, toml: &str, own: &Table) -> Result<Profile, ProfileError> {
        let at = |path: &str, message: &str| error_at(toml, inherit::locate(toml, path), message);
        let profile = match own.get("inherits") {
            None => toml::from_str(toml).map_err(|error| at_span(toml, &error))?,
            Some(base) => {
                let id = base.as_str().ok_or_else(|| at("inherits", "must be the name of a profile"))?;
                let base = self.named(id).ok_or_else(|| at("inherits", &format!("there is no profile {id:?}")))?;
                inherit::onto(base, own).map_err(|(path, message)| at(&path, &message))?
            }
        };
        match profile.fault() {
            None => Ok(profile),
            Some((path, message)) => Err(at(path, &message)),
        }
    }

    /// The profile with this id.
    pub fn named(&self, id: &str) -> Option<&Profile> {
        self.profiles.get(id)
    }

    /// All of them, by id.
    pub fn profiles(&self) -> impl Iterator<Item = &Profile> {
        self.profiles.values()
    }

    /// The profile for a device that shows this of itself: of all that match the one with the highest score.
    pub fn pick(&self, clues: &Clues) -> Option<&Profile> {
        let matching = self.profiles.values().filter(|profile| profile.matches.iter().any(|one| one.holds(clues)));
        matching.max_by_key(|profile| (profile.score, std::cmp::Reverse(&profile.id)))
    }

    /// What to ask a device next, so that [`Catalogue::pick`] knows better; `None`: no answer could change it.
    pub fn question(&self, clues: &Clues) -> Option<Question> {
        let best = self.pick(clues).map_or(0, |profile| profile.score);
        let better = self.profiles.values().filter(|profile| profile.score > best);
        better.flat_map(|profile| profile.matches.iter().filter_map(|one| one.open(clues))).min()
    }
}

fn table(toml: &str) -> Result<Table, ProfileError> {
    toml::from_str(toml).map_err(|error| at_span(toml, &error))
}

fn word(own: &Table, key: &str) -> Option<String> {
    own.get(key).and_then(|value| value.as_str()).map(str::to_owned)
}

fn at_span(toml: &str, error: &toml::de::Error) -> ProfileError {
    error_at(toml, error.span().map_or(0, |span| span.start), error.message())
}
