//! A verified bundle, ready to run: each graph is checked for its place, each head is read. Called
//! by whoever answers images. Never loads what was not verified.

use std::path::Path;

use super::prepare::Prepared;
use super::trust::{Older, Release, Signed, Trust};
use super::verify::verify_but;
use super::{BundleError, Checked, ExamSpec, KnownAnswers, Manifest};
use crate::case::BundleId;
use crate::engine::{Engine, EngineError, Expected, Graph, PreparedKey, Side};
use crate::gate::{Layout, Layouts, layout};
use crate::image::Canvas;
use crate::triage::{FusionHead, Guard};

/// An exam and its head.
#[derive(Debug)]
pub struct Exam {
    /// What the manifest says of it.
    pub spec: ExamSpec,
    /// Its fusion head.
    pub head: FusionHead,
    /// Its guard, where the bundle has one.
    pub guard: Option<Guard>,
}

/// A bundle that can answer.
#[derive(Debug)]
pub struct Bundle {
    /// What every finding says of its bundle.
    pub id: BundleId,
    /// Its signature, where one was asked for.
    pub signed: Option<Signed>,
    /// That it is older than what the device has had, where a person went back to it.
    pub older: Option<Older>,
    /// The manifest.
    pub manifest: Manifest,
    /// Pixels `[1, 3, S, S]` to embedding `[1, W, S/16, S/16]` and the maps at stride 4
    /// `[1, W/8, S/4, S/4]` and 8 `[1, W/4, S/8, S/8]`.
    pub segmenter_encoder: Graph,
    /// Those three, points `[1, N, 2]` and labels `[1, N]` to mask logits
    /// `[1, 4, S/4, S/4]`, predicted IoU `[1, 4]` and object score `[1, 1]`.
    pub segmenter_decoder: Graph,
    /// Mask logits `[1, 1, S/4, S/4]` to what is added to the embedding when they are a
    /// prompt.
    pub segmenter_mask_prompt: Option<Graph>,
    /// Pixels `[B, 3, E, E]` to embeddings `[B, D]`.
    pub image_encoder: Graph,
    /// The gate: luma `[1, 1, S, S]` to logits `[1, classes]`.
    pub gate: Option<Graph>,
    /// The gate's models of layouts.
    pub layouts: Option<Layouts>,
    /// The exams, in the manifest's order.
    pub exams: Vec<Exam>,
    /// What the self-test must reproduce.
    pub known_answers: KnownAnswers,
}

impl Bundle {
    /// Verifies and loads the bundle in `folder`, whoever made it, to run on this engine.
    ///
    /// # Errors
    /// [`BundleError`], which names the file.
    pub fn load(folder: &Path, engine: &Engine) -> Result<Self, BundleError> {
        Self::load_trusted(folder, &Trust::default(), None, engine)
    }

    /// The same, of a bundle whose maker must be trusted. With the key of the device, a graph
    /// that has a prepared file ([`prepare`](super::prepare())) is taken from there: what stands
    /// in for a file is known by the hash that the manifest has of it. Its ONNX file must be
    /// there, but is left to `bundle verify` to hash.
    ///
    /// # Errors
    /// [`BundleError`], which names the file.
    pub fn load_trusted(
        folder: &Path,
        trust: &Trust,
        key: Option<&PreparedKey>,
        engine: &Engine,
    ) -> Result<Self, BundleError> {
        let mut prepared = Prepared::beside(folder, key, engine);
        let checked = verify_but(folder, trust, &mut |manifest, file, files| {
            manifest.graphs().contains(&file) && prepared.open(file, files, &manifest.files[file])
        })?;
        Self::from_checked(checked, prepared)
    }

