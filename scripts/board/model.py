"""What a graph should take on a board that nobody has measured: a roofline.

    cycles = int8 MAC / rate + float MAC / rate + other instructions / IPC
    time   = the longer of cycles / (clock x threads' gain) and bytes / bandwidth

The rates are llvm-mca's of the kernels' inner loops (`cycles`), with operands in the first
cache. Other instructions are those that an emulated run executed (`scripts/emulation/count.c`)
less those of the product loops. Bytes are the packed weights once, and what passes between
steps written and read once. Everything else in BOARDS is an assumption, and named as such in
docs/boards.md."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Board:
    """A board, and what is assumed of it."""

    name: str
    # The kernel that it runs, and the model that stands for its CPU.
    kernel: str
    model: str
    # GHz with all cores at work.
    clock: float
    cores: int
    # Instructions a cycle outside the product loops.
    ipc: float
    # Bytes a second from memory that one core, and all of them, can really read, in 1e9.
    bandwidth: tuple[float, float]


# Gain by a second, third and fourth core, each: of two it was 0.75 to 0.99 on x86-64
# (docs/engine.md).
GAIN = 0.85

BOARDS = (
    Board("Raspberry Pi 5", "neon-sdot", "neoverse-n1", 2.4, 4, 2.0, (6.0, 9.0)),
    Board("Raspberry Pi 4", "neon-smlal", "cortex-a72", 1.8, 4, 1.2, (3.0, 4.5)),
    Board("Jetson Orin Nano", "neon-sdot", "neoverse-n1", 1.5, 6, 2.0, (10.0, 30.0)),
    Board("Jetson Nano", "neon-smlal", "cortex-a72", 1.43, 4, 1.2, (4.0, 8.0)),
)


@dataclass(frozen=True)
class Graph:
    """What a run of a graph is made of."""

    int8_macs: int
    float_macs: int
    # By kernel; none where nobody counted, and the time is a floor: that of the products alone.
    instructions: dict[str, int]
    weight_bytes: int
    arena_bytes: int


def rate(loops: list[dict], kernel: str, model: str) -> tuple[float, float]:
    """MAC a cycle, and instructions a MAC, of a product loop."""
    row = next(row for row in loops if (row["kernel"], row["model"]) == (kernel, model))
    return row["macs"] / row["cycles"], row["instructions"] / row["macs"]


def milliseconds(graph: Graph, board: Board, loops: list[dict], threads: int) -> float:
    """How long a run takes."""
    int8, int8_cost = rate(loops, board.kernel, board.model)
    floats, float_cost = rate(loops, "float", board.model)
    products = graph.int8_macs * int8_cost + graph.float_macs * float_cost
    others = max(0.0, graph.instructions.get(board.kernel, 0) - products)
    cycles = graph.int8_macs / int8 + graph.float_macs / floats + others / board.ipc
    gain = 1 + GAIN * (threads - 1)
    moved = graph.weight_bytes + 2 * graph.arena_bytes
    bandwidth = board.bandwidth[0 if threads == 1 else 1]
    return max(cycles / (board.clock * gain), moved / bandwidth) / 1e6
