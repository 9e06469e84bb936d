//! As much HTTP as monitoring systems and one page need: one request a connection, all of it within
//! limits.
//!
//! [`request`] reads what is asked for, [`answer`] writes what is said; here is the listener.

mod answer;
mod request;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

#[cfg(feature = "metrics")]
pub(crate) use answer::TEXT;
pub(crate) use answer::{Answer, Content, Status};
pub(crate) use request::Request;
use request::{Reading, Unread};

/// What holds for all requests of a listener.
#[derive(Debug)]
pub(crate) struct Rules {
    /// How long a request may take to arrive, and each part of the answer to leave.
    pub(crate) request_timeout: Duration,
    /// Bytes of the body of a request.
    pub(crate) body_limit: usize,
    /// Requests at the same time; more of them wait.
    pub(crate) at_once: usize,
    /// What stands in the head of every answer.
    pub(crate) headers: &'static [(&'static str, &'static str)],
}

/// How long to wait after an error such as "too many open files".
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// How long, and up to how many bytes, what was refused is read all the same: a connection that is
/// closed with something unread in it takes the answer back.
const REST_TIMEOUT: Duration = Duration::from_secs(1);
const REST_MAX: u64 = 1 << 20;

/// Answers requests until the process ends.
pub(crate) async fn serve<F: Future<Output = Answer> + Send>(
    listener: TcpListener,
    rules: &'static Rules,
    handler: impl Fn(Request) -> F + Clone + Send + Sync + 'static,
) {
    let room = Arc::new(Semaphore::new(rules.at_once));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let handler = handler.clone();
                tokio::spawn(async move {
                    // What becomes of it is the affair of the one who asks.
                    let _ = converse(stream, rules, handler, permit).await;
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a request over HTTP was not accepted");
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

async fn converse<F: Future<Output = Answer>>(
    mut stream: TcpStream,
    rules: &Rules,
    handler: impl Fn(Request) -> F,
    permit: OwnedSemaphorePermit,
) -> std::io::Result<()> {
    let answer = match timeout(rules.request_timeout, read(&mut stream, rules)).await {
        Ok(Ok(Some(request))) => handler(request).await,
        Ok(Ok(None)) => return Ok(()),
        Ok(Err(Unread::Refused(status))) => Answer::refusal(status, "this is no request that is served here"),
        Ok(Err(Unread::Broken(error))) => return Err(error),
        Err(_) => Answer::refusal(Status::RequestTimeout, "the request took too long"),
    };
    let head = answer.head(rules.headers);
    match answer.content {
        Content::Whole(content) => {
            let whole = [head.as_bytes(), &content].concat();
            timeout(rules.request_timeout, stream.write_all(&whole)).await??;
            stream.shutdown().await?;
            let rest = async { tokio::io::copy(&mut stream.take(REST_MAX), &mut tokio::io::sink()).await };
            let _ = timeout(REST_TIMEOUT, rest).await;
        }
        Content::Parts(mut parts) => {
            // Its place is for those who ask and go; these are limited where they are made.
            drop(permit);
            timeout(rules.request_timeout, stream.write_all(head.as_bytes())).await??;
            let mut unasked = [0; 512];
            loop {
                let part = tokio::select! {
                    part = futures_util::StreamExt::next(&mut parts) => part,
                    read = stream.read(&mut unasked) => match read? {
                        0 => return Ok(()),
                        _ => continue,
                    },
                };
                let Some(part) = part else { return stream.shutdown().await };
                timeout(rules.request_timeout, stream.write_all(&part)).await??;
            }
        }
    }
    Ok(())
}

/// Reads a request to its end; `None` if nothing came.
async fn read(stream: &mut TcpStream, rules: &Rules) -> Result<Option<Request>, Unread> {
    let mut reading = Reading::new(rules.body_limit);
    loop {
        if let Some(request) = reading.request()? {
            return Ok(Some(request));
        }
        if stream.read_buf(reading.buffer()).await.map_err(Unread::Broken)? == 0 {
            return Ok(None);
        }
    }
}
