//! Traces: spans to a collector, by OTLP over gRPC.
//!
//! Whether a trace is sent is decided when its first span begins here: as the client decided, if it did, otherwise by
//! chance. Inside a request that is not sent no span is made at all, see [`TraceFilter`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::propagation::Extractor;
use opentelemetry::trace::{Status, TraceContextExt as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_otlp::{WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider},
};
use tonic::{Code, codegen::http::HeaderMap};
use tracing::{Level, Metadata, Span, Subscriber, subscriber::Interest};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    Layer, Registry,
    filter::LevelFilter,
    layer::{self, Filter},
    registry::LookupSpan,
};

use super::exporter::Watched;
use crate::config::OtlpConfig;

/// Spans that wait to be sent; further ones are dropped, never waited for. About a kilobyte each.
const QUEUE_SPANS: usize = 8_192;
/// Spans of one message.
const BATCH_SPANS: usize = 512;
/// How long a span waits for company.
const SEND_EVERY: Duration = Duration::from_secs(1);
/// How long the collector may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last spans.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(3);

/// Spans are wanted; without, the work for them is not done.
static ON: AtomicBool = AtomicBool::new(false);

/// The way of spans to the collector.
pub(super) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// `None` without an endpoint. Connects with the first spans.
    ///
    /// # Errors
    /// An endpoint that is no URL.
    pub(super) fn new(config: &OtlpConfig) -> anyhow::Result<Option<Self>> {
        if config.endpoint.is_empty() {
            return Ok(None);
        }
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&config.endpoint)
            .with_timeout(ANSWER_WITHIN)
            // A batch that fails is lost: trying again would hold up the next, and the connection is tried anew anyway.
            .with_retry_policy(opentelemetry_otlp::RetryPolicy::disabled())
            .build()?;
        // OTEL_BSP_* in the environment set what is not set here.
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_SPANS)
            .with_max_export_batch_size(BATCH_SPANS)
            .with_scheduled_delay(SEND_EVERY)
            .build();
        let processor = BatchSpanProcessor::builder(Watched::new(exporter, &config.endpoint))
            .with_batch_config(batches)
            .build();
        // With what OTEL_RESOURCE_ATTRIBUTES says.
        let resource = Resource::builder()
            .with_service_name("hardneg")
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", format!("{:032x}", rand::random::<u128>())),
            ])
            .build();
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio)));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        Ok(Some(Self { provider }))
    }

    /// Spans of this crate, whatever the log shows.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("hardneg"))
            // All that costs something in every span, and says nothing of a request.
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(TraceFilter)
    }

    /// From now on requests look for their parents.
    pub(super) fn install(&self) {
        global::set_text_map_propagator(TraceContextPropagator::new());
        ON.store(true, Ordering::Relaxed);
    }

    /// Sends what is queued, for at most [`SHUTDOWN_WITHIN`].
    pub(super) fn shutdown(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(SHUTDOWN_WITHIN) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Traces are sent somewhere.
pub(crate) fn on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Begins the part of a trace that happens here: `span`, just made for a call of `path`, is the child of what the headers
/// name, if they do. What only a collector wants to know is not among the span's fields, which the log would write out.
pub(crate) fn begin(span: &Span, path: &str, headers: &HeaderMap) {
    if !on() || span.is_disabled() {
        return;
    }
    let parent = global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Context::new(), &Headers(headers))
    });
    if parent.span().span_context().is_valid() {
        let _ = span.set_parent(parent);
    }
    // Starts it: from here on its parent, and whether it is sent, stand fast.
    let context = span.context();
    if context.span().span_context().is_sampled() {
        context.span().update_name(path.trim_start_matches('/').to_owned());
        context.span().set_attribute(KeyValue::new("rpc.system", "grpc"));
        return;
    }
    span.with_subscriber(|(id, subscriber)| {
        if let Some(span) = subscriber.downcast_ref::<Registry>().and_then(|registry| registry.span(id)) {
            span.extensions_mut().replace(NotSent);
        }
    });
}

/// Tells how the call of `span` ended.
pub(crate) fn end(span: &Span, code: Code) {
    if !on() {
        return;
    }
    span.set_attribute("rpc.grpc.status_code", i64::from(code as i32));
    // What OpenTelemetry counts as the server's own failures.
    if matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    ) {
        span.set_status(Status::error(code.description()));
    }
}

/// Where W3C trace context is read from.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(tonic::codegen::http::HeaderName::as_str).collect()
    }
}

/// Marks a request whose trace is not sent.
struct NotSent;

/// What is a span of a trace: this crate's down to `debug`, and its warnings as events. What happens inside a request that is
/// not sent is left out from the start: the sampler would refuse it only after it was made.
struct TraceFilter;

impl TraceFilter {
    fn may_belong(metadata: &Metadata<'_>) -> bool {
        let least = if metadata.is_span() { Level::DEBUG } else { Level::WARN };
        let crate_name = metadata.target().split("::").next();
        *metadata.level() <= least && crate_name == Some("hardneg")
    }

    /// Whether it is sent is not yet known, or not its own affair.
    fn stands_alone(metadata: &Metadata<'_>) -> bool {
        metadata.is_event() || metadata.name() == "request"
    }
}

impl<S> Filter<S> for TraceFilter
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn enabled(&self, metadata: &Metadata<'_>, context: &layer::Context<'_, S>) -> bool {
        Self::may_belong(metadata)
            && (Self::stands_alone(metadata)
                || context
                    .lookup_current()
                    .is_none_or(|current| current.extensions().get::<NotSent>().is_none()))
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        match metadata {
            metadata if !Self::may_belong(metadata) => Interest::never(),
            metadata if Self::stands_alone(metadata) => Interest::always(),
            _ => Interest::sometimes(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }
}
