//! See `hilum::fuzzing::credentials`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hilum::fuzzing::credentials(data));
