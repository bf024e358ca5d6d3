//! The sending side: instances of the inbox become cases, and what came of a case is sent
//! to the PACS as Structured Report, Segmentation and Secondary Capture, again and again
//! until it has them. An instance leaves the inbox only then.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dicom_dictionary_std::uids;
use dicom_object::OpenFileOptions;
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;
use dicom_ul::pdu::{PDataValueType, Pdu};
use dicom_ul::{ClientAssociation, ClientAssociationOptions};

use super::inbox::Inbox;
use super::{Options, Pacs, message};
use crate::device::{Cases, State};
use crate::focus::Mask;
use crate::image;
use crate::journal::{Order, Priority};
use crate::report::{
    Case, Moment, NotWritten, restored, secondary_capture, segmentation, structured_report,
};

/// Between two looks at inbox and cases.
const PAUSE: Duration = Duration::from_millis(200);
/// Instances that are looked into between two looks at the inbox.
const LOOKED_AT: usize = 32;
/// Between two tries at a PACS that does not answer: the first, and the longest.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(300);
/// How long a PACS may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

type Failed = Box<dyn std::error::Error>;

/// Feeds and sends, for ever.
pub(super) fn work(options: &Options, inbox: &Inbox, cases: &Cases) {
    let (mut taken, mut hurry) = (BTreeMap::new(), BTreeMap::new());
    let mut retry = Retry::default();
    loop {
        if let Err(error) = feed(options, inbox, cases, &mut taken, &mut hurry) {
            log::error!("dicom: the inbox cannot be read: {error}");
        }
        let ended = |(path, case): (&PathBuf, &u64)| {
            let state = cases.state(*case).ok()?;
            let has_ended = !matches!(state, State::Waiting | State::Running);
            has_ended.then(|| (path.clone(), *case, state))
        };
        let ended: Vec<_> = taken.iter().filter_map(ended).collect();
        for (path, case, state) in ended {
            if let (State::Finding, Some(pacs)) = (state, &options.pacs) {
                if !retry.is_due() {
                    break;
                }
                if let Err(error) = deliver(options, pacs, cases, case, &path) {
                    let wait = retry.failed();
                    log::warn!("dicom: case {case} not sent to {pacs}, again in {wait:?}: {error}");
                    break;
                }
                retry = Retry::default();
                log::info!("dicom: case {case} sent to {pacs}");
            }
            match std::fs::remove_file(&path) {
                Ok(()) => drop(taken.remove(&path)),
                Err(error) => log::error!("dicom: an answered instance stays: {error}"),
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// Has a case made of every instance that has none, what hurries first; as many as may
/// wait.
fn feed(
    options: &Options,
    inbox: &Inbox,
    cases: &Cases,
    taken: &mut BTreeMap<PathBuf, u64>,
    hurry: &mut BTreeMap<PathBuf, Priority>,
) -> std::io::Result<()> {
    let instances = inbox.instances()?;
    hurry.retain(|path, _| instances.binary_search(path).is_ok());
    let new = |path: &&PathBuf| !taken.contains_key(*path) && !hurry.contains_key(*path);
    // A few at a time: to look into one takes a process.
    let new: Vec<&PathBuf> = instances.iter().filter(new).take(LOOKED_AT).collect();
    for path in new {
        let priority = priority_of(image::priority(path).as_deref());
        hurry.insert(path.clone(), priority);
    }
    let mut waiting: Vec<(PathBuf, Priority)> = hurry.clone().into_iter().collect();
    waiting.sort_by_key(|(_, priority)| std::cmp::Reverse(*priority));
    for (path, priority) in waiting {
        let order = Order {
            source: path.display().to_string(),
            exam: options.exam.clone(),
            region: None,
            request: Inbox::request(&path),
            priority,
        };
        match cases.accept(order) {
            Ok(case) => {
                hurry.remove(&path);
                taken.insert(path, case);
            }
            // Too many wait, or the disk refuses: this one and those after it wait here.
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

/// What a Requested Procedure Priority (PS3.3, C.4.11) is here.
fn priority_of(word: Option<&str>) -> Priority {
    match word {
        Some("STAT") => Priority::Stat,
        Some("HIGH") => Priority::Urgent,
        // ROUTINE, MEDIUM, LOW, and what is no word of DICOM's.
        _ => Priority::Routine,
    }
}

/// When the PACS may be tried again.
#[derive(Default)]
struct Retry {
    wait: Option<(Instant, Duration)>,
}

impl Retry {
    fn is_due(&self) -> bool {
        self.wait
            .is_none_or(|(since, wait)| since.elapsed() >= wait)
    }

    fn failed(&mut self) -> Duration {
        let wait = self
            .wait
            .map_or(FIRST_RETRY, |(_, wait)| (wait * 2).min(LAST_RETRY));
        self.wait = Some((Instant::now(), wait));
        wait
    }
}

fn deliver(
    options: &Options,
    pacs: &Pacs,
    cases: &Cases,
    case: u64,
    path: &Path,
) -> Result<(), Failed> {
    let record = cases.answer(case).map_err(|fault| fault.to_string())?;
    let record = record.ok_or("the case has no answer")?;
    let bundle = cases.bundle();
    let exam = record["exam"].as_str().and_then(|name| bundle.exam(name));
    let exam = exam.ok_or("the bundle no longer has the exam")?;
    let finding = restored(&record, &exam.classes)?;
    let image = image::read(path).map_err(|refusal| refusal.code.word())?;
    let mask = Mask::from_rle(&finding.mask.rle).ok_or("the journal's region is damaged")?;
    let case = Case {
        finding: &finding,
        title: &exam.title,
        image: &image,
        mask: &mask,
        bundle: &bundle.id,
        intended_use: bundle.intended_use,
        now: Moment::now(),
        deidentify: options.deidentify,
    };
    send(options, pacs, &objects(&case)?)
}

/// The files of one case. What may not be written, or has nothing to refer to, never will:
/// the rest goes without it.
fn objects(case: &Case<'_>) -> Result<Vec<Vec<u8>>, NotWritten> {
    let mut objects = vec![structured_report(case)?];
    for (made, what) in [
        (segmentation(case), "segmentation"),
        (secondary_capture(case), "picture"),
    ] {
        match made {
            Ok(object) => objects.push(object),
            Err(error @ NotWritten::Encoding(_)) => return Err(error),
            Err(error) => {
                let case = &case.finding.case;
                log::warn!("dicom: case {case} is sent without its {what}: {error}");
            }
        }
    }
    Ok(objects)
}

/// Stores these files' objects over one association.
fn send(options: &Options, pacs: &Pacs, files: &[Vec<u8>]) -> Result<(), Failed> {
    let syntaxes = || vec![uids::EXPLICIT_VR_LITTLE_ENDIAN];
    let mut association = ClientAssociationOptions::new()
        .calling_ae_title(options.title.as_str())
        .called_ae_title(pacs.title.as_str())
        .with_presentation_context(uids::SECONDARY_CAPTURE_IMAGE_STORAGE, syntaxes())
        .with_presentation_context(uids::COMPREHENSIVE_SR_STORAGE, syntaxes())
        .with_presentation_context(uids::SEGMENTATION_STORAGE, syntaxes())
        .connection_timeout(PATIENCE)
        .read_timeout(PATIENCE)
        .write_timeout(PATIENCE)
        .establish(&pacs.address)?;
    for file in files {
        store(&mut association, file)?;
    }
    association.release()?;
    Ok(())
}

fn store(
    association: &mut ClientAssociation<std::net::TcpStream>,
    file: &[u8],
) -> Result<(), Failed> {
    let object = OpenFileOptions::new().from_reader(file)?;
    let class = object.meta().media_storage_sop_class_uid().to_owned();
    let instance = object.meta().media_storage_sop_instance_uid().to_owned();
    let agreed = association.presentation_contexts().iter();
    let context = agreed
        .filter(|agreed| agreed.abstract_syntax == class)
        .map(|agreed| agreed.id)
        .next();
    let context = match context {
        Some(context) => context,
        // Many archives take none; picture and report show the region, too.
        None if class == uids::SEGMENTATION_STORAGE => {
            log::warn!("dicom: the PACS takes no segmentations; the region was not sent as one");
            return Ok(());
        }
        None => return Err("the PACS does not take this kind of object".into()),
    };
    association.send(&Pdu::PData {
        data: vec![dicom_ul::pdu::PDataValue {
            presentation_context_id: context,
            value_type: PDataValueType::Command,
            is_last: true,
            data: message::store(
                class.trim_end_matches('\0'),
                instance.trim_end_matches('\0'),
            ),
        }],
    })?;
    let mut data = Vec::new();
    object.write_dataset_with_ts(&mut data, &EXPLICIT_VR_LITTLE_ENDIAN.erased())?;
    let mut writer = association.send_pdata(context);
    writer.write_all(&data)?;
    writer.finish()?;
    let mut reply = Vec::new();
    loop {
        let Pdu::PData { data } = association.receive()? else {
            return Err("the PACS broke off".into());
        };
        let is_last = data.iter().any(|value| value.is_last);
        data.iter()
            .for_each(|value| reply.extend_from_slice(&value.data));
        if is_last {
            break;
        }
    }
    match message::status(&reply) {
        Some(0) => Ok(()),
        // Stored, with a warning (PS3.4, B.2.3).
        Some(0xb000..=0xbfff) => Ok(()),
        status => Err(format!(
            "the PACS refused with status {:04x}",
            status.unwrap_or(0xffff)
        )
        .into()),
    }
}
