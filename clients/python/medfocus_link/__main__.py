"""`medfocus-link PORT IMAGE... [--exam NAME] | --fetch | --console LINE`: JSON lines.

Exit codes: 0 all answered, 1 at least one refused, 2 wrong usage, 3 no device answers, 4 the
total time (`--timeout`) was over first.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import serial

from .client import Client, OtherImage, RefusedError, Silent, Status, TimeIsUp
from .messages import Answer, Finding, Priority, SafeState, Sex, StorageFault, Warnings
from .wire import VersionDamage

SEXES = {"F": Sex.FEMALE, "M": Sex.MALE, "O": Sex.OTHER}


def line(answer: Answer, source: str | None) -> str:
    kind = type(answer).__name__.lower()
    return json.dumps({"status": kind, "source": source} | dataclasses.asdict(answer))


def tell(status: Status) -> None:
    """Says on standard error what the device says of itself."""
    match status:
        case SafeState("", _):
            text = "the device answers again"
        case SafeState(code, cure):
            text = f"the device keeps its cases and answers none: {code}; {cure}"
        case StorageFault(failed):
            text = "the device cannot write" if failed else "the device can write again"
        case Warnings("", _):
            text = "the device warns of nothing any more"
        case Warnings(codes, cure):
            text = f"the device warns: {codes}; {cure}"
    print(text, file=sys.stderr, flush=True)


def talk(client: Client, arguments: argparse.Namespace) -> bool:
    """Does what is asked; false where something was refused."""
    well = True
    for text in arguments.console:
        print(client.console(text), flush=True)
    for path in arguments.images:
        try:
            answer = client.classify(
                path.read_bytes(),
                arguments.exam,
                arguments.region,
                priority=Priority[arguments.priority.upper()],
                age=arguments.age,
                sex=SEXES.get(arguments.sex),
            )
        except (OSError, RefusedError, OtherImage) as error:
            print(f"{path}: {error}", file=sys.stderr)
            well = False
            continue
        print(line(answer, str(path)), flush=True)
        well &= isinstance(answer, Finding)
    if arguments.fetch:
        for answer in client.fetch():
            print(line(answer, None), flush=True)
            well &= isinstance(answer, Finding)
    return well


def region(text: str) -> tuple[int, int, int, int]:
    x, y, width, height = (int(side) for side in text.split(","))
    return x, y, width, height


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="medfocus-link",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("port", help="serial port that the device is on")
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--exam", help="where absent, what the image itself asks for")
    parser.add_argument("--region", type=region, metavar="X,Y,W,H")
    parser.add_argument("--priority", choices=["routine", "urgent", "stat"], default="routine")
    parser.add_argument("--age", type=int, help="the patient's age in whole years")
    parser.add_argument("--sex", choices=list(SEXES), help="the patient's sex")
    parser.add_argument("--fetch", action="store_true", help="take what nobody took")
    parser.add_argument("--console", action="append", default=[], metavar="LINE")
    parser.add_argument("--baud", type=int, default=115_200)
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="total time; where absent, no bound"
    )
    arguments = parser.parse_args()
    try:
        port = serial.Serial(arguments.port, arguments.baud, timeout=0.005, exclusive=True)
        timeout = arguments.timeout
        with port, Client(port, arguments.baud, timeout=timeout, on_status=tell) as client:
            return 0 if talk(client, arguments) else 1
    except TimeIsUp as error:
        print(f"error: {error}; ask again with --fetch", file=sys.stderr)
        return 4
    except (serial.SerialException, Silent, VersionDamage) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3


def run() -> None:
    sys.exit(main())


if __name__ == "__main__":
    run()
