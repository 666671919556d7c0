//! Where a body that is known from the beginning is cut.

use super::scenario::{DisconnectHow, Scenario};
use super::step::Ending;

pub(super) fn cut_of_fixed(scenario: &Scenario, length: usize) -> Option<(usize, Ending)> {
    let cut = scenario.disconnect.as_ref()?;
    let ending = match cut.how {
        DisconnectHow::Reset => Ending::Reset,
        DisconnectHow::Close => Ending::Close,
        DisconnectHow::Stall => Ending::Stall,
        _ => return None,
    };
    Some((cut_at(cut.after_bytes, length), ending))
}

/// Where a fixed body is cut. Deltas do not count there: without a number of bytes, in the middle.
pub(super) fn cut_at(after_bytes: Option<u64>, length: usize) -> usize {
    after_bytes.map_or(length / 2, |bytes| usize::try_from(bytes).unwrap_or(length).min(length))
}
