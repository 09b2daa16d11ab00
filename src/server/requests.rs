//! The tower layer around every call: it gives the call an id and a span, and logs and counts how it ended. No other layer reads a call's
//! grpc-status.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use tonic::Code;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use tower::{Layer, Service};
use tracing::{Instrument as _, Level, Span};

use crate::rpc_metrics::{Call, Meter};
use crate::telemetry::traces;

/// The header that carries a call's id, in the request and in the answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken from a client, bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The layer.
#[derive(Clone, Debug)]
pub(super) struct Requests {
    meter: Arc<Meter>,
}

impl Requests {
    /// Counts calls into `meter`.
    pub(super) fn new(meter: Arc<Meter>) -> Self {
        Self { meter }
    }
}

impl<S> Layer<S> for Requests {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced { inner, meter: self.meter.clone() }
    }
}

/// A service whose calls have ids and spans and are counted.
#[derive(Clone, Debug)]
pub(super) struct Traced<S> {
    inner: S,
    meter: Arc<Meter>,
}

impl<S, B, R> Service<Request<B>> for Traced<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<TracedBody<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let id = request_id(request.headers());
        let span = request_span(request.uri().path(), &id);
        traces::begin(&span, request.uri().path(), request.headers());
        let mut ending = Ending {
            call: self.meter.begin(request.uri().path()),
            span: span.clone(),
            uri: request.uri().clone(),
            id: id.clone(),
        };
        let calling = span.in_scope(|| self.inner.call(request));
        let traced = async move {
            let mut response = calling.await?;
            response.headers_mut().insert(REQUEST_ID, id);
            // A trailers-only answer has its status in the headers.
            ending.read(response.headers());
            Ok(response.map(|inner| TracedBody { inner, ending }))
        };
        Box::pin(traced.instrument(span))
    }
}

/// The client's own id if it can stand in a log, otherwise a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let usable = |id: &&HeaderValue| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(usable).cloned().unwrap_or_else(|| {
        let fresh = format!("{:032x}", rand::random::<u128>());
        HeaderValue::try_from(fresh).unwrap_or_else(|_| HeaderValue::from_static("none"))
    })
}

/// The span of a call of `path`, `/{service}/{method}`. Its parent is the client's, not what runs here.
fn request_span(path: &str, id: &HeaderValue) -> Span {
    let (service, method) = path.trim_start_matches('/').rsplit_once('/').unwrap_or((path, ""));
    let id = id.to_str().unwrap_or_default();
    // Only a collector uses it, so it is absent from the log without one.
    let kind = traces::on().then_some("server");
    macro_rules! request {
        ($level:expr) => {
            tracing::span!(
                parent: None,
                $level,
                "request",
                otel.kind = kind,
                rpc.service = service,
                rpc.method = method,
                request_id = id,
            )
        };
    }
    // Calls of the data path get spans only at level debug: there are many, and a failure names its call anyway. Probes get theirs at
    // trace, or they would flood a debug log.
    match service {
        "hardneg.v1.MiningService" => request!(Level::DEBUG),
        _ if service.starts_with("grpc.health.") || service.starts_with("grpc.reflection.") => {
            request!(Level::TRACE)
        }
        _ => request!(Level::INFO),
    }
}

/// Logs, traces and counts once how a call ended.
struct Ending {
    call: Call,
    span: Span,
    uri: Uri,
    id: HeaderValue,
}

impl Ending {
    /// Ends with the status in headers or trailers, if there is one.
    fn read(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get("grpc-status") {
            self.end(Code::from_bytes(status.as_bytes()), headers.get("grpc-message"));
        }
    }

    fn end(&mut self, code: Code, message: Option<&HeaderValue>) {
        let Some(duration) = self.call.end(code as usize) else {
            return;
        };
        // Of the codes that OpenTelemetry counts as failures of a server, these mean a bug.
        if matches!(code, Code::Unknown | Code::Internal | Code::DataLoss) {
            let reason = message.and_then(|message| message.to_str().ok()).unwrap_or_default();
            let (path, request_id) = (self.uri.path(), self.id.to_str().unwrap_or_default());
            tracing::error!(parent: &self.span, status = ?code, reason, ?duration, path, request_id, "failed");
        } else {
            tracing::debug!(parent: &self.span, status = ?code, ?duration, "finished");
        }
        traces::end(&self.span, code);
    }
}

impl Drop for Ending {
    /// A call that is dropped before its end was cancelled: the client went away, its deadline passed, or the drain cut it off.
    fn drop(&mut self) {
        self.end(Code::Cancelled, None);
    }
}

/// A body that is polled inside the call's span, so that the spans of a stream's batches are children of it.
pub(super) struct TracedBody<B> {
    inner: B,
    ending: Ending,
}

impl<B: Body + Unpin> Body for TracedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Self { inner, ending } = &mut *self;
        let frame = {
            let _inside = ending.span.enter();
            ready!(Pin::new(inner).poll_frame(context))
        };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    ending.read(trailers);
                }
            }
            Some(Err(_)) => ending.end(Code::Unknown, None),
            // A body without trailers is not gRPC. It ends well when it ends.
            None => ending.end(Code::Ok, None),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_id_is_kept_if_it_can_stand_in_a_log() {
        let given = |id: &'static [u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(id).unwrap());
            request_id(&headers)
        };
        assert_eq!(given(b"step-17/rank-0"), "step-17/rank-0");
        assert_eq!(given(&[b'a'; 128]).len(), 128);
        for bad in [&b""[..], b"two words", b"caf\xc3\xa9", &[b'a'; 129]] {
            let id = given(bad);
            assert!(id.len() == 32 && id.as_bytes().iter().all(u8::is_ascii_hexdigit), "{id:?}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
