//! Connections to test on.

use futures::future::join;
use uring::net::{TcpListener, TcpStream};

/// Two ends of a connection, of the kernel that runs: the one that connected, and the one that was accepted.
pub async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    let (client, accepted) = join(TcpStream::connect(address), listener.accept()).await;
    (client.expect("connected"), accepted.expect("accepted").0)
}
