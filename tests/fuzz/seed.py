"""Makes the fuzzers' first inputs, small ones of every kind, out of real data.

seed.py raw DATA CORPUS PICTURES   out of the TFRecords and images in DATA; PICTURES gets folders for `ingest images`
seed.py stored SET CORPUS          out of a set that `ingest images` made
"""

import contextlib
import gzip
import io
import json
import struct
import sys
import tarfile
import zipfile
from itertools import islice
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet
from PIL import Image, ImageFilter

SMALL = (64, 48)
# The least size that is stored at two resolutions.
TWO_LEVELS = (456, 448)
EXIF_ROTATED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
# The longest input: fuzzers are quick with short ones, and cut off what is longer.
MOST_BYTES = 65536
# Any rectangle: the target takes the first four bytes of an input for one.
RECTANGLE = bytes([40, 50, 120, 90])


def encoded(image, kind="JPEG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpegs(image, **options):
    """One picture in all the forms that a JPEG comes in."""
    grey, cmyk = image.convert("L"), image.convert("CMYK")
    return {
        "420": encoded(image, subsampling=2, **options),
        "422": encoded(image, subsampling=1, **options),
        "444": encoded(image, subsampling=0, **options),
        "progressive": encoded(image, progressive=True, **options),
        "grey": encoded(grey, **options),
        "grey_progressive": encoded(grey, progressive=True, **options),
        "cmyk": encoded(cmyk, **options),
        "rgb": encoded(image, keep_rgb=True, **options),
        "restart": encoded(image, restart_marker_blocks=3, **options),
        "rotated": encoded(image, exif=EXIF_ROTATED, **options),
    }


def pngs(image):
    grey = image.convert("L")
    kinds = {"rgb": image, "grey": grey, "palette": image.quantize(16), "alpha": image.convert("RGBA")}
    kinds |= {"bits": image.convert("1"), "deep": grey.convert("I;16")}
    return {name: encoded(kind, "PNG") for name, kind in kinds.items()}


def write(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if len(content) <= MOST_BYTES:
            (folder / name).write_bytes(content)


def opened(data):
    """The images in `data` that can be opened, one of each folder first."""
    paths = sorted(data.rglob("*.jpg")) + sorted(data.rglob("*.png"))
    first = {path.parent: path for path in reversed(paths)}
    for path in [*first.values(), *paths]:
        with contextlib.suppress(OSError):
            yield Image.open(path).convert("RGB")


def varint(message, at):
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def field(number, content):
    length, size = b"", len(content)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def with_small_images(frame, jpeg):
    """A `Frame` message as it is, but for its images and for fields of more than 2,000 bytes."""
    out, at = b"", 0
    while at < len(frame):
        start = at
        tag, at = varint(frame, at)
        match tag & 7:
            case 0:
                _, at = varint(frame, at)
            case 1:
                at += 8
            case 5:
                at += 4
            case _:
                length, body = varint(frame, at)
                at = body + length
                if tag >> 3 == 4:
                    camera, _ = varint(frame, body + 1)
                    out += field(4, bytes([8, camera]) + field(2, jpeg))
                    continue
                if length > 2000:
                    continue
        out += frame[start:at]
    return out


def records(path):
    """Header, payload and footer of each record."""
    with open(path, "rb") as file:
        while header := file.read(12):
            (length,) = struct.unpack("<Q", header[:8])
            yield header, file.read(length), file.read(4)


def camera_images(jpeg):
    """Waymo's v2 layout in the ways that writers store it."""
    table = pyarrow.table({
        "key.segment_context_name": ["drive", "drive", "other"],
        "key.frame_timestamp_micros": [1, 1, 2],
        "key.camera_name": pyarrow.array([1, 2, 8], pyarrow.int8()),
        "[CameraImageComponent].image": [jpeg, jpeg[:200], None],
    })  # fmt: skip
    for codec in ["none", "snappy", "gzip", "brotli", "lz4", "zstd"]:
        for version in ["1.0", "2.0"]:
            out = io.BytesIO()
            is_plain = codec == "none"
            parquet.write_table(table, out, compression=codec, data_page_version=version, use_dictionary=not is_plain)
            yield f"{codec}_{version}", out.getvalue()


def archives(jpeg):
    """Images and their tags in the forms of archives, after the byte that names the kind."""
    tags = {"images": [{"file_name": "HT_TRAIN_000001_SH_000.jpg", "period": "Night", "city": "Shanghai"}]}
    members = {
        "labeled/train/HT_TRAIN_000001_SH_000.jpg": jpeg,
        "labeled/annotations/tags.json": json.dumps(tags).encode(),
    }
    long_name = "unlabeled/split_0/" + "deep/" * 30 + "0.jpg"
    for name, form in [("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)]:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as tar:
            for path, content in (members if name == "ustar" else members | {long_name: jpeg}).items():
                info = tarfile.TarInfo(path)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            for kind, target in [
                (tarfile.LNKTYPE, next(iter(members))),
                (tarfile.SYMTYPE, "HT_TRAIN_000001_SH_000.jpg"),
            ]:
                info = tarfile.TarInfo("labeled/train/link" + kind.decode() + ".jpg")
                info.type, info.linkname = kind, target
                tar.addfile(info)
        yield name, b"\0" + out.getvalue()
        yield name + "_gzip", b"\2" + gzip.compress(out.getvalue())
    for name, method in [("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)]:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for path, content in members.items():
                archive.writestr(path, content)
        yield name, b"\1" + out.getvalue()


def raw(data, corpus, pictures):
    images = list(islice(opened(data), 3))
    small_jpeg = encoded(images[0].resize(SMALL), quality=30)
    for number, image in enumerate(images):
        small = jpegs(image.resize(SMALL), quality=70) | pngs(image.resize((20, 15)))
        smooth = image.resize(TWO_LEVELS).filter(ImageFilter.GaussianBlur(8))
        large = {f"{name}_large": content for name, content in jpegs(smooth, quality=20).items()}
        write(corpus / "picture", {f"{number}_{name}": content for name, content in (small | large).items()})
        write(pictures / f"small_{number}", {f"{name}.jpg": small[name] for name in ["420", "grey"]})
        write(pictures / f"kinds_{number}", {f"{name}.jpg": content for name, content in small.items()})
        write(pictures / f"large_{number}", {"420.jpg": large["420_large"]})
    for number, path in enumerate(sorted(data.rglob("*.tfrecord"))[:4]):
        for header, payload, footer in islice(records(path), 2):
            frame = with_small_images(payload, small_jpeg)
            write(corpus / "waymo_frame", {f"{number}": frame})
            write(
                corpus / "tfrecord", {f"{number}_length": b"\1" + header + b"data", f"{number}_payload": b"\2" + frame}
            )
            if len(payload) < 10_000:
                write(corpus / "tfrecord", {f"{number}": b"\0" + header + payload + footer})
    write(corpus / "archive", dict(archives(small_jpeg)))
    write(corpus / "waymo_table", dict(camera_images(small_jpeg)))


def rewritten(path, **options):
    """The same table with its notes in the footer, as another library writes it: uncompressed, in other pages."""
    out = io.BytesIO()
    parquet.write_table(parquet.read_table(path), out, compression="none", write_page_index=True, **options)
    return out.getvalue()


def stored(folder, corpus):
    name, catalog = folder.name, folder / "catalog.parquet"
    (shard,) = (folder / "frames").glob("*.parquet")
    write(corpus / "catalog", {name: catalog.read_bytes(), f"{name}_plain": rewritten(catalog, use_dictionary=False)})
    # One page a JPEG, which is how a shard has to be.
    one_each = {"row_group_size": 1, "use_dictionary": False}
    write(corpus / "shard", {name: shard.read_bytes(), f"{name}_plain": rewritten(shard, **one_each)})
    columns = parquet.read_table(shard).select(["jpeg_0", "jpeg_1"])
    levels = [jpeg for column in columns.columns for jpeg in column.to_pylist() if jpeg]
    write(corpus / "tiled_jpeg", {f"{name}_{number}": RECTANGLE + jpeg for number, jpeg in enumerate(levels)})


{"raw": raw, "stored": stored}[sys.argv[1]](*map(Path, sys.argv[2:]))
