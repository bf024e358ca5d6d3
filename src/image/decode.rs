//! An image file's bytes become an [`Image`], in this process: DICOM, PNG, JPEG, PGM/PPM, TIFF or BMP.
//! Called by `read`, and by the child that decodes for it. Sizes are checked before a pixel is decoded,
//! no image takes more than [`MAX_DECODED_BYTES`], and a decoder that panics ends in a refusal.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::{
    ColorType, DynamicImage, ExtendedColorType, ImageDecoder, ImageFormat, ImageReader, Limits,
};

use super::format::{Format, Kind};
use super::limits::{MAX_DECODED_BYTES, check_size, too_hard, too_large, unreadable};
use super::pages::{self, Page};
use super::unread::{FORMATS, unread};
use super::{FrameChoice, Image, ImageMetadata, Pixels, apng, dicom, png_text, tiff_palette};
use crate::case::{Refusal, RefusalCode};
use crate::sha256::Sha256;

/// The way out where samples are of a kind that is not read.
const SAMPLES: &str = "save the image as PNG with 8 or 16 bits a sample, in grey: `magick FILE -colorspace Gray \
     out.png` does it";

/// Reads an image file's bytes; of a DICOM object's frames, the middle one. Bytes have no name:
/// whoever knows one says so ([`Refusal::about`]).
///
/// # Errors
/// As [`read`](super::read()), but for `not_found` and `not_a_file`.
pub fn decode(bytes: &[u8]) -> Result<Image, Refusal> {
    decode_frame(bytes, FrameChoice::default())
}

/// Reads one frame of an image file's bytes, in this process.
///
/// # Errors
/// As [`read_frame`](super::read_frame), but for `not_found` and `not_a_file`.
pub fn decode_frame(bytes: &[u8], frame: FrameChoice) -> Result<Image, Refusal> {
    if bytes.is_empty() {
        return Err(unreadable("the file is empty"));
    }
    // Decoders are other people's code over hostile bytes: a panic in one of them
    // is one file's refusal, not the end of the batch.
    let image = catch_unwind(AssertUnwindSafe(|| decode_guarded(bytes, frame)))
        .unwrap_or_else(|_| Err(too_hard("the decoder gave up")))?;
    refuse_blank(&image.pixels)?;
    Ok(image)
}

fn decode_guarded(bytes: &[u8], frame: FrameChoice) -> Result<Image, Refusal> {
    let sha256 = Sha256::of(bytes);
    let format = match Kind::of(bytes) {
        Kind::Dicom => return dicom::read(bytes, frame, sha256),
        Kind::Read(format) => format,
        Kind::Unread(kind) => return Err(unread(kind)),
        Kind::NoPicture(what) => return Err(dicom::not_a_picture(what)),
        Kind::Unknown => {
            return Err(Refusal::new(
                RefusalCode::UnsupportedFormat,
                "the bytes are no image of a kind that is known here",
                format!("give an image file; read are {FORMATS}"),
            ));
        }
    };
    let page = pages::page(format, bytes, frame)?;
    let decoded = picture(format, &page)?;
    let said = if format == Format::Png {
        png_text::said(&page.bytes)
    } else {
        ImageMetadata::default()
    };
    let (width, height) = (decoded.width(), decoded.height());
    let ratio = || 100 * decoded.as_bytes().len() / page.bytes.len().max(1);
    let jpeg_ratio = (format == Format::Jpeg).then(|| u32::try_from(ratio()).unwrap_or(u32::MAX));
    Ok(Image {
        width,
        height,
        pixels: to_eight_bits(decoded),
        metadata: ImageMetadata {
            frame: Some(page.frame),
            jpeg_ratio,
            ..said
        },
        sha256,
        origin: None,
    })
}

