//! Random choices that a seed repeats.

use proptest::{
    prelude::Rng,
    test_runner::{RngAlgorithm, TestRng},
};

/// The dice of one turn. They depend on the seed, the secret and the number of the turn, and not on what came before: how a
/// turn ends is in part a matter of time, what it tries is not.
#[derive(Debug)]
pub struct Dice(TestRng);

impl Dice {
    pub fn of(seed: u64, life: usize, turn: usize) -> Self {
        let mut bytes = [0; 32];
        let parts = [seed, life as u64, turn as u64];
        for (place, part) in bytes.chunks_exact_mut(8).zip(parts) {
            place.copy_from_slice(&part.to_le_bytes());
        }
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }

    /// One of the numbers below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n
    }

    /// True if something happens that happens so many times in a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let index = self.below(of.len() as u64);
        &of[usize::try_from(index).expect("an index")]
    }
}
