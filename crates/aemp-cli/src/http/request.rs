//! Reading a request.

use super::Status;

/// Bytes of the head of a request, and headers in it.
const HEAD_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 64;

/// Headers of which there may be one: where there are two, each reader believes another one.
const SINGLE: [&str; 6] =
    ["host", "content-length", "content-type", "authorization", "origin", "sec-fetch-site"];

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query; it is not decoded.
    pub(crate) path: String,
    /// What stands behind the question mark.
    pub(crate) query: String,
    /// Their names in small letters.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no request.
#[derive(Debug)]
pub(super) enum Unread {
    Refused(Status),
    Broken(std::io::Error),
}

/// A request of which some bytes have come.
pub(super) struct Reading {
    buffer: Vec<u8>,
    body_limit: usize,
    /// A request without its body, and the length of that.
    head: Option<(Request, usize)>,
}

impl Reading {
    pub(super) fn new(body_limit: usize) -> Reading {
        Reading { buffer: Vec::new(), body_limit, head: None }
    }

    /// Where bytes are to be added.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// The request, if all of it is there.
    pub(super) fn request(&mut self) -> Result<Option<Request>, Unread> {
        if self.head.is_none() {
            self.head = self.read_head().map_err(Unread::Refused)?;
        }
        Ok(self.head.take_if(|(_, length)| self.buffer.len() >= *length).map(|(mut request, length)| {
            self.buffer.truncate(length);
            request.body = std::mem::take(&mut self.buffer);
            request
        }))
    }

    /// Takes the head out of the buffer, if all of it is there.
    fn read_head(&mut self) -> Result<Option<(Request, usize)>, Status> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        let length = match parsed.parse(&self.buffer) {
            Err(httparse::Error::TooManyHeaders) => return Err(Status::HeadTooLarge),
            Err(_) => return Err(Status::BadRequest),
            Ok(httparse::Status::Complete(length)) if length <= HEAD_MAX => length,
            Ok(httparse::Status::Partial) if self.buffer.len() <= HEAD_MAX => return Ok(None),
            Ok(_) => return Err(Status::HeadTooLarge),
        };
        let request = request(&parsed).ok_or(Status::BadRequest)?;
        if request.header("transfer-encoding").is_some() {
            return Err(Status::NotImplemented);
        }
        let body = request.header("content-length").map_or(Ok(0), |text| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            // A number with more digits than fit is too large, too.
            if digits { Ok(text.parse().unwrap_or(usize::MAX)) } else { Err(Status::BadRequest) }
        })?;
        if body > self.body_limit {
            return Err(Status::BodyTooLarge);
        }
        self.buffer.drain(..length);
        Ok(Some((request, body)))
    }
}

/// A request without its body; `None` if it is not one for a server.
fn request(parsed: &httparse::Request<'_, '_>) -> Option<Request> {
    let target = parsed.path.filter(|target| target.starts_with('/'))?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Vec::with_capacity(parsed.headers.len());
    for header in parsed.headers.iter() {
        let name = header.name.to_ascii_lowercase();
        let value = str::from_utf8(header.value).ok()?.trim();
        headers.push((name, value.to_owned()));
    }
    let count = |name: &str| headers.iter().filter(|(of, _)| of == name).count();
    let has_host = count("host") == 1 || parsed.version == Some(0);
    if !has_host || SINGLE.iter().any(|name| count(name) > 1) {
        return None;
    }
    let method = parsed.method?.to_owned();
    Some(Request { method, path: path.into(), query: query.into(), headers, body: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY_LIMIT: usize = 100;

    fn read(text: &str) -> Result<Option<Request>, Status> {
        let mut reading = Reading::new(BODY_LIMIT);
        reading.buffer().extend_from_slice(text.as_bytes());
        reading.request().map_err(|unread| match unread {
            Unread::Refused(status) => status,
            Unread::Broken(error) => panic!("{error}"),
        })
    }

    #[test]
    fn a_request_is_read_in_any_pieces() {
        let text = "POST /kill?a=b HTTP/1.1\r\nHost:  a \r\nContent-Length: 3\r\n\r\nxyzmore";
        let mut reading = Reading::new(BODY_LIMIT);
        let mut done = None;
        for byte in text.bytes() {
            reading.buffer().push(byte);
            if let Some(request) = reading.request().unwrap() {
                done = Some(request);
                break;
            }
        }
        let request = done.unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/kill"));
        assert_eq!((request.query.as_str(), request.header("host")), ("a=b", Some("a")));
        assert_eq!(request.body, b"xyz");
        assert_eq!(read(text).unwrap().unwrap(), request);
        assert_eq!(read("GET / HTTP/1.1\r\nhost: a").unwrap(), None);
        assert_eq!(read("GET / HTTP/1.0\r\n\r\n").unwrap().unwrap().header("host"), None);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let refused = [
            ("\u{1}nonsense\r\n\r\n", Status::BadRequest),
            ("GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n", Status::BadRequest),
            ("GET / HTTP/1.1\r\n\r\n", Status::BadRequest),
            ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", Status::BadRequest),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
                Status::BadRequest,
            ),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\n", Status::BadRequest),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 101\r\n\r\n", Status::BodyTooLarge),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n",
                Status::BodyTooLarge,
            ),
            ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", Status::NotImplemented),
        ];
        for (text, status) in refused {
            assert_eq!(read(text), Err(status), "{text}");
        }
        let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "x".repeat(HEAD_MAX));
        assert_eq!(read(&long), Err(Status::HeadTooLarge));
        assert_eq!(read(&format!("{long}\r\n\r\n")), Err(Status::HeadTooLarge));
        let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(HEADERS_MAX));
        assert_eq!(read(&many), Err(Status::HeadTooLarge));
    }
}
