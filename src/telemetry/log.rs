//! The log: events as text or JSON on standard error, through a filter that can be changed at run time.

use parking_lot::Mutex;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{LogConfig, LogFormat};

/// Maximum length of a filter in bytes. It is bounded because filters arrive over HTTP too.
const FILTER_BYTES_MAX: usize = 4_096;
/// Maximum number of characters of a filter that an error shows.
const SHOWN_CHARS_MAX: usize = 80;

/// Why a log filter cannot be used. The text is one line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FilterError {
    /// The text cannot be parsed.
    #[error("log filter {text}: {problem}")]
    Invalid {
        /// The text in quotes, shortened if it is long.
        text: String,
        /// The message of the parser.
        problem: String,
    },
    /// This process has not installed the log.
    #[error("the log is not installed in this process")]
    NotInstalled,
}

/// The handle of an installed log.
pub(super) struct LogControl {
    handle: reload::Handle<EnvFilter, Registry>,
    /// The filter as it was written, because an `EnvFilter` prints its directives in another order. The lock is held during a change, so
    /// that changes are logged in their order.
    text: Mutex<String>,
}

/// The log as a layer with its own filter, and the control that changes the filter.
///
/// # Errors
/// An invalid filter.
pub(super) fn layer(
    config: &LogConfig,
) -> Result<(impl Layer<Registry> + Send + Sync + use<>, LogControl), FilterError> {
    let (filter, handle) = reload::Layer::new(parse(&config.filter)?);
    let layer = match config.format {
        LogFormat::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr())
                && std::env::var_os("NO_COLOR").is_none();
            fmt::layer().with_writer(std::io::stderr).with_ansi(colours).boxed()
        }
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
    };
    let control = LogControl { handle, text: Mutex::new(config.filter.clone()) };
    Ok((layer.with_filter(filter), control))
}

impl LogControl {
    /// The present filter, as it was written.
    pub(super) fn filter(&self) -> String {
        self.text.lock().clone()
    }

    /// Replaces the filter; on an error the present one stays.
    ///
    /// # Errors
    /// A text that cannot be parsed.
    pub(super) fn set(&self, text: &str) -> Result<(), FilterError> {
        let text = text.trim();
        let filter = parse(text)?;
        let mut current = self.text.lock();
        let announce = |old: &str| tracing::warn!(old, new = text, "the log filter changes");
        // The change is logged under the old filter if that admits warnings, otherwise under the new one.
        let said = tracing::enabled!(tracing::Level::WARN);
        if said {
            announce(&current);
        }
        self.handle.reload(filter).map_err(|_| FilterError::NotInstalled)?;
        if !said {
            announce(&current);
        }
        text.clone_into(&mut current);
        Ok(())
    }
}

/// Parses a filter strictly: a directive that cannot be parsed is an error, and is not ignored.
fn parse(text: &str) -> Result<EnvFilter, FilterError> {
    let invalid = |problem: String| {
        let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        FilterError::Invalid { text: format!("{shown:?}"), problem: problem.replace(['\n', '\r'], " ") }
    };
    if text.trim().is_empty() {
        return Err(invalid("is empty; `off` silences the log".to_owned()));
    }
    if text.len() > FILTER_BYTES_MAX {
        return Err(invalid(format!("{} bytes, over {FILTER_BYTES_MAX}", text.len())));
    }
    text.parse().map_err(|error: tracing_subscriber::filter::ParseError| invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use tracing_subscriber::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Runs `work` under a log with this filter, and returns what the log wrote.
    fn logged(filter: &str, work: impl FnOnce(&LogControl)) -> String {
        let written = Written::default();
        let writer = written.clone();
        let (reloading, handle) = reload::Layer::new(parse(filter).unwrap());
        let layer = fmt::layer().with_ansi(false).with_writer(move || writer.clone()).with_filter(reloading);
        let control = LogControl { handle, text: Mutex::new(filter.to_owned()) };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || work(&control));
        let bytes = written.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_new_filter_applies_at_once_and_is_logged_with_the_old_one() {
        let text = logged("info", |control| {
            tracing::debug!("before");
            control.set(" info,hardneg=debug ").unwrap();
            assert_eq!(control.filter(), "info,hardneg=debug");
            tracing::debug!("between");
            control.set("error").unwrap();
            tracing::warn!("after");
        });
        assert!(text.contains(r#"old="info" new="info,hardneg=debug""#), "{text}");
        assert!(text.contains(r#"old="info,hardneg=debug" new="error""#), "{text}");
        assert!(text.contains("between") && !text.contains("before") && !text.contains("after"), "{text}");
    }

    #[test]
    fn a_change_from_off_is_logged() {
        let text = logged("off", |control| control.set("info").unwrap());
        assert!(text.contains(r#"old="off" new="info""#), "{text}");
    }

    #[test]
    fn an_invalid_filter_changes_nothing_and_the_error_is_one_line() {
        let text = logged("info", |control| {
            for bad in ["", "  ", "hardneg=loud", "a=b=c", "x\n=loud", &"a,".repeat(4_000)] {
                let error = control.set(bad).unwrap_err().to_string();
                assert!(error.starts_with("log filter \"") && !error.contains('\n'), "{error}");
                assert!(error.len() < 300, "{error}");
                assert_eq!(control.filter(), "info");
            }
            tracing::info!("still");
            tracing::debug!("hidden");
        });
        assert!(text.contains("still") && !text.contains("hidden") && !text.contains("changes"), "{text}");
    }

    #[test]
    fn changing_the_filter_fails_without_an_installed_log() {
        assert_eq!(crate::telemetry::log_filter(), None);
        assert_eq!(crate::telemetry::set_log_filter("info"), Err(FilterError::NotInstalled));
    }
}
