//! The flags and environment variables of `hardneg serve`: one for each setting of the configuration.

use std::path::PathBuf;

use crate::config::{Kind, SETTINGS, ServeArgs, Setting, Source, default_texts};

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
        self.overrides = SETTINGS
            .iter()
            .filter_map(|setting| {
                let text = matches.get_one::<String>(setting.path)?.clone();
                match matches.value_source(setting.path)? {
                    ValueSource::CommandLine => Some((setting, text, Source::Flag(setting.flag))),
                    // An empty variable counts as unset: compose files and charts pass variables on even when they have no value.
                    ValueSource::EnvVariable if !text.is_empty() => {
                        Some((setting, text, Source::Environment(setting.env)))
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
                        .help("Read this TOML file; flags and environment variables override it"),
                )
                .arg(Arg::new("print_config").long("print-config").action(ArgAction::SetTrue).help(
                    "Print the effective configuration as TOML, with the source of each value, and stop",
                ));
        let defaults = default_texts();
        SETTINGS.iter().fold(command, |command, setting| {
            let default = defaults.get(setting.path).map_or("", String::as_str);
            let arg = Arg::new(setting.path)
                .long(setting.flag)
                .env(setting.env)
                .hide_env_values(true)
                .help(format!("{} [default: {default}]", setting.help))
                .help_heading(heading(setting))
                .value_name(value_name(setting.kind));
            command.arg(match setting.kind {
                Kind::Bool => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
                _ => arg,
            })
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

/// The heading in `--help` under which a setting's flag stands.
fn heading(setting: &Setting) -> &'static str {
    match setting.section() {
        "limits" => "Limits",
        "http2" => "HTTP/2",
        "http" => "HTTP: probes, metrics, dashboard",
        "otlp" => "Traces",
        "log" => "Log",
        _ => "Server",
    }
}

/// The placeholder of a flag's value in `--help`.
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
