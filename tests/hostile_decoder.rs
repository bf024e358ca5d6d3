//! A decoder that was taken over gets nothing. This program is that decoder: it confines itself
//! by the library's own code, reads its image, and then tries what the image says. It is started
//! by the library as every decoder is; no shipped program can be made to start another one.
//!
//! `hostile_decoder` runs every case as the user that it is started by and, where that is root,
//! as an ordinary one; `scripts/package/try-boot` runs it in the place of the device, under the
//! unit. Each attempt is also made by a process that is not confined: one that fails there as
//! well would show nothing.

#[cfg(target_os = "linux")]
mod taken_over;

fn main() {
    #[cfg(target_os = "linux")]
    taken_over::main();
    #[cfg(not(target_os = "linux"))]
    println!("skipped: only Linux confines a decoder");
}
