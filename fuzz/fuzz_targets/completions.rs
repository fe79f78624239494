//! Completions of any value, fed to a group of provided buffers: no two leases may share a byte.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // Only a build of cargo-fuzz has the door to the inside.
    #[cfg(fuzzing)]
    uring::ring::provided::fuzzing::completions(data);
    #[cfg(not(fuzzing))]
    let _ = data;
});
