//! Merges all sources of the configuration, and checks the result.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{Config, Kind, SETTINGS, ServeArgs, Setting, format::show};
use crate::units::{parse_bytes, parse_duration, parse_integer, show_bytes};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is the default.
    Default,
    /// This TOML file.
    File(PathBuf),
    /// This environment variable.
    Environment(&'static str),
    /// This flag, without its dashes.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag(flag) => write!(f, "--{flag}"),
        }
    }
}

/// Why the configuration cannot be used. The text is one line that names the setting, the source and the limit.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}, line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// The message of the parser.
        message: String,
    },
    /// The file has a setting that does not exist.
    #[error("{}: unknown key `{setting}`{hint}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Dotted path of the key.
        setting: String,
        /// A suggestion of a similar setting; may be empty.
        hint: String,
    },
    /// A value has the wrong type, or is out of range.
    #[error("{setting} = {value} (from {origin}): {problem}")]
    Value {
        /// Dotted path of the setting.
        setting: &'static str,
        /// The value as written.
        value: String,
        /// The source of the value.
        origin: Source,
        /// What is wrong, with the limit.
        problem: String,
    },
}

/// A valid configuration, with the source of each value.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The source of each setting, by its dotted path.
    pub sources: BTreeMap<&'static str, Source>,
    values: BTreeMap<&'static str, Value>,
}

/// Loads the configuration: merges the sources and checks the result.
#[derive(Debug, Default)]
pub struct Loader;

type Values = BTreeMap<&'static str, (Value, Source)>;

impl Loader {
    /// Merges flags over environment over file over defaults, and checks the result completely.
    ///
    /// # Errors
    /// The first problem found.
    pub fn load(args: &ServeArgs) -> Result<Loaded, ConfigError> {
        let mut values: Values =
            flatten_defaults().into_iter().map(|(path, value)| (path, (value, Source::Default))).collect();
        if let Some(file) = &args.file {
            read_file(file, &mut values)?;
        }
        for (setting, text, origin) in &args.overrides {
            let value = parse_text(setting, text, origin)?;
            values.insert(setting.path, (value, origin.clone()));
        }
        for setting in SETTINGS {
            if let Some((value, origin)) = values.get_mut(setting.path) {
                *value = check(setting, value, origin)?;
            }
        }
        let config = build(&values)?;
        cross_check(&config, &values)?;
        let sources = values.iter().map(|(path, (_, origin))| (*path, origin.clone())).collect();
        let values = values.into_iter().map(|(path, (value, _))| (path, value)).collect();
        Ok(Loaded { config, sources, values })
    }
}

impl Loaded {
    /// The effective configuration as TOML that [`Loader`] can read again, with the source of each value as a comment.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut section = "";
        for setting in SETTINGS {
            if setting.section() != section {
                section = setting.section();
                let _ = write!(text, "\n[{section}]\n");
            }
            let Some(value) = self.values.get(setting.path) else {
                continue;
            };
            let origin = self.sources.get(setting.path).unwrap_or(&Source::Default);
            let shown = show(setting, value);
            // A line break in a path must not end the comment.
            let origin = origin.to_string().replace(['\n', '\r'], " ");
            let _ = writeln!(text, "# {} ({origin})", setting.help);
            let _ = writeln!(text, "{} = {shown}", setting.name());
        }
        text
    }
}

/// The default of each setting, by its dotted path.
pub(super) fn flatten_defaults() -> BTreeMap<&'static str, Value> {
    let table = Table::try_from(Config::default()).unwrap_or_default();
    SETTINGS
        .iter()
        .filter_map(|setting| {
            let value = match setting.section() {
                "" => table.get(setting.path),
                section => table.get(section).and_then(|table| table.get(setting.name())),
            };
            Some((setting.path, value?.clone()))
        })
        .collect()
}

/// The default of each setting as `--help` shows it, by the setting's dotted path.
#[cfg(feature = "cli")]
pub(crate) fn default_texts() -> BTreeMap<&'static str, String> {
    let defaults = flatten_defaults();
    SETTINGS
        .iter()
        .filter_map(|setting| {
            Some((setting.path, show(setting, defaults.get(setting.path)?).replace('"', "")))
        })
        .collect()
}

