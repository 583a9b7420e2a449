#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| kinescope_fuzz::prices(data));
