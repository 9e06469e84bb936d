//! Many kernels in one small world: virtual time, connections that delay, break and go silent,
//! nodes that crash.

mod arbitration;
mod large;
mod life;
mod mesh;
mod net;
mod perl;
mod routes;
mod sharing;