fn read_file(path: &Path, values: &mut Values) -> Result<(), ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1),
        message: error.message().replace('\n', " "),
    })?;
    let sections: Vec<&str> = SETTINGS.iter().map(Setting::section).collect();
    let mut insert = |dotted: String, value: Value| {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.path == dotted) else {
            return Err(ConfigError::UnknownKey {
                path: path.to_owned(),
                hint: hint(&dotted),
                setting: dotted,
            });
        };
        values.insert(setting.path, (value, Source::File(path.to_owned())));
        Ok(())
    };
    for (name, value) in table {
        match value {
            Value::Table(section) if sections.contains(&name.as_str()) => {
                for (inner, value) in section {
                    insert(format!("{name}.{inner}"), value)?;
                }
            }
            value => insert(name, value)?,
        }
    }
    Ok(())
}

/// A suggestion for an unknown key: the setting with this name in another section, or the first with a similar name.
fn hint(dotted: &str) -> String {
    let name = dotted.rsplit('.').next().unwrap_or(dotted);
    let similar = |setting: &&Setting| setting.name().starts_with(name) || name.starts_with(setting.name());
    SETTINGS
        .iter()
        .find(|setting| setting.name() == name)
        .or_else(|| SETTINGS.iter().find(similar))
        .map_or_else(String::new, |setting| format!("; did you mean `{}`?", setting.path))
}

const RATIO: &str = "expected a number from 0 to 1";

fn parse_text(setting: &'static Setting, text: &str, origin: &Source) -> Result<Value, ConfigError> {
    let integer = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let parsed = match setting.kind {
        Kind::Text | Kind::Address | Kind::AddressOrOff | Kind::Choice(_) | Kind::Time { .. } => {
            Ok(Value::String(text.to_owned()))
        }
        Kind::Int { .. } => parse_integer(text).map(integer),
        Kind::Bytes { .. } => parse_bytes(text).map(integer),
        Kind::Ratio => text.parse().map(Value::Float).map_err(|_| RATIO.to_owned()),
        Kind::Bool => match text {
            "true" | "1" | "yes" => Ok(Value::Boolean(true)),
            "false" | "0" | "no" => Ok(Value::Boolean(false)),
            _ => Err("expected true or false".to_owned()),
        },
    };
    parsed.map_err(|problem| ConfigError::Value {
        setting: setting.path,
        value: format!("{text:?}"),
        origin: origin.clone(),
        problem,
    })
}

/// Checks type and range of a value, and returns it in its canonical form.
fn check(setting: &'static Setting, value: &Value, origin: &Source) -> Result<Value, ConfigError> {
    canonical(setting.kind, value).map_err(|problem| ConfigError::Value {
        setting: setting.path,
        value: show(setting, value),
        origin: origin.clone(),
        problem,
    })
}

fn canonical(kind: Kind, value: &Value) -> Result<Value, String> {
    let bounded = |number: i64, min: u64, max: u64, show: fn(u64) -> String| {
        if u64::try_from(number).is_ok_and(|number| (min..=max).contains(&number)) {
            Ok(Value::Integer(number))
        } else {
            Err(format!("must be {} to {}", show(min), show(max)))
        }
    };
    match (kind, value) {
        (Kind::Text, Value::String(_)) | (Kind::Bool, Value::Boolean(_)) => Ok(value.clone()),
        (Kind::Text, _) => Err("expected a string".to_owned()),
        (Kind::Bool, _) => Err("expected true or false".to_owned()),
        (Kind::Address, Value::String(text)) if text.parse::<SocketAddr>().is_ok() => Ok(value.clone()),
        (Kind::Address, _) => {
            Err("expected an IP address and a port, for example 127.0.0.1:50051".to_owned())
        }
        (Kind::AddressOrOff, Value::String(text)) if text == "off" || text.parse::<SocketAddr>().is_ok() => {
            Ok(value.clone())
        }
        (Kind::AddressOrOff, _) => {
            Err("expected an IP address and a port, for example 127.0.0.1:50052, or off".to_owned())
        }
        (Kind::Ratio, Value::Float(number)) if (0.0..=1.0).contains(number) => Ok(value.clone()),
        // A file may write 1 for 1.0.
        (Kind::Ratio, Value::Integer(number @ (0 | 1))) => Ok(Value::Float(*number as f64)),
        (Kind::Ratio, _) => Err(RATIO.to_owned()),
        (Kind::Choice(names), Value::String(text)) if names.contains(&text.as_str()) => Ok(value.clone()),
        (Kind::Choice(names), _) => Err(format!("must be {}", names.join(" or "))),
        (Kind::Int { min, max }, Value::Integer(number)) => {
            bounded(*number, min, max, |number| number.to_string())
        }
        (Kind::Int { .. }, _) => Err("expected a whole number".to_owned()),
        (Kind::Bytes { min, max }, Value::Integer(number)) => bounded(*number, min, max, show_bytes),
        (Kind::Bytes { min, max }, Value::String(text)) => {
            let number = i64::try_from(parse_bytes(text)?).unwrap_or(i64::MAX);
            bounded(number, min, max, show_bytes)
        }
        (Kind::Bytes { .. }, _) => Err("expected bytes, for example \"16 MiB\"".to_owned()),
        (Kind::Time { min, max }, Value::String(text)) => {
            if (min..=max).contains(&parse_duration(text)?) {
                Ok(value.clone())
            } else {
                let show = humantime::format_duration;
                Err(format!("must be {} to {}", show(min), show(max)))
            }
        }
        (Kind::Time { .. }, _) => Err("expected a duration, for example \"10s\"".to_owned()),
    }
}

