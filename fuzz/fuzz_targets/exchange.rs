//! See `hilum::fuzzing::exchange`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hilum::fuzzing::exchange(data));
