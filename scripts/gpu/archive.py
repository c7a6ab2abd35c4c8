"""What travels to a machine without Rust: stripped programs and tests in one archive, unpacked once where they run.

The filter for x86 code makes the same calls from different places the same bytes, and one dictionary reaches from
program to program: what they share is stored once.
"""

import lzma
import os
import pathlib
import shutil
import tarfile
import tempfile
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Ignored by git.
PACK = ROOT / ".gpu"
PROGRAMS = PACK / "programs.tar.xz"
FILTERS = [
    {"id": lzma.FILTER_X86},
    {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 256 << 20},
]


def write(paths):
    """Packs files under the names they are given."""
    PACK.mkdir(exist_ok=True)
    part = PROGRAMS.with_suffix(".part")
    with (
        lzma.open(part, "wb", format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=FILTERS) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        for name, path in paths.items():
            archive.add(path, arcname=name)
    part.replace(PROGRAMS)


def unpacked():
    """Folder of the archive's files, unpacked by whoever comes first; another archive gets another folder."""
    packed = PROGRAMS.stat()
    # Not beside the archive: what lies there travels.
    folder = temporary(f"programs-{packed.st_size}-{packed.st_mtime_ns}")
    if not folder.exists():
        part = pathlib.Path(tempfile.mkdtemp(prefix="unpacking-", dir=folder.parent))
        with tarfile.open(PROGRAMS) as archive:
            archive.extractall(part, filter="data")
        try:
            part.rename(folder)
        except OSError:
            # Another process was faster.
            shutil.rmtree(part, ignore_errors=True)
    return folder


def temporary(name):
    """A path in this user's folder for what may be made again: programs, sets, what torch.compile compiles."""
    folder = pathlib.Path(tempfile.gettempdir()) / f"bench-gpu-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / name


def machine_id():
    """The same for all calls that find what an earlier one left in the temporary folder, and no other."""
    path = temporary("machine")
    if not path.exists():
        part = path.with_name(f"machine-{os.getpid()}")
        part.write_text(uuid.uuid4().hex[:8])
        part.rename(path)
    return path.read_text()