fn build(values: &Values) -> Result<Config, ConfigError> {
    let mut table = Table::new();
    for setting in SETTINGS {
        let Some((value, _)) = values.get(setting.path) else {
            continue;
        };
        let place = match setting.section() {
            "" => Some(&mut table),
            section => table.entry(section).or_insert_with(|| Value::Table(Table::new())).as_table_mut(),
        };
        if let Some(place) = place {
            place.insert(setting.name().to_owned(), value.clone());
        }
    }
    // This cannot fail after the checks, unless the table of settings and the struct disagree.
    Config::deserialize_checked(table)
}

impl Config {
    fn deserialize_checked(table: Table) -> Result<Self, ConfigError> {
        table.try_into().map_err(|error: toml::de::Error| ConfigError::Value {
            setting: "configuration",
            value: "merged".to_owned(),
            origin: Source::Default,
            problem: error.message().replace('\n', " "),
        })
    }
}

/// Whether a text is a URL that the exporter can use: with the scheme http, and a host.
fn is_http_url(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some())
}

/// Checks conditions on several settings, and conditions that are not ranges.
fn cross_check(config: &Config, values: &Values) -> Result<(), ConfigError> {
    let fail = |setting: &'static str, problem: String| {
        let (value, origin) =
            values.get(setting).cloned().unwrap_or((Value::Boolean(false), Source::Default));
        let value = SETTINGS
            .iter()
            .find(|candidate| candidate.path == setting)
            .map_or_else(|| value.to_string(), |setting| show(setting, &value));
        Err(ConfigError::Value { setting, value, origin, problem })
    };
    if !config.listen.ip().is_loopback() && !config.insecure {
        return fail(
            "listen",
            "is not a loopback address, and this version has no authentication: \
             anyone who reaches the port could read and delete pools; pass --insecure if that is what you want"
                .to_owned(),
        );
    }
    if config.http.listen.is_some_and(|address| !address.ip().is_loopback()) && !config.insecure {
        return fail(
            "http.listen",
            "is not a loopback address, and this version has no authentication: \
             anyone who reaches the port could see ids and change the log; pass --insecure if that is what you want"
                .to_owned(),
        );
    }
    if config.http.listen == Some(config.listen) && config.listen.port() != 0 {
        return fail("http.listen", "is also the address of gRPC: each needs its own".to_owned());
    }
    if !config.otlp.endpoint.is_empty() && !is_http_url(&config.otlp.endpoint) {
        return fail("otlp.endpoint", "expected a URL, for example http://localhost:4317".to_owned());
    }
    if let Err(error) = config.log.filter.parse::<tracing_subscriber::EnvFilter>() {
        let message = error.to_string().replace('\n', " ");
        return fail("log.filter", message);
    }
    if config.http2.stream_window_bytes > config.http2.connection_window_bytes {
        return fail(
            "http2.stream_window_bytes",
            format!(
                "must not be larger than http2.connection_window_bytes ({})",
                show_bytes(config.http2.connection_window_bytes as u64)
            ),
        );
    }
    if config.limits.max_payload_bytes as usize > config.limits.max_message_bytes / 2 {
        return fail(
            "limits.max_payload_bytes",
            format!(
                "must be at most half of limits.max_message_bytes ({})",
                show_bytes(config.limits.max_message_bytes as u64)
            ),
        );
    }
    Ok(())
}
