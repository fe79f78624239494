//! Runtimes that cannot be made, or not as the newest kernel would have them, and calls in the wrong place.
#![cfg(not(miri))]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::thread;
use std::time::Duration;

use runtime_tests::{on_every_kernel, panic_of, skipped};
use uring::Runtime;
use uring::op;
use uring::ring::{Setup, SetupError, SetupFlags, Step};

/// What a filter does with one system call.
struct Filter {
    call: libc::c_long,
    answer: u32,
}

impl Filter {
    /// The call fails with this errno.
    fn refuse(call: libc::c_long, errno: i32) -> Filter {
        Filter { call, answer: libc::SECCOMP_RET_ERRNO | errno as u32 }
    }

    /// Puts the calling thread, and no other, behind the filter for the rest of its life. seccomp(2)
    fn install(&self, flags: libc::c_ulong) -> io::Result<libc::c_long> {
        const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
        const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
        let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        let mut steps = [
            // `seccomp_data.nr` comes first.
            step(LOAD, 0, 0, 0),
            step(IF_EQUAL, 0, 1, self.call as u32),
            step(RETURN, 0, 0, self.answer),
            step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
        // SAFETY: `prctl` takes integers here; `program` and what it points to outlive the call, which
        // copies them.
        let done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &program)
        };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
    }
}

/// Runs a test on a thread of its own, behind a filter.
fn behind(filter: Filter, test: impl FnOnce() + Send + 'static) {
    let tested = thread::spawn(move || match filter.install(0) {
        Ok(_) => test(),
        Err(error) => skipped(format!("seccomp(2) is refused: {error}")),
    });
    tested.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn setup_error() -> SetupError {
    Runtime::new().expect_err("a runtime on a kernel without io_uring")
}

#[test]
fn a_kernel_without_io_uring_is_an_error_that_says_so() {
    behind(Filter::refuse(libc::SYS_io_uring_setup, libc::ENOSYS), || {
        let error = setup_error();
        assert_eq!((error.step(), error.raw_os_error()), (Step::Setup, Some(libc::ENOSYS)));
        let said = error.to_string();
        for word in ["io_uring_setup", "os error 38", "kernel", "5.11", "seccomp", "allow"] {
            assert!(said.contains(word), "no {word:?} in: {said}");
        }
    });
}

#[test]
fn a_sandbox_that_forbids_io_uring_is_an_error_that_names_the_cause_and_the_cure() {
    behind(Filter::refuse(libc::SYS_io_uring_setup, libc::EPERM), || {
        let error = setup_error();
        assert_eq!((error.step(), error.raw_os_error()), (Step::Setup, Some(libc::EPERM)));
        let said = error.to_string();
        assert!(said.contains("os error 1"), "{said}");
        let by_sysctl = said.contains("kernel.io_uring_disabled");
        let by_filter = said.contains("seccomp") && said.contains("io_uring_enter");
        assert!(by_sysctl || by_filter, "{said}");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::PermissionDenied);
    });
}

#[test]
fn a_kernel_that_refuses_every_set_of_flags_is_an_error_that_says_so() {
    behind(Filter::refuse(libc::SYS_io_uring_setup, libc::EINVAL), || {
        let error = setup_error();
        assert_eq!((error.step(), error.raw_os_error()), (Step::Setup, Some(libc::EINVAL)));
        assert!(error.to_string().contains("every set of flags"), "{error}");
    });
}

#[test]
fn a_ring_without_memory_is_an_error_that_names_the_limit() {
    behind(Filter::refuse(libc::SYS_io_uring_setup, libc::ENOMEM), || {
        let error = setup_error();
        assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
        assert!(error.to_string().contains("RLIMIT_MEMLOCK"), "{error}");
    });
}

#[test]
fn a_wake_up_descriptor_that_cannot_be_had_is_an_error_of_its_own_step() {
    behind(Filter::refuse(libc::SYS_eventfd2, libc::EMFILE), || {
        let error = setup_error();
        assert_eq!((error.step(), error.raw_os_error()), (Step::Wake, Some(libc::EMFILE)));
        assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}");
    });
}

