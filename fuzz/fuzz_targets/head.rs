//! See `hilum::fuzzing::head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hilum::fuzzing::head(data));
