"""medfocus beside other runtimes: latency, load and memory on graphs of the true shapes.

The graphs are the exporter's, with random weights. onnxruntime gets the same weights: in
float, quantised dynamically and as QDQ with unsigned activations; of the two int8 forms
the faster counts. `--peers` adds tract and RTen, each in float and in the same dynamic int8,
built on first use. Every figure is a median over rounds in which all take turns, each in a
process of its own with the threads asked for: one that takes more processor time than so
many threads can is an error. Memory is the process' peak; of onnxruntime's, Python's own is
taken off. A whole case is `medfocus classify` against the same graphs, focus and head in
Python; there, medfocus' load includes the hashes of the bundle's files.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".work/peers"
CRATE = ROOT / "benches/peers"
RUST_PEERS = ("tract", "rten")
BUNDLES = {
    "clip-vit-base-patch32-512": ("clip-vit-base-patch32", 512),
    "clip-vit-base-patch16-1024": ("clip-vit-base-patch16", 1024),
    "clip-vit-base-patch16-512": ("clip-vit-base-patch16", 512),
}
CASE = "case-512-b16"
"""A whole case: encode, decode, focus, two embeddings, head."""
CASE_BUNDLE = "clip-vit-base-patch16-512"
CASE_GRAPHS = ("segmenter_encoder.onnx", "segmenter_decoder.onnx", "image_encoder.onnx")
PHANTOM = ROOT / "tests/phantoms/brain.png"
GRAPHS = {
    "clip-b32": ("clip-vit-base-patch32-512", "image_encoder.onnx"),
    "clip-b16": ("clip-vit-base-patch16-1024", "image_encoder.onnx"),
    "sam2-encoder-512": ("clip-vit-base-patch32-512", "segmenter_encoder.onnx"),
    "sam2-decoder-512": ("clip-vit-base-patch32-512", "segmenter_decoder.onnx"),
    "sam2-encoder-1024": ("clip-vit-base-patch16-1024", "segmenter_encoder.onnx"),
    "sam2-decoder-1024": ("clip-vit-base-patch16-1024", "segmenter_decoder.onnx"),
}
QUICK = ("clip-b32", "clip-b16", "sam2-encoder-512", "sam2-decoder-512")
GOALS = {  # latency, memory, load
    "clip-b32": (0.65, 0.5, 0.2),
    "clip-b16": (0.75, 0.5, 0.2),
    "sam2-encoder-512": (0.5, 0.35, 0.2),
    "sam2-encoder-1024": (0.5, 0.35, 0.2),
    "sam2-decoder-512": (0.6, 0.6, 0.3),
    "sam2-decoder-1024": (0.6, 0.6, 0.3),
    CASE: (0.6, 0.4, 0.2),
}

Figures = dict[str, list[float]]


class Once(CalibrationDataReader):
    """One random input, to calibrate by: only times are measured here."""

    def __init__(self, path: Path) -> None:
        random, self.feeds = np.random.default_rng(2), {}
        for value in onnx.load(path, load_external_data=False).graph.input:
            dims = value.type.tensor_type.shape.dim
            shape = [d.dim_value or (2 if d.dim_param == "count" else 1) for d in dims]
            self.feeds[value.name] = random.standard_normal(shape).astype(np.float32)
        self.left = iter([self.feeds])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


def in_float(int8: Path, out: Path) -> None:
    """The exporter's graph with its int8 weights read back to float."""
    model = onnx.load(int8)
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    nodes, kept, gone = [], [], set()
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear":
            nodes.append(node)
            continue
        codes, scale = constants[node.input[0]], constants[node.input[1]]
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        shape = [-1 if i == axis % codes.ndim else 1 for i in range(codes.ndim)]
        value = codes.astype(np.float32) * (scale.reshape(shape) if scale.size > 1 else scale)
        kept.append(numpy_helper.from_array(value.astype(np.float32), node.output[0]))
        gone.update(node.input)
    kept += [t for t in model.graph.initializer if t.name not in gone]
    del model.graph.node[:], model.graph.initializer[:]
    for i, node in enumerate(nodes):
        # RTen takes a node that has a value's name for that value.
        node.name = f"node {i}"
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(kept)
    onnx.save(model, out)


def peers_of(bundle: Path, file: str, qdq: bool) -> dict[str, Path]:
    """onnxruntime's graphs, made once."""
    stem = bundle / "peers" / Path(file).stem
    stem.parent.mkdir(exist_ok=True)
    made = {"float": stem.with_suffix(".float.onnx"), "dynamic": stem.with_suffix(".dynamic.onnx")}
    if not made["float"].exists():
        in_float(bundle / "bundle" / file, made["float"])
    if not made["dynamic"].exists():
        quantize_dynamic(
            made["float"], made["dynamic"], per_channel=True, weight_type=QuantType.QInt8
        )
    if qdq:
        made["qdq"] = stem.with_suffix(".qdq.onnx")
        if not made["qdq"].exists():
            quantize_static(
                made["float"], made["qdq"], Once(made["float"]), quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True,
                op_types_to_quantize=["MatMul", "Gemm", "Conv"],
            )  # fmt: skip
    return made


