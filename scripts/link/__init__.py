"""A client of a medfocus device's framed serial link: `docs/protocol.md`, in Python.

`wire` turns bytes into packets, `endpoint` packets into a reliable stream, `messages` the
stream into what both ends say, `client` all of it into: send an image, take the answers.
How packets and messages are written as bytes is in `postcard`.
Written from the specification alone, so that it and the Rust client check each other.
"""
