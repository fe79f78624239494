//! A future with an alarm beside it.

use std::{
    error::Error,
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;

use super::{Sleep, sleep, sleep_until};

/// Gives `future` at most `duration`; after that the result is `Err(Elapsed)`.
///
/// The time counts as in [`sleep`]. The future is polled first, so one that is ready wins however
/// late it is. It is not dropped at the deadline but with the `Timeout`, which `.await` does at
/// once. What dropping an operation in flight means is said there.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use std::time::Duration;
/// use uring::time::{sleep, timeout};
///
/// let late = timeout(Duration::from_secs(1), sleep(Duration::from_secs(60))).await;
/// assert!(late.is_err());
/// timeout(Duration::from_secs(60), sleep(Duration::from_secs(1))).await?;
/// # Ok(())
/// # }
/// ```
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep(duration) }
}

/// Gives `future` until `deadline`, as [`timeout`] does.
pub fn timeout_at<F: Future>(deadline: Instant, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep_until(deadline) }
}

pin_project! {
    /// A future that yields another one's output, or [`Elapsed`] at its deadline. Made by
    /// [`timeout`] and [`timeout_at`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        sleep: Sleep,
    }
}

impl<F> Timeout<F> {
    /// When the time is up.
    pub fn deadline(&self) -> Instant {
        self.sleep.deadline()
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(this.sleep).poll(cx).map(|()| Err(Elapsed(())))
    }
}

/// The time was up before the future completed.
///
/// Becomes an [`io::Error`] of kind [`TimedOut`](io::ErrorKind::TimedOut) with `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was up before the operation completed")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}
