//! The bits of a scan's data, and the codes that they hold. Called by `samples`. Past the end it
//! gives an error and no zeros.

/// Bits of the scan's data; after a byte 0xff follow only seven (T.87, A.1).
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    byte: u8,
    left: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            at: 0,
            byte: 0,
            left: 0,
        }
    }

    pub(super) fn bit(&mut self) -> Result<u32, String> {
        if self.left == 0 {
            let before = self.byte;
            let ended = || "the samples end too soon".to_owned();
            let byte = *self.data.get(self.at).ok_or_else(ended)?;
            self.left = if before == 0xff && self.at > 0 { 7 } else { 8 };
            if self.left == 7 && byte & 0x80 != 0 {
                return Err(ended());
            }
            self.byte = byte;
            self.at += 1;
        }
        self.left -= 1;
        Ok(u32::from(self.byte >> self.left & 1))
    }

    pub(super) fn bits(&mut self, count: u32) -> Result<u32, String> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | self.bit()?;
        }
        Ok(value)
    }

    /// A limited-length Golomb code (T.87, A.5.3).
    pub(super) fn value(&mut self, k: u32, limit: u32, value_bits: u32) -> Result<i32, String> {
        let longest = limit.saturating_sub(value_bits + 1);
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > longest {
                return Err("a code is longer than any".to_owned());
            }
        }
        let value = if zeros >= longest {
            self.bits(value_bits)? + 1
        } else {
            zeros << k | self.bits(k)?
        };
        i32::try_from(value)
            .ok()
            .filter(|value| *value < 1 << 18)
            .ok_or_else(|| "a code is out of range".to_owned())
    }

    /// Where the next marker is to be looked for: a last 0xff has a stuffed byte.
    pub(super) fn end(&self) -> usize {
        if self.byte == 0xff && self.at > 0 {
            self.at + 1
        } else {
            self.at
        }
    }
}
