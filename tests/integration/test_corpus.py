# SPDX-License-Identifier: MIT
"""Pictures of other projects' fuzzers and test suites through the real scaler, and generated ones.

Those of others are in ../shared/pictures, where this machine has them: most are broken on purpose.
Whatever they are, no decoder may die of them; what Pillow reads without a complaint and its project
calls valid must give a thumbnail that shows the same, upright, and nothing but the picture.
INSET_CORPUS is how many of each type are tried.
"""
import io
import os
import warnings
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageFilter, ImageOps, ImageStat

from test_scaler import (BMP, GIF, JPEG, KILLED, LIMITS, OK, PNG, SOURCE, UNAVAILABLE, WEBP, Scaler, corners, has_sandbox, photo,
                         save, state)

TYPES = dict(jpeg=JPEG, png=PNG, gif=GIF, webp=WEBP, bmp=BMP)
FOLDER = SOURCE.parent / 'shared' / 'pictures'
COUNT = int(os.environ.get('INSET_CORPUS', '60'))


@pytest.fixture(scope='module')
def scaler():
    s = Scaler()
    yield s
    s.stop()


def origins():
    """What is said to be valid, by the path in its project."""
    index = FOLDER / 'INDEX.tsv'
    lines = index.read_text().splitlines()[1:] if index.is_file() else []
    rows = [line.split('\t') for line in lines]
    return {row[0] for row in rows if any(part in row[3] for part in ('conformance/valid', 'bmpsuite/good', 'pngsuite/'))}


def by_pillow(data):
    """The first frame as Pillow shows it, upright; None if it complains.

    Pillow paints what a GIF's frame leaves free of its canvas in the background colour; browsers leave it transparent.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            im = Image.open(io.BytesIO(data))
            frame = im.tile[0][1] if im.format == 'GIF' else (0, 0, *im.size)
            im.load()
            shown = Image.new('RGBA', im.size)
            shown.paste(im.convert('RGBA').crop(frame), frame)
            shown.info = im.info
            return ImageOps.exif_transpose(shown)
    except Exception:                           # pylint: disable=broad-except
        return None


def on_white(im):
    im = im.convert('RGBA')
    return Image.alpha_composite(Image.new('RGBA', im.size, 'white'), im).convert('RGB')


def check_thumbnail(res, name, shown=None):
    im = res.image()
    assert im.size == (res.width, res.height) and max(im.size) <= 128 and len(res.bytes) <= 16384, name
    assert not im.getexif() and not {'icc_profile', 'comment', 'exif', 'xmp', 'gamma'} & set(im.info), name
    if shown:
        assert shown.size == (res.ow, res.oh), name
        wanted = on_white(shown.resize(im.size, Image.BOX, reducing_gap=None))
        off = ImageStat.Stat(ImageChops.difference(wanted, on_white(im))).mean
        # Pillow leaves a PNG's gAMA out, which browsers and we apply.
        assert max(off) < 24 or abs(shown.info.get('gamma', 0.45455) - 0.45455) > 0.01, (name, off)


@pytest.mark.parametrize('kind', TYPES)
def test_pictures_of_others(scaler, kind):
    valid, thumbnails = origins(), 0
    folder = FOLDER / kind
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in paths[:COUNT]:
        data = path.read_bytes()
        res = scaler.scale(data, TYPES[kind], max_bytes=16384)
        assert res.status not in (KILLED, UNAVAILABLE), path
        shown = by_pillow(data) if f'{kind}/{path.name}' in valid else None
        if shown:
            assert res.status == OK, path
        if res.status == OK:
            check_thumbnail(res, path, shown)
            thumbnails += 1
    assert thumbnails or not paths
    scaler.wait_children(2)
    assert 'Z' not in [state(c) for c in scaler.children()]


def soft(width, height):
    """A photo whose colours survive a JPEG at thumbnail size."""
    return photo(width, height).filter(ImageFilter.GaussianBlur(max(width, height) / 25))


@pytest.mark.parametrize('kind', TYPES)
def test_generated_pictures(scaler, kind):
    for size in [(1, 1), (7, 5), (128, 128), (129, 40), (40, 129), (640, 480), (1500, 1000)]:
        for make in (soft, corners):
            im = make(*size) if min(size) > 8 else Image.new('RGB', size, (200, 30, 90))
            exif = Image.Exif()
            exif[0x112] = 6
            exif[0x10e] = 'a place'
            options = dict(exif=exif) if kind in ('jpeg', 'png', 'webp') else {}
            data = save(im, kind.upper(), **options)
            res = scaler.scale(data, TYPES[kind], max_bytes=16384)
            assert res.status == OK, (kind, size)
            check_thumbnail(res, (kind, size), by_pillow(data))


def test_caps_are_the_kernels(scaler):
    """No process above its caps: nobody but the kernel holds a decoder to them."""
    scaler.wait_children(2)
    for pid in scaler.children():
        rows = {line[:25].strip(): line[25:].split()[:2] for line in Path(f'/proc/{pid}/limits').read_text().splitlines()[1:]}
        cpu = LIMITS['cpu'] // 1000
        assert rows['Max cpu time'] == [str(cpu), str(cpu + 1)]
        assert rows['Max core file size'] == rows['Max file size'] == ['0', '0']
        if has_sandbox():
            assert rows['Max address space'] == [str(2 * LIMITS['memory'] + (512 << 20))] * 2
            assert rows['Max open files'] == ['2', '2'] and rows['Max processes'] == ['0', '0']
