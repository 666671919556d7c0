//! What the operating system refuses to this process. A provider has no part in it.

use std::io;

/// A resource of this machine that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalResource {
    /// The file descriptors of the process.
    Descriptors,
    /// The file descriptors of the whole system.
    SystemDescriptors,
    /// The memory of the kernel, such as buffers for sockets.
    Memory,
    /// The local ports for connections to one address.
    Ports,
    /// The threads of the process, its user or its container.
    Threads,
}

impl LocalResource {
    /// The resource that an operation other than the start of a thread needed. `None` for any other error.
    /// [`LocalResource::Ports`] is never recognized: its error is also that of an address which this machine cannot reach.
    pub fn of(error: &io::Error) -> Option<Self> {
        let code = error.raw_os_error()?;
        CODES.iter().find(|(known, _)| *known == code).map(|(_, resource)| *resource)
    }

    /// What is lacking, and what can be done.
    pub fn message(self) -> &'static str {
        match self {
            LocalResource::Descriptors => {
                "this process has no file descriptor left (EMFILE): raise its limit (`ulimit -n`), or run fewer calls at \
                 once (`maxConcurrent`)"
            }
            LocalResource::SystemDescriptors => {
                "this system has no file descriptor left (ENFILE): raise its limit (`fs.file-max`), or close files"
            }
            LocalResource::Memory => {
                "this system has no memory left for a socket (ENOBUFS, ENOMEM): run fewer calls at once (`maxConcurrent`)"
            }
            LocalResource::Ports => {
                "this system has no local port left for the connection (EADDRNOTAVAIL): widen `ip_local_port_range`, or \
                 run fewer calls at once (`maxConcurrent`)"
            }
            LocalResource::Threads => {
                "this process can start no thread (EAGAIN): raise the limit of its user (`ulimit -u`) or container \
                 (`pids.max`)"
            }
        }
    }
}

/// The codes of the operating system.
#[cfg(unix)]
const CODES: [(i32, LocalResource); 4] = [
    (24, LocalResource::Descriptors),       // EMFILE
    (23, LocalResource::SystemDescriptors), // ENFILE
    (12, LocalResource::Memory),            // ENOMEM
    (if cfg!(target_os = "linux") { 105 } else { 55 }, LocalResource::Memory), // ENOBUFS
];
#[cfg(windows)]
const CODES: [(i32, LocalResource); 4] = [
    (10024, LocalResource::Descriptors), // WSAEMFILE
    (4, LocalResource::Descriptors),     // ERROR_TOO_MANY_OPEN_FILES
    (10055, LocalResource::Memory),      // WSAENOBUFS
    (8, LocalResource::Memory),          // ERROR_NOT_ENOUGH_MEMORY
];
#[cfg(not(any(unix, windows)))]
const CODES: [(i32, LocalResource); 0] = [];

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_the_errors_of_this_machine_are_recognized() {
        let of = |code| LocalResource::of(&io::Error::from_raw_os_error(code));
        assert_eq!(of(24), Some(LocalResource::Descriptors));
        assert_eq!(of(23), Some(LocalResource::SystemDescriptors));
        assert_eq!(of(12), Some(LocalResource::Memory));
        // EACCES, EAGAIN, ECONNREFUSED.
        for code in [13, 11, 35, 111, 61] {
            assert_eq!(of(code), None, "{code}");
        }
        assert_eq!(LocalResource::of(&io::Error::other("too many open files")), None);
    }
}
