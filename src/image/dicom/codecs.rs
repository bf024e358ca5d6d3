//! The ways of compressing: the bytes of one frame, its transfer syntax and what the header says
//! of the pixels come in, samples side by side come out (PS3.5, 8.2 and annex A).
//!
//! Called by `stored`, which knows what the samples mean. Never gives a picture of another size
//! than the header says, and says where a decoder has converted colours already.

use std::io::Cursor;

use dicom_dictionary_std::uids;
use jpeg_decoder::PixelFormat;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::file_meta::EXPLICIT_BIG_ENDIAN;
use super::layout::{Decoded, Layout, MOST_SAMPLES, NoValues, broken, contradicted, patterns};
use super::{jpeg_ls, rle};
use crate::image::jpeg;

/// A JPEG 2000 codestream's first two markers.
const CODESTREAM_2000: [u8; 4] = [0xff, 0x4f, 0xff, 0x51];

/// Decodes the bytes of one frame, whatever they were compressed with.
pub(super) fn decode(syntax: &str, layout: &Layout, data: &[u8]) -> Result<Decoded, NoValues> {
    match syntax {
        uids::RLE_LOSSLESS => {
            let bytes = rle::decode(data, layout.pixels(), layout.samples, layout.bytes())
                .map_err(broken)?;
            Ok(Decoded {
                patterns: patterns(&bytes, layout, false),
                bits: None,
                is_rgb: false,
            })
        }
        uids::JPEG_BASELINE8_BIT
        | uids::JPEG_EXTENDED12_BIT
        | uids::JPEG_LOSSLESS
        | uids::JPEG_LOSSLESS_SV1 => classic_jpeg(layout, data),
        uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => {
            let picture = jpeg_ls::decode(data, MOST_SAMPLES).map_err(|fault| match fault {
                jpeg_ls::Fault::Damaged(why) => broken(why),
                jpeg_ls::Fault::Unread(what) => NoValues::Unsupported(format!("JPEG-LS: {what}")),
                jpeg_ls::Fault::TooMany(what) => NoValues::TooMany(what),
            })?;
            same_size(layout, picture.width, picture.height, picture.components)?;
            Ok(Decoded {
                patterns: picture.samples.into_iter().map(u32::from).collect(),
                bits: None,
                is_rgb: false,
            })
        }
        uids::JPEG2000_LOSSLESS
        | uids::JPEG2000
        | uids::HTJ2K_LOSSLESS
        | uids::HTJ2K_LOSSLESS_RPCL
        | uids::HTJ2K => jpeg_2000(layout, data),
        uids::IMPLICIT_VR_LITTLE_ENDIAN | uids::EXPLICIT_VR_LITTLE_ENDIAN | EXPLICIT_BIG_ENDIAN => {
            Err(NoValues::Unsupported(
                "the pixel data is compressed, and no transfer syntax says how".to_owned(),
            ))
        }
        other => Err(NoValues::Unsupported(format!(
            "transfer syntax {} is not decoded",
            name_of(other)
        ))),
    }
}

/// The transfer syntax's name, and its UID where it has none.
pub(super) fn name_of(uid: &str) -> String {
    use dicom_encoding::TransferSyntaxIndex;
    dicom_transfer_syntax_registry::TransferSyntaxRegistry
        .get(uid)
        .map_or_else(
            || uid.to_owned(),
            |syntax| format!("{} ({uid})", syntax.name()),
        )
}

fn same_size(
    layout: &Layout,
    width: usize,
    height: usize,
    components: usize,
) -> Result<(), NoValues> {
    if (width, height, components) == (layout.columns, layout.rows, layout.samples) {
        return Ok(());
    }
    Err(contradicted(format!(
        "the compressed picture is {width} x {height} with {components} components; the header \
         says {} x {} with {}",
        layout.columns, layout.rows, layout.samples
    )))
}

/// ITU-T T.81: baseline, extended with 8 bits, and lossless.
fn classic_jpeg(layout: &Layout, data: &[u8]) -> Result<Decoded, NoValues> {
    let Some(coding) = jpeg::coding(data) else {
        return Err(broken("the JPEG ends before its end-of-image marker"));
    };
    if coding.is_lossless {
        return lossless_jpeg(layout, data);
    }
    if coding.precision != 8 {
        let bits = coding.precision;
        return Err(NoValues::Unsupported(format!(
            "the JPEG has {bits} bits a sample, and is not lossless"
        )));
    }
    lossy_jpeg(layout, data, coding.says_colours)
}

