//! Runs the graphs of a bundle on tensors from files, for `scripts/parity`: what the
//! engine makes of the very numbers that PyTorch was given.
//!
//! `stages BUNDLE FILE...`: each FILE is a safetensors file with `image_encoder.pixels`,
//! or with `segmenter.pixels`, `segmenter.points` and `segmenter.labels`. The outputs go
//! beside it, to `FILE.out`, with the milliseconds of each graph.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use medfocus::bundle::Bundle;
use medfocus::engine::{Engine, Graph, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let bundle = arguments.next().context("usage: stages BUNDLE FILE...")?;
    let bundle = Bundle::load(Path::new(&bundle), &Engine::default())?;
    for file in arguments {
        let bytes = std::fs::read(&file).with_context(|| file.clone())?;
        let outputs =
            run(&bundle, &SafeTensors::deserialize(&bytes)?).with_context(|| file.clone())?;
        write(&outputs, Path::new(&format!("{file}.out")))?;
    }
    Ok(())
}

type Outputs = BTreeMap<&'static str, Tensor>;

fn run(bundle: &Bundle, inputs: &SafeTensors<'_>) -> Result<Outputs> {
    let mut outputs = Outputs::new();
    if let Ok(pixels) = tensor(inputs, "image_encoder.pixels") {
        let ([embedding], ms) = timed(&bundle.image_encoder, &[pixels])?;
        outputs.insert("image_encoder.embedding", embedding);
        outputs.insert("image_encoder.ms", ms);
        return Ok(outputs);
    }
    let (maps, encoder_ms) = timed::<3>(
        &bundle.segmenter_encoder,
        &[tensor(inputs, "segmenter.pixels")?],
    )?;
    let mut question = maps.to_vec();
    question.push(tensor(inputs, "segmenter.points")?);
    question.push(tensor(inputs, "segmenter.labels")?);
    let ([masks, iou, score], decoder_ms) = timed(&bundle.segmenter_decoder, &question)?;
    let [embedding, ..] = maps;
    outputs.insert("segmenter.embedding", embedding);
    outputs.insert("segmenter.encoder_ms", encoder_ms);
    outputs.insert("segmenter.masks", masks);
    outputs.insert("segmenter.predicted_iou", iou);
    outputs.insert("segmenter.object_score", score);
    outputs.insert("segmenter.decoder_ms", decoder_ms);
    Ok(outputs)
}

fn timed<const N: usize>(graph: &Graph, inputs: &[Tensor]) -> Result<([Tensor; N], Tensor)> {
    let since = Instant::now();
    let outputs = graph.run(inputs)?;
    let ms = since.elapsed().as_secs_f32() * 1e3;
    let outputs = outputs
        .try_into()
        .map_err(|found: Vec<Tensor>| anyhow::anyhow!("{} outputs; expected {N}", found.len()))?;
    Ok((outputs, Tensor::new(&[1], vec![ms])))
}

fn tensor(file: &SafeTensors<'_>, name: &str) -> Result<Tensor> {
    let view = file.tensor(name)?;
    if view.dtype() != Dtype::F32 {
        bail!("{name} is {:?}; expected F32", view.dtype());
    }
    let (values, _) = view.data().as_chunks::<4>();
    let values = values.iter().map(|bytes| f32::from_le_bytes(*bytes));
    Ok(Tensor::new(view.shape(), values.collect()))
}

fn write(outputs: &Outputs, path: &Path) -> Result<()> {
    let bytes: Vec<(&str, &Tensor, Vec<u8>)> = outputs
        .iter()
        .map(|(name, tensor)| {
            let bytes = tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect();
            (*name, tensor, bytes)
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, tensor, data)| {
            Ok((
                *name,
                TensorView::new(Dtype::F32, tensor.shape.clone(), data)?,
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    safetensors::serialize_to_file(views, None, path)?;
    Ok(())
}
