//! A future inside of a cancel scope.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::driver::CancelScope;

pin_project! {
    /// Polls and drops a future with `scope` as the current one: destructors may submit something too.
    pub(super) struct Within<F> {
        scope: CancelScope,
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for Within<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _inside = this.scope.enter();
            this.future.set(None);
        }
    }
}

impl<F> Within<F> {
    pub(super) fn new(scope: CancelScope, future: F) -> Within<F> {
        Within { scope, future: Some(future) }
    }

    pub(super) fn scope(&self) -> &CancelScope {
        &self.scope
    }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _inside = this.scope.enter();
        let future = this.future.as_mut().as_pin_mut();
        let output = future.expect("a future was polled after it had completed").poll(context);
        if output.is_ready() {
            this.future.set(None);
        }
        output
    }
}
