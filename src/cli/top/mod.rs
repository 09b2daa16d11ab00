//! `hardneg top`: shows live in a terminal what the pools are doing. It has the same figures as the dashboard, over gRPC.

mod app;
mod source;
#[cfg(test)]
mod tests;
mod text;
mod view;
mod words;

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use crossterm::event::{Event, EventStream};
use ratatui::DefaultTerminal;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;

use super::{
    exit::Usage,
    flags::{connection::Connection, values},
    output::print,
};
use crate::client::{Client, pool_id_of};
use app::App;
use source::News;

const EXAMPLES: &str = "\
Examples:
  hardneg top                        all pools; Enter opens one, ? explains, q ends
  hardneg top --pool faces
  hardneg top --pool faces --once    one look as text, for scripts";

/// The largest number of news that wait to be drawn. With a longer queue the screen would lag behind.
const NEWS_MAX: usize = 4;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Open this pool
    #[arg(long)]
    pool: Option<String>,
    /// Time between two updates, 500ms to 1m
    #[arg(long, default_value = "1s", value_parser = values::duration, value_name = "DURATION")]
    interval: Duration,
    /// Print the figures once as text and exit; the default when standard output is not a terminal
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(connection: &Connection, args: Args) -> anyhow::Result<()> {
    // These are the server's limits; check them before connecting.
    if !(Duration::from_millis(500)..=Duration::from_secs(60)).contains(&args.interval) {
        return Err(Usage("--interval must be 500ms to 1m".into()).into());
    }
    let mut options = connection.options();
    options.connect_timeout = options.connect_timeout.min(options.timeout);
    let client = Client::connect_with(&connection.server, options).await?;
    let pool = args.pool.as_deref().map(pool_id_of);
    if args.once || !std::io::stdout().is_terminal() {
        return Ok(print(&once(connection, &client, pool, args.interval).await?)?);
    }
    // Report a wrong name before switching to the full screen.
    if let Some(pool) = pool {
        client.get_pool(pool).await?;
    }
    let (wanted, wants) = watch::channel(pool.map(str::to_owned));
    let (tell, news) = mpsc::channel(NEWS_MAX);
    let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let app = App::new(connection.server.clone(), args.pool, color);
    // `try_init` also restores the terminal after a panic.
    let mut terminal = ratatui::try_init().inspect_err(|_| ratatui::restore()).context("no terminal")?;
    let source = tokio::spawn(source::follow(client, args.interval, wants, tell));
    let outcome = live(&mut terminal, app, news, &wanted).await;
    ratatui::restore();
    source.abort();
    outcome
}

async fn once(
    connection: &Connection,
    client: &Client,
    pool: Option<&str>,
    interval: Duration,
) -> anyhow::Result<String> {
    if let Some(pool) = pool {
        return Ok(text::pool(&connection.server, &source::pool_once(client, pool).await?));
    }
    // A rate needs two polls.
    let mut lines = app::lines(source::pools(client).await?, &[], 0.0);
    if !lines.is_empty() {
        let started = Instant::now();
        tokio::time::sleep(interval).await;
        let pools = source::pools(client).await?;
        lines = app::lines(pools, &lines, started.elapsed().as_secs_f64());
    }
    Ok(text::pools(&lines))
}

/// Draws when there is news, when a key is pressed, and when the terminal's size changes.
async fn live(
    terminal: &mut DefaultTerminal,
    mut app: App,
    mut news: mpsc::Receiver<News>,
    wanted: &watch::Sender<Option<String>>,
) -> anyhow::Result<()> {
    let mut events = EventStream::new();
    let mut end = std::pin::pin!(terminated());
    // Updates the time for which the server has been away.
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    while !app.done {
        terminal.draw(|frame| view::draw(frame, &app))?;
        tokio::select! {
            told = news.recv() => match told {
                Some(told) => app.hear(told, Instant::now()),
                None => anyhow::bail!("the watch ended"),
            },
            event = events.next() => match event {
                Some(Ok(Event::Key(key))) => app.press(key),
                Some(Ok(_)) => {}
                // The terminal was closed.
                Some(Err(_)) | None => break,
            },
            _ = seconds.tick(), if app.away.is_some() => {}
            () = &mut end => break,
        }
        wanted.send_if_modified(|pool| {
            let changed = *pool != app.open;
            if changed {
                pool.clone_from(&app.open);
            }
            changed
        });
    }
    Ok(())
}

/// Resolves at a signal that would otherwise end the process without restoring the terminal.
async fn terminated() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut term), Ok(mut hangup), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::hangup()), signal(SignalKind::interrupt()))
        {
            tokio::select! {
                _ = term.recv() => {}
                _ = hangup.recv() => {}
                _ = interrupt.recv() => {}
            }
            return;
        }
    }
    std::future::pending::<()>().await;
}
