"""A medfocus device as an instrument of pyvisa: `visa_console.py RESOURCE IMAGE [EXAM]`.

RESOURCE is a serial port, as `ASRL/dev/ttyUSB0::INSTR`; IMAGE is a path on the device, in a folder
that its consoles may name. Prints the answer.

Exit codes: 0 a finding, 1 a refusal, 3 no answer in time.
"""

import sys
from typing import cast

import pyvisa
from pyvisa.resources import SerialInstrument

#: Seconds that the device may wait in one `CASE:WAIT?`.
STEP = 5


def words(answer: str) -> dict[str, str]:
    """`17 finding exam=brain4 class=none` by key."""
    return dict(word.split("=", 1) for word in answer.split() if "=" in word)


def check(device: SerialInstrument) -> None:
    """Raises what the device has to complain of."""
    error = device.query("SYST:ERR?")
    if not error.startswith("0,"):
        raise RuntimeError(error)


def classify(device: SerialInstrument, path: str, exam: str | None, seconds: int) -> str:
    """The answer to an image, as the console has it."""
    device.write("*CLS")
    device.write(f"EXAM {exam or 'auto'}")
    check(device)
    case = int(device.query(f'CASE:RUN? "{path}"'))
    for _ in range(0, seconds, STEP):
        state = device.query(f"CASE:WAIT? {case},{STEP}").split()[-1]
        if state not in ("waiting", "running"):
            return device.query(f"CASE:RES? {case}")
    raise TimeoutError(f"case {case} has no answer after {seconds} s; it will have one")


def main(resource: str, path: str, exam: str | None = None) -> int:
    manager = pyvisa.ResourceManager("@py")
    device = cast(SerialInstrument, manager.open_resource(resource))
    try:
        device.baud_rate = 115_200
        device.read_termination, device.write_termination = "\r\n", "\n"
        device.timeout = (STEP + 5) * 1000
        print(device.query("*IDN?"), file=sys.stderr)
        answer = classify(device, path, exam, 120)
    except (TimeoutError, pyvisa.errors.VisaIOError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    finally:
        device.close()
        manager.close()
    print(answer)
    found = words(answer)
    print(
        {key: found[key] for key in ("class", "p", "level", "code") if key in found},
        file=sys.stderr,
    )
    return 0 if "finding" in answer.split() else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
