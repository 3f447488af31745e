//! Logs: standard error, for people or as JSON. Numbers and secrets stay out of everything at `info` and above.

use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Begins to log. `TAPID_LOG` chooses what (`info`, `debug`, `tapid=debug`).
pub fn start(format: Format) {
    let filter = EnvFilter::try_from_env("TAPID_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        // The journal has its own time and needs no colours.
        Format::Human if std::env::var_os("JOURNAL_STREAM").is_some() => {
            builder.with_ansi(false).without_time().with_target(false).init();
        }
        Format::Human => builder.with_ansi(false).with_target(false).init(),
        Format::Json => builder.json().flatten_event(true).init(),
    }
}
