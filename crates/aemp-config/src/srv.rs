//! Seeds that SRV records name: hosts with their ports, in an order of preference.

use std::thread;
use std::time::Duration;

use hickory_resolver::proto::rr::RData;
use hickory_resolver::{Resolver, TokioResolver};

/// How long one server may take, and how often it is asked.
const TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// The servers that the system asks.
pub(super) fn look_up(name: &str) -> Result<Vec<String>, String> {
    let resolver = || Resolver::builder_tokio().map_err(|error| error.to_string());
    on_a_thread(
        || {
            let mut builder = resolver()?;
            builder.options_mut().timeout = TIMEOUT;
            builder.options_mut().attempts = ATTEMPTS;
            builder.build().map_err(|error| error.to_string())
        },
        name,
    )
}

/// Asks on a thread of its own, because the caller may be a task.
fn on_a_thread(
    resolver: impl FnOnce() -> Result<TokioResolver, String> + Send,
    name: &str,
) -> Result<Vec<String>, String> {
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        // Its tasks begin in there.
        runtime.block_on(async { ask(&resolver()?, name).await })
    };
    thread::scope(|scope| scope.spawn(ask).join()).unwrap_or_else(|_| Err("the resolver has panicked".into()))
}

/// The hosts that the records name, the preferred ones first.
async fn ask(resolver: &TokioResolver, name: &str) -> Result<Vec<String>, String> {
    let found = resolver.srv_lookup(name).await.map_err(|error| error.to_string())?;
    let mut records: Vec<_> = found
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(srv),
            _ => None,
        })
        // The root says that there is no such service.
        .filter(|srv| !srv.target.is_root() && srv.port > 0)
        .collect();
    records.sort_by_key(|srv| (srv.priority, std::cmp::Reverse(srv.weight)));
    let seed = |srv: &&hickory_resolver::proto::rr::rdata::SRV| {
        format!("{}:{}", srv.target.to_utf8().trim_end_matches('.'), srv.port)
    };
    Ok(records.iter().map(seed).collect())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;

    use super::*;

    /// A record: priority, weight, port, and the labels of the target.
    type Srv = (u16, u16, u16, &'static [&'static str]);

    fn labels(labels: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for label in labels {
            bytes.push(label.len() as u8);
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        bytes
    }

    /// A name server that answers one question with these records (RFC 1035, RFC 2782).
    fn server(records: &'static [Srv]) -> u16 {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        thread::spawn(move || {
            let mut query = [0; 512];
            let (length, from) = socket.recv_from(&mut query).unwrap();
            // Behind the header stands the name, then its type and class.
            let end = 12 + query[12..length].iter().position(|byte| *byte == 0).unwrap() + 5;
            let mut answer = query[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
            answer.extend_from_slice(&query[12..end]);
            for (priority, weight, port, target) in records {
                let target = labels(target);
                answer.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60]);
                answer.extend((6 + target.len() as u16).to_be_bytes());
                for number in [priority, weight, port] {
                    answer.extend(number.to_be_bytes());
                }
                answer.extend(target);
            }
            socket.send_to(&answer, from).unwrap();
        });
        port
    }

    fn seeds(records: &'static [Srv]) -> Result<Vec<String>, String> {
        let mut udp = ConnectionConfig::udp();
        udp.port = server(records);
        let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![udp]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let build = || Resolver::builder_with_config(config, TokioRuntimeProvider::default()).build();
        on_a_thread(|| build().map_err(|error| error.to_string()), "_aemp._tcp.example.org.")
    }

    #[test]
    fn the_hosts_of_the_records_are_seeds_in_their_order() {
        let found = seeds(&[
            (20, 0, 4040, &["c", "example", "org"]),
            (10, 5, 5001, &["b", "example", "org"]),
            (10, 60, 5000, &["a", "example", "org"]),
        ]);
        assert_eq!(found.unwrap(), ["a.example.org:5000", "b.example.org:5001", "c.example.org:4040"]);
    }

    #[test]
    fn a_service_that_is_not_offered_has_no_seeds() {
        assert_eq!(seeds(&[(0, 0, 0, &[])]).unwrap(), [""; 0]);
    }
}