#[test]
fn a_kernel_that_registers_nothing_does_as_well() {
    behind(Filter::refuse(libc::SYS_io_uring_register, libc::EPERM), || {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async { op::submit(op::Nop).await }).expect("a nop");
        assert_eq!(runtime.shutdown().leaked, 0);
    });
}

#[test]
fn a_ring_that_may_not_be_entered_panics_with_its_errno_and_can_be_dropped() {
    behind(Filter::refuse(libc::SYS_io_uring_enter, libc::EPERM), || {
        let runtime = Runtime::new().expect("set-up alone is allowed");
        let said = panic_of(|| runtime.block_on(async { op::submit(op::Nop).await }));
        assert!(said.contains("io_uring_enter failed"), "{said}");
        assert!(said.contains("os error 1"), "{said}");
        // What the kernel may have is not known, so it is leaked.
        assert_eq!(runtime.shutdown().leaked, 1);
    });
}

/// Where `flags` lies in `struct io_uring_params`.
const FLAGS_AT: u64 = 8;

/// `SECCOMP_IOCTL_NOTIF_RECV` and `_SEND`, linux/seccomp.h.
const NOTIF_RECV: libc::c_ulong = 0xC050_2100;
const NOTIF_SEND: libc::c_ulong = 0xC018_2101;

/// Answers set-ups with `EINVAL` that have one of these flags, as a kernel does which is older than they,
/// and lets the others pass, until the filtered thread is gone.
fn play_older_kernel(listener: OwnedFd, refused_flags: SetupFlags) {
    loop {
        // SAFETY: plain integers, for which zero is a value; the kernel demands it.
        let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes one `seccomp_notif`.
        let done = unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_RECV as _, &mut asked) };
        if done < 0 {
            return;
        }
        let params = asked.data.args[1];
        let mut flags = [0; 4];
        // The other thread waits in its call meanwhile, so its parameters stay where they are.
        let memory = std::fs::File::open("/proc/self/mem").expect("our own memory");
        std::os::unix::fs::FileExt::read_exact_at(&memory, &mut flags, params + FLAGS_AT)
            .expect("the flags");
        let refused = u32::from_ne_bytes(flags) & refused_flags.bits() != 0;
        let answer = libc::seccomp_notif_resp {
            id: asked.id,
            val: 0,
            error: if refused { -libc::EINVAL } else { 0 },
            flags: if refused { 0 } else { libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32 },
        };
        // SAFETY: the kernel reads one `seccomp_notif_resp`.
        unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SEND as _, &answer) };
    }
}

