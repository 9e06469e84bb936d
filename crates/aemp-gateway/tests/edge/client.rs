//! A client made by hand, and a network with a gateway.

use std::time::Duration;

use aemp::{AnyMessage, Node, PortId};
use aemp_gateway::{Access, Gateway, Refused};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message as Frame};
use tokio_tungstenite::{WebSocketStream, client_async};

pub(crate) const TOKEN: &str = "0123456789abcdef";
pub(crate) const OTHER: &str = "fedcba9876543210";

/// A step that takes longer does not end.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) async fn soon<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, step).await.expect("this takes too long")
}

/// A node with a gateway, an echo port in the family `echo`, and a port that nobody may reach.
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) address: String,
    pub(crate) refused: Refused,
    pub(crate) echo: PortId,
    pub(crate) hidden: PortId,
    pub(crate) serving: JoinHandle<()>,
}

impl World {
    pub(crate) async fn start() -> World {
        World::with(Node::builder().id("gate").bind("127.0.0.1:0").secret("secret"), "{}").await
    }

    /// `limits` are those of the client whose token is `TOKEN`.
    pub(crate) async fn with(builder: aemp::Builder, limits: &str) -> World {
        let node = builder.start().await.unwrap();
        let rules = json!({
            "hosts": ["gate.example"], "origins": ["https://page.example"],
            "clients": [
                {"name": "one", "token": TOKEN, "send": ["@echo", "far#*"], "call": ["@echo"], "watch": ["echo", "things"], "ports": 2,
                 "limits": serde_json::from_str::<Json>(limits).unwrap()},
                {"name": "two", "token": OTHER, "ports": 1},
            ],
        });
        let access = Access::parse(&rules.to_string()).unwrap();
        let echo = node.port(|cx, mut message: AnyMessage| {
            if let Some(Ok(port)) =
                message.0.pop().and_then(|last| last.to_name()).map(|name| PortId::parse(&name))
            {
                cx.send(&port, message);
            }
        });
        let hidden = node.port(|_, message: AnyMessage| panic!("a forbidden message arrived: {message:?}"));
        node.db().register("echo", &echo).unwrap();
        let gateway = Gateway::bind(node.clone(), "127.0.0.1:0", access).await.unwrap();
        let (address, refused) = (gateway.local_addr().to_string(), gateway.refused());
        let serving = tokio::spawn(gateway.serve());
        World { node, address, refused, echo: echo.into(), hidden: hidden.into(), serving }
    }

    pub(crate) async fn connect(&self) -> Client {
        let mut client = Client::greet(&self.address, json!(["hello", 1, TOKEN])).await;
        let welcome = client.next().await;
        assert_eq!(welcome, json!(["welcome", 1, "gate"]));
        client.wait_for_echo(&self.echo).await;
        client
    }

    pub(crate) fn count(&self, code: &str) -> u64 {
        self.refused.counts().get(code).copied().unwrap_or_default()
    }
}

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

impl Client {
    /// Upgrades a connection; the headers are added.
    pub(crate) async fn upgrade(
        address: &str,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Client, tungstenite::Error> {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        Ok(Client { socket: client_async(request, stream).await?.0 })
    }

    pub(crate) async fn greet(address: &str, hello: Json) -> Client {
        let mut client = Client::upgrade(address, "/", &[]).await.unwrap();
        client.say(hello).await;
        client
    }

    pub(crate) async fn say(&mut self, message: Json) {
        self.socket.send(Frame::text(message.to_string())).await.unwrap();
    }

    /// The next message that is not a sign of life.
    pub(crate) async fn next(&mut self) -> Json {
        match self.read().await {
            Ok(json) => json,
            Err(end) => panic!("the connection has ended: {end:?}"),
        }
    }

    /// The next message, or how the connection ended: code and text.
    pub(crate) async fn read(&mut self) -> Result<Json, (u16, String)> {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Frame::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Frame::Close(Some(frame)))) => {
                    return Err((frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(Frame::Close(None))) | None => return Err((0, String::new())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err((0, error.to_string())),
            }
        }
    }

    /// How the connection ends.
    pub(crate) async fn end(&mut self) -> (u16, String) {
        loop {
            if let Err(end) = self.read().await {
                return end;
            }
        }
    }

    /// Waits until the gateway knows that this port stands in the family.
    async fn wait_for_echo(&mut self, echo: &PortId) {
        loop {
            self.say(json!(["call", 0, echo.to_string(), [], 20_000])).await;
            if self.next().await[0] == "reply" {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}
