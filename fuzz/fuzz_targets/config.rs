//! See `hilum::fuzzing::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hilum::fuzzing::config(data));