/// Runs a test on a kernel that refuses some set-up flags.
fn on_older_kernel(refused_flags: SetupFlags, test: impl FnOnce() + Send + 'static) {
    let (send, listener) = std::sync::mpsc::channel::<OwnedFd>();
    let tested = thread::spawn(move || {
        let call = libc::SYS_io_uring_setup;
        let filter = Filter { call, answer: libc::SECCOMP_RET_USER_NOTIF };
        match filter.install(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER) {
            Ok(number) => {
                // SAFETY: a new descriptor that nobody else owns, seccomp(2).
                let listener = unsafe { OwnedFd::from_raw_fd(number as i32) };
                send.send(listener).expect("the supervisor waits");
                test();
            }
            Err(error) => skipped(format!("seccomp(2) has no notifications here: {error}")),
        }
    });
    if let Ok(listener) = listener.recv() {
        thread::spawn(move || play_older_kernel(listener, refused_flags));
    }
    tested.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Makes a runtime, uses it, and returns its flags with the kernels it would have liked.
fn ladder() -> (SetupFlags, Vec<&'static str>, String) {
    let runtime = Runtime::new().expect("a runtime by a lower rung");
    runtime.block_on(async { op::submit(op::Nop).await }).expect("a nop");
    let report = runtime.setup_report().expect("a report");
    let refused = report.refused().iter().map(|rung| rung.first_kernel).collect();
    (report.flags(), refused, report.to_string())
}

#[test]
fn a_kernel_that_refuses_a_flag_gets_the_next_rung_and_the_report_names_the_refused_one() {
    on_older_kernel(SetupFlags::NO_SQARRAY, || {
        let (flags, refused, said) = ladder();
        assert!(!flags.contains(SetupFlags::NO_SQARRAY), "{flags:?}");
        assert!(flags.contains(SetupFlags::DEFER_TASKRUN), "{flags:?}");
        assert_eq!(refused, ["6.6"]);
        assert!(said.contains("refused") && said.contains("needs Linux 6.6"), "{said}");
    });
}

#[test]
fn an_old_kernel_gets_the_rung_that_it_takes() {
    const SINGLE: SetupFlags = SetupFlags::DEFER_TASKRUN.union(SetupFlags::SINGLE_ISSUER);
    on_older_kernel(SINGLE | SetupFlags::NO_SQARRAY, || {
        let (flags, refused, _) = ladder();
        assert!(!flags.intersects(SINGLE), "{flags:?}");
        assert_eq!(refused, ["6.6", "6.1", "6.0"]);
    });
}

#[test]
fn no_entries_are_refused_and_too_many_are_cut() {
    let error = Runtime::builder().entries(0).build().expect_err("no entries");
    assert_eq!((error.step(), error.raw_os_error()), (Step::Setup, Some(libc::EINVAL)));
    assert!(error.to_string().contains("at least 1"), "{error}");
    let ring = Setup::new(1 << 20).build().expect("a big ring");
    assert_eq!(ring.sizes(), (1 << 15, 1 << 16));
    drop(ring);
    let runtime = Runtime::builder().entries(1 << 20).build().expect("a big runtime");
    runtime.block_on(async { op::submit(op::Nop).await }).expect("a nop");
}

/// The limit of descriptors is that of a process, so this test starts one.
#[test]
fn a_process_without_descriptors_gets_an_error_that_names_the_limit() {
    const CHILD: &str = "URING_TEST_WITHOUT_DESCRIPTORS";
    let name = "a_process_without_descriptors_gets_an_error_that_names_the_limit";
    if std::env::var_os(CHILD).is_none() {
        let mut again = Command::new(std::env::current_exe().expect("this program"));
        let status = again.args([name, "--exact"]).env(CHILD, "1").status().expect("a process");
        assert!(status.success(), "the test of the child failed");
        return;
    }
    let limit = libc::rlimit { rlim_cur: 16, rlim_max: 16 };
    // SAFETY: one `rlimit`, read during the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let mut open = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        open.push(file);
    }
    let error = setup_error();
    assert_eq!((error.step(), error.raw_os_error()), (Step::Setup, Some(libc::EMFILE)));
    assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}");
    // One is left: the ring can be made, the wake-up descriptor cannot.
    open.pop();
    let error = setup_error();
    assert_eq!((error.step(), error.raw_os_error()), (Step::Wake, Some(libc::EMFILE)));
    open.pop();
    open.pop();
    Runtime::new().expect("nothing was left open");
}

#[test]
fn a_runtime_inside_a_runtime_is_refused_with_what_to_do_instead() {
    on_every_kernel(|runtime, on| {
        let other = on.runtime();
        let said = panic_of(|| runtime.block_on(async { other.block_on(async {}) }));
        assert!(said.contains("inside a runtime") && said.contains(".await"), "{said}");
        runtime.block_on(async { op::submit(op::Nop).await }).expect("a nop");
    });
}

#[test]
fn calls_outside_of_a_runtime_are_refused_with_where_to_make_them() {
    let spawned = panic_of(|| uring::spawn(async {}));
    let submitted = panic_of(|| op::submit(op::Nop));
    let mut sleep = uring::time::sleep(Duration::from_secs(1));
    let slept = panic_of(|| runtime_tests::poll_once(&mut sleep));
    for said in [spawned, submitted, slept] {
        assert!(
            said.contains("no runtime is running") || said.contains("no uring runtime"),
            "{said}"
        );
        assert!(said.contains("Runtime::block_on") && said.contains("#[uring::main]"), "{said}");
    }
}
