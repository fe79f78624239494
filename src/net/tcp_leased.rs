//! Receiving on a connection into buffers that the kernel chooses when there is data.

use std::io;

use super::{IncomingBytes, TcpStream};
use crate::fd::lane::Lane;
use crate::io::interrupted;
use crate::op;
use crate::pool::{self, Attempt, BufPool, Leased};

impl TcpStream {
    /// Receives what is there, at most a buffer of the runtime's own [pool] full, waiting until something is.
    /// No bytes are the end of the stream. `recv(2)`, Linux 5.19; on older kernels into a buffer from the heap.
    ///
    /// While it waits it has no buffer. The bytes can be sent from where they are; dropping them gives the
    /// buffer back.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](TcpStream::recv); `ENOMEM` when the pool, which is made by the first call, gets no
    /// memory. An empty pool is none: it grows, and at its limit the call waits for a buffer to come back.
    ///
    /// # Dropping
    ///
    /// Loses no byte: what was received all the same goes to the next call, in order, of whichever kind. The
    /// buffer goes back to the pool.
    pub async fn recv_leased(&self) -> io::Result<Leased> {
        let pool = pool::current()?;
        self.recv_leased_from(&pool).await
    }

    /// As [`recv_leased`](TcpStream::recv_leased), from a pool of your own.
    ///
    /// # Errors
    ///
    /// As there; `EINVAL` for a pool that was made in another runtime.
    ///
    /// # Dropping
    ///
    /// As there.
    pub async fn recv_leased_from(&self, pool: &BufPool) -> io::Result<Leased> {
        if !pool.is_registered() {
            let (_, bytes) = self.recv(Vec::with_capacity(pool.buffer_bytes())).await?;
            return Ok(Leased::from(bytes));
        }
        let mut attempt = Attempt::new(pool.clone());
        loop {
            let lane = attempt.turn(Lane::receiving(&self.socket.fd).hold()).await;
            if let Some(late) = lane.take_late_bytes() {
                return late.map(Leased::from).map_err(io::Error::from_raw_os_error);
            }
            let receive = op::RecvLeased::new(pool.clone(), lane)?.data_first(attempt.begin());
            match attempt.watch(op::submit(receive)).await {
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    attempt.found_empty();
                    attempt.buffers().await;
                }
                Err(error) if interrupted(&error) => {}
                Ok(bytes) => {
                    attempt.served();
                    return Ok(bytes);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The bytes of the stream as they come, in buffers of the runtime's own [pool]; ends where the stream
    /// does. One operation receives them all (multishot `recv(2)`, Linux 6.0); on older kernels it is one
    /// each.
    ///
    /// The cheapest way to receive: nothing is submitted again for each message, and a connection that waits
    /// has no buffer.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # uring::Runtime::new()?.block_on(async {
    /// use futures::TryStreamExt;
    /// use uring::net::{TcpListener, TcpStream};
    ///
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _) = listener.accept().await?;
    /// # client.send_all("hello").await?;
    /// # client.shutdown(std::net::Shutdown::Write).await?;
    /// // An echo that copies nothing.
    /// let mut incoming = server.incoming_bytes()?;
    /// loop {
    ///     // Unlike `while let`, this keeps nothing of the item while the send waits: 80 bytes less for a connection.
    ///     let Some(bytes) = incoming.try_next().await? else { break };
    ///     server.send_all(bytes).await?;
    /// }
    /// # assert_eq!(&client.recv_leased().await?[..], b"hello");
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for the first [`recv_leased`](TcpStream::recv_leased), which makes the pool.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn incoming_bytes(&self) -> io::Result<IncomingBytes<'_>> {
        Ok(self.incoming_bytes_from(&pool::current()?))
    }

    /// As [`incoming_bytes`](TcpStream::incoming_bytes), from a pool of your own.
    pub fn incoming_bytes_from(&self, pool: &BufPool) -> IncomingBytes<'_> {
        IncomingBytes::new(self, pool.clone())
    }
}
