//! Owns what the kernel is asked about this process's memory. Refuses to fail: an older kernel costs
//! memory, not the start.

/// No huge pages for this process and those that it starts. Some kernels give them unasked, and a
/// small heap whose threads share their work then holds 2 MiB for each few KiB that are in use.
#[cfg(target_os = "linux")]
pub fn in_small_pages() {
    // A kernel that cannot has its reasons, and then we are larger.
    let _refused = rustix::thread::disable_transparent_huge_pages(true);
}

/// Elsewhere nobody makes huge pages unasked.
#[cfg(not(target_os = "linux"))]
pub fn in_small_pages() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn the_kernel_gives_no_huge_pages() {
        super::in_small_pages();
        assert_eq!(rustix::thread::transparent_huge_pages_are_disabled(), Ok(true));
    }
}
