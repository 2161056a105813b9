//! A host's disk: an ext4 image mounted by loop, or a plain folder.
//!
//! The supervisor mounts it in a mount namespace of its own, so that nobody else's mounts are touched and nothing stays
//! mounted when it dies.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, umount2};

use crate::error::Error;
use crate::files;
use crate::run::Run;
use crate::settings::{Disk, Site};
use crate::wait::wait_until;

/// The image of a host's disk, where it has one.
pub(crate) fn image(site: &Site, host: &str) -> PathBuf {
    site.host_dir(host).join("disk.img")
}

/// Where the disk is mounted, in the supervisor's namespace; for a folder, what holds it.
pub(crate) fn mount_point(site: &Site, host: &str) -> PathBuf {
    site.host_dir(host).join("disk")
}

/// Makes an empty disk.
pub(crate) fn make(site: &Site, host: &str, disk: Disk) -> Result<(), Error> {
    files::make_dir(&mount_point(site, host))?;
    let Disk::Image(size) = disk else {
        return Ok(());
    };
    let path = image(site, host);
    File::create(&path)
        .and_then(|file| file.set_len(size))
        .map_err(Error::io("make", &path))?;
    // Lazily initialised: the kernel writes its tables when it has time for them.
    Run::here([
        "mkfs.ext4",
        "-q",
        "-F",
        "-m",
        "0",
        "-E",
        "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
    ])
    .args([&path])
    .check()
    .map(drop)
}

/// Mounts the disk; for the supervisor.
pub(crate) fn mount(site: &Site, host: &str) -> Result<(), Error> {
    let (path, at) = (image(site, host), mount_point(site, host));
    if !path.exists() {
        return Ok(());
    }
    Run::here(["mount", "-t", "ext4", "-o", "loop,noatime"])
        .args([&path, &at])
        .check()
        .map(drop)
}

/// Unmounts the disk and waits until its loop device has let go of the image; for the supervisor.
pub(crate) fn unmount(site: &Site, host: &str) -> Result<(), Error> {
    let (path, at) = (image(site, host), mount_point(site, host));
    if !path.exists() {
        return Ok(());
    }
    umount2(&at, MntFlags::empty()).map_err(Error::sys("umount", at.to_string_lossy()))?;
    released(&path)
}

/// Waits until no loop device holds an image: the last mount of it may be one that a dying process still has.
pub(crate) fn released(image: &Path) -> Result<(), Error> {
    wait_until(
        &format!("{} is let go", image.display()),
        Duration::from_secs(20),
        || Ok(!held(image)?),
    )
}

fn held(image: &Path) -> Result<bool, Error> {
    let devices = Path::new("/sys/block");
    for name in files::names(devices)? {
        let file = devices.join(&name).join("loop/backing_file");
        // Most have none, and it may go at any time.
        if std::fs::read_to_string(file).is_ok_and(|backing| Path::new(backing.trim_end()) == image)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the file system under a running host fail: from now on everything that needs the disk gets an I/O error, and what
/// was not synced never reaches it, the journal included. `supervisor` is the process in whose namespace it is mounted.
pub(crate) fn fail(site: &Site, host: &str, supervisor: i32) -> Result<(), Error> {
    /// `EXT4_GOING_FLAGS_NOLOGFLUSH`.
    const AT_ONCE: u32 = 2;
    let at = mount_point(site, host);
    let seen = Path::new("/proc")
        .join(supervisor.to_string())
        .join("root")
        .join(at.strip_prefix("/").unwrap_or(&at));
    let dir = File::open(&seen).map_err(Error::io("open", &seen))?;
    let mut how = AT_ONCE;
    shutdown::now(dir.as_raw_fd(), &mut how).map_err(Error::sys("EXT4_IOC_SHUTDOWN", host))
}

#[expect(
    unsafe_code,
    reason = "the one ioctl that takes an ext4 file system away; nobody wraps it"
)]
mod shutdown {
    use std::os::fd::RawFd;

    nix::ioctl_read!(ext4_shutdown, b'X', 125, u32);

    /// `EXT4_IOC_SHUTDOWN`, from the kernel's `include/uapi/linux/ext4.h` (there as `_IOR('X', 125, __u32)`).
    pub(super) fn now(fd: RawFd, how: &mut u32) -> nix::Result<()> {
        // SAFETY: the descriptor is open, and the kernel reads one u32 where the pointer of a live one says.
        unsafe { ext4_shutdown(fd, how) }.map(drop)
    }
}
