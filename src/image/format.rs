//! What a file is, by its first bytes: an image that is read here, an image of another
//! kind, or none. Called for every file before it is decoded, and for every file of a
//! folder. Never looks at a name, and never says that a file is whole.

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush};

use super::{dicom, pnm};

pub use super::unread::Unread;

/// First bytes that are enough to tell a file's kind.
pub const ENOUGH: usize = 4096;

/// A format that is read here, apart from DICOM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// PNG, animated or not.
    Png,
    /// JPEG.
    Jpeg,
    /// PBM, PGM, PPM, PAM.
    Pnm,
    /// TIFF and BigTIFF.
    Tiff,
    /// BMP.
    Bmp,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A DICOM object, with its whole head or without.
    Dicom,
    /// Another image that is read.
    Read(Format),
    /// An image or a film that is not.
    Unread(Unread),
    /// A file of DICOM that holds no picture: what it holds.
    NoPicture(&'static str),
    /// No image that anyone knows here.
    Unknown,
}

impl Kind {
    /// By the first [`ENOUGH`] bytes of a file, or all of it.
    pub fn of(bytes: &[u8]) -> Self {
        match Self::of_plain(bytes) {
            Self::Unknown => packed(bytes).map_or(Self::Unknown, Self::Unread),
            kind => kind,
        }
    }

    fn of_plain(bytes: &[u8]) -> Self {
        // A meta group may be long; all others say at once what they are.
        let head = &bytes[..bytes.len().min(ENOUGH)];
        if dicom::is_dicom(bytes) {
            return match dicom::no_picture(bytes) {
                Some(what) => Self::NoPicture(what),
                None => Self::Dicom,
            };
        }
        match read_here(head) {
            Some(format) => Self::Read(format),
            None => unread(head).map_or(Self::Unknown, Self::Unread),
        }
    }

    /// Whether it is an image of whatever kind.
    pub fn is_image(self) -> bool {
        matches!(self, Self::Dicom | Self::Read(_) | Self::Unread(_))
    }
}

fn read_here(head: &[u8]) -> Option<Format> {
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
    const JPEG: &[u8] = b"\xff\xd8\xff";
    const TIFF: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
    match head {
        _ if head.starts_with(PNG) => Some(Format::Png),
        _ if head.starts_with(JPEG) => Some(Format::Jpeg),
        _ if TIFF.iter().any(|magic| head.starts_with(magic)) => Some(Format::Tiff),
        _ if pnm::is_pnm(head) => Some(Format::Pnm),
        _ if is_bmp(head) => Some(Format::Bmp),
        _ => None,
    }
}

/// Two letters are few: the length of the second header must be one that there is.
fn is_bmp(head: &[u8]) -> bool {
    const HEADERS: [u32; 8] = [12, 16, 40, 52, 56, 64, 108, 124];
    let length = head.get(14..18).and_then(|four| four.try_into().ok());
    head.starts_with(b"BM")
        && length.is_some_and(|four| HEADERS.contains(&u32::from_le_bytes(four)))
}

const CONVERT: &str = "save it as PNG: `magick FILE out.png` does it";

const fn other(what: &'static str) -> Unread {
    Unread {
        what,
        help: CONVERT,
    }
}

