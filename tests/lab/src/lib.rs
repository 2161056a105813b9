//! Real hosts on one machine: namespaces, systemd, sshd.
//!
//! A host of the lab is what an administrator gets from a fresh Debian installation: systemd as process 1, an sshd that
//! answers, a network card, a disk that can fill up or die, and nothing else installed. It costs some 20 MiB of memory and
//! boots in under a second, so that five of them fit on a laptop. Whole-host tests, `xtask demo` and `xtask bench` use it.
//!
//! Enter by [`Base::ensure`], [`Lab::create`] and [`Lab::up`]; everything else is a method of [`Lab`] or [`Host`].
//!
//! How a host is made: an overlay over the shared [`Base`] whose upper directory lies on an ext4 image of its own, a network
//! namespace plugged into a bridge in the lab's namespace, a cgroup in every hierarchy, and systemd in fresh pid, mount,
//! uts, ipc and cgroup namespaces. The process which watches over it is a program of its own (`lab-host`, see
//! [`supervisor_path`]): it boots the host again when it reboots, and outlives the process that started the lab if that
//! process says so ([`Lab::keep`]).
//!
//! What it deliberately does not do: it attaches nothing to the machine's own network (there is no way out of a lab), it
//! changes no kernel setting of the machine, it isolates nobody (root on a host is not to be trusted), and it shares the
//! machine's one kernel among all hosts (no modules, no kernel parameters, one clock).
#![expect(
    clippy::disallowed_methods,
    reason = "equipment of the tests: it makes hosts, it is not one of the tools that change them"
)]

mod base;
mod cgroup;
mod checkpoint;
mod clear;
mod commands;
mod disk;
mod enter;
mod error;
mod files;
mod host;
mod init;
mod lab;
mod net;
mod process;
mod requirements;
mod run;
mod settings;
mod supervise;
mod supervisor;
mod wait;

pub use base::Base;
pub use error::Error;
pub use host::{Host, Power};
pub use lab::{Lab, LabConfig, Wipe};
pub use requirements::{Missing, requirements};
pub use run::{Output, Run};
pub use settings::{Disk, HostSpec, Subnet};
pub use supervise::main as lab_host_main;
pub use supervisor::supervisor_path;
pub use wait::wait_until;
