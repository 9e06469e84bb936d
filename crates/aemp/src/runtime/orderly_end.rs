//! The end of a connection in order, when the node is shut down.

use std::io::ErrorKind;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::JoinHandle;

use super::pump::{End, Pump, drain};
use super::writer::WriteError;

impl Pump {
    /// Writes what is queued and says goodbye, then waits until the peer, which has read everything
    /// by then, has ended too. What comes meanwhile is delivered: if it were not read, our end
    /// would be a reset, and what the peer has not read yet would be lost.
    pub(super) async fn finish<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut R,
        writer: &mut JoinHandle<Result<(), WriteError>>,
    ) -> Result<(), String> {
        if writer.is_finished() {
            return Err("the connection is broken".into());
        }
        // Nobody answers requests of the database any more.
        self.gone = true;
        self.node.inner().shared.requests.forget(self.link);
        self.outgoing.close(&self.remote);
        let written = async {
            match writer.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(error) => Err(error.to_string()),
            }
        };
        tokio::try_join!(written, self.read_to_end(reader)).map(drop)
    }

    /// Delivers what comes until the peer has ended.
    async fn read_to_end<R: AsyncRead + Unpin>(&mut self, reader: &mut R) -> Result<(), String> {
        loop {
            self.frames.make_room();
            match reader.read_buf(self.frames.buffer()).await {
                Ok(0) if self.outgoing.is_written() => {
                    self.closed();
                    return Ok(());
                }
                Ok(0) => return Err("the connection was closed".into()),
                Ok(bytes) => match self.read_frames(bytes) {
                    Ok(()) => {}
                    // It shuts down as well.
                    Err(End::Bye) => return drain(reader).await.map_err(|error| error.to_string()),
                    Err(End::Lost(_, reason) | End::Silent(reason) | End::Close(reason)) => {
                        return Err(reason);
                    }
                    Err(End::Shutdown(_)) => {}
                },
                // An end of the socket, not of TLS: a peer may leave it at that when it has read
                // our end.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && self.outgoing.is_written() => {
                    return Ok(());
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}
