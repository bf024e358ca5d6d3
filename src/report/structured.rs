//! DICOM Structured Report: the finding as a measurement report (PS3.16, TID 1500), in a
//! Comprehensive SR document.
//!
//! Classes, probabilities and triage levels have no codes of a public scheme for an
//! algorithm's answer; they stand in the private scheme `99MEDFOCUS`, whose meanings are
//! the bundle's labels.

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use super::case::{Case, NotWritten};
use super::object::{Element, Kind, SCHEME, code, file, object, sequence, text};
use crate::case::{Laterality, SOFTWARE};
use crate::image::dicom::anatomy::{region_code, side_code, view_code};

const KIND: Kind = Kind {
    class: uids::COMPREHENSIVE_SR_STORAGE,
    modality: "SR",
    name: "report",
    is_image: false,
    option: ("113104", "Clean Structured Content Option"),
};

/// The finding as a structured report's file.
///
/// # Errors
/// [`NotWritten`].
pub fn structured_report(case: &Case<'_>) -> Result<Vec<u8>, NotWritten> {
    let mut data = case.common(&KIND);
    let empty = |tag| sequence(tag, Vec::new());
    for element in [
        text(tags::COMPLETION_FLAG, VR::CS, "COMPLETE"),
        text(tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED"),
        text(tags::PRELIMINARY_FLAG, VR::CS, "PRELIMINARY"),
        empty(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE),
        empty(tags::PERFORMED_PROCEDURE_CODE_SEQUENCE),
    ] {
        data.put(element);
    }
    let of_source = [case.evidence(), case.referenced_request()];
    for element in of_source.into_iter().flatten() {
        data.put(element);
    }
    let scheme = object(vec![
        text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, SCHEME),
        text(
            tags::CODING_SCHEME_NAME,
            VR::ST,
            "Exams, classes and levels of medfocus bundles",
        ),
    ]);
    data.put(sequence(
        tags::CODING_SCHEME_IDENTIFICATION_SEQUENCE,
        vec![scheme],
    ));
    data.put(text(tags::VALUE_TYPE, VR::CS, "CONTAINER"));
    data.put(named(dcm("126000", "Imaging Measurement Report")));
    data.put(text(tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE"));
    data.put(template("1500"));
    data.put(sequence(tags::CONTENT_SEQUENCE, content(case)));
    file(data)
}

fn content(case: &Case<'_>) -> Vec<InMemDicomObject> {
    let language = dcm("121049", "Language of Content Item and Descendants");
    let procedure = code("363679005", "SCT", "Imaging procedure");
    let mut items = vec![
        coded(
            "HAS CONCEPT MOD",
            language,
            code("en", "RFC5646", "English"),
        ),
        coded(
            "HAS OBS CONTEXT",
            dcm("121005", "Observer Type"),
            dcm("121007", "Device"),
        ),
        uid_item(
            "HAS OBS CONTEXT",
            dcm("121012", "Device Observer UID"),
            case.uid("observer"),
        ),
        text_item(
            "HAS OBS CONTEXT",
            dcm("121013", "Device Observer Name"),
            "medfocus",
        ),
        text_item(
            "HAS OBS CONTEXT",
            dcm("121014", "Device Observer Manufacturer"),
            "medfocus",
        ),
        text_item(
            "HAS OBS CONTEXT",
            dcm("121015", "Device Observer Model Name"),
            SOFTWARE,
        ),
        coded(
            "HAS CONCEPT MOD",
            dcm("121058", "Procedure reported"),
            procedure,
        ),
    ];
    if let Some(reference) = case.reference() {
        let mut shown = anatomy(case, "HAS ACQ CONTEXT");
        shown.push(image_item("CONTAINS", reference));
        let group = container("CONTAINS", dcm("126200", "Image Library Group"), shown);
        items.push(container(
            "CONTAINS",
            dcm("111028", "Image Library"),
            vec![group],
        ));
    }
    let measurements = dcm("126010", "Imaging Measurements");
    items.push(container(
        "CONTAINS",
        measurements,
        vec![measurement_group(case)],
    ));
    items.push(evaluations(case));
    items
}

/// The finding, how it was found and where (TID 1501).
fn measurement_group(case: &Case<'_>) -> InMemDicomObject {
    let finding = case.finding;
    let class = own(
        &format!("{}.{}", finding.exam, finding.class().class),
        &finding.class().label,
    );
    let tracking = dcm("112040", "Tracking Unique Identifier");
    let parameters = format!(
        "focus {}, SHA-256 of the bundle {}",
        finding.focus,
        case.bundle().sha256
    );
    let version = format!("{} {}", case.bundle().name, case.bundle().version);
    let mut items = vec![
        text_item(
            "HAS OBS CONTEXT",
            dcm("112039", "Tracking Identifier"),
            &finding.exam,
        ),
        uid_item("HAS OBS CONTEXT", tracking, case.uid("tracking")),
        coded("CONTAINS", dcm("121071", "Finding"), class),
        text_item("HAS CONCEPT MOD", dcm("111001", "Algorithm Name"), SOFTWARE),
        text_item(
            "HAS CONCEPT MOD",
            dcm("111003", "Algorithm Version"),
            &version,
        ),
        text_item(
            "HAS CONCEPT MOD",
            dcm("111002", "Algorithm Parameters"),
            &parameters,
        ),
    ];
    items.extend(site(case));
    items.extend(region(case));
    items.extend(finding.probabilities.iter().map(|p| {
        let name = own(
            &format!("{}.{}.p", finding.exam, p.class),
            &format!("Probability of {}", p.label),
        );
        number_item(name, p.probability, code("1", "UCUM", "no units"))
    }));
    if let Some(set) = &finding.prediction_set {
        let percent = set.percent();
        let name = format!("Classes that hold the true one in {percent} % of cases");
        let name = own(&format!("{}.set", finding.exam), &name);
        items.push(text_item("CONTAINS", name, &set.words()));
    }
    let area = own("region.share", "Share of the image inside the region");
    items.push(number_item(
        area,
        finding.mask.area_fraction,
        code("1", "UCUM", "no units"),
    ));
    let mut group = container("CONTAINS", dcm("125007", "Measurement Group"), items);
    group.put(template("1501"));
    group
}

/// What of the body the image shows (TID 1602).
fn anatomy(case: &Case<'_>, relation: &str) -> Vec<InMemDicomObject> {
    let anatomy = case.anatomy();
    let part = anatomy.body_part.as_deref().map(region_concept);
    let view = anatomy.view.as_deref();
    let shown = [
        (dcm("123014", "Target Region"), part),
        (
            dcm("111027", "Image Laterality"),
            anatomy.laterality.map(side_concept),
        ),
        (dcm("111031", "Image View"), view.map(view_concept)),
    ];
    let item = |(name, value): (_, Option<_>)| Some(coded(relation, name, value?));
    shown.into_iter().filter_map(item).collect()
}

/// Where the finding is, with its side (TID 1501).
fn site(case: &Case<'_>) -> Option<InMemDicomObject> {
    let anatomy = case.anatomy();
    let side = anatomy.laterality.map(|side| {
        let name = code("272741003", "SCT", "Laterality");
        coded("HAS CONCEPT MOD", name, side_concept(side))
    });
    let Some(part) = anatomy.body_part else {
        return side;
    };
    let name = code("363698007", "SCT", "Finding Site");
    let mut site = coded("HAS CONCEPT MOD", name, region_concept(&part));
    if let Some(side) = side {
        site.put(sequence(tags::CONTENT_SEQUENCE, vec![side]));
    }
    Some(site)
}

fn region_concept(part: &str) -> InMemDicomObject {
    match region_code(part) {
        Some(sct) => code(sct, "SCT", part),
        None => own(part, part),
    }
}

fn view_concept(view: &str) -> InMemDicomObject {
    match view_code(view) {
        Some(sct) => code(sct, "SCT", view),
        None => own(view, view),
    }
}

/// PS3.16, CID 244, which has no code for what there is one of.
fn side_concept(side: Laterality) -> InMemDicomObject {
    match side_code(side) {
        Some((sct, meaning)) => code(sct, "SCT", meaning),
        None => own(side.word(), side.name()),
    }
}

/// The region's bounding box as a closed line in the object's own pixels.
fn region(case: &Case<'_>) -> Option<InMemDicomObject> {
    let (origin, reference) = (case.origin()?, case.reference()?);
    let [x, y, width, height] = case.finding.mask.bbox;
    if width == 0 || height == 0 {
        return None;
    }
    let [columns, rows] = origin.size.map(|side| side as f32);
    let across = columns / case.image.width as f32;
    let down = rows / case.image.height as f32;
    let (left, top) = (x as f32 * across, y as f32 * down);
    let (right, bottom) = ((x + width) as f32 * across, (y + height) as f32 * down);
    let corners = [
        left, top, right, top, right, bottom, left, bottom, left, top,
    ];
    let points = PrimitiveValue::F32(corners.into_iter().collect());
    let mut item = item("CONTAINS", "SCOORD", dcm("111030", "Image Region"));
    item.put(text(tags::GRAPHIC_TYPE, VR::CS, "POLYLINE"));
    item.put(DataElement::new(tags::GRAPHIC_DATA, VR::FL, points));
    let selected = image_item("SELECTED FROM", reference);
    item.put(sequence(tags::CONTENT_SEQUENCE, vec![selected]));
    Some(item)
}

/// Triage level, limits and what else a reader must know.
fn evaluations(case: &Case<'_>) -> InMemDicomObject {
    let level = case.finding.triage_level.word();
    let mut items = vec![
        coded(
            "CONTAINS",
            own("triage", "Triage level"),
            own(&format!("triage.{level}"), level),
        ),
        text_item("CONTAINS", own("limits", "Limits of use"), &case.limits()),
        text_item(
            "CONTAINS",
            own("image.sha256", "SHA-256 of the image's file"),
            &case.image.sha256.to_string(),
        ),
    ];
    let notes = case.finding.reasons.iter();
    items.extend(notes.map(|note| text_item("CONTAINS", own("note", "Note"), note)));
    container(
        "CONTAINS",
        code("C0034375", "UMLS", "Qualitative Evaluations"),
        items,
    )
}

fn dcm(value: &str, meaning: &str) -> InMemDicomObject {
    code(value, "DCM", meaning)
}

fn own(value: &str, meaning: &str) -> InMemDicomObject {
    code(value, SCHEME, meaning)
}

fn named(name: InMemDicomObject) -> Element {
    sequence(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![name])
}

fn template(number: &str) -> Element {
    let template = object(vec![
        text(tags::MAPPING_RESOURCE, VR::CS, "DCMR"),
        text(tags::TEMPLATE_IDENTIFIER, VR::CS, number),
    ]);
    sequence(tags::CONTENT_TEMPLATE_SEQUENCE, vec![template])
}

fn item(relation: &str, kind: &str, name: InMemDicomObject) -> InMemDicomObject {
    object(vec![
        text(tags::RELATIONSHIP_TYPE, VR::CS, relation),
        text(tags::VALUE_TYPE, VR::CS, kind),
        named(name),
    ])
}

fn container(
    relation: &str,
    name: InMemDicomObject,
    items: Vec<InMemDicomObject>,
) -> InMemDicomObject {
    let mut made = item(relation, "CONTAINER", name);
    made.put(text(tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE"));
    made.put(sequence(tags::CONTENT_SEQUENCE, items));
    made
}

fn coded(relation: &str, name: InMemDicomObject, value: InMemDicomObject) -> InMemDicomObject {
    let mut made = item(relation, "CODE", name);
    made.put(sequence(tags::CONCEPT_CODE_SEQUENCE, vec![value]));
    made
}

fn text_item(relation: &str, name: InMemDicomObject, value: &str) -> InMemDicomObject {
    let mut made = item(relation, "TEXT", name);
    made.put(text(tags::TEXT_VALUE, VR::UT, value));
    made
}

fn uid_item(relation: &str, name: InMemDicomObject, value: String) -> InMemDicomObject {
    let mut made = item(relation, "UIDREF", name);
    made.put(text(tags::UID, VR::UI, value));
    made
}

fn number_item(name: InMemDicomObject, value: f64, unit: InMemDicomObject) -> InMemDicomObject {
    let mut made = item("CONTAINS", "NUM", name);
    let measured = object(vec![
        text(tags::NUMERIC_VALUE, VR::DS, format!("{value:.6}")),
        sequence(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, vec![unit]),
    ]);
    made.put(sequence(tags::MEASURED_VALUE_SEQUENCE, vec![measured]));
    made
}

fn image_item(relation: &str, reference: InMemDicomObject) -> InMemDicomObject {
    object(vec![
        text(tags::RELATIONSHIP_TYPE, VR::CS, relation),
        text(tags::VALUE_TYPE, VR::CS, "IMAGE"),
        sequence(tags::REFERENCED_SOP_SEQUENCE, vec![reference]),
    ])
}
