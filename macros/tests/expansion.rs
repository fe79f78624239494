//! The attributes, compiled and run on a runtime that is none: it polls once.

/// Has the names that the attributes call.
mod stand_in {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    pub(crate) struct Runtime;

    #[derive(Default)]
    pub(crate) struct Builder {
        entries: u32,
    }

    impl Runtime {
        pub(crate) fn builder() -> Builder {
            Builder::default()
        }

        pub(crate) fn block_on<F: Future>(&self, main: F) -> F::Output {
            match pin!(main).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(output) => output,
                Poll::Pending => panic!("the stand-in polls once"),
            }
        }
    }

    impl Builder {
        pub(crate) fn entries(self, entries: u32) -> Builder {
            Builder { entries }
        }

        pub(crate) fn build(self) -> Result<Runtime, &'static str> {
            if self.entries == 13 { Err("thirteen is refused") } else { Ok(Runtime) }
        }
    }
}

#[uring_macros::main(crate = stand_in)]
async fn early_return(/* no arguments */) -> Result<u8, std::num::ParseIntError> {
    let number: u8 = "7".parse()?;
    if number == 7 {
        return Ok(number);
    }
    Ok(0)
}

#[uring_macros::main(crate = stand_in, entries = 13)]
async fn no_runtime() {}

#[test]
fn question_marks_and_returns_work_as_in_any_async_fn() {
    assert_eq!(early_return(), Ok(7));
}

#[test]
#[should_panic(expected = "uring::main: thirteen is refused")]
fn a_runtime_that_cannot_be_built_is_a_panic_with_the_cause() {
    no_runtime();
}

#[uring_macros::test(crate = stand_in, entries = 8)]
async fn an_async_test_runs() {
    std::future::ready(()).await;
}

#[uring_macros::test(crate = stand_in)]
#[should_panic(expected = "as expected")]
async fn an_async_test_may_be_expected_to_panic() {
    panic!("as expected");
}

#[uring_macros::test(crate = stand_in)]
async fn an_async_test_may_return_a_result() -> Result<(), std::num::ParseIntError> {
    "7".parse::<u8>().map(drop)
}

#[uring_macros::test(crate = stand_in)]
#[ignore = "to see that this attribute is kept"]
async fn an_async_test_may_be_ignored() {
    panic!("this test is ignored");
}
