//! A client that costs next to nothing: one connection, one request at a time, no more of HTTP/1.1 than the service and
//! the sandbox speak. What the load generator takes of the machine is taken from what it measures.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than any wait that is asked for.
const PATIENCE: Duration = Duration::from_mins(1);
/// The longest answer that is read, in bytes.
const MOST: usize = 1 << 20;

/// A connection that is kept.
pub struct Client {
    to: SocketAddr,
    bearer: String,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// A question.
pub struct Ask<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Further header lines, each with its end.
    pub headers: &'a str,
    /// JSON, or nothing.
    pub body: &'a str,
}

/// An answer.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The `ETag`, as it is written.
    pub etag: Option<String>,
    /// The body as JSON; as a string when it is none.
    pub body: Value,
}

impl Client {
    /// Speaks to this address with this bearer token, if any.
    pub fn new(to: SocketAddr, token: &str) -> Self {
        let bearer =
            if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        Client { to, bearer, stream: None, buffer: Vec::with_capacity(4096) }
    }

    /// Asks and reads the answer to its end.
    ///
    /// # Errors
    /// When no answer comes, or one that this client cannot read.
    pub async fn ask(&mut self, ask: &Ask<'_>) -> Result<Reply, String> {
        let told = timeout(PATIENCE, self.exchange(ask)).await;
        let told = told.unwrap_or_else(|_| Err("no answer within a minute".to_owned()));
        if told.is_err() {
            self.stream = None;
        }
        told.map_err(|why| format!("{} {}: {why}", ask.method, ask.path))
    }

    async fn exchange(&mut self, ask: &Ask<'_>) -> Result<Reply, String> {
        let io = |error: std::io::Error| error.to_string();
        let stream = if let Some(stream) = &mut self.stream {
            stream
        } else {
            let stream = TcpStream::connect(self.to).await.map_err(io)?;
            stream.set_nodelay(true).map_err(io)?;
            self.stream.insert(stream)
        };
        let Ask { method, path, headers, body } = ask;
        let content = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{}{headers}{content}Content-Length: {}\r\n\r\n{body}",
            self.to,
            self.bearer,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.map_err(io)?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break Head::read(&self.buffer[..end])?.at(end + 4);
            }
            more(stream, &mut self.buffer).await?;
        };
        while self.buffer.len() < head.body + head.length {
            more(stream, &mut self.buffer).await?;
        }
        let body = self.buffer.get(head.body..head.body + head.length).unwrap_or_default();
        if head.closes {
            self.stream = None;
        }
        Ok(Reply {
            status: head.status,
            etag: head.etag,
            body: serde_json::from_slice(body)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned())),
        })
    }
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), String> {
    if buffer.len() > MOST {
        return Err("the answer is too long".to_owned());
    }
    match stream.read_buf(buffer).await {
        Ok(0) => Err("the connection ended in the middle of an answer".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// What the head of an answer says that matters here.
struct Head {
    status: u16,
    etag: Option<String>,
    length: usize,
    closes: bool,
    /// Where the body begins.
    body: usize,
}

impl Head {
    fn read(head: &[u8]) -> Result<Self, String> {
        let head = std::str::from_utf8(head).map_err(|error| error.to_string())?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|word| word.parse().ok());
        let status = status.ok_or("an answer without a status")?;
        let mut read = Head { status, etag: None, length: 0, closes: false, body: 0 };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                read.length = value.parse().map_err(|_| "a length that is none")?;
            } else if name.eq_ignore_ascii_case("etag") {
                read.etag = Some(value.to_owned());
            } else if name.eq_ignore_ascii_case("connection") {
                read.closes = value.eq_ignore_ascii_case("close");
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err("an answer in pieces".to_owned());
            }
        }
        Ok(read)
    }

    fn at(self, body: usize) -> Self {
        Head { body, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_answer_is_read() {
        let head =
            b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\nContent-Length: 17\r\nETag: \"3\"";
        let read = Head::read(head).unwrap();
        assert_eq!((read.status, read.length, read.etag.as_deref()), (202, 17, Some("\"3\"")));
        assert!(Head::read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked").is_err());
        assert!(Head::read(b"nonsense").is_err());
    }
}
