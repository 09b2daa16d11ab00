//! Traces: sends spans to a collector by OTLP over gRPC.
//!
//! Whether a trace is sent is decided when its first span begins in this process: as the client has decided, if it has, otherwise at
//! random. No spans are created inside a request that is not sent, see [`TraceFilter`].

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

/// Maximum number of spans that wait to be sent, at about a kilobyte each. Further ones are dropped, and nothing waits for them.
const QUEUE_SPANS: usize = 8_192;
/// Maximum number of spans in one message.
const BATCH_SPANS: usize = 512;
/// How long spans are collected before they are sent.
const SEND_EVERY: Duration = Duration::from_secs(1);
/// Timeout of a message to the collector.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Maximum time that the shutdown waits for the last spans.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(3);

/// Whether traces are sent somewhere. If not, no work is done for them.
static ON: AtomicBool = AtomicBool::new(false);

/// The provider that sends spans to the collector.
pub(super) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// `None` if there is no endpoint. The connection is made when the first spans are sent.
    ///
    /// # Errors
    /// An endpoint that is not a URL.
    pub(super) fn new(config: &OtlpConfig) -> anyhow::Result<Option<Self>> {
        if config.endpoint.is_empty() {
            return Ok(None);
        }
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&config.endpoint)
            .with_timeout(ANSWER_WITHIN)
            // A batch that fails is lost: a retry would delay the next batch, and that one reconnects anyway.
            .with_retry_policy(opentelemetry_otlp::RetryPolicy::disabled())
            .build()?;
        // OTEL_BSP_* environment variables set the options that are not set here.
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_SPANS)
            .with_max_export_batch_size(BATCH_SPANS)
            .with_scheduled_delay(SEND_EVERY)
            .build();
        let processor = BatchSpanProcessor::builder(Watched::new(exporter, &config.endpoint))
            .with_batch_config(batches)
            .build();
        // The resource also has the attributes of OTEL_RESOURCE_ATTRIBUTES.
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

    /// The layer that passes on spans of this crate, whatever the filter of the log is.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("hardneg"))
            // These attributes cost time in every span, and say nothing about a request.
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(TraceFilter)
    }

    /// Switches traces on: from now on requests look for a parent span in their headers.
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

/// Whether traces are sent somewhere.
pub(crate) fn on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Begins the part of a trace in this process: makes `span`, which was just created for a call of `path`, the child of the span that the
/// headers name, if they name one. Attributes for the collector only are not fields of the span, because the log would write them.
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
    // This starts the span: from here on its parent, and whether it is sent, do not change.
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

/// Records how the call of `span` ended.
pub(crate) fn end(span: &Span, code: Code) {
    if !on() {
        return;
    }
    span.set_attribute("rpc.grpc.status_code", i64::from(code as i32));
    // These are the codes that OpenTelemetry counts as failures of the server.
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

/// The headers from which the W3C trace context is read.
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

/// Admits to traces the spans of this crate down to `debug`, and its warnings as events. Spans inside a request that is not sent are not
/// created at all: the sampler would refuse them only after they were made.
struct TraceFilter;

impl TraceFilter {
    fn may_belong(metadata: &Metadata<'_>) -> bool {
        let least = if metadata.is_span() { Level::DEBUG } else { Level::WARN };
        let crate_name = metadata.target().split("::").next();
        *metadata.level() <= least && crate_name == Some("hardneg")
    }

    /// Whether the filter admits this without looking at the current span: an event belongs to the span it is in, and for the span of a
    /// request it is not decided yet whether it is sent.
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
