//! See `hilum::fuzzing::range`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hilum::fuzzing::range(data));
