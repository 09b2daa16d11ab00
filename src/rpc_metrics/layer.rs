//! The meter around a gRPC service: a call ends with its trailers, or when its answer is dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderMap, Request, Response};

use super::Meter;

/// Numbers of codes.
const OK: usize = 0;
const CANCELLED: usize = 1;
const UNKNOWN: usize = super::UNKNOWN;

/// Counts the calls of the service that it wraps.
#[derive(Clone, Debug)]
pub struct MeterLayer(Arc<Meter>);

impl MeterLayer {
    /// Counts into `meter`.
    #[must_use]
    pub fn new(meter: Arc<Meter>) -> Self {
        Self(meter)
    }
}

impl<S> tower::Layer<S> for MeterLayer {
    type Service = Metered<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Metered { inner, meter: self.0.clone() }
    }
}

/// A service whose calls are counted.
#[derive(Clone, Debug)]
pub struct Metered<S> {
    inner: S,
    meter: Arc<Meter>,
}

impl<S, B> Service<Request<B>> for Metered<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut call = Call::begin(self.meter.clone(), request.uri().path());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            // An answer that is nothing but an error has its code in the headers.
            if let Some(code) = code(response.headers()) {
                call.code = Some(code);
            }
            Ok(response.map(|body| Body::new(MeteredBody { body, call })))
        })
    }
}

/// The code that these headers or trailers tell.
fn code(headers: &HeaderMap) -> Option<usize> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// One call, counted when it is dropped.
struct Call {
    meter: Arc<Meter>,
    method: usize,
    begun: Instant,
    /// `None` until it is told: a call that is dropped before was cancelled by its client.
    code: Option<usize>,
}

impl Call {
    fn begin(meter: Arc<Meter>, path: &str) -> Self {
        let method = meter.position(path);
        meter.methods[method].begin();
        Self { meter, method, begun: Instant::now(), code: None }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.meter.methods[self.method].end(self.code.unwrap_or(CANCELLED), self.begun.elapsed());
    }
}

struct MeteredBody {
    body: Body,
    call: Call,
}

impl http_body::Body for MeteredBody {
    type Data = <Body as http_body::Body>::Data;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.call.code = Some(code(trailers).unwrap_or(UNKNOWN));
                }
            }
            Some(Err(_)) => self.call.code = Some(UNKNOWN),
            // Without trailers, as of a page that is no gRPC.
            None => _ = self.call.code.get_or_insert(OK),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
