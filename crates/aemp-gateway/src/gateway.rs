//! The listener: who is let in, and the loop around one client.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aemp::Node;
use futures_util::stream::SplitStream;
use futures_util::{Stream, StreamExt as _, future};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderMap, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use crate::access::{Access, Rights};
use crate::families::Families;
use crate::limits::Rate;
use crate::outgoing::{GRACE, Outgoing};
use crate::protocol::{Act, Event, Refusal};
use crate::session::Session;

/// How long a connection may take to become a client.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a client is asked for a sign of life. One from which nothing comes for three times as
/// long is cut off.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Connections at once, those that have not said who they are included.
const CONNECTIONS_MAX: usize = 1024;

/// A gateway for edge clients: clients with a token and a list of what they may do, but without the
/// network's secret.
pub struct Gateway {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    node: Node,
    access: Access,
    families: Families,
    address: SocketAddr,
    refused: Refused,
}

/// How often clients were refused something, by what it was.
#[derive(Debug, Clone, Default)]
pub struct Refused(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Refused {
    /// The counts, by codes as in the protocol; beside them `host` (a `Host`, `Origin` or address
    /// that is not admitted), `token`, `connections`, `rate`, `unread` and `silent`.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, code: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }
}

impl Gateway {
    /// Begins to listen at an address for clients of these rules.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub async fn bind(node: Node, address: &str, access: Access) -> io::Result<Gateway> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (families, refused) = Default::default();
        Ok(Gateway { listener, shared: Arc::new(Shared { node, access, families, address, refused }) })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.address
    }

    /// What was refused so far, and from now on.
    pub fn refused(&self) -> Refused {
        self.shared.refused.clone()
    }

    /// Serves clients until the future is dropped; then all of them are gone, and their ports with
    /// them.
    pub async fn serve(self) {
        let mut tasks = JoinSet::new();
        let shared = &self.shared;
        for family in shared.access.families() {
            tasks.spawn(shared.families.clone().follow(shared.node.clone(), family));
        }
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a client cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            while tasks.try_join_next().is_some() {}
            let Ok(place) = places.clone().try_acquire_owned() else {
                shared.refused.count("connections");
                continue;
            };
            let shared = shared.clone();
            tasks.spawn(async move {
                shared.client(stream).await;
                drop(place);
            });
        }
    }
}

impl Shared {
    async fn client(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Ok(Some((socket, rights))) = timeout(HELLO_TIMEOUT, self.hello(stream)).await else { return };
        let name = rights.name().to_string();
        tracing::debug!(client = name, "a client has come");
        let outgoing = Outgoing::new(rights.limits().unread);
        let (sink, mut stream) = socket.split();
        let writer = tokio::spawn(outgoing.clone().write(sink));
        let why = tokio::select! {
            cut = outgoing.is_cut() => {
                if cut.code == 4008 {
                    self.refused.count("unread");
                }
                cut.text
            }
            why = self.serve(&mut stream, rights, &outgoing) => why,
        };
        outgoing.cut(1000, &why);
        // What is not read would make a reset of the end, and the client would not hear why.
        let rest = async { while let Some(Ok(_)) = stream.next().await {} };
        let _ = timeout(GRACE, future::join(writer, rest)).await;
        tracing::debug!(client = name, why, "a client is gone");
    }

    /// Upgrades a connection, and reads the first message.
    #[allow(clippy::result_large_err)] // the library wants the check so
    async fn hello(&self, stream: TcpStream) -> Option<(WebSocketStream<TcpStream>, Rights)> {
        let largest = Some(self.access.message_max());
        let config = WebSocketConfig::default().max_message_size(largest).max_frame_size(largest);
        let check = |request: &Request, response: Response| self.admit(request, response);
        let mut socket = accept_hdr_async_with_config(stream, check, Some(config)).await.ok()?;
        let token = match socket.next().await? {
            Ok(Message::Text(text)) => match Act::parse(&text) {
                Ok(Act::Hello { token }) => Some(token),
                _ => None,
            },
            _ => None,
        };
        let rights = token.and_then(|token| self.access.client(&token)).cloned();
        if rights.is_none() {
            self.refused.count("token");
            let outgoing = Outgoing::new(1 << 10);
            outgoing.cut(4001, "the first message has to be hello, with a token that is known");
            outgoing.write(&mut socket).await;
        }
        Some((socket, rights?))
    }

