"""One process of onnxruntime that answers whole cases: encode, decode, focus, two embeddings,
head; tells what that took, as JSON, like `worker.py`.

Only the graphs, the focus and the head are timed. What medfocus does besides in the same
stages (reducing the image, cleaning the mask) counts against medfocus alone.
"""

from __future__ import annotations

import json
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from safetensors.numpy import load_file

from bundling import focus
from bundling.head import logits, unit
from bundling.reference import normalised, resize
from peers.worker import memory


class Case:
    """A bundle whose graphs are onnxruntime's own int8 form of them."""

    def __init__(self, bundle: Path, graphs: list[Path], threads: int, image: Path) -> None:
        manifest = tomllib.loads((bundle / "bundle.toml").read_text())
        self.segmenter, self.image = manifest["segmenter"], manifest["image_encoder"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.encoder, self.decoder, self.tower = (
            onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            for graph in graphs
        )
        self.head = load_file(bundle / manifest["exams"][0]["head"])
        with Image.open(image) as opened:
            self.source = opened.convert("L")
        self.whole = self.shown(None)
        self.pixels = resize(image, self.segmenter["input_size"])

    def shown(self, box: tuple[int, int, int, int] | None) -> np.ndarray:
        """This part of the image at the image encoder's size, `[3, side, side]`."""
        side = self.image["input_size"]
        small = self.source.resize((side, side), Image.Resampling.BILINEAR, box=box)
        return np.repeat(np.asarray(small, np.float32)[None] / 255, 3, axis=0)

    def crop(self, logits: np.ndarray) -> np.ndarray:
        """The region's surroundings, as the focus style `crop` shows them."""
        ys, xs = np.nonzero(logits > 0)
        if not len(ys):
            return self.whole
        side, (width, height) = logits.shape[0], self.source.size
        corners = (xs.min() / side, ys.min() / side, (xs.max() + 1) / side, (ys.max() + 1) / side)
        x0, y0, x1, y1 = focus.crop_box(*(float(v) for v in corners))
        return self.shown(
            (round(x0 * width), round(y0 * height), round(x1 * width), round(y1 * height))
        )

    def run(self) -> np.ndarray:
        side = self.segmenter["input_size"]
        maps = self.encoder.run(None, {"pixels": normalised(self.pixels, self.segmenter)[None]})
        inputs = dict(zip(("embedding", "stride4", "stride8"), maps, strict=True))
        inputs["points"] = np.array([[[0, 0], [side, side]]], np.float32)
        inputs["labels"] = np.array([[2, 3]], np.float32)
        masks, _, _ = self.decoder.run(None, inputs)
        batch = normalised(np.stack([self.whole, self.crop(masks[0, 0])]), self.image)
        return logits(self.head, *unit(self.tower.run(None, {"pixels": batch})[0]))


def main() -> None:
    bundle, image, (threads, runs), graphs = *sys.argv[1:3], map(int, sys.argv[3:5]), sys.argv[5:]
    before = memory("VmRSS")
    # What was held only while Python started is no part of the peak.
    Path("/proc/self/clear_refs").write_text("5")
    since = time.perf_counter()
    case = Case(Path(bundle), [Path(g) for g in graphs], threads, Path(image))
    load_ms, times = (time.perf_counter() - since) * 1e3, []
    for _ in range(runs + 1):
        since = time.perf_counter()
        case.run()
        times.append((time.perf_counter() - since) * 1e3)
    told = {"load_ms": load_ms, "runs_ms": times[1:], "peak_bytes": memory("VmHWM") - before}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
