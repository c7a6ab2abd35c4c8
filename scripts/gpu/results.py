"""Lines of JSON that stay readable whatever ends the writer: each is on the disk before the next step begins.

A line that was cut off is no line. What is added after it begins on a line of its own.
"""

import json
import os
import pathlib

NAME = "results.jsonl"


def append(folder, line):
    """Adds one line to the folder's results."""
    path = pathlib.Path(folder) / NAME
    with open(path, "ab+") as file:
        is_cut = False
        if file.tell():
            file.seek(-1, os.SEEK_END)
            is_cut = file.read(1) != b"\n"
        file.write(b"\n" * is_cut + json.dumps(line).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(folder, name=NAME):
    """All whole lines of a file of the folder; none where there is no such file."""
    path = pathlib.Path(folder) / name
    found = []
    for text in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            found.append(line)
    return found
