//! The fragments of the page that change, and the stream of their changes.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::sse::Event;
use maud::html;
use parking_lot::Mutex;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_stream::Stream;

use super::panels::{FIGURES, View};
use super::tables::{self, PoolLine};
use crate::admin::Admin;
use crate::model::policy::Policy;
use crate::permits::Permit;
use crate::pool::Pool;
use crate::units;

/// The time between two updates.
const EVERY: Duration = Duration::from_secs(1);
/// Drawings that are younger than this are reused for other pages.
const FRESH: Duration = Duration::from_millis(900);

/// HTML fragments, by the id of the element that each fills.
pub(super) type Fragments = BTreeMap<&'static str, Arc<str>>;

type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Arc<Fragments>)>>>;

/// The drawings of each pool that is being watched, drawn once for all its pages.
#[derive(Debug, Default)]
pub(crate) struct Drawings(Mutex<HashMap<u64, Slot>>);

impl Drawings {
    /// The fragments of a pool, at most a second old; `None` when its statistics are unavailable.
    pub(super) async fn of(&self, pool: &Pool) -> Option<Arc<Fragments>> {
        let slot = self.0.lock().entry(pool.uid()).or_default().clone();
        let mut drawn = slot.lock().await;
        if let Some((at, fragments)) = &*drawn
            && at.elapsed() < FRESH
        {
            return Some(fragments.clone());
        }
        let fragments = Arc::new(draw(pool).await?);
        *drawn = Some((Instant::now(), fragments.clone()));
        Some(fragments)
    }

    /// Drops the drawings of pools that nobody requested recently, such as deleted ones.
    pub(crate) fn prune(&self) {
        self.0.lock().retain(|_, slot| match slot.try_lock() {
            Ok(drawn) => drawn.as_ref().is_some_and(|(at, _)| at.elapsed() < 10 * EVERY),
            // The lock is held, so this entry is being drawn.
            Err(_) => true,
        });
    }
}

async fn draw(pool: &Pool) -> Option<Fragments> {
    let activity = pool.activity().await.ok()?;
    let spec = pool.spec();
    let by_steps = spec.decay.by_steps();
    let view = View {
        activity: &activity,
        by_steps,
        random_fraction: spec.default_policy.over(&Policy::default()).random_fraction,
    };
    let mut fragments = Fragments::new();
    let mut put = |id, markup: maud::Markup| fragments.insert(id, markup.into_string().into());
    put("kpis", tables::kpis(pool, &activity));
    for figure in FIGURES {
        put(figure.id, figure.draw(&view));
    }
    put("workers", tables::workers(&activity, by_steps));
    put("hardest", tables::hardest(&activity, by_steps));
    put("suspects", tables::suspects(&activity));
    Some(fragments)
}

/// The fragments that do not depend on a pool's statistics.
pub(super) async fn surroundings(admin: &Admin, shown: Option<&str>) -> Fragments {
    let mut lines = Vec::new();
    for pool in admin.registry.sorted() {
        // A pool whose store is unavailable is listed too.
        let hard = pool.hard_samples().await.unwrap_or(0);
        lines.push(PoolLine { id: pool.id().to_owned(), hard });
    }
    let connections = admin.connections.taken();
    let server = html! {
        "version " (env!("CARGO_PKG_VERSION")) " · up " (units::span(admin.dashboard.started.elapsed().as_secs_f64())) " · "
        (connections) (if connections == 1 { " connection" } else { " connections" })
    };
    Fragments::from([
        ("pools", tables::pools(&lines, shown).into_string().into()),
        ("server", server.into_string().into()),
    ])
}

/// The state of a live page.
struct Live {
    admin: Admin,
    wanted: Option<String>,
    every: Interval,
    /// The fragments that the page has received.
    sent: Fragments,
    _permit: Permit,
}

/// The stream of a page's changes: `update` is a JSON object of HTML by element id, `pool` says whether the pool exists. It ends when
/// the server drains.
pub(super) fn changes(
    admin: Admin,
    wanted: Option<String>,
    permit: Permit,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let live = Live { admin, wanted, every, sent: Fragments::new(), _permit: permit };
    futures_util::stream::unfold(live, |mut live| async move {
        tokio::select! {
            biased;
            () = live.admin.dashboard.drain.cancelled() => return None,
            _ = live.every.tick() => {}
        }
        let event = live.event().await;
        Some((Ok(event), live))
    })
}

impl Live {
    async fn event(&mut self) -> Event {
        let mut now = surroundings(&self.admin, self.wanted.as_deref()).await;
        let pool = match &self.wanted {
            Some(wanted) => self.admin.registry.get(wanted, 0).ok(),
            None => None,
        };
        let drawn = match &pool {
            Some(pool) => self.admin.dashboard.drawings.of(pool).await,
            None => None,
        };
        if let Some(drawn) = &drawn {
            now.extend(drawn.iter().map(|(id, html)| (*id, html.clone())));
        }
        let changed: BTreeMap<&str, &str> = now
            .iter()
            .filter(|(id, html)| self.sent.get(*id) != Some(html))
            .map(|(id, html)| (*id, &**html))
            .collect();
        let message = serde_json::json!({
            // Whether the pool has figures: a page that shows the other state reloads.
            "figures": drawn.is_some(),
            "first_pool": self.admin.registry.sorted().first().map(|pool| pool.id().to_owned()),
            "html": changed,
        });
        self.sent.extend(now);
        Event::default().event("update").data(message.to_string())
    }
}
