//! What a peer may make us hold, each limit with its reason.

/// The limits on what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes that one frame may have, 0 = none. A frame is held whole until it is
    /// complete, so this is also what one connection can make us keep.
    pub frame: usize,
    /// How deep lists, maps and tags may nest in a frame; its own array is the first level. Every
    /// level costs stack where values are decoded, so more than [`Limits::DEPTH_MAX`] counts as
    /// that.
    pub depth: usize,
}

impl Limits {
    /// The deepest nesting that can be configured: what a thread with a stack of 2 MiB decodes in
    /// any build.
    pub const DEPTH_MAX: usize = 1024;

    /// 64 MiB and 512 levels; the depth is that of Perl's decoders.
    pub const DEFAULT: Limits = Limits { frame: 64 << 20, depth: 512 };
}

impl Limits {
    /// The same with this [`Limits::frame`].
    #[must_use]
    pub const fn frame(mut self, frame: usize) -> Limits {
        self.frame = frame;
        self
    }

    /// The same with this [`Limits::depth`].
    #[must_use]
    pub const fn depth(mut self, depth: usize) -> Limits {
        self.depth = depth;
        self
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::DEFAULT
    }
}
