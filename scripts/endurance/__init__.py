"""Faults done to the real program, and what came of them; `scripts/faults` runs it. Python
alone, with strace and libfaketime where a fault needs them."""