def make_bundle(name: str, binary: Path) -> Path:
    """A bundle by the exporter, prepared; made once."""
    folder, (clip, side) = WORK / name, BUNDLES[name]
    if not (folder / "bundle/bundle.toml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        export = [ROOT / "scripts/export", "--random", clip, "--segmenter-size", str(side)]
        subprocess.run([*export, "--out", folder / "bundle"], check=True, stdout=sys.stderr)
    subprocess.run([binary, "bundle", "prepare", folder / "bundle"], check=True, stdout=sys.stderr)
    return folder


def told(command: list[object]) -> dict:
    output = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True,
                            cwd=ROOT / "scripts")  # fmt: skip
    return json.loads(output.stdout)


def take_turns(
    bundle: Path, file: str, threads: int, arguments: argparse.Namespace
) -> dict[str, Figures]:
    """Figures by runtime: all of them in each round."""
    found: dict[str, Figures] = {}
    peers = peers_of(bundle, file, not arguments.quick)
    runs = ["--runs", arguments.runs, "--warm-up", 1]
    for _ in range(arguments.rounds):
        bench = [arguments.binary, "bench", bundle / "bundle", "--graph", file, "--open"]
        open_axes = 2 if "decoder" in file else 1
        own = told([*bench, open_axes, "--threads", threads, *runs, "--json"])
        graph = own["graphs"][0]
        figures = {
            "runs_ms": graph["profile"]["runs_ms"],
            "load_ms": graph["load_ms"] + graph["profile"]["plan_ms"],
            "peak_bytes": own["peak_bytes"],
        }
        note(found.setdefault("medfocus", {}), figures)
        for name, path in peers.items():
            worker = [sys.executable, "-m", "peers.worker", path, threads, arguments.runs, 1]
            note(found.setdefault(name, {}), told(worker))
        for name, path in rust_peers(peers, arguments.peers):
            runtime = name.split()[0]
            peer = [CRATE / "target/release/peers", runtime, path, threads, arguments.runs, 1]
            figures = told_or_refused(peer, name)
            if figures:
                note(found.setdefault(name, {}), figures)
    return found


def whole_cases(bundle: Path, threads: int, arguments: argparse.Namespace) -> dict[str, Figures]:
    """Figures of whole cases, of medfocus and of onnxruntime's dynamic int8."""
    found: dict[str, Figures] = {}
    made = [peers_of(bundle, file, qdq=False) for file in CASE_GRAPHS]
    for _ in range(arguments.rounds):
        note(found.setdefault("medfocus", {}), classified(bundle, threads, arguments))
        for form in ("dynamic", "float"):
            graphs = [graph[form] for graph in made]
            numbers = [threads, arguments.runs]
            case = [sys.executable, "-m", "peers.case", bundle / "bundle", PHANTOM, *numbers]
            note(found.setdefault(form, {}), told([*case, *graphs]))
    return found


def classified(bundle: Path, threads: int, arguments: argparse.Namespace) -> Figures:
    """`medfocus classify` on one image again and again. Load is all that is no stage of a
    case, and what the first case takes longer; a case is its stages but the decoder's."""
    images = [PHANTOM] * (arguments.runs + 1)
    command = [arguments.binary, "classify", "--bundle", bundle / "bundle", "--force", *images,
               "--exam", "brain4", "--format", "ndjson", "--threads", threads]  # fmt: skip
    since = time.perf_counter()
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    timings, peak = [], 0
    for line in process.stdout:
        timings.append(json.loads(line)["timings_ms"])
        # Not what the system says of a child that ended: that counts this process too.
        peak = max(peak, peak_of(process.pid))
    status = process.wait()
    wall_ms = (time.perf_counter() - since) * 1e3
    if status or len(timings) != len(images):
        raise SystemExit(f"medfocus classify answered {len(timings)} cases and ended with {status}")
    first, *runs = (sum(t.values()) - t["decode"] for t in timings)
    load_ms = wall_ms - sum(sum(t.values()) for t in timings) + first - median(runs)
    return {"load_ms": [load_ms], "runs_ms": runs, "peak_bytes": [peak]}


