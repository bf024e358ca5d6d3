//! Where the images of a PBM, PGM, PPM or PAM file end: netpbm's formats may hold several,
//! one behind the other, and a decoder that reads the first is content. Nothing is decoded.

use std::ops::Range;

/// Where the file's images lie; `None` where a head is not understood.
pub(super) fn pictures(bytes: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut pictures = Vec::new();
    let mut start = 0;
    loop {
        let length = length(&bytes[start..])?;
        // What is cut short is there all the same.
        let end = start.saturating_add(length).min(bytes.len());
        pictures.push(start..end);
        let gap = bytes[end..]
            .iter()
            .position(|byte| !byte.is_ascii_whitespace());
        match gap {
            Some(gap) if is_pnm(&bytes[end + gap..]) => start = end + gap,
            _ => return Some(pictures),
        }
    }
}

/// How long the image that begins here says that it is.
fn length(bytes: &[u8]) -> Option<usize> {
    let [b'P', kind, ..] = *bytes else {
        return None;
    };
    if kind == b'7' {
        return pam(bytes);
    }
    let mut words = Words { bytes, at: 2 };
    let (width, height) = (words.number()?, words.number()?);
    let most = match kind {
        b'1' | b'4' => 1,
        _ => words.number()?,
    };
    let channels = if matches!(kind, b'3' | b'6') { 3 } else { 1 };
    let samples = width.checked_mul(height)?.checked_mul(channels)?;
    match kind {
        b'1' => words.skip_digits(samples),
        b'2' | b'3' => (0..samples).all(|_| words.number().is_some()),
        // One byte ends the head.
        b'4' => {
            let raster = width.div_ceil(8).checked_mul(height)?;
            return words.at.checked_add(1)?.checked_add(raster);
        }
        _ => {
            let raster = samples.checked_mul(bytes_of(most))?;
            return words.at.checked_add(1)?.checked_add(raster);
        }
    };
    Some(words.at)
}

fn bytes_of(most: usize) -> usize {
    if most < 256 { 1 } else { 2 }
}

/// Of a PAM, whose head is lines up to `ENDHDR`.
fn pam(bytes: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\nENDHDR\n";
    let end = bytes.windows(END.len()).position(|window| window == END)?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let value = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.strip_prefix(name));
        lines.next()?.trim().parse::<usize>().ok()
    };
    let samples = value("WIDTH ")?
        .checked_mul(value("HEIGHT ")?)?
        .checked_mul(value("DEPTH ")?)?;
    let raster = samples.checked_mul(bytes_of(value("MAXVAL ")?))?;
    end.checked_add(END.len())?.checked_add(raster)
}

/// Numbers with white space and comments between them.
struct Words<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Words<'_> {
    fn skip_blanks(&mut self) {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'#' => {
                    let rest = self.bytes[self.at..].iter();
                    let line = rest.take_while(|&&byte| byte != b'\n').count();
                    self.at += line;
                }
                byte if byte.is_ascii_whitespace() => self.at += 1,
                _ => return,
            }
        }
    }

    fn number(&mut self) -> Option<usize> {
        self.skip_blanks();
        let rest = &self.bytes[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
    }

    /// The samples of a plain PBM need nothing between them.
    fn skip_digits(&mut self, count: usize) -> bool {
        for _ in 0..count {
            self.skip_blanks();
            if !matches!(self.bytes.get(self.at), Some(b'0' | b'1')) {
                return false;
            }
            self.at += 1;
        }
        true
    }
}

/// `P1` to `P6` and a number, or `P7` and a word; text that happens to begin so is none.
pub(super) fn is_pnm(head: &[u8]) -> bool {
    let [b'P', kind @ b'1'..=b'7', rest @ ..] = head else {
        return false;
    };
    if !rest.first().is_some_and(u8::is_ascii_whitespace) {
        return false;
    }
    let mut rest = rest.trim_ascii_start();
    while let [b'#', comment @ ..] = rest {
        let end = comment.iter().position(|&byte| byte == b'\n');
        rest = end.map_or(&[][..], |end| comment[end..].trim_ascii_start());
    }
    match (kind, rest) {
        (b'7', [b'A'..=b'Z', ..]) | (b'1'..=b'6', [b'0'..=b'9', ..]) => true,
        // Cut within its head.
        (_, rest) => rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_one_behind_the_other_are_told_apart() {
        let grey = [&b"P5 2 2 # a\n255\n"[..], b"P5 1"].concat();
        let deep = [&b"P5\n1 2\n4095\n"[..], &[15, 1, 2, 3]].concat();
        let bits = b"P4 9 1\n\xff\x80".to_vec();
        let plain = b"P2 2 1 9\n1 2\n".to_vec();
        let plain_bits = b"P1 3 1\n101\n".to_vec();
        let pam =
            b"P7\nWIDTH 1\nHEIGHT 2\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\nabcdef".to_vec();
        for one in [grey, deep, bits, plain, plain_bits, pam] {
            let text = one.escape_ascii().to_string();
            let alone = pictures(&one).unwrap();
            assert_eq!(alone.len(), 1, "{text}");
            let three = [&one[..], &one, &one].concat();
            let several = pictures(&three).unwrap();
            assert_eq!(several.len(), 3, "{text}");
            let lengths: Vec<usize> = several.iter().map(Range::len).collect();
            assert_eq!(lengths, [alone[0].len(); 3], "{text}");
            // Cut within the second, it is there all the same.
            let cut = &three[..one.len() + one.len().div_ceil(2) + 2];
            assert_ne!(pictures(cut).map(|all| all.len()), Some(1), "{text}");
        }
        assert_eq!(pictures(b"P5 x"), None);
    }
}
