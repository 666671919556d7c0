//! The attempts of a call that are running.

use crate::engine::attempt::Attempt;

/// The running attempt and, while they race, its hedge. An attempt keeps its field: when the other one is removed, it is
/// the current one.
#[derive(Default)]
pub(super) struct RunningAttempts {
    pub primary: Option<Attempt>,
    /// Boxed: most calls have none.
    pub hedge: Option<Box<Attempt>>,
}

/// One of the two attempts of a race.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Racer {
    Primary,
    Hedge,
}

impl RunningAttempts {
    pub fn get(&self, racer: Racer) -> Option<&Attempt> {
        match racer {
            Racer::Primary => self.primary.as_ref(),
            Racer::Hedge => self.hedge.as_deref(),
        }
    }

    /// The attempt that writes the answer: the primary one, or the hedge that outlasted it.
    pub fn current(&self) -> Option<&Attempt> {
        self.primary.as_ref().or(self.hedge.as_deref())
    }

    pub fn current_mut(&mut self) -> Option<&mut Attempt> {
        self.primary.as_mut().or(self.hedge.as_deref_mut())
    }

    pub fn take(&mut self, racer: Racer) -> Option<Attempt> {
        match racer {
            Racer::Primary => self.primary.take(),
            Racer::Hedge => self.hedge.take().map(|hedge| *hedge),
        }
    }

    pub fn take_current(&mut self) -> Option<Attempt> {
        self.take(Racer::Primary).or_else(|| self.take(Racer::Hedge))
    }

    pub fn len(&self) -> usize {
        usize::from(self.primary.is_some()) + usize::from(self.hedge.is_some())
    }
}

impl Racer {
    pub fn other(self) -> Racer {
        match self {
            Racer::Primary => Racer::Hedge,
            Racer::Hedge => Racer::Primary,
        }
    }
}
