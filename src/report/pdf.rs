//! The one-page report as PDF: the page's picture on a sheet of A4, for systems that file
//! documents and not pictures.

use miniz_oxide::deflate::compress_to_vec_zlib;
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, TextStr};

use super::case::{Case, NotWritten};
use super::page::page;
use crate::case::SOFTWARE;

/// A4 in points.
const SHEET: [f32; 2] = [595.0, 842.0];
/// How hard the picture is compressed, of 10; more takes longer than it saves.
const EFFORT: u8 = 6;

/// The page as a PDF file.
///
/// # Errors
/// As [`page`].
pub fn pdf(case: &Case<'_>) -> Result<Vec<u8>, NotWritten> {
    let picture = page(case)?;
    let [catalog, pages, sheet, image, content, about] = [1, 2, 3, 4, 5, 6].map(Ref::new);
    let name = Name(b"Page");
    let mut file = Pdf::new();
    file.catalog(catalog).pages(pages);
    file.pages(pages).kids([sheet]).count(1);
    let mut leaf = file.page(sheet);
    leaf.parent(pages).contents(content);
    leaf.media_box(Rect::new(0.0, 0.0, SHEET[0], SHEET[1]));
    leaf.resources().x_objects().pair(name, image);
    leaf.finish();
    let pixels = compress_to_vec_zlib(picture.as_raw(), EFFORT);
    let mut object = file.image_xobject(image, &pixels);
    object.filter(Filter::FlateDecode);
    object.width(picture.width() as i32);
    object.height(picture.height() as i32);
    object.color_space().device_rgb();
    object.bits_per_component(8);
    object.finish();
    let mut drawing = Content::new();
    drawing.transform([SHEET[0], 0.0, 0.0, SHEET[1], 0.0, 0.0]);
    drawing.x_object(name);
    file.stream(content, &drawing.finish());
    file.document_info(about)
        .title(TextStr(case.title))
        .creator(TextStr(SOFTWARE))
        .subject(TextStr(&case.limits()))
        .keywords(TextStr(&case.anatomy().words().unwrap_or_default()));
    Ok(file.finish())
}
