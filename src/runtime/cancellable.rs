//! Futures whose operations can be cancelled without dropping them, so that what the operations own comes back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::within::Within;
use crate::driver::CancelScope;

/// Makes the operations of `future` cancellable while it is awaited, so that their buffers come back.
///
/// Dropping a future cancels its operations too, but then nobody is left to take the buffer. This way the
/// future itself learns of it: an operation ends with `ECANCELED`, its buffer in the error, or with its real
/// result if it was done before the cancel came. Whatever the future submits afterwards is cancelled at once.
///
/// That is the third of three ends that are told apart: `ECANCELED` for what was cancelled,
/// [`Elapsed`](crate::time::Elapsed) (as an [`io::Error`](std::io::Error): `TimedOut`) for what was too late, and for
/// a stream that is closed the end of the stream, `EPIPE` or `ECONNRESET`.
///
/// Only operations are cancelled: sleeps, channels, and a call that waits for its turn on a stream go on, and so
/// do operations that must happen, such as a close. `IORING_OP_ASYNC_CANCEL`, Linux 5.5.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # uring::Runtime::new()?.block_on(async {
/// use std::pin::pin;
/// use std::time::Duration;
/// use uring::net::{TcpListener, TcpStream};
/// use uring::time::timeout;
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let client = TcpStream::connect(listener.local_addr()?).await?;
///
/// let mut recv = pin!(uring::cancellable(client.recv(vec![0; 1 << 16])));
/// let received = match timeout(Duration::from_millis(1), recv.as_mut()).await {
///     Ok(received) => received,
///     Err(_elapsed) => {
///         recv.cancel();
///         recv.await
///     }
/// };
/// let failed = received.unwrap_err();
/// assert_eq!(failed.error().raw_os_error(), Some(125)); // ECANCELED
/// assert_eq!(failed.into_buf().len(), 1 << 16);
/// # Ok(())
/// # })
/// # }
/// ```
///
/// # Dropping
///
/// As dropping `future`: its operations are cancelled.
pub fn cancellable<F: Future>(future: F) -> Cancellable<F> {
    Cancellable { within: Within::new(CancelScope::new(), future) }
}

pin_project! {
    /// A future whose operations can be cancelled. Made by [`cancellable`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Cancellable<F> {
        #[pin]
        within: Within<F>,
    }
}

impl<F> Cancellable<F> {
    /// Cancels the operations of the future, with the next turn of the loop. Awaiting it then yields what became
    /// of them.
    ///
    /// Under Miri with Stacked Borrows, which knows no shared reference to a future that refers to itself, a
    /// [`canceller`](Cancellable::canceller) taken before the first poll does the same.
    pub fn cancel(&self) {
        self.within.scope().cancel();
    }

    /// What cancels the operations while somebody else has the future.
    pub fn canceller(&self) -> Canceller {
        Canceller { scope: self.within.scope().clone() }
    }
}

impl<F: Future> Future for Cancellable<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.project().within.poll(context)
    }
}

impl<F> fmt::Debug for Cancellable<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellable").field("scope", self.within.scope()).finish_non_exhaustive()
    }
}

/// Cancels the operations of a future that somebody else awaits. Made by [`Cancellable::canceller`].
#[derive(Clone, Debug)]
pub struct Canceller {
    scope: CancelScope,
}

impl Canceller {
    /// As [`Cancellable::cancel`]. Nothing happens when the future has ended.
    pub fn cancel(&self) {
        self.scope.cancel();
    }
}