    fn from_checked(mut checked: Checked, mut prepared: Prepared<'_>) -> Result<Self, BundleError> {
        let manifest = checked.manifest.clone();
        let mut graph = |file: &String, inputs: &[Expected<'_>], outputs| {
            let path = checked.folder.join(file);
            let wrong = |error: EngineError| BundleError::Graph {
                path: path.clone(),
                error: Box::new(error),
            };
            let graph = prepared.graph(&mut checked, file)?;
            graph.check(inputs, outputs).map_err(wrong)?;
            Ok::<_, BundleError>(graph)
        };
        let segmenter = &manifest.segmenter;
        let (side, width) = (segmenter.input_size, segmenter.width);
        let map = |channels, stride| {
            [
                Side::Is(1),
                Side::Is(channels),
                Side::Is(side / stride),
                Side::Is(side / stride),
            ]
        };
        let pixels = [Side::Is(1), Side::Is(3), Side::Is(side), Side::Is(side)];
        let segmenter_encoder = graph(&segmenter.encoder, &[("pixels", &pixels)], 3)?;
        let segmenter_decoder = graph(
            &segmenter.decoder,
            &[
                ("embedding", &map(width, 16)),
                ("stride4", &map(width / 8, 4)),
                ("stride8", &map(width / 4, 8)),
                ("points", &[Side::Is(1), Side::Open, Side::Is(2)]),
                ("labels", &[Side::Is(1), Side::Open]),
            ],
            3,
        )?;
        let segmenter_mask_prompt = segmenter
            .mask_prompt
            .as_ref()
            .map(|file| graph(file, &[("mask", &map(1, 4))], 1))
            .transpose()?;
        let encoder = &manifest.image_encoder;
        let size = Side::Is(encoder.input_size);
        let image_encoder = graph(
            &encoder.graph,
            &[("pixels", &[Side::Open, Side::Is(3), size, size])],
            1,
        )?;
        let gate = manifest.gate.as_ref().map(|spec| {
            let size = Side::Is(spec.input_size);
            let luma = [Side::Is(1), Side::Is(1), size, size];
            graph(&spec.graph, &[("pixels", &luma)], 1)
        });
        let gate = gate.transpose()?;
        let layouts = manifest.gate.as_ref().and_then(|spec| {
            let file = spec.layouts.as_ref()?;
            let kinds = spec.kinds.iter().map(|kind| kind.name.as_str());
            let read = Layouts::read(&checked.files[file], kinds);
            Some(read.map_err(|why| BundleError::Guard {
                path: checked.folder.join(file),
                why,
            }))
        });
        let layouts = layouts.transpose()?;
        let exams = manifest
            .exams
            .iter()
            .map(|spec| {
                let bytes = &checked.files[&spec.head];
                let head = FusionHead::read(bytes, spec.classes.len(), encoder.embedding)
                    .and_then(|head| head.covers(spec.coverage).map(|()| head))
                    .map_err(|error| BundleError::Head {
                        path: checked.folder.join(&spec.head),
                        error,
                    })?;
                let guard = spec.guard.as_ref().map(|guard| {
                    let bytes = &checked.files[&guard.file];
                    Guard::read(bytes, encoder.embedding, guard.up_to).map_err(|why| {
                        BundleError::Guard {
                            path: checked.folder.join(&guard.file),
                            why,
                        }
                    })
                });
                Ok(Exam {
                    spec: spec.clone(),
                    head,
                    guard: guard.transpose()?,
                })
            })
            .collect::<Result<_, BundleError>>()?;
        let known_answers = KnownAnswers::read(&checked)?;
        let id = BundleId {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            sha256: checked.sha256,
        };
        Ok(Self {
            id,
            signed: checked.signed,
            older: checked.older,
            manifest,
            segmenter_encoder,
            segmenter_decoder,
            segmenter_mask_prompt,
            image_encoder,
            gate,
            layouts,
            exams,
            known_answers,
        })
    }

    /// What the gate's models make of a picture's layout, one of each kind of image; none
    /// where the bundle has no such models.
    pub fn layouts_of(&self, square: &Canvas) -> Vec<Layout> {
        let (Some(models), Some(spec)) = (&self.layouts, &self.manifest.gate) else {
            return Vec::new();
        };
        let measures = layout::measures(square);
        let kinds = spec.kinds.iter();
        kinds
            .filter_map(|kind| models.of(&kind.name, &measures))
            .collect()
    }

    /// What its graphs run on.
    pub fn engine(&self) -> &Engine {
        self.image_encoder.engine()
    }

    /// Which release it is, and whose.
    pub fn release(&self) -> Release {
        Release::of(&self.manifest, self.signed.as_ref(), &self.id.sha256)
    }

    /// The exam of this name.
    pub fn exam(&self, name: &str) -> Option<&Exam> {
        self.exams.iter().find(|exam| exam.spec.name == name)
    }
}