    #[allow(clippy::result_large_err)] // the library wants it so
    fn admit(&self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        let headers = request.headers();
        let refusal = if request.uri().path_and_query().is_some_and(|path| path.as_str() != "/") {
            // A token in an address would stand in logs.
            Some(StatusCode::NOT_FOUND)
        } else if !self.access.admits(
            header(headers, "host"),
            header(headers, "origin"),
            &self.address.to_string(),
        ) {
            Some(StatusCode::FORBIDDEN)
        } else {
            None
        };
        let Some(status) = refusal else { return Ok(response) };
        self.refused.count("host");
        let mut refusal = ErrorResponse::new(Some(status.to_string()));
        *refusal.status_mut() = status;
        Err(refusal)
    }

    /// The loop around one client; returns why it has ended.
    async fn serve(
        &self,
        stream: &mut SplitStream<WebSocketStream<TcpStream>>,
        rights: Rights,
        outgoing: &Outgoing,
    ) -> String {
        let limits = rights.limits().clone();
        let begun = Instant::now();
        let mut rate = Rate::new(&limits, Duration::ZERO);
        let mut session = Session::new(self.node.clone(), rights, self.families.clone(), outgoing.clone());
        let mut ping = tokio::time::interval(PING_INTERVAL);
        let mut heard = begun;
        loop {
            let text = tokio::select! {
                outcome = session.next() => {
                    session.tell(outcome);
                    continue;
                }
                _ = ping.tick() => {
                    if heard.elapsed() > 3 * PING_INTERVAL {
                        return self.end(&Refusal::end("silent", "no sign of life"), outgoing);
                    }
                    outgoing.ping();
                    continue;
                }
                message = next(stream) => match message {
                    Ok(message) => {
                        heard = Instant::now();
                        message
                    }
                    Err(Refusal { code: "", text, .. }) => return text,
                    Err(refusal) => return self.end(&refusal, outgoing),
                },
            };
            let Some(text) = text else { continue };
            let done = if text.len() > limits.message {
                Err(Refusal::end("message", format!("a message has more than {} bytes", limits.message)))
            } else if !rate.take(&limits, begun.elapsed(), text.len()) {
                Err(Refusal::end("rate", "the client sends too much"))
            } else {
                match Act::parse(&text) {
                    Ok(act) => session.act(act).await,
                    Err(refusal) => Err(refusal),
                }
            };
            if let Err(refusal) = done {
                if refusal.ends {
                    return self.end(&refusal, outgoing);
                }
                self.refused.count(refusal.code);
                outgoing.tell(&Event::Refused(&refusal));
            }
        }
    }

    fn end(&self, refusal: &Refusal, outgoing: &Outgoing) -> String {
        self.refused.count(refusal.code);
        outgoing.tell(&Event::Refused(refusal));
        outgoing.cut(4000, &refusal.text);
        refusal.text.clone()
    }
}

/// The next message: a text, or none if it says nothing. An error with an empty code is an end that
/// is nobody's fault.
async fn next(
    stream: &mut (impl Stream<Item = Result<Message, Error>> + Unpin),
) -> Result<Option<String>, Refusal> {
    let over = |text: &str| Err(Refusal::end("", text));
    match stream.next().await {
        Some(Ok(Message::Text(text))) => Ok(Some(text.to_string())),
        Some(Ok(Message::Binary(_))) => Err(Refusal::end("malformed", "messages are texts")),
        Some(Ok(Message::Close(_))) | None => over("the client has gone"),
        Some(Ok(_)) => Ok(None),
        Some(Err(Error::Capacity(_))) => Err(Refusal::end("message", "a message is too large")),
        Some(Err(Error::Protocol(_) | Error::Utf8(_))) => Err(Refusal::end("malformed", "not WebSocket")),
        Some(Err(_)) => over("the connection is lost"),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    // One that is not text is not admitted, rather than taken for absent.
    headers.get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"))
}
