//! The source of the figures: it watches one pool, or polls all of them, and retries while the server is away.

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

use crate::client::{Client, Error, pb};

/// The largest number of pools in the list; each needs a call.
const POOLS_MAX: usize = 200;
const RETRY: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A watch without a response for its interval plus this time counts as broken.
const SILENCE: Duration = Duration::from_secs(5);

/// A message to the terminal.
#[derive(Debug)]
pub(super) enum News {
    /// All pools, in order of name.
    Pools(Vec<Listed>),
    /// A pool's spec, figures and activity.
    Pool(Box<Picture>),
    /// The pool of this name does not exist, or was deleted.
    Gone(String),
    /// There are no figures at the moment.
    Away(Away),
}

/// Why there are no figures.
#[derive(Clone, Debug)]
pub(super) struct Away {
    /// Whether the server does not answer; otherwise it refuses the call.
    pub(super) unavailable: bool,
    pub(super) why: String,
}

/// A pool of the list.
#[derive(Clone, Debug, Default)]
pub(super) struct Listed {
    pub(super) pool: pb::Pool,
    pub(super) stats: pb::PoolStats,
}

/// A pool at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    pub(super) pool: pb::Pool,
    pub(super) stats: pb::PoolStats,
    pub(super) activity: pb::PoolActivity,
}

/// Gets the figures of all pools.
pub(super) async fn pools(client: &Client) -> Result<Vec<Listed>, Error> {
    let mut all = Vec::new();
    for pool in client.list_pools().await?.into_iter().take(POOLS_MAX) {
        match client.pool_stats(&pool.name).await {
            Ok(stats) => all.push(Listed { pool, stats }),
            // The pool was deleted after it was listed.
            Err(error) if error.code() == Code::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Gets the figures of a pool once, with all ticks.
pub(super) async fn pool_once(client: &Client, name: &str) -> Result<Picture, Error> {
    let pool = client.get_pool(name).await?;
    let patience = client.options().timeout;
    let request = async {
        let mut watch = client.watch_pool_stats(name, Duration::from_secs(60)).await?;
        watch.next().await.unwrap_or_else(|| Err(ended()))
    };
    Ok(picture(&pool, timeout(patience, request).await.unwrap_or_else(|_| Err(silent(patience)))?))
}

fn picture(pool: &pb::Pool, answer: pb::WatchPoolStatsResponse) -> Picture {
    Picture {
        pool: pool.clone(),
        stats: answer.stats.unwrap_or_default(),
        activity: answer.activity.unwrap_or_default(),
    }
}

fn silent(patience: Duration) -> Error {
    Status::deadline_exceeded(format!("no answer within {patience:?}")).into()
}

fn ended() -> Error {
    Status::unavailable("the server ended the watch").into()
}

/// Sends news of the wanted pool, or of all pools, until the receiver is dropped.
pub(super) async fn follow(
    client: Client,
    interval: Duration,
    mut wants: watch::Receiver<Option<String>>,
    tell: mpsc::Sender<News>,
) {
    let mut pause = RETRY;
    loop {
        let wanted = wants.borrow_and_update().clone();
        let mut told = false;
        let outcome = tokio::select! {
            outcome = poll(&client, interval, wanted.as_deref(), &tell, &mut told) => outcome,
            changed = wants.changed() => match changed {
                Ok(()) => { wants.mark_changed(); continue }
                Err(_) => return,
            },
        };
        let Err(error) = outcome else { return };
        let news = match wanted {
            Some(pool) if error.code() == Code::NotFound => News::Gone(pool),
            _ => News::Away(Away { unavailable: error.is_unavailable(), why: error.to_string() }),
        };
        if tell.send(news).await.is_err() {
            return;
        }
        // Retry quickly after a server was reachable, and less often the longer it stays away.
        pause = if told { RETRY } else { (pause * 2).min(RETRY_MAX) };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = wants.changed() => match changed {
                Ok(()) => wants.mark_changed(),
                Err(_) => return,
            },
        }
    }
}

/// Polls until a call fails (an error) or the receiver is dropped.
async fn poll(
    client: &Client,
    interval: Duration,
    wanted: Option<&str>,
    tell: &mpsc::Sender<News>,
    told: &mut bool,
) -> Result<(), Error> {
    let Some(name) = wanted else {
        let mut every = tokio::time::interval(interval);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let news = News::Pools(pools(client).await?);
            *told = true;
            if tell.send(news).await.is_err() {
                return Ok(());
            }
        }
    };
    let pool = client.get_pool(name).await?;
    let patience = interval + SILENCE;
    let open = client.watch_pool_stats(name, interval);
    let mut watch = timeout(patience, open).await.unwrap_or_else(|_| Err(silent(patience)))?;
    loop {
        let answer = timeout(patience, watch.next()).await.map_err(|_| silent(patience))?;
        let picture = picture(&pool, answer.ok_or_else(ended)??);
        *told = true;
        if tell.send(News::Pool(Box::new(picture))).await.is_err() {
            return Ok(());
        }
    }
}