const JPEG_XL: Unread = Unread {
    what: "a JPEG XL image",
    help: "save it as PNG: `djxl FILE out.png` does it",
};
const QOI: Unread = Unread {
    what: "a QOI image",
    help: "save it as PNG: `ffmpeg -i FILE out.png` does it",
};
const HEIF: Unread = Unread {
    what: "a HEIC/HEIF image",
    help: "save it as PNG: `heif-convert FILE out.png` does it, or set the camera to JPEG",
};
const GIF: Unread = Unread {
    what: "a GIF image",
    help: "save the picture that is meant as PNG: `magick 'FILE[0]' out.png` takes the first",
};
const SVG: Unread = Unread {
    what: "an SVG drawing",
    help: "give the image itself; a drawing is no radiograph or scan",
};
const VIDEO: Unread = Unread {
    what: "a video",
    help: "export the still image that is meant as DICOM or PNG; `ffmpeg -ss SECONDS -i FILE \
           -frames:v 1 out.png` takes one out of it",
};
const DOCUMENT: Unread = Unread {
    what: "a PDF document",
    help: "export the image itself as DICOM or PNG; `pdfimages -png FILE out` takes the images \
           out of it",
};
const POSTSCRIPT: Unread = Unread {
    what: "a PostScript document",
    help: "export the image itself as DICOM or PNG",
};
const VOLUME: Unread = Unread {
    what: "a NIfTI volume",
    help: "export the slice that is meant as DICOM or PNG from a viewer, such as MRIcroGL",
};
const OTHER_VOLUME: Unread = Unread {
    what: "a volume (NRRD, MetaImage, MINC or Analyze)",
    help: "export the slice that is meant as DICOM or PNG from a viewer, such as 3D Slicer",
};
pub(super) const RAW: Unread = Unread {
    what: "a camera's raw image",
    help: "give the image of the X-ray or ultrasound unit itself, not a photograph of it",
};
const PACKED: Unread = Unread {
    what: "an image packed with gzip",
    help: "unpack it: `gunzip FILE` does it",
};

/// What a file of these kinds begins with.
const BEGINNINGS: [(&[u8], Unread); 44] = [
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"\0\0\0\x0cjP  \r\n\x87\n", other("a JPEG 2000 image")),
    (b"\xff\x4f\xff\x51", other("a JPEG 2000 codestream")),
    (b"\0\0\0\x0cJXL \r\n\x87\n", JPEG_XL),
    (b"\xff\x0a", JPEG_XL),
    (b"II\xbc\x01", other("a JPEG XR image")),
    (b"8BPS", other("a Photoshop document")),
    (b"gimp xcf", other("a GIMP document")),
    (b"qoif", QOI),
    (b"FLIF", other("a FLIF image")),
    (b"BPG\xfb", other("a BPG image")),
    (b"v/1\x01", other("an OpenEXR image")),
    (b"#?RADIANCE", other("a Radiance HDR image")),
    (b"DDS ", other("a DirectDraw surface")),
    (b"farbfeld", other("a farbfeld image")),
    (b"PF\n", other("a PFM image")),
    (b"Pf\n", other("a PFM image")),
    (b"icns", other("an icon")),
    (b"\x59\xa6\x6a\x95", other("a Sun raster image")),
    (b"\x01\xda\x01", other("an SGI image")),
    (b"\x01\xda\0", other("an SGI image")),
    (b"\x0a\x05\x01", other("a PCX image")),
    (b"/* XPM */", other("an XPM image")),
    (b"AT&TFORM", other("a DjVu document")),
    (b"SIMPLE  =", other("a FITS image")),
    (b"\x8aMNG\r\n\x1a\n", other("an MNG animation")),
    (b"\x8bJNG\r\n\x1a\n", other("a JNG image")),
    (b"%PDF-", DOCUMENT),
    (b"%!PS", POSTSCRIPT),
    (b"\xc5\xd0\xd3\xc6", POSTSCRIPT),
    (b"FUJIFILMCCD-RAW", RAW),
    (b"IIRO", RAW),
    (b"IIRS", RAW),
    (b"MMOR", RAW),
    (b"IIU\0", RAW),
    (b"FOVb", RAW),
    (b"\0MRM", RAW),
    (b"II\x1a\0\0\0HEAP", RAW),
    (b"NRRD000", OTHER_VOLUME),
    (b"ObjectType = Image", OTHER_VOLUME),
    (b"\x1a\x45\xdf\xa3", VIDEO),
    (b"\0\0\x01\xba", VIDEO),
    (b"\0\0\x01\xb3", VIDEO),
];

fn unread(head: &[u8]) -> Option<Unread> {
    let begins = |(beginning, _): &&(&[u8], Unread)| head.starts_with(beginning);
    let by_beginning = || BEGINNINGS.iter().find(begins).map(|(_, unread)| *unread);
    in_riff(head)
        .or_else(|| in_boxes(head))
        .or_else(|| volume(head))
        .or_else(by_beginning)
        .or_else(|| drawing(head))
        .or_else(|| icon(head))
}

