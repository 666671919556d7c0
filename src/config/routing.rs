//! The options of routing.

use super::reader::Reader;
use crate::error::Result;
use crate::policy::routing::Strategy;

const STRATEGIES: &[(&str, Strategy)] = &[
    ("ordered", Strategy::Ordered),
    ("weighted", Strategy::Weighted),
    ("score", Strategy::Score),
    ("least-busy", Strategy::LeastBusy),
];

/// Reads the order in which a call tries the endpoints of a model. `ordered` by default.
pub fn strategy(reader: &mut Reader<'_>) -> Result<Strategy> {
    Ok(reader.one_of("routing", STRATEGIES)?.unwrap_or_default())
}

/// Reads the weight of an endpoint, from 0.001 to 1,000,000. 1 by default.
pub fn weight(reader: &mut Reader<'_>) -> Result<f64> {
    Ok(reader.number("weight", 0.001, 1e6)?.unwrap_or(super::defaults::WEIGHT))
}