def peak_of(pid: int) -> int:
    """Most bytes that a process has held; 0 where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(peaks[0]) << 10 if peaks else 0


def rust_peers(graphs: dict[str, Path], peers: list[str]) -> list[tuple[str, Path]]:
    """Other runtimes and their graphs: float, and the int8 form that they may know."""
    forms = {"float": graphs["float"], "int8": graphs["dynamic"]}
    return [(f"{peer} {form}", path) for peer in peers for form, path in forms.items()]


def told_or_refused(command: list[object], name: str) -> dict | None:
    """What a runtime tells; `None`, with its own words, where it does not take the graph."""
    output = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if output.returncode == 0:
        return json.loads(output.stdout)
    words = output.stderr.strip().splitlines() or ["nothing was said"]
    print(f"{name} does not run {command[2]}: {words[0]}", file=sys.stderr)
    return None


def note(figures: Figures, told: dict) -> None:
    for key, value in told.items():
        figures.setdefault(key, []).extend(value if isinstance(value, list) else [value])


def ratios(found: dict[str, Figures]) -> dict[str, float | str]:
    """medfocus over the faster int8 form, and the medians that the ratios are of."""
    middle = {name: {key: median(v) for key, v in f.items()} for name, f in found.items()}
    best = min((n for n in middle if n in ("dynamic", "qdq")), key=lambda n: middle[n]["runs_ms"])
    own, peer = middle["medfocus"], middle[best]
    return {
        "peer": best,
        "latency_ratio": round(own["runs_ms"] / peer["runs_ms"], 3),
        "memory_ratio": round(own["peak_bytes"] / peer["peak_bytes"], 3),
        "load_ratio": round(own["load_ms"] / peer["load_ms"], 3),
        **{f"{name}_ms": round(values["runs_ms"], 2) for name, values in middle.items()},
        **{f"{name}_load_ms": round(values["load_ms"], 1) for name, values in middle.items()},
        **{f"{name}_MB": round(values["peak_bytes"] / 1e6) for name, values in middle.items()},
    }


def table(rows: list[dict], load: tuple[float, float, float]) -> str:
    """The figures as Markdown, with the machine and the command that made them."""
    cpu = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")]
    others = sorted({key[:-3] for row in rows for key in row if key.split()[0] in RUST_PEERS
                     and key.endswith("_ms") and not key.endswith("_load_ms")})  # fmt: skip
    lines = [
        f"{cpu[0].split(':')[1].strip() if cpu else platform.processor()}, {os.cpu_count()} cores,"
        f" load average {load[0]:.1f}; `scripts/bench_peers {' '.join(sys.argv[1:])}`.",
        "",
        "| graph | threads | medfocus ms | onnxruntime int8 ms | float ms | latency (goal) "
        "| memory MB | memory (goal) | load ms | load (goal) |"
        + "".join(f" {name} ms |" for name in others),
        "|---|---|---|---|---|---|---|---|---|---|" + "---|" * len(others),
    ]
    for row in rows:
        latency, memory, start = GOALS[row["graph"]]
        lines.append(
            f"| {row['graph']} | {row['threads']} | {row['medfocus_ms']} "
            f"| {row[row['peer'] + '_ms']} ({row['peer']}) | {row['float_ms']} "
            f"| **{row['latency_ratio']:.2f}** ({latency}) "
            f"| {row['medfocus_MB']} | {row['memory_ratio']:.2f} ({memory}) "
            f"| {row['medfocus_load_ms']} | {row['load_ratio']:.2f} ({start}) |"
            + "".join(f" {row.get(name + '_ms', 'does not run')} |" for name in others)
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench_peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="four graphs, three rounds, no QDQ")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument(
        "--graph", choices=[*GRAPHS, CASE], action="append", help="only this graph, or whole cases"
    )
    parser.add_argument("--threads", type=int, action="append", help="default: 1 and 2")
    parser.add_argument("--rounds", type=int, help="default: 7; 3 with --quick")
    parser.add_argument("--runs", type=int, default=5, help="runs a round (default: 5)")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/medfocus")
    parser.add_argument(
        "--peers", type=lambda names: names.split(","), default=[], metavar="tract,rten",
        help="other runtimes too; built on first use",
    )  # fmt: skip
    arguments = parser.parse_args()
    # Workers run in another folder.
    arguments.binary = arguments.binary.resolve()
    if unknown := set(arguments.peers) - set(RUST_PEERS):
        parser.error(f"--peers knows {', '.join(RUST_PEERS)}, not {', '.join(unknown)}")
    if arguments.peers:
        subprocess.run(["cargo", "build", "--release", "--locked"], check=True, cwd=CRATE)
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 7)
    rows, load = [], os.getloadavg()
    for graph in arguments.graph or (QUICK if arguments.quick else [*GRAPHS, CASE]):
        name, file = GRAPHS.get(graph, (CASE_BUNDLE, ""))
        bundle = make_bundle(name, arguments.binary)
        for threads in arguments.threads or (1, 2):
            if graph == CASE:
                figures = ratios(whole_cases(bundle, threads, arguments))
            else:
                figures = ratios(take_turns(bundle, file, threads, arguments))
            rows.append({"graph": graph, "threads": threads, **figures})
            print(json.dumps(rows[-1]), file=sys.stderr)
    print(json.dumps(rows, indent=1) if arguments.json else table(rows, load))


if __name__ == "__main__":
    main()
