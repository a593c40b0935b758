//! See `hilum::fuzzing::log_line`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hilum::fuzzing::log_line(data));