fn in_riff(head: &[u8]) -> Option<Unread> {
    match (head.get(..4)?, head.get(8..12)?) {
        (b"RIFF", b"WEBP") => Some(other("a WebP image")),
        (b"RIFF", b"AVI ") => Some(VIDEO),
        _ => None,
    }
}

/// The ISO base media format: the brands of its first box say what it is (ISO 14496-12, 4.3).
fn in_boxes(head: &[u8]) -> Option<Unread> {
    if head.get(4..8)? != b"ftyp" {
        return None;
    }
    let length = u32::from_be_bytes(head.get(..4)?.try_into().ok()?) as usize;
    let brands = head.get(8..length.clamp(12, head.len().max(12)))?;
    let (brands, _) = brands.as_chunks::<4>();
    let has = |brand: &[u8; 4]| brands.contains(brand);
    Some(match brands.first()? {
        b"crx " => RAW,
        _ if has(b"avif") || has(b"avis") => other("an AVIF image"),
        _ if has(b"jxl ") => JPEG_XL,
        _ if has(b"mif1") || has(b"msf1") || has(b"heic") || has(b"heix") => HEIF,
        b"heim" | b"heis" | b"hevc" | b"hevx" => HEIF,
        _ => VIDEO,
    })
}

/// NIfTI by its magic word, Analyze by the length of its header, MINC by what it is kept in.
fn volume(head: &[u8]) -> Option<Unread> {
    const NIFTI: [&[u8]; 2] = [b"n+1\0", b"ni1\0"];
    const NIFTI_2: [&[u8]; 2] = [b"n+2\0", b"ni2\0"];
    let length: [u8; 4] = head.get(..4)?.try_into().ok()?;
    let is_long = |bytes: u32| length == bytes.to_le_bytes() || length == bytes.to_be_bytes();
    if is_long(540) && NIFTI_2.contains(&head.get(4..8)?) {
        return Some(VOLUME);
    }
    if is_long(348) && head.len() >= 348 {
        let is_nifti = NIFTI.contains(&&head[344..348]);
        return Some(if is_nifti { VOLUME } else { OTHER_VOLUME });
    }
    let is_minc = head.starts_with(b"CDF\x01") && contains(head, b"MINC");
    is_minc.then_some(OTHER_VOLUME)
}

fn drawing(head: &[u8]) -> Option<Unread> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let is_markup = text.trim_ascii_start().starts_with(b"<");
    // A page of the web may have drawings in it.
    let is_page = contains(head, b"<html") || contains(head, b"<HTML");
    (is_markup && !is_page && contains(head, b"<svg")).then_some(SVG)
}

/// Few bytes say that a file is one of these, so that their head must make sense.
fn icon(head: &[u8]) -> Option<Unread> {
    let is_icon = matches!(head, [0, 0, 1, 0, 1..=64, 0, _, _, _, 0, ..]);
    if is_icon {
        return Some(other("an icon"));
    }
    let is_array = head.starts_with(b"BA") && head.get(14..16) == Some(b"BM");
    is_array.then(|| other("an OS/2 bitmap array"))
}

/// What a file that is packed with gzip (RFC 1952) begins with, where that is an image.
fn packed(head: &[u8]) -> Option<Unread> {
    match Kind::of_plain(&gunzipped(head)?) {
        Kind::Unread(VOLUME) => Some(VOLUME),
        kind => kind.is_image().then_some(PACKED),
    }
}

