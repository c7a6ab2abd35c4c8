"""Makes small inputs of every kind for the fuzzers, out of a folder with TFRecords and images.

    seed.py DATA SMALL CORPUS      records and pictures into CORPUS, pictures for `ingest images` into SMALL/all
    seed.py --tiles FRAMES CORPUS  tile-addressable JPEGs out of shards
"""

import io
import struct
import sys
from pathlib import Path

from PIL import Image

SIZE = (176, 120)


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG", **{"quality": 80, **options})
    return out.getvalue()


def variants(image):
    """One picture in all the forms that image files come in."""
    rgb = image.convert("RGB").resize(SIZE)
    png = io.BytesIO()
    rgb.resize((40, 30)).save(png, "PNG")
    return {
        "420.jpg": jpeg(rgb, subsampling=2),
        "422.jpg": jpeg(rgb, subsampling=1),
        "444.jpg": jpeg(rgb, subsampling=0),
        "progressive.jpg": jpeg(rgb, progressive=True),
        "optimised.jpg": jpeg(rgb, optimize=True),
        "grey.jpg": jpeg(rgb.convert("L")),
        "cmyk.jpg": jpeg(rgb.convert("CMYK")),
        "restart.jpg": jpeg(rgb, restart_marker_blocks=3),
        "rotated.jpg": jpeg(rgb, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"),
        "rgb.png": png.getvalue(),
    }


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def encoded(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def small_frame(data):
    """A `Frame` message as it is, but with a small JPEG in every CameraImage."""
    out, at = b"", 0
    while at < len(data):
        start = at
        tag, at = varint(data, at)
        if tag & 7 == 0:
            _, at = varint(data, at)
        elif tag & 7 == 1:
            at += 8
        elif tag & 7 == 5:
            at += 4
        else:
            length, body = varint(data, at)
            at = body + length
            if tag >> 3 == 4:
                name, _ = varint(data, body + 1)
                image = bytes([8, name, 18]) + encoded(len(SMALL_JPEG)) + SMALL_JPEG
                out += b"\x22" + encoded(len(image)) + image
                continue
            if length > 4000:
                continue
        out += data[start:at]
    return out


def records(path):
    with open(path, "rb") as file:
        while header := file.read(12):
            (length,) = struct.unpack("<Q", header[:8])
            yield header, file.read(length), file.read(4)


def main(data, small, corpus):
    images = [path for path in sorted(data.rglob("*")) if path.suffix in (".jpg", ".png") and path.stat().st_size > 2000]
    opened = []
    for path in images:
        try:
            opened.append(Image.open(path).convert("RGB"))
        except OSError:
            continue
        if len(opened) == 3:
            break
    global SMALL_JPEG
    SMALL_JPEG = jpeg(opened[0].resize((48, 32)))
    (small / "all").mkdir(parents=True)
    for number, image in enumerate(opened):
        for name, content in variants(image).items():
            (corpus / "picture" / f"{number}_{name}").write_bytes(content)
            (small / "all" / f"{number}_{name}").write_bytes(content)
    for number, path in enumerate(sorted(data.rglob("*.tfrecord"))[:4]):
        for header, payload, footer in list(records(path))[:2]:
            frame = small_frame(payload)
            (corpus / "waymo_frame" / f"{number}").write_bytes(frame)
            (corpus / "tfrecord" / f"{number}_payload").write_bytes(b"\x01" + frame[:2000])
            if len(payload) < 60_000:
                (corpus / "tfrecord" / f"{number}").write_bytes(b"\x00" + header + payload + footer)


def tiles(frames, corpus):
    import pyarrow.parquet

    for path in sorted(frames.glob("*.parquet")):
        column = pyarrow.parquet.read_table(path, columns=["jpeg_0"])["jpeg_0"].to_pylist()
        for number, content in enumerate(filter(None, column)):
            (corpus / f"{path.stem}_{number}").write_bytes(bytes([40, 50, 120, 90]) + content)


if sys.argv[1] == "--tiles":
    tiles(Path(sys.argv[2]), Path(sys.argv[3]))
else:
    main(*map(Path, sys.argv[1:4]))
