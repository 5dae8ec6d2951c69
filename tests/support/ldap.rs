//! A stand-in for an LDAP server that knows one user: it answers simple binds, which is
//! all that a login needs where no groups are looked up. Source: RFC 4511, section 4.2.

use super::http::spawn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The server; it is gone when this is dropped.
pub struct Ldap {
    /// Its URL.
    pub address: String,
    task: JoinHandle<()>,
}

impl Ldap {
    /// Starts it. Only `name` can log in, with `password`.
    pub fn start(name: &str, password: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("ldap://{}", listener.local_addr().unwrap());
        // The end of a BindRequest: version 3, the name, the password as `simple` [0].
        let mut good = vec![0x02, 1, 3];
        for (tag, text) in [(0x04, name), (0x80, password)] {
            good.extend([tag, u8::try_from(text.len()).unwrap()]);
            good.extend(text.as_bytes());
        }
        let task = spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, good.clone()));
            }
        });
        Self { address, task }
    }
}

impl Drop for Ldap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers messages until the client leaves. All are short: one byte of length each.
async fn serve(mut client: TcpStream, good: Vec<u8>) {
    const BIND: u8 = 0x60;
    const INVALID_CREDENTIALS: u8 = 49;
    loop {
        let mut head = [0; 2];
        if client.read_exact(&mut head).await.is_err() {
            return;
        }
        let mut message = vec![0; usize::from(head[1])];
        client.read_exact(&mut message).await.unwrap();
        let ([0x02, 1, id, BIND, _], request) = message.split_at(5) else { return };
        let result = if request == good { 0 } else { INVALID_CREDENTIALS };
        // LDAPMessage { id, BindResponse { resultCode, matchedDN "", diagnosticMessage "" } }
        let answer = [0x30, 12, 0x02, 1, *id, 0x61, 7, 0x0a, 1, result, 0x04, 0, 0x04, 0];
        client.write_all(&answer).await.unwrap();
    }
}