fn gunzipped(head: &[u8]) -> Option<Vec<u8>> {
    const FIXED: usize = 10;
    const CHECKED: u8 = 2;
    const EXTRA: u8 = 4;
    const NAMED: u8 = 8;
    const COMMENT: u8 = 16;
    let [0x1f, 0x8b, 8, flags, ..] = *head else {
        return None;
    };
    let mut rest = head.get(FIXED..)?;
    if flags & EXTRA != 0 {
        let length = u16::from_le_bytes(rest.get(..2)?.try_into().ok()?);
        rest = rest.get(2 + usize::from(length)..)?;
    }
    for text in [NAMED, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|&byte| byte == 0)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & CHECKED != 0 {
        rest = rest.get(2..)?;
    }
    let mut state = InflateState::new_boxed(DataFormat::Raw);
    let mut inner = vec![0; ENOUGH];
    let done = inflate(&mut state, rest, &mut inner, MZFlush::None);
    inner.truncate(done.bytes_written);
    Some(inner)
}

fn contains(head: &[u8], word: &[u8]) -> bool {
    head.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(head: &[u8]) -> &'static str {
        match Kind::of(head) {
            Kind::Dicom => "DICOM",
            Kind::Read(Format::Png) => "PNG",
            Kind::Read(Format::Jpeg) => "JPEG",
            Kind::Read(Format::Pnm) => "PNM",
            Kind::Read(Format::Tiff) => "TIFF",
            Kind::Read(Format::Bmp) => "BMP",
            Kind::Unread(unread) => unread.what,
            Kind::NoPicture(what) => what,
            Kind::Unknown => "unknown",
        }
    }

    #[test]
    fn first_bytes_tell_the_kind() {
        let nifti = |magic: &[u8]| [&348u32.to_le_bytes()[..], &[0; 340], magic].concat();
        let bmp = |length: u32| [&b"BM"[..], &[0; 12], &length.to_le_bytes()].concat();
        for (head, name) in [
            (&b"P5 3 3 255\n"[..], "PNM"),
            (b"P2\n# made by hand\n# twice\n3 3", "PNM"),
            (b"P7\nWIDTH 3\n", "PNM"),
            (b"P5", "unknown"),
            (b"P5 is the fifth patient", "unknown"),
            (b"P8 3 3", "unknown"),
            (&bmp(40), "BMP"),
            (&bmp(41), "unknown"),
            (b"MM\0*\0\0\0\x08", "TIFF"),
            (b"MM\0+\0\x08", "TIFF"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "a WebP image"),
            (b"RIFF\x10\0\0\0WAVEfmt ", "unknown"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC/HEIF image"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "an AVIF image"),
            (b"\0\0\0\x14ftypisom\0\0\0\0mp41", "a video"),
            (b"\0\0\0\x14ftypcrx \0\0\0\0isom", "a camera's raw image"),
            (b"\0\0\0\0ftyp", "unknown"),
            (&nifti(b"n+1\0"), "a NIfTI volume"),
            (&nifti(b"\0\0\0\0"), OTHER_VOLUME.what),
            (b"<?xml version=\"1.0\"?>\n<svg xmlns=", "an SVG drawing"),
            (b"<!doctype html><html><body><svg>", "unknown"),
            (b"%PDF-1.7", "a PDF document"),
            (b"name,age\n", "unknown"),
            (b"PK\x03\x04", "unknown"),
            (b"BANANA,1\n", "unknown"),
            (b"", "unknown"),
        ] {
            assert_eq!(named(head), name, "{:?}", head.escape_ascii().to_string());
        }
    }

    #[test]
    fn what_is_packed_is_looked_into_once() {
        let pack = |inner: &[u8]| {
            let head = b"\x1f\x8b\x08\x08\0\0\0\0\0\x03a name\0";
            let deflated = miniz_oxide::deflate::compress_to_vec(inner, 6);
            [&head[..], &deflated].concat()
        };
        let nifti = [&348u32.to_le_bytes()[..], &[0; 340], b"n+1\0"].concat();
        assert_eq!(named(&pack(&nifti)), VOLUME.what);
        let png = [&b"\x89PNG\r\n\x1a\n"[..], &[7; 9000]].concat();
        assert_eq!(named(&pack(&png)), PACKED.what);
        assert_eq!(named(&pack(b"a list of names")), "unknown");
        assert_eq!(named(&pack(&pack(&png))), "unknown");
        assert_eq!(named(b"\x1f\x8b\x08\x04\0\0"), "unknown");
    }
}
