//! `aemp web`: a network while it runs, in a browser.
//!
//! [`guard`] decides who is answered, [`pages`] what, [`looking`] looks at the network as `top`
//! does while somebody sees it, [`logs`] listens to what its nodes log, and [`act`] is what may be
//! done besides. The page itself is in `page/`.

#[cfg(feature = "web")]
mod act;
#[cfg(feature = "web")]
mod guard;
#[cfg(feature = "web")]
mod logs;
#[cfg(feature = "web")]
mod looking;
#[cfg(feature = "web")]
mod pages;

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::client::{self, Access};
use crate::failure::Failure;

/// The form of what pages are told. It is raised when a field changes its meaning.
#[cfg(feature = "web")]
const VERSION: u32 = 1;

/// Show a network while it runs, in a browser
///
/// Prints the address of a page, which shows what `top` shows, with a picture of nodes and links,
/// and what the nodes log, down to a level that is chosen there.
/// Behind the # stands the token, without which nothing is told; a new one each time, unless
/// --token says it (then it is not printed). The network is asked only while a page is open.
///
/// The page only looks, unless --allow says more. Nothing but this machine reaches it: from another
/// one use `ssh -L 4041:127.0.0.1:4041 HOST`. With --exposed it listens elsewhere, without
/// encryption.
#[derive(Debug, Args)]
#[cfg_attr(not(feature = "web"), allow(dead_code, reason = "nothing is served then"))]
pub(crate) struct Web {
    /// Where to listen; at port 0 at any that is free
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:4041")]
    address: String,
    /// What may be done from the page
    #[arg(long, value_name = "ACT", value_delimiter = ',')]
    allow: Vec<Act>,
    /// Listen where other machines reach it
    #[arg(long)]
    exposed: bool,
    /// A name under which browsers ask for the page, e.g. that of a proxy; besides localhost
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// The token, in 16 characters or more; `-` (from stdin), `@FILE` or `env:NAME` (an environment
    /// variable) say where it is
    #[arg(long)]
    token: Option<String>,
    /// Seconds between two looks, at least 0.1
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = client::seconds)]
    interval: Duration,
    #[command(flatten)]
    access: Access,
}

/// Something that may be done from the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Act {
    /// Kill a port
    Kill,
    /// Send a message to a port
    Send,
    /// Send one, and show the answer
    Call,
}

impl Web {
    /// Whether more can be done from the page than looking.
    pub(crate) fn acts(&self) -> bool {
        !self.allow.is_empty()
    }
}

#[cfg(feature = "web")]
impl Web {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (token, is_told) = self.token()?;
        let ending = crate::run::ending()?;
        let (listener, address) = self.listen().await?;
        crate::inspect::connected(&self.access, async |node: &aemp::Node| {
            let (looking, pictures) = looking::Looking::start(
                node.clone(),
                self.patience(),
                self.interval.max(crate::top::INTERVAL_MIN),
            );
            let guard = guard::Guard::new(token.clone(), address, &self.hosts);
            let pages = pages::Pages {
                guard,
                pictures,
                logs: logs::Logs::new(node.clone()),
                allow: self.allow.clone(),
                node: node.clone(),
                limit: self.access.limit.timeout,
            };
            let behind = if is_told { String::new() } else { format!("#{token}") };
            crate::print(&format!("http://{address}/{behind}"))?;
            tokio::select! {
                () = pages.serve(listener) => Ok(()),
                () = looking => Err(Failure::failed("the network is not looked at any more")),
                () = ending => Ok(()),
            }
        })
        .await
    }

    /// How long a node is waited for. It is shorter than that of `top`: one that does not answer
    /// must not keep another one, which has just joined, from the page for a second.
    fn patience(&self) -> Duration {
        self.access.limit.timeout.min(Duration::from_millis(700))
    }

    /// The token, and whether somebody has told it.
    fn token(&self) -> Result<(String, bool), Failure> {
        /// Characters of a token that is made here, with 5.95 bits each.
        const MADE: usize = 43;
        const LEAST: usize = 16;
        let Some(text) = &self.token else { return Ok((aemp_config::random_text(MADE)?, false)) };
        let secret = aemp_config::Secret::typed("--token", text)?;
        let token = String::from_utf8_lossy(secret.bytes()).into_owned();
        // It stands in a header.
        let fits = token.len() >= LEAST && token.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then_some((token, true)).ok_or_else(|| {
            Failure::usage(format!(
                "--token: {LEAST} or more letters, digits and signs are needed, without blanks"
            ))
        })
    }

    async fn listen(&self) -> Result<(tokio::net::TcpListener, std::net::SocketAddr), Failure> {
        let failed = |error| Failure::failed(format!("{} cannot be listened on: {error}", self.address));
        let addresses = tokio::net::lookup_host(&self.address).await.map_err(failed)?.collect::<Vec<_>>();
        if let Some(address) = addresses.iter().find(|address| !address.ip().is_loopback()) {
            if !self.exposed {
                return Err(Failure::usage(format!(
                    "{address} is reached by other machines, and the page is not encrypted; \
                     if that is meant, say --exposed, else listen on 127.0.0.1"
                )));
            }
            tracing::warn!(%address, "the page is not encrypted: who reads the path has its token");
        }
        let listener = tokio::net::TcpListener::bind(&addresses[..]).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok((listener, address))
    }
}

#[cfg(not(feature = "web"))]
impl Web {
    /// There is no page.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        Err(Failure::failed("this aemp was built without the feature web"))
    }
}
