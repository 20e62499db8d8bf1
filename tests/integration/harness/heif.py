# SPDX-License-Identifier: MIT
"""HEIC and AVIF files: written by heif-enc, their boxes changed by hand.

Pillow has neither format here; the thumbnails that come out are judged by Pillow all the same.
"""
import struct
import subprocess
import tempfile
from pathlib import Path


def encode(image, kind, *options, depth=8):
    """kind: "heic" or "avif"; depth: 8, or more, which makes it 10."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, 'source.png'), Path(folder, f'out.{kind}')
        if depth == 8:
            image.save(source)
        else:
            image.save(Path(folder, 'eight.png'))
            subprocess.run(['gm', 'convert', Path(folder, 'eight.png'), '-depth', '16', f'PNG48:{source}'], check=True)
        subprocess.run(['heif-enc', *(['-A'] if kind == 'avif' else []), *options, source, '-o', out], check=True,
                       capture_output=True)
        return out.read_bytes()


def boxes(data, start, end):
    while start < end:
        size, = struct.unpack_from('>I', data, start)
        yield data[start + 4:start + 8], start, start + size
        start += size


def find(data, *path):
    """(start, end) of the box at that path; meta and ipma have a version in front."""
    start, end = 0, len(data)
    for name in path:
        start, end = next((a, b) for kind, a, b in boxes(data, start, end) if kind == name)
        inside = (start, end)
        start += 12 if name == b'meta' else 8
    return inside


def with_properties(data, *added):
    """The file with these boxes as further properties of its primary picture, in that order.

    In heif-enc's files the primary picture is the last of ipma, and all positions are in mdat, the last box."""
    out = bytearray(data)
    grow = 0

    def insert(at, piece, *around):
        nonlocal grow
        sizes = [find(out, *path)[0] for path in around]        # before the boxes move
        out[at:at] = piece
        for box in sizes:
            struct.pack_into('>I', out, box, struct.unpack_from('>I', out, box)[0] + len(piece))
        grow += len(piece)
    meta, iprp, ipco, ipma = [b'meta'], [b'meta', b'iprp'], [b'meta', b'iprp', b'ipco'], [b'meta', b'iprp', b'ipma']
    for box in added:
        start, end = find(out, *ipco)
        number = len(list(boxes(out, start + 8, end))) + 1
        insert(end, box, meta, iprp, ipco)
        start, end = find(out, *ipma)
        count_at = start + 16                                    # of the only, or last, picture
        for _ in range(struct.unpack_from('>I', out, start + 12)[0] - 1):
            count_at += 3 + out[count_at + 2]
        out[count_at + 2] += 1
        insert(end, bytes([0x80 | number]), meta, iprp, ipma)
    at = find(out, b'meta', b'iloc')[0]
    version = out[at + 8]
    assert out[at + 12:at + 14] == b'\x44\x40'                   # four bytes each, no indices
    count, = struct.unpack_from('>H', out, at + 14)
    at += 16
    for _ in range(count):                                      # id, method (in version 1), reference, base, extents
        in_mdat = version == 0 or out[at + 3] == 0
        at += 4 if version == 0 else 6
        if in_mdat:
            struct.pack_into('>I', out, at, struct.unpack_from('>I', out, at)[0] + grow)
        at += 6 + 8 * struct.unpack_from('>H', out, at + 4)[0]
    return bytes(out)


def irot(quarters):
    """Turned to the left that often."""
    return struct.pack('>I4sB', 9, b'irot', quarters)


def imir(axis):
    """0: top and bottom change places (as libheif reads it), 1: left and right do."""
    return struct.pack('>I4sB', 9, b'imir', axis)
