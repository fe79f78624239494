//! Pools of small buffers to test on.

use uring::net::TcpStream;
use uring::pool::{BufPool, PoolSetup};

/// A pool of `at_first` buffers of 16 bytes, and at most `limit`.
pub fn pool(at_first: u32, limit: u32) -> BufPool {
    let setup = PoolSetup::new().buffer_bytes(16).at_first(at_first).limit(limit);
    setup.build().expect("a pool")
}

/// All buffers are with the kernel again.
#[track_caller]
pub fn assert_full(pool: &BufPool) {
    let stats = pool.stats();
    assert_eq!(stats.available, stats.buffers, "{stats:?}");
}

/// Sends all of `bytes`.
pub async fn put(stream: &TcpStream, bytes: &'static [u8]) {
    stream.send_all(bytes).await.expect("sent");
}
