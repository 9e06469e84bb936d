//! How much may wait for a port.

/// How much may wait in a mailbox, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct MailboxLimits {
    /// Above this the port is behind: ports that send to it wait.
    pub high: usize,
    /// Above this it is killed.
    pub most: usize,
}

impl MailboxLimits {
    /// No limits.
    pub const NONE: MailboxLimits = MailboxLimits { high: usize::MAX, most: usize::MAX };

    /// Above this a sender has to look closer.
    #[inline]
    pub fn crowd(&self) -> usize {
        self.high.min(self.most)
    }
}
