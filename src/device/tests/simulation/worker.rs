//! Workers that answer, refuse, crash, hang and answer about another image, and others that act
//! while a case runs.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use super::{Shared, act, lock, outline};
use crate::bundle::{Outline, Trust};
use crate::case::{
    Anatomy, Check, ClassProbability, Finding, MaskReport, Question, Refusal, RefusalCode, Rle,
    TriageLevel,
};
use crate::device::cases::{Answered, Conclusion};
use crate::device::events::Preview;
use crate::device::work::lost::Lost;
use crate::device::work::workers::{NotStarted, Progress, Starting, Step, Worker, Workers};
use crate::focus::Mask;
use crate::image::{Image, ImageMetadata, Pixels};
use crate::journal::SelfCheck;
use crate::patient::Patient;
use crate::sha256::Sha256;
use crate::storage::Storage;

/// What a case may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts simulated workers.
pub(super) struct Simulated(Shared);

impl Simulated {
    pub fn of(world: &Shared) -> Self {
        Self(Arc::clone(world))
    }
}

impl std::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulated").finish_non_exhaustive()
    }
}

fn crashed() -> Lost {
    Lost::Ended(ExitStatus::from_raw(9))
}

impl Workers for Simulated {
    fn begin(&mut self, folder: &Path, _: &Trust) -> Result<Box<dyn Starting>, NotStarted> {
        let mut world = lock(&self.0);
        if world.chance.once_in(12) {
            return Err(crashed().into());
        }
        let turns = world.chance.below(3);
        Ok(Box::new(Loading {
            world: Arc::clone(&self.0),
            folder: folder.to_owned(),
            turns,
        }))
    }
}

struct Loading {
    world: Shared,
    folder: PathBuf,
    turns: u64,
}

impl std::fmt::Debug for Loading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loading").finish_non_exhaustive()
    }
}

impl Starting for Loading {
    fn has_loaded(&self) -> bool {
        self.turns < 2
    }

    fn step(mut self: Box<Self>, patience: Duration) -> Result<Step, NotStarted> {
        let (clock, fails) = {
            let mut world = lock(&self.world);
            (world.time.clock(), world.chance.once_in(20))
        };
        if self.turns > 0 {
            clock.sleep(patience);
            self.turns -= 1;
            return Ok(Step::Later(self));
        }
        let checks = vec![match fails {
            true => SelfCheck::failed("known_answers", "known_answers", "they differ", "look"),
            false => SelfCheck::passed("known_answers", "they are as they were"),
        }];
        let worker = AtWork {
            world: self.world,
            folder: self.folder,
            bundle: Arc::new(outline()),
        };
        Ok(Step::Now((Box::new(worker), checks)))
    }
}

struct AtWork {
    world: Shared,
    folder: PathBuf,
    bundle: Arc<Outline>,
}

impl std::fmt::Debug for AtWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AtWork").finish_non_exhaustive()
    }
}

impl AtWork {
    fn read(&self, image: &Path) -> Option<Vec<u8>> {
        let world = lock(&self.world);
        let storage: &dyn Storage = &world.memory;
        storage.read(storage.name_of(image)?, 1 << 20).ok()
    }
}

impl Worker for AtWork {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn bundle(&self) -> &Arc<Outline> {
        &self.bundle
    }

    fn has_ended(&mut self) -> Option<Lost> {
        lock(&self.world).chance.once_in(60).then(crashed)
    }

    fn run(
        &mut self,
        _: u64,
        _: Question,
        image: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Conclusion, Lost> {
        let bytes = self.read(image);
        progress.decoded(Duration::from_millis(200));
        let others = lock(&self.world).chance.below(4);
        for _ in 0..others {
            act(&self.world);
        }
        let mut world = lock(&self.world);
        if world.cases().lifecycle().is_cut() {
            return Err(Lost::Cut);
        }
        match world.chance.below(20) {
            0 => return Err(crashed()),
            1 => {
                world.time.clock().sleep(PATIENCE);
                return Err(Lost::Deadline(PATIENCE));
            }
            _ => world.time.clock().sleep(Duration::from_millis(700)),
        }
        let Some(bytes) = bytes else {
            let refusal = Refusal::new(RefusalCode::NotFound, "it is not there", "look");
            return Ok(Conclusion::refused(refusal));
        };
        let is_another = world.chance.once_in(30);
        let image = Sha256::of(if is_another { b"another" } else { &bytes });
        let outcome = match world.chance.below(3) {
            0 => Err(Refusal::new(RefusalCode::Blurred, "not sharp", "again")),
            _ => finding(image),
        };
        let image = Some(image);
        Ok(Conclusion { image, outcome })
    }

    fn self_test(&mut self) -> Result<Vec<SelfCheck>, Lost> {
        match lock(&self.world).chance.below(20) {
            0 => Err(crashed()),
            1 => Ok(vec![SelfCheck::failed(
                "kernel",
                "kernel",
                "it differs",
                "look",
            )]),
            _ => Ok(vec![SelfCheck::passed("kernel", "as the reference")]),
        }
    }
}

fn finding(sha256: Sha256) -> Answered {
    let rle = Rle {
        size: [8, 9],
        counts: vec![60, 12],
    };
    let region = Mask::from_rle(&rle).unwrap();
    let class = |class: &str, probability| ClassProbability {
        class: class.to_owned(),
        label: class.to_owned(),
        probability,
    };
    let finding = Finding {
        exam: "lung".to_owned(),
        answer: 1,
        patient: Patient::default(),
        anatomy: Anatomy::default(),
        probabilities: vec![class("normal", 0.3), class("tuberculosis", 0.7)],
        prediction_set: None,
        triage_level: TriageLevel::Review,
        mask: MaskReport {
            bbox: [1, 2, 3, 4],
            area_fraction: 0.1,
            rle,
            predicted_iou: 0.9,
        },
        film: None,
        focus: "crop".to_owned(),
        gate: Check::Passed,
        guard: Check::Absent,
        guard_distance: None,
        reasons: Vec::new(),
    };
    let preview = Preview {
        title: "Lung".to_owned(),
        short_title: "Lung".to_owned(),
        thumbnail: Image {
            width: 1,
            height: 1,
            pixels: Pixels::Luma(vec![0]),
            metadata: ImageMetadata::default(),
            sha256,
            origin: None,
        },
        region,
    };
    Ok((finding, preview))
}