/// The pixels as they are stored.
fn picture(format: Format, page: &Page<'_>) -> Result<DynamicImage, Refusal> {
    let bytes = &*page.bytes;
    match format {
        Format::Tiff => match tiff_palette::read(bytes, MAX_DECODED_BYTES as usize) {
            Some(Ok((width, height, rgb))) => {
                check_size(width, height, 3)?;
                let buffer = image::RgbImage::from_raw(width, height, rgb);
                buffer
                    .map(DynamicImage::ImageRgb8)
                    .ok_or_else(|| unreadable("palette indices are missing"))
            }
            Some(Err(error)) => Err(unreadable(&error)),
            None => decode_general(bytes, ImageFormat::Tiff, None),
        },
        Format::Png => decode_general(bytes, ImageFormat::Png, page.animated),
        Format::Jpeg => decode_general(bytes, ImageFormat::Jpeg, None),
        Format::Bmp => decode_general(bytes, ImageFormat::Bmp, None),
        Format::Pnm => decode_general(bytes, ImageFormat::Pnm, None),
    }
}

fn decode_general(
    bytes: &[u8],
    format: ImageFormat,
    animated: Option<u32>,
) -> Result<DynamicImage, Refusal> {
    // The size is checked below, with our own message; these limits bound what a
    // lying header can make a decoder allocate.
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODED_BYTES * 2);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits.clone());
    let broken = |error: image::ImageError| match error {
        image::ImageError::Unsupported(e) => Refusal::new(
            RefusalCode::UnsupportedFormat,
            format!("an image of a form that is not read here: {e}"),
            SAMPLES,
        ),
        image::ImageError::Limits(e) => too_large(e.to_string()),
        other => unreadable(&other.to_string()),
    };
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    check_size(
        width,
        height,
        u64::from(decoder.color_type().bytes_per_pixel()),
    )?;
    refuse_samples(decoder.original_color_type())?;
    if animated.is_some() && is_deep(decoder.color_type()) {
        return Err(Refusal::new(
            RefusalCode::UnsupportedFormat,
            "a frame of an animation of 16 bits is not read here",
            "save the frame that is meant as a PNG of its own",
        ));
    }
    let orientation = decoder
        .orientation()
        .unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut decoded = match animated {
        Some(frame) => apng::decode(bytes, frame, limits).map_err(broken)?,
        None => DynamicImage::from_decoder(decoder).map_err(broken)?,
    };
    decoded.apply_orientation(orientation);
    Ok(decoded)
}

/// Whether a sample has more than a byte.
fn is_deep(colour: ColorType) -> bool {
    colour.bytes_per_pixel() > colour.channel_count()
}

/// Samples that a decoder would give, and nobody knows how bright they are meant.
fn refuse_samples(samples: ExtendedColorType) -> Result<(), Refusal> {
    let what = match samples {
        ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16 => "in the colours of print (CMYK)",
        ExtendedColorType::Rgb32F | ExtendedColorType::Rgba32F => "of floating-point samples",
        _ => return Ok(()),
    };
    Err(Refusal::new(
        RefusalCode::UnsupportedFormat,
        format!("an image {what}"),
        SAMPLES,
    ))
}

/// 16-bit samples become 8 bits by the number of bits in use (8, 10, 12, 14 or 16, by
/// the largest value), as units that store 12 bits in 16 expect; alpha is laid over
/// black; RGB whose three planes are equal becomes luma. Never widens: the largest
/// image that is read must not take several times its size.
fn to_eight_bits(decoded: DynamicImage) -> Pixels {
    match decoded {
        DynamicImage::ImageLuma8(grey) => Pixels::Luma(grey.into_raw()),
        DynamicImage::ImageLuma16(grey) => Pixels::Luma(narrow(&grey.into_raw())),
        DynamicImage::ImageLumaA8(grey) => {
            Pixels::Luma(over_black(grey.into_raw(), 2, u32::from(u8::MAX)))
        }
        DynamicImage::ImageLumaA16(grey) => {
            let laid = over_black(grey.into_raw(), 2, u32::from(u16::MAX));
            Pixels::Luma(narrow(&laid))
        }
        DynamicImage::ImageRgb8(rgb) => rgb_or_luma(rgb.into_raw()),
        DynamicImage::ImageRgb16(rgb) => rgb_or_luma(narrow(&rgb.into_raw())),
        DynamicImage::ImageRgba8(rgba) => {
            rgb_or_luma(over_black(rgba.into_raw(), 4, u32::from(u8::MAX)))
        }
        other => {
            let laid = over_black(other.into_rgba16().into_raw(), 4, u32::from(u16::MAX));
            rgb_or_luma(narrow(&laid))
        }
    }
}

