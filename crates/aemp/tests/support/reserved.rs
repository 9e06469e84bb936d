//! An address that is free until the test, or a node of it, binds it; other tests include this
//! file.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// An address on loopback, for as long as this lives. The system gives its port to nobody who lets
/// it choose one, because it is bound; who names it gets it, because nobody listens on it and
/// listeners share addresses that are bound so (`SO_REUSEADDR`). That holds on Linux; elsewhere a
/// bound address is not shared, so it is only free at first.
pub(crate) struct Reserved {
    address: SocketAddr,
    _bound: Option<Socket>,
}

impl Reserved {
    pub(crate) fn new() -> Reserved {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("it is not bound yet");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("loopback has a free port");
        let address = socket.local_addr().expect("it is bound").as_socket().expect("an IPv4 address");
        Reserved { address, _bound: cfg!(target_os = "linux").then_some(socket) }
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}
