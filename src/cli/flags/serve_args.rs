//! The flags and environment variables of `hardneg serve`: one for each key of the configuration.

use std::path::PathBuf;

use crate::config::{KEYS, Key, Kind, ServeArgs, Source, default_texts};

impl clap::FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        use clap::parser::ValueSource;

        self.file = matches.get_one::<PathBuf>("config").filter(|file| !file.as_os_str().is_empty()).cloned();
        self.print_config = matches.get_flag("print_config");
        self.overrides = KEYS
            .iter()
            .filter_map(|key| {
                let text = matches.get_one::<String>(key.path)?.clone();
                match matches.value_source(key.path)? {
                    ValueSource::CommandLine => Some((key, text, Source::Flag(key.flag))),
                    // Empty is unset: compose files and charts pass variables on whether they are set or not.
                    ValueSource::EnvVariable if !text.is_empty() => {
                        Some((key, text, Source::Environment(key.env)))
                    }
                    _ => None,
                }
            })
            .collect();
        Ok(())
    }
}

impl clap::Args for ServeArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        use clap::{Arg, ArgAction, value_parser};

        let command =
            command
                .arg(
                    Arg::new("config")
                        .long("config")
                        .env("HARDNEG_CONFIG")
                        .hide_env_values(true)
                        .value_name("FILE")
                        .value_parser(value_parser!(PathBuf))
                        .help("Read this TOML file; flags and environment variables are stronger"),
                )
                .arg(Arg::new("print_config").long("print-config").action(ArgAction::SetTrue).help(
                    "Print the effective configuration as TOML, with the source of each value, and stop",
                ));
        let defaults = default_texts();
        KEYS.iter().fold(command, |command, key| {
            let default = defaults.get(key.path).map_or("", String::as_str);
            let arg = Arg::new(key.path)
                .long(key.flag)
                .env(key.env)
                .hide_env_values(true)
                .help(format!("{} [default: {default}]", key.help))
                .help_heading(heading(key))
                .value_name(value_name(key.kind));
            command.arg(match key.kind {
                Kind::Bool => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
                _ => arg,
            })
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

/// The heading in `--help` under which a key's flag stands.
fn heading(key: &Key) -> &'static str {
    match key.section() {
        "limits" => "Limits",
        "http2" => "HTTP/2",
        "http" => "HTTP: probes, metrics, dashboard",
        "otlp" => "Traces",
        "log" => "Log",
        _ => "Server",
    }
}

/// What stands for a flag's value in `--help`.
fn value_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "TEXT",
        Kind::Address | Kind::AddressOrOff => "IP:PORT",
        Kind::Ratio => "RATIO",
        Kind::Bool => "BOOL",
        Kind::Choice(_) => "NAME",
        Kind::Int { .. } => "N",
        Kind::Bytes { .. } => "BYTES",
        Kind::Time { .. } => "DURATION",
    }
}
