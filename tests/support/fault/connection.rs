//! The connections of a [`super::FaultServer`]: reading, forwarding, spoiling.

use super::{Answer, Call, Fault, Shared};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::CONTENT_LENGTH;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ring::digest::{Context, SHA256};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

type Fail = Box<dyn std::error::Error + Send + Sync>;
type AnyBody = BoxBody<Bytes, Fail>;

/// Up to here a request's body is read for the handler.
const READ_AHEAD: u64 = 1024 * 1024;

/// Serves all who connect, until it is aborted.
pub(super) async fn accept(listener: std::net::TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).unwrap();
    let mut connections = JoinSet::new(); // dropped, and so ended, with this task
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, shared) = (tls.clone(), shared.clone());
        connections.spawn(async move {
            match tls {
                None => serve(stream, shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, shared).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, shared: Arc<Shared>) {
    let service = service_fn(|request| answer(request, shared.clone()));
    // It ends with an error whenever a fault was asked for.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<AnyBody>, Fail> {
    let (head, body) = request.into_parts();
    let (read, body) = match body.size_hint().exact() {
        Some(length) if length <= READ_AHEAD => {
            let bytes = body.collect().await?.to_bytes();
            (bytes.clone(), boxed(Full::new(bytes)))
        }
        _ => (Bytes::new(), boxed(body)),
    };
    let again = Full::new(read.clone());
    let reply = shared.ask(Call {
        number: 0,
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers.clone(),
        body: read,
    });
    tokio::time::sleep(reply.delay).await;
    let request = Request::from_parts(head, body);
    let response = match reply.answer {
        Answer::Scripted(response) => {
            drain(request.into_body()).await?;
            response.map(|bytes| boxed(Full::new(bytes)))
        }
        Answer::Endless(response, pause) => {
            drain(request.into_body()).await?;
            response.map(|piece| endless(piece, pause))
        }
        Answer::Forwarded => forward(request, &shared).await?,
        Answer::ForwardedWithout(prefix) => {
            let mut request = request;
            let path = request.uri().path_and_query().unwrap().as_str();
            *request.uri_mut() = path.strip_prefix(prefix).expect("the prefix").parse()?;
            forward(request, &shared).await?
        }
        Answer::Twice => {
            let mut second = Request::new(boxed(again));
            (*second.method_mut(), *second.uri_mut()) = (request.method().clone(), request.uri().clone());
            second.headers_mut().clone_from(request.headers());
            drain(forward(request, &shared).await?.into_body()).await?;
            forward(second, &shared).await?
        }
        Answer::Lost => {
            drain(forward(request, &shared).await?.into_body()).await?;
            return Err("the answer is lost".into());
        }
        Answer::Never => std::future::pending().await,
        Answer::Closed => return Err("closed".into()),
    };
    Ok(match reply.fault {
        Some((at, fault)) => spoil(response, at, fault),
        None => response,
    })
}

async fn forward(request: Request<AnyBody>, shared: &Arc<Shared>) -> Result<Response<AnyBody>, Fail> {
    let upstream = shared.upstream.expect("a server made by FaultServer::proxy");
    let stream = TcpStream::connect(upstream).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let shared = shared.clone();
    Ok(sender
        .send_request(request)
        .await?
        .map(|body| boxed(Recorded { body: boxed(body), hash: Some(Context::new(&SHA256)), shared })))
}

/// A body of the upstream server, whose hash is recorded once all of it has come.
struct Recorded {
    body: AnyBody,
    hash: Option<Context>,
    shared: Arc<Shared>,
}

impl Body for Recorded {
    type Data = Bytes;
    type Error = Fail;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Poller<'_>) -> Poll<Option<Result<Frame<Bytes>, Fail>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        match (&mut self.hash, &frame) {
            (Some(hash), Some(Ok(frame))) => hash.update(frame.data_ref().map_or(&[][..], |data| data)),
            (_, Some(Err(_))) => self.hash = None,
            _ => {}
        }
        if frame.is_none() || self.body.is_end_stream() {
            let whole = self.hash.take().map(|hash| hex::encode(hash.finish()));
            self.shared.sent.lock().unwrap().extend(whole);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn drain(mut body: AnyBody) -> Result<(), Fail> {
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(())
}

/// `piece` again and again, each time after `pause`.
fn endless(piece: Bytes, pause: Duration) -> AnyBody {
    let pieces = stream::repeat(piece).then(move |piece| async move {
        tokio::time::sleep(pause).await;
        Ok(Frame::data(piece))
    });
    BodyExt::boxed(StreamBody::new(pieces))
}

fn boxed<B>(body: B) -> AnyBody
where
    B: Body<Data = Bytes, Error: Into<Fail>> + Send + Sync + 'static,
{
    body.map_err(Into::into).boxed()
}

/// `response` with `fault` at byte `at` of its body.
fn spoil(response: Response<AnyBody>, at: usize, fault: Fault) -> Response<AnyBody> {
    let (mut head, body) = response.into_parts();
    if matches!(fault, Fault::End) {
        head.headers.remove(CONTENT_LENGTH);
    }
    let frames = stream::unfold(Spoilt { body, left: at, fault }, |mut spoilt| async move {
        let item = spoilt.next().await?;
        Some((item.map(Frame::data), spoilt))
    });
    Response::from_parts(head, BodyExt::boxed(StreamBody::new(frames)))
}

struct Spoilt {
    body: AnyBody,
    /// Bytes before the fault.
    left: usize,
    fault: Fault,
}

impl Spoilt {
    async fn next(&mut self) -> Option<Result<Bytes, Fail>> {
        match self.fault {
            Fault::End if self.left == 0 => return None,
            Fault::Stall if self.left == 0 => std::future::pending().await,
            Fault::Break if self.left == 0 => {
                tokio::task::yield_now().await; // so that what came before is flushed
                return Some(Err("broken".into()));
            }
            _ => {}
        }
        let data = match self.body.frame().await? {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(match self.fault {
            Fault::Flip => self.flip(&data),
            _ => {
                let sent = data.slice(..data.len().min(self.left));
                self.left -= sent.len();
                sent
            }
        }))
    }

    fn flip(&mut self, data: &Bytes) -> Bytes {
        let mut data = data.to_vec();
        if let Some(byte) = data.get_mut(self.left) {
            *byte ^= 1;
            self.left = usize::MAX; // not a second time
        } else {
            self.left -= data.len();
        }
        data.into()
    }
}
