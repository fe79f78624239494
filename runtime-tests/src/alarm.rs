//! A signal every millisecond, for all tests: with the variable `URING_SIGALRM`, each thread that uses this
//! crate is interrupted so often as long as it lives.

use std::cell::OnceCell;
use std::io;
use std::mem;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// On a machine that is slower than usual, so many times longer: a thread of the kernel that is made for a request
/// (io-wq) is given up after a few signals in its making (Linux 6.1), and the request is cancelled.
fn interval_nanos() -> i64 {
    1_000_000 * i64::from(crate::scale())
}

static SIGNALS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static ALARM: OnceCell<Alarm> = const { OnceCell::new() };
}

/// A timer of the kernel that signals the thread it was made on, `timer_create(2)`. One of the whole process
/// would signal its first thread, which only waits for the tests.
#[derive(Debug)]
struct Alarm(libc::timer_t);

impl Drop for Alarm {
    fn drop(&mut self) {
        // SAFETY: a timer of ours, deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// Whether the tests are run that way.
pub fn is_asked() -> bool {
    !cfg!(miri) && std::env::var_os("URING_SIGALRM").is_some()
}

/// Interrupts this thread every millisecond from now on, if the tests are run that way.
pub fn as_asked() {
    if is_asked() {
        every_millisecond();
    }
}

/// Whether signals keep a test from showing what it is about, a wait that nothing ends but time; says so.
pub fn ends_waits() -> bool {
    if is_asked() {
        crate::skipped("signals end the wait that is tested");
    }
    is_asked()
}

/// Makes a call again as long as a signal ends it.
///
/// # Errors
///
/// Those of the call, but not `EINTR`.
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Waits for the end of a child, and returns its status: `waitpid(2)`.
///
/// # Panics
///
/// When there is no such child.
pub fn end_of(child: libc::pid_t) -> libc::c_int {
    let mut status = 0;
    let ended = uninterrupted(|| {
        // SAFETY: writes one integer during the call.
        match unsafe { libc::waitpid(child, &mut status, 0) } {
            -1 => Err(io::Error::last_os_error()),
            ended => Ok(ended),
        }
    });
    assert_eq!(ended.expect("a child"), child);
    status
}

/// Interrupts this thread every millisecond, until it ends.
///
/// # Panics
///
/// When the kernel refuses the timer.
pub fn every_millisecond() {
    static HANDLED: Once = Once::new();
    HANDLED.call_once(handle);
    // A thread that is ending has no need of it any more.
    let _ = ALARM.try_with(|alarm| {
        alarm.get_or_init(|| make().expect("a timer for this thread"));
    });
}

/// How many signals there have been in this process.
pub fn signals() -> u64 {
    SIGNALS.load(Ordering::Relaxed)
}

extern "C" fn count(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// Handles the signal without `SA_RESTART`, so that it interrupts whatever the kernel can.
fn handle() {
    // SAFETY: plain integers and an empty set, for which zero is a value; the handler only adds to a number.
    let done = unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = count as *const () as usize;
        libc::sigaction(libc::SIGALRM, &action, ptr::null_mut())
    };
    assert_eq!(done, 0, "sigaction failed: {}", io::Error::last_os_error());
}

fn make() -> io::Result<Alarm> {
    // SAFETY: plain integers, for which zero is a value; the kernel reads and writes what it is given during
    // the calls only.
    unsafe {
        let mut event: libc::sigevent = mem::zeroed();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGALRM;
        event.sigev_notify_thread_id = libc::gettid();
        let mut timer: libc::timer_t = ptr::null_mut();
        if libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer) < 0 {
            return Err(io::Error::last_os_error());
        }
        let alarm = Alarm(timer);
        let interval = libc::timespec { tv_sec: 0, tv_nsec: interval_nanos() };
        let times = libc::itimerspec { it_interval: interval, it_value: interval };
        match libc::timer_settime(timer, 0, &times, ptr::null_mut()) {
            0 => Ok(alarm),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
