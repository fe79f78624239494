//! Settings of a ring: workers, registered descriptors, clock, network polling.

use std::time::Duration;

use uring::ring::{
    Clock, CpuSet, NapiSettings, NapiTracking, RawSqe, RegisterOp, Ring, Setup, SqeFlags,
    WorkerLimits,
};

use crate::{errno, has, nop, ring, run};

/// The number of this thread.
fn own() -> libc::pid_t {
    // SAFETY: no memory is involved.
    unsafe { libc::gettid() }
}

/// The processors that a thread of this process may run on; proc_pid_status(5).
fn allowed(thread: libc::pid_t) -> String {
    let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status"));
    let status = status.expect("a thread that is there");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.expect("its processors").trim().to_owned()
}

/// The processors of a worker of this thread, which has none yet.
fn of_a_new_worker(ring: &mut Ring) -> String {
    assert_eq!(run(ring, RawSqe { flags: SqeFlags::ASYNC.bits(), ..nop() }), 0);
    let tasks = std::fs::read_dir("/proc/self/task").expect("the threads of this process");
    let mut threads = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
    let worker = threads.find(|thread: &libc::pid_t| {
        // A thread of another test may have ended meanwhile.
        let name = std::fs::read_to_string(format!("/proc/self/task/{thread}/comm"));
        name.is_ok_and(|name| name.trim() == format!("iou-wrk-{}", own()))
    });
    allowed(worker.expect("a worker, which stays for seconds"))
}

#[test]
fn a_worker_runs_on_the_processors_that_workers_are_bound_to() {
    let Some(mut ring) = ring() else { return };
    let last = (0..4096)
        .rev()
        .find(|cpu| CpuSet::of_thread().expect("the processors of this thread").contains(*cpu));
    let last = last.expect("at least one");
    let _bound = ring.bind_workers(&[last].into_iter().collect()).expect("bound");
    assert_eq!(of_a_new_worker(&mut ring), last.to_string());
}

#[test]
fn workers_are_unbound_at_the_drop_and_by_hand() {
    let Some(mut ring) = ring() else { return };
    let first = || [0].into_iter().collect();
    drop(ring.bind_workers(&first()).expect("bound"));
    ring.bind_workers(&first()).expect("bound again").unregister().expect("unbound by hand");
    assert_eq!(of_a_new_worker(&mut ring), allowed(own()));
}

#[test]
fn processors_that_there_are_not_are_refused_or_leave_the_workers_unbound() {
    let Some(mut ring) = ring() else { return };
    // Some kernels look at numbers up to the highest that this machine can have, others at all they were built for.
    let absent: CpuSet = (60..64).collect();
    match ring.bind_workers(&absent) {
        Ok(_bound) => {
            let by_a_worker = RawSqe { flags: SqeFlags::ASYNC.bits(), ..nop() };
            assert_eq!(run(&mut ring, by_a_worker), 0);
        }
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EINVAL)),
    }
}

#[test]
fn workers_bound_to_no_processor_at_all_are_not_bound() {
    let Some(mut ring) = ring() else { return };
    let _bound = ring.bind_workers(&CpuSet::new()).expect("taken");
    assert_eq!(run(&mut ring, RawSqe { flags: SqeFlags::ASYNC.bits(), ..nop() }), 0);
}

#[test]
fn new_limits_of_workers_return_the_old_ones() {
    let Some(ring) = ring() else { return };
    let first = ring.worker_limits().expect("limits");
    assert!(first.bounded > 0 && first.unbounded > 0);
    let fewer = WorkerLimits { bounded: 3, unbounded: 5 };
    assert_eq!(ring.limit_workers(fewer).expect("limited"), first);
    let one_of_them = WorkerLimits { bounded: 4, unbounded: 0 };
    assert_eq!(ring.limit_workers(one_of_them).expect("limited"), fewer);
    let now = WorkerLimits { bounded: 4, unbounded: 5 };
    assert_eq!(ring.worker_limits().expect("limits"), now);
}

#[test]
fn a_place_among_the_registered_rings_is_taken_and_freed_at_the_drop() {
    let Some(ring) = ring() else { return };
    let place = ring.register_ring_fd(Some(9)).expect("a place");
    assert_eq!(place.index(), 9);
    assert_eq!(errno(ring.register_ring_fd(Some(9))), libc::EBUSY);
    drop(place);
    let place = ring.register_ring_fd(Some(9)).expect("the place again");
    place.unregister().expect("freed by hand");
}

#[test]
fn sixteen_rings_can_be_registered() {
    let Some(ring) = ring() else { return };
    assert_eq!(errno(ring.register_ring_fd(Some(16))), libc::EINVAL);
    let taken = usize::from(ring.registered());
    let places: Vec<_> = (taken..16).map(|_| ring.register_ring_fd(None).expect("any")).collect();
    assert_eq!(errno(ring.register_ring_fd(None)), libc::EBUSY);
    let unregistered = Setup::new(8).build().expect("a ring without a place");
    assert!(!unregistered.registered());
    drop(places);
    ring.register_ring_fd(None).expect("a place again");
}

#[test]
fn waits_can_be_measured_by_either_clock() {
    if !has(RegisterOp::REGISTER_CLOCK) {
        return;
    }
    let Some(mut ring) = ring() else { return };
    ring.register_clock(Clock::BootTime).expect("a clock");
    ring.submit_and_wait(1, Some(Duration::from_millis(1))).expect("a wait that ends");
    ring.register_clock(Clock::Monotonic).expect("a clock");
    ring.submit_and_wait(1, Some(Duration::from_millis(1))).expect("a wait that ends");
}

#[test]
fn new_settings_of_network_polling_return_the_old_ones() {
    if !has(RegisterOp::REGISTER_NAPI) {
        return;
    }
    let Some(ring) = ring() else { return };
    let busy_poll = Duration::from_micros(50);
    let dynamic = NapiTracking::DYNAMIC;
    let first = NapiSettings { busy_poll, prefer_busy_poll: true, tracking: dynamic };
    ring.register_napi(first).expect("registered");
    let old = ring.register_napi(NapiSettings::default()).expect("registered");
    assert_eq!((old.busy_poll, old.prefer_busy_poll), (busy_poll, true));
    let old = ring.unregister_napi().expect("unregistered");
    assert_eq!((old.busy_poll, old.prefer_busy_poll), (Duration::ZERO, false));
}

#[test]
fn receive_queues_are_added_and_removed_by_hand() {
    // Of the same release, 6.13.
    if !has(RegisterOp::REGISTER_MEM_REGION) {
        return;
    }
    let Some(ring) = ring() else { return };
    let by_hand = NapiSettings { tracking: NapiTracking::STATIC, ..NapiSettings::default() };
    ring.register_napi(by_hand).expect("registered");
    ring.add_napi_id(9000).expect("added");
    ring.remove_napi_id(9000).expect("removed");
    assert_eq!(errno(ring.add_napi_id(0)), libc::EINVAL, "no such id");
    let unknown = NapiSettings { tracking: NapiTracking(9), ..NapiSettings::default() };
    assert_eq!(errno(ring.register_napi(unknown)), libc::EINVAL);
}
