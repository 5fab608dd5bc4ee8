//! The target `jwt` of `tests/src/fuzz` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (harness::fuzz::target("jwt").run)(data));
