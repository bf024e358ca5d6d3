"""One process of onnxruntime: loads a graph, runs it, tells what that took, as JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

OPEN = {"count": 2, "batch": 1}
"""Length of the axes that the graphs leave open."""


def memory(key: str) -> int:
    """Bytes of this process: `VmRSS` now, `VmHWM` at most."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in status if line.startswith(key + ":"))


def inputs(session: onnxruntime.InferenceSession) -> dict[str, np.ndarray]:
    random, made = np.random.default_rng(1), {}
    for node in session.get_inputs():
        shape = [side if isinstance(side, int) else OPEN.get(side, 1) for side in node.shape]
        value = random.standard_normal(shape).astype(np.float32)
        if node.name == "labels":
            value = np.resize(np.array([2, 3], np.float32), shape)
        elif node.name == "points":
            value = random.uniform(0, 128, shape).astype(np.float32)
        made[node.name] = value
    return made


def main() -> None:
    path, threads, runs, warm_up = sys.argv[1], *map(int, sys.argv[2:5])
    before = memory("VmRSS")
    # What was held only while Python started is no part of the peak.
    Path("/proc/self/clear_refs").write_text("5")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    since = time.perf_counter()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    load_ms = (time.perf_counter() - since) * 1e3
    feeds, times = inputs(session), []
    since_all, processor = time.perf_counter(), time.process_time()
    for _ in range(warm_up + runs):
        since = time.perf_counter()
        session.run(None, feeds)
        times.append((time.perf_counter() - since) * 1e3)
    busy = (time.process_time() - processor) / (time.perf_counter() - since_all)
    if busy > threads + 0.2:
        raise SystemExit(f"{busy:.1f} threads were at work; {threads} were asked for")
    told = {"load_ms": load_ms, "runs_ms": times[warm_up:], "peak_bytes": memory("VmHWM") - before}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
