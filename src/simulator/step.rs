//! The steps in which a body is sent.

use std::time::Duration;

/// One step of sending a body.
pub(super) enum Step {
    /// There may be new bytes; continue.
    More,
    /// Wait, from now.
    Wait(Duration),
    /// Wait, from the end of the last wait, so that the lateness of timers does not add up.
    Pace(Duration),
    /// The body ends; `cut` says whether it is cut.
    End { ending: Ending, cut: bool },
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Clean,
    Reset,
    Close,
    Stall,
}
