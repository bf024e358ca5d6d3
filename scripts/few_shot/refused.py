"""Why the experiment cannot be done, and the exit code that says so."""

from __future__ import annotations


class Refused(Exception):
    """The images or the bundle do not do: exit code 1."""

    exit_code = 1


class Broken(Refused):
    """The program that reads the images fails or is not there: exit code 3."""

    exit_code = 3
