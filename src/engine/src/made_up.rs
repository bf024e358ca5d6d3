//! Bytes without a pattern, the same for the same seed on every machine.

/// Knuth's 64-bit linear congruential generator.
pub(super) struct MadeUp(u64);

impl MadeUp {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any of the 256, the ends of the range of codes among them.
    pub fn byte(&mut self) -> u8 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 56) as u8
    }
}
