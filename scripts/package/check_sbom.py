"""Whether a bill of materials is one: valid CycloneDX by its own schema, and with the minimum
elements of the NTIA (2021) for every component: supplier, name, version, unique identifier,
dependency relationship; author and time of the list itself. And whether models, fonts and the
standard library are in it.

    scripts/with-python requirements-sbom.txt scripts/package/check_sbom.py FILE"""

import json
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

# What must be in it, by the beginning of its identifier.
HELD = (
    "pkg:cargo/dicom-object@",
    "pkg:cargo/encoding_rs@",
    "pkg:cargo/u8g2-fonts@",
    "pkg:generic/rust-std@",
    "pkg:generic/medfocus-starter@",
    "pkg:generic/noto-sans-devanagari",
)


def faults(text: str) -> list[str]:
    """All that is wrong."""
    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    if error is not None:
        return [f"no CycloneDX 1.5: {error}"]
    bom = json.loads(text)
    metadata = bom["metadata"]
    found = [f"the list has no {key}" for key in ("timestamp", "authors") if not metadata.get(key)]
    components = [metadata["component"], *bom["components"]]
    related = {of["ref"] for of in bom["dependencies"]}
    used = {ref for of in bom["dependencies"] for ref in of.get("dependsOn", ())}
    for of in components:
        name, reference = of.get("name", "?"), of["bom-ref"]
        absent = [key for key in ("name", "version", "purl") if not of.get(key)]
        if not of.get("supplier", {}).get("name"):
            absent.append("supplier")
        found += [f"{name} has no {key}" for key in absent]
        if reference not in related:
            found.append(f"{name}: nothing says what it depends on")
        if reference not in used and of is not metadata["component"]:
            found.append(f"{name}: nothing says what depends on it")
    identifiers = [of.get("purl", "") for of in components]
    found += [
        f"{begin}... is not in it"
        for begin in HELD
        if not any(of.startswith(begin) for of in identifiers)
    ]
    weights = [of for of in components if of["type"] == "machine-learning-model"]
    found += [f"{of['name']} has no hash" for of in weights if not of.get("hashes")]
    if len(weights) < 2:
        found.append("no models are in it")
    return found


def main() -> int:
    """Says what is wrong; 1 where something is."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    text = Path(sys.argv[1]).read_text()
    wrong = faults(text)
    for fault in wrong:
        print(f"error: {fault}", file=sys.stderr)
    if not wrong:
        print(f"{sys.argv[1]}: {len(json.loads(text)['components'])} components, all of it said")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
