//! Sending on a connection without a copy.

use super::TcpStream;
use crate::buf::IoBuf;
use crate::fd::lane::Lane;
use crate::op::{self, SentZc};

impl TcpStream {
    /// Sends the whole of a buffer from where it lies, without a copy: `MSG_WAITALL` and `MSG_NOSIGNAL`, Linux
    /// 6.0. Resolves when a plain send would, with how many bytes were sent, and the buffer on its way back:
    /// the kernel keeps it until the peer has acknowledged its bytes.
    ///
    /// Worth it for tens of kilobytes over a network card that can gather; over the loopback interface the
    /// kernel copies after all, at one and a half times the cost of a plain send. See
    /// [`Returned::copied`](op::Returned::copied).
    ///
    /// ```no_run
    /// # async fn example(stream: uring::net::TcpStream, page: Vec<u8>) -> std::io::Result<()> {
    /// let (sent, returning) = stream.send_zc(page).await?;
    /// // The next send need not wait for the buffer.
    /// stream.send_all("behind it").await?;
    /// let page = returning.await.buf;
    /// # let _ = (sent, page);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Unsupported`](std::io::ErrorKind::Unsupported) on older kernels; those of
    /// [`send`](TcpStream::send). The buffer is in the error. A failure after a part was sent is told as that
    /// part, and met by the next send.
    ///
    /// # Dropping
    ///
    /// A part may have been sent. The buffer is freed when the kernel is done with it.
    pub async fn send_zc<B: IoBuf>(&self, buf: B) -> SentZc<B> {
        let lane = Lane::sending(&self.socket.fd).hold().await;
        op::send_zc(buf, libc::MSG_WAITALL, lane).await
    }
}
