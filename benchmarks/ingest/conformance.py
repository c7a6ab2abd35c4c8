"""What `ingest images` makes of files that test decoders, beside Pillow.

    conformance.py INGEST FOLDER...

INGEST is the program, FOLDER one conformance set each: a folder of JPEGs and PNGs. Every set is ingested at level 0 in
the best quality there is, and every file is opened with Pillow. A file is in one of these rows:

    equal       both read it, and the pixels agree: to the bit where ingest keeps the DCT coefficients, else by PSNR
    differs     both read it, and the pixels do not agree
    skipped     Pillow reads it, ingest does not: the reasons are listed
    bolder      ingest reads it, Pillow does not, or only when told to take truncated files
    refused     neither reads it
    passed over ingest does not take a file of this name for an image

Pillow's pixels are those after `ImageOps.exif_transpose` and `convert("RGB")`. One departs from that: Pillow clips 16
bits of grey to 8, ingest keeps the upper ones, and so does this script. At the end `ingest verify` reads each set.
"""

import argparse
import collections
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy
import pyarrow.parquet
from PIL import Image, ImageFile, ImageOps

# Encoded at quality 100 without subsampling, a picture keeps this; one that is turned wrongly has less than 20.
MIN_PSNR_DB = 35.0
SETTINGS = ["--levels", "0", "--quality", "100", "--chroma", "444", "--max-bad", "100%"]
Image.MAX_IMAGE_PIXELS = None
warnings.simplefilter("ignore")


def rgb_of(image):
    """Upright RGB. Grey of 16 bits keeps the upper ones."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        return numpy.stack([(numpy.asarray(image) >> 8).astype(numpy.uint8)] * 3, axis=-1)
    return numpy.asarray(image.convert("RGB"))


def pillow_reads(path, takes_truncated=False):
    ImageFile.LOAD_TRUNCATED_IMAGES = takes_truncated
    try:
        with Image.open(path, formats=["JPEG", "PNG"]) as image:
            return rgb_of(image), None
    except Exception as error:  # whatever Pillow raises is its way to say no
        return None, f"{type(error).__name__}: {error}"
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def ingested(program, folder, out):
    """The frames and the skipped items of one folder, by the path below it."""
    command = [program, "images", folder, "--out", out, *SETTINGS, "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    columns = ["frame_id", "jpeg_0", "width", "height", "encoding_0"]
    frames = {}
    for shard in sorted((out / "frames").glob("*.parquet")):
        for row in pyarrow.parquet.read_table(shard, columns=columns).to_pylist():
            frames[row["frame_id"].split("/", 1)[1]] = row
    report = json.loads((out / "report.json").read_text())
    skipped = {item["source"].split("/", 1)[1]: item for item in report["skipped_items"]}
    return frames, skipped


def difference(frame, expected):
    """What is wrong with the pixels of a frame, if anything is."""
    with Image.open(io.BytesIO(frame["jpeg_0"])) as stored:
        found = numpy.asarray(stored.convert("RGB"))[: frame["height"], : frame["width"]]
    if found.shape != expected.shape:
        return f"{found.shape} instead of {expected.shape}"
    if numpy.array_equal(found, expected):
        return None
    squares = (found.astype(float) - expected.astype(float)) ** 2
    psnr_db = 10 * numpy.log10(255**2 / squares.mean())
    if frame["encoding_0"] != "lossless" and psnr_db >= MIN_PSNR_DB:
        return None
    return f"{frame['encoding_0']}, {psnr_db:.1f} dB"


def verdict(name, path, frames, skipped):
    """The row that a file belongs to, and why."""
    if name not in frames and name not in skipped:
        return "passed over", path.suffix
    expected, refusal = pillow_reads(path)
    if name in skipped:
        reason = f"{skipped[name]['reason']}: {skipped[name]['detail']}"
        return ("refused", refusal) if expected is None else ("skipped", reason)
    if expected is None:
        expected, _ = pillow_reads(path, takes_truncated=True)
        wrong = None if expected is None else difference(frames[name], expected)
        return ("differs", wrong) if wrong else ("bolder", refusal)
    wrong = difference(frames[name], expected)
    return ("equal", frames[name]["encoding_0"]) if wrong is None else ("differs", wrong)


def compare(program, folder, out):
    frames, skipped = ingested(program, folder, out)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = collections.defaultdict(list)
    for path in files:
        name = path.relative_to(folder).as_posix()
        row, why = verdict(name, path, frames, skipped)
        rows[row].append((name, why))
    is_sound = subprocess.run([program, "verify", out], stdout=subprocess.DEVNULL, check=False).returncode == 0
    return len(files), rows, is_sound


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ingest", type=pathlib.Path)
    parser.add_argument("folders", type=pathlib.Path, nargs="+", metavar="folder")
    args = parser.parse_args()

    is_good = True
    for folder in args.folders:
        with tempfile.TemporaryDirectory() as out:
            num_files, rows, is_sound = compare(args.ingest.resolve(), folder.resolve(), pathlib.Path(out) / "set")
        counts = {row: len(found) for row, found in sorted(rows.items())}
        print(f"{folder.name}: {num_files} files, {counts}, verify {'good' if is_sound else 'BAD'}")
        for row in ("differs", "skipped", "bolder"):
            for name, why in rows[row]:
                print(f"    {row:8} {name}: {why}")
        is_good = is_good and is_sound and not rows["differs"]
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