/// By `zune-jpeg`, which starts no threads: a decoder that did would be ended.
fn lossy_jpeg(layout: &Layout, data: &[u8], says_colours: bool) -> Result<Decoded, NoValues> {
    let failed = |error: DecodeErrors| match error {
        DecodeErrors::Unsupported(what) => NoValues::Unsupported(format!("the JPEG uses {what:?}")),
        other => broken(other.to_string()),
    };
    let options = DecoderOptions::new_safe()
        .set_strict_mode(true)
        .set_max_width(u16::MAX.into())
        .set_max_height(u16::MAX.into());
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(data), options);
    decoder.decode_headers().map_err(failed)?;
    let no_head = || broken("no frame header");
    let head = decoder.info().ok_or_else(no_head)?;
    let components = usize::from(head.components);
    same_size(layout, head.width.into(), head.height.into(), components)?;
    let said = match decoder.input_colorspace().ok_or_else(no_head)? {
        // By Adobe's marker alone, which has one number for both; the decoder sees it later.
        ColorSpace::CMYK if components == 3 => ColorSpace::RGB,
        ColorSpace::YCCK if components == 3 => ColorSpace::YCbCr,
        said => said,
    };
    // The codestream's own word on its colours comes before the header's.
    let is_ybr = match says_colours {
        true => said == ColorSpace::YCbCr,
        false => layout.model.starts_with("YBR_FULL"),
    };
    let converts = is_ybr && said == ColorSpace::YCbCr;
    let options = options.jpeg_set_out_colorspace(if converts { ColorSpace::RGB } else { said });
    let bytes = JpegDecoder::new_with_options(ZCursor::new(data), options)
        .decode()
        .map_err(failed)?;
    Ok(Decoded {
        patterns: bytes.into_iter().map(u32::from).collect(),
        bits: None,
        is_rgb: converts || !is_ybr,
    })
}

/// Of one to three components of up to 16 bits, none of which any decoder converts.
fn lossless_jpeg(layout: &Layout, data: &[u8]) -> Result<Decoded, NoValues> {
    let mut decoder = jpeg_decoder::Decoder::new(Cursor::new(data));
    let failed = |error: jpeg_decoder::Error| match error {
        jpeg_decoder::Error::Unsupported(what) => {
            NoValues::Unsupported(format!("the JPEG uses {what:?}"))
        }
        other => broken(other.to_string()),
    };
    let bytes = decoder.decode().map_err(failed)?;
    let info = decoder.info().ok_or_else(|| broken("no frame header"))?;
    let (components, wide) = match info.pixel_format {
        PixelFormat::L8 => (1, false),
        PixelFormat::L16 => (1, true),
        PixelFormat::RGB24 => (3, false),
        PixelFormat::CMYK32 => (4, false),
    };
    same_size(layout, info.width.into(), info.height.into(), components)?;
    let patterns = if wide {
        let pairs = bytes.chunks_exact(2);
        pairs
            .map(|b| u32::from(u16::from_ne_bytes([b[0], b[1]])))
            .collect()
    } else {
        bytes.into_iter().map(u32::from).collect()
    };
    Ok(Decoded {
        patterns,
        bits: None,
        is_rgb: false,
    })
}

/// ISO/IEC 15444-1 and, for high throughput, 15444-15.
fn jpeg_2000(layout: &Layout, data: &[u8]) -> Result<Decoded, NoValues> {
    let strict = jpeg2k::DecodeParameters::new().strict(true);
    let image = jpeg2k::Image::from_bytes_with(data, strict)
        .map_err(|error| broken(format!("JPEG 2000: {error}")))?;
    let components = image.components();
    let Some(first) = components.first() else {
        return Err(broken("JPEG 2000: no component"));
    };
    let (width, height) = (first.width() as usize, first.height() as usize);
    same_size(layout, width, height, components.len())?;
    if components.iter().any(|c| c.data().len() != layout.pixels()) {
        return Err(NoValues::Unsupported(
            "JPEG 2000 with subsampled components".to_owned(),
        ));
    }
    let planes: Vec<&[i32]> = components.iter().map(|c| c.data()).collect();
    let patterns = (0..layout.pixels())
        .flat_map(|i| planes.iter().map(move |plane| plane[i].cast_unsigned()))
        .collect();
    Ok(Decoded {
        patterns,
        // Where the header and the codestream differ, the sign bit is the codestream's.
        bits: Some(first.precision()).filter(|bits| (1..=32).contains(bits)),
        is_rgb: has_own_transform(data),
    })
}

/// Whether the codestream made its components of RGB, and the decoder RGB of them again
/// (ISO/IEC 15444-1, A.6.1: the multiple component transformation of the COD marker).
fn has_own_transform(data: &[u8]) -> bool {
    const COD: [u8; 2] = [0xff, 0x52];
    // Behind the marker: length, style of coding, progression, layers.
    const TRANSFORM: usize = 8;
    let main = data.windows(4).position(|four| four == CODESTREAM_2000);
    let Some(mut at) = main.map(|start| start + 2) else {
        return false;
    };
    while let Some(&[mark, kind, high, low]) = data.get(at..at + 4) {
        if [mark, kind] == COD {
            return data.get(at + TRANSFORM) == Some(&1);
        }
        if mark != 0xff {
            return false;
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    false
}