/// Samples with their alpha (the last of each `group`) multiplied in, in place.
fn over_black<T>(mut samples: Vec<T>, group: usize, opaque: u32) -> Vec<T>
where
    T: Copy + Default + Into<u32> + TryFrom<u32>,
{
    let mut written = 0;
    for pixel in 0..samples.len() / group {
        let alpha: u32 = samples[pixel * group + group - 1].into();
        for channel in 0..group - 1 {
            let value: u32 = samples[pixel * group + channel].into();
            // Never above `value`, so it always fits.
            samples[written] = T::try_from(value * alpha / opaque).unwrap_or_default();
            written += 1;
        }
    }
    samples.truncate(written);
    samples
}

fn narrow(samples: &[u16]) -> Vec<u8> {
    let top = full_scale(samples);
    samples.iter().map(|&v| scale(v, top)).collect()
}

/// The largest value that the bits in use can hold.
fn full_scale<'a>(samples: impl IntoIterator<Item = &'a u16>) -> u32 {
    let largest = u32::from(samples.into_iter().copied().max().unwrap_or(0));
    let bits = [8, 10, 12, 14]
        .into_iter()
        .find(|bits| largest < 1 << bits)
        .unwrap_or(16);
    (1 << bits) - 1
}

fn scale(value: u16, top: u32) -> u8 {
    ((u32::from(value) * 255 + top / 2) / top) as u8
}

fn rgb_or_luma(rgb: Vec<u8>) -> Pixels {
    let grey = rgb.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]);
    if grey {
        Pixels::Luma(rgb.chunks_exact(3).map(|p| p[0]).collect())
    } else {
        Pixels::Rgb(rgb)
    }
}

/// An image of one value shows nothing, and one of two values has no shades of grey: it
/// was made by a fax or a threshold, whatever it is stored as.
fn refuse_blank(pixels: &Pixels) -> Result<(), Refusal> {
    let (bytes, group) = match pixels {
        Pixels::Luma(bytes) => (bytes, 1),
        Pixels::Rgb(bytes) => (bytes, 3),
    };
    let mut pixels = bytes.chunks_exact(group);
    let first = &bytes[..group];
    let Some(second) = pixels.find(|pixel| *pixel != first) else {
        return Err(Refusal::new(
            RefusalCode::Blank,
            format!("every pixel has the value {first:?}"),
            "check that the unit exposed and exported an image",
        ));
    };
    if pixels.any(|pixel| pixel != first && pixel != second) {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::OneBit,
        format!("an image of 1 bit: every pixel has the value {first:?} or {second:?}"),
        "export the image with its shades of grey, 8 bits or more",
    ))
}

#[cfg(test)]
mod tests {
    use super::{full_scale, scale};

    #[test]
    fn sixteen_bits_of_an_eight_bit_picture_give_it_back() {
        let top = full_scale(&[0, 255 * 257]);
        for value in 0..=255u16 {
            assert_eq!(scale(value * 257, top), value as u8);
        }
    }

    #[test]
    fn twelve_bits_fill_the_scale() {
        assert_eq!(scale(4095, full_scale(&[4095, 17])), 255);
        assert_eq!(scale(4095, full_scale(&[4096])), 64);
    }
}
