//! How the endpoints of one model are chosen.

use super::reader::Reader;
use crate::error::Result;
use crate::policy::routing::Strategy;

const STRATEGIES: &[(&str, Strategy)] = &[
    ("ordered", Strategy::Ordered),
    ("weighted", Strategy::Weighted),
    ("score", Strategy::Score),
    ("least-busy", Strategy::LeastBusy),
];

pub fn strategy(reader: &mut Reader<'_>) -> Result<Strategy> {
    Ok(reader.choice("routing", STRATEGIES)?.unwrap_or_default())
}

/// The weight of an endpoint.
pub fn weight(reader: &mut Reader<'_>) -> Result<f64> {
    Ok(reader.real("weight", 0.001, 1e6)?.unwrap_or(super::defaults::WEIGHT))
}
