# SPDX-License-Identifier: MIT
"""The real inset-scaler over its two channels: generated pictures, bombs, killed children.

The test is both the master and the media process. What comes back is judged by Pillow and
exiftool, not by our own code. tests/unit/test_sandbox.c proves what a child cannot do.
"""

import fcntl
import io
import os
import random
import select
import signal
import socket
import struct
import subprocess
import time
import zlib
from pathlib import Path

import pytest

from PIL import Image, ImageChops, ImageCms, ImageStat

from harness import heif, stills

NONE, JPEG, PNG, GIF, WEBP, BMP, HEIC, AVIF = range(8)
AUTO, AS_JPEG, AS_PNG, AS_WEBP = range(4)
OK, FAILED, TOO_BIG, NO_FIT, KILLED, UNAVAILABLE = range(6)
ROLE_MEDIA = 2
SIDES = {1: 'rbgw', 2: 'brwg', 3: 'wgbr', 4: 'gwrb', 5: 'rgbw', 6: 'grwb', 7: 'wbgr', 8: 'bwrg'}
COLORS = {'r': (255, 0, 0), 'g': (0, 255, 0), 'b': (0, 0, 255), 'w': (255, 255, 255)}
LIMITS = dict(pixels=28000000, pixels_jpeg=200000000, side=32768, memory=256 << 20, wall=5000, cpu=3000)
SOURCE = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get('INSET_BUILD') or SOURCE / 'build')
BINARY = BUILD / 'inset-scaler'


def has_sandbox():
    return '#define SANDBOX_SECCOMP 1' in (BUILD / 'config.h').read_text()


HAS_HEIF = '#define HAVE_HEIF 1' in (BUILD / 'config.h').read_text()


def message_types():
    names = []
    for line in (SOURCE / 'src/base/ipc.def').read_text().splitlines():
        if line.startswith('IPC('):
            names.append(line[4:].split(',')[0])
    return {name: number for number, name in enumerate(names)}


TYPE = message_types()


def limits_bytes(limits):
    return struct.pack('=QQIQII', *(limits[k] for k in ('pixels', 'pixels_jpeg', 'side', 'memory', 'wall', 'cpu')))


def sealed(data):
    fd = os.memfd_create('picture', os.MFD_ALLOW_SEALING)
    os.write(fd, data) if data else None
    fcntl.fcntl(fd, 1033, 0x1 | 0x2 | 0x4 | 0x8)                # F_ADD_SEALS: seal, shrink, grow, write
    return fd


class Result:
    def __init__(self, packet):
        (self.id, self.status, self.format, self.width, self.height, self.ow, self.oh, self.step, self.us,
         hash_size) = struct.unpack_from('=QBBIIIIBIB', packet, 4)
        at = 4 + struct.calcsize('=QBBIIIIBIB')
        self.thumbhash = packet[at:at + hash_size]
        size, = struct.unpack_from('=I', packet, at + hash_size)
        self.bytes = packet[-size:] if size else b''
        assert len(packet) == at + hash_size + 4 + size
        assert (hash_size in range(5, 26)) == (self.status == 0)

    def image(self):
        im = Image.open(io.BytesIO(self.bytes))
        im.load()
        return im


class Scaler:
    """inset-scaler with this test at the other end of both channels."""

    def __init__(self, children=2, prefix='', **limits):
        self.limits = dict(LIMITS, **limits)
        self.master, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.proc = subprocess.Popen(
            ['/bin/bash', '-c', f'{prefix}exec 3<&{end.fileno()}; exec "$0" --user nobody --index 0', str(BINARY)],
            pass_fds=[end.fileno()],
            # The leak checker of sanitizer builds reads /proc, which landlock took from the scaler.
            env=dict(os.environ, ASAN_OPTIONS='detect_leaks=0'))
        end.close()
        self.master.settimeout(20)
        self.media = None
        self.next_id = 0
        self.send('SETUP', struct.pack('=I', children) + limits_bytes(self.limits))
        assert self.receive_until('CONFIRM')[4:13] == struct.pack('=QB', 0, 1)
        self.peer()
        self.send('COMMIT', struct.pack('=Q', 1))
        self.receive_until('READY')
        self.mask, self.why = self.formats()

    def send(self, name, body):
        self.master.send(struct.pack('=I', TYPE[name]) + body)

    def receive_until(self, name):
        while True:
            packet = self.master.recv(70000)
            assert packet, 'the scaler ended'
            if struct.unpack_from('=I', packet)[0] == TYPE[name]:
                return packet

    def peer(self):
        if self.media:
            self.media.close()
        self.media, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.media.settimeout(20)
        socket.send_fds(self.master, [struct.pack('=IBI', TYPE['PEER'], ROLE_MEDIA, 0)], [end.fileno()])
        end.close()

    def formats(self):
        packet = self.media.recv(70000)
        kind, mask, size = struct.unpack_from('=III', packet)
        assert kind == TYPE['FORMATS']
        return mask, packet[12:12 + size].decode()

    def ask(self, data, fmt, output=AUTO, box=(128, 128), max_bytes=8192, **limits):
        self.next_id += 1
        body = struct.pack('=QBBIII', self.next_id, fmt, output, *box, max_bytes)
        fd = sealed(data)
        socket.send_fds(self.media, [struct.pack('=I', TYPE['SCALE']) + body + limits_bytes(dict(self.limits, **limits))],
                        [fd])
        os.close(fd)
        return self.next_id

    def answer(self):
        return Result(self.media.recv(70000))

    def scale(self, *args, **kw):
        wanted = self.ask(*args, **kw)
        res = self.answer()
        assert res.id == wanted
        return res

    def children(self):
        try:
            return [int(p) for p in Path(f'/proc/{self.proc.pid}/task/{self.proc.pid}/children').read_text().split()]
        except FileNotFoundError:
            return []

    def wait_children(self, count):
        """Until that many children sleep and stay the same for a while: all forked, none on its way out."""
        end = time.monotonic() + 20
        before = None
        while True:
            now = [c for c in self.children() if state(c) == 'S']
            if len(now) == count and now == before == self.children():
                return
            assert time.monotonic() < end, self.children()
            before = now
            time.sleep(0.2)

    def stop(self):
        self.send('STOP', struct.pack('=I', 0))
        assert self.proc.wait(20) == 0
        self.master.close()
        self.media.close()


def state(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0]
    except FileNotFoundError:
        return ''


@pytest.fixture(scope='module')
def scaler():
    s = Scaler()
    assert s.mask == (0b11111110 if HAS_HEIF else 0b111110) and s.why == ''
    yield s
    s.stop()


def save(im, fmt, **kw):
    out = io.BytesIO()
    im.save(out, fmt, **kw)
    return out.getvalue()


def photo(width=640, height=480):
    return Image.merge('RGB', [Image.effect_noise((width // 8, height // 8), 80).resize((width, height), Image.BICUBIC)
                               for _ in range(3)])


def corners(width=320, height=240, order='rbgw', mode='RGB'):
    im = Image.new('RGB', (width, height))
    for i, c in enumerate(order):
        x, y = i % 2 * width // 2, i // 2 * height // 2
        im.paste(COLORS[c], (x, y, x + width // 2, y + height // 2))
    return im.convert(mode)


def near(a, b, tolerance=40):
    return all(abs(x - y) <= tolerance for x, y in zip(a, b))


def assert_corners(im, order='rbgw'):
    im = im.convert('RGB')
    w, h = im.size
    for i, c in enumerate(order):
        at = (w // 4 + i % 2 * w // 2, h // 4 + i // 2 * h // 2)
        assert near(im.getpixel(at), COLORS[c]), (i, im.getpixel(at), c)


def assert_clean(res, tmp_path, box=(128, 128), max_bytes=8192):
    im = res.image()
    assert im.size == (res.width, res.height)
    assert im.width <= min(box[0], res.ow) and im.height <= min(box[1], res.oh)
    assert len(res.bytes) <= max_bytes
    assert not im.getexif() and 'icc_profile' not in im.info and 'comment' not in im.info
    path = tmp_path / 'thumbnail'
    path.write_bytes(res.bytes)
    tags = subprocess.run(['exiftool', '-EXIF:all', '-XMP:all', '-IPTC:all', '-ICC_Profile:all', '-Comment',
                           '-PNG:Comment', '-PNG:CreateDate', str(path)], capture_output=True, text=True)
    assert tags.stdout == ''
    return im


PLAIN = [('JPEG', JPEG, 'RGB', {}), ('JPEG', JPEG, 'RGB', dict(progressive=True)), ('JPEG', JPEG, 'CMYK', {}),
         ('PNG', PNG, 'RGB', {}), ('PNG', PNG, 'RGBA', {}), ('PNG', PNG, 'P', {}), ('GIF', GIF, 'P', {}),
         ('WEBP', WEBP, 'RGB', {}), ('WEBP', WEBP, 'RGB', dict(lossless=True)), ('WEBP', WEBP, 'RGBA', {}),
         ('BMP', BMP, 'RGB', {}), ('BMP', BMP, 'P', {})]


@pytest.mark.parametrize('output', [AUTO, AS_JPEG, AS_PNG, AS_WEBP])
@pytest.mark.parametrize('name,fmt,mode,options', PLAIN)
def test_formats_keep_their_colours(scaler, tmp_path, name, fmt, mode, options, output):
    res = scaler.scale(save(corners(mode=mode), name, **options), fmt, output)
    assert res.status == OK and (res.width, res.height) == (128, 96) and (res.ow, res.oh) == (320, 240)
    im = assert_clean(res, tmp_path)
    assert im.format == {AS_JPEG: 'JPEG', AS_PNG: 'PNG', AS_WEBP: 'WEBP'}.get(output, im.format)
    assert_corners(im)


# --- HEIC and AVIF: none of Pillow's -------------------------------------------------------

HEIF = [('heic', HEIC), ('avif', AVIF)] if HAS_HEIF else []


@pytest.mark.parametrize('name,fmt', HEIF)
def test_heif_keeps_its_colours(scaler, tmp_path, name, fmt):
    for output in (AUTO, AS_JPEG, AS_PNG, AS_WEBP):
        res = scaler.scale(heif.encode(corners(), name), fmt, output)
        assert res.status == OK and (res.width, res.height) == (128, 96) and (res.ow, res.oh) == (320, 240)
        assert_corners(assert_clean(res, tmp_path))
    for size in [(64, 64), (129, 65), (33, 300), (127, 97)]:     # odd sizes, not enlarged
        res = scaler.scale(heif.encode(corners(*size), name), fmt)
        assert res.status == OK and (res.ow, res.oh) == size
        assert_corners(assert_clean(res, tmp_path))


# What was applied, in the order of the file's list; where the corners r, g, b, w are then.
TURNS = {'left': ([heif.irot(1)], 'gwrb'), 'over': ([heif.irot(2)], 'wbgr'), 'right': ([heif.irot(3)], 'brwg'),
         'mirror': ([heif.imir(1)], 'grwb'), 'flip': ([heif.imir(0)], 'bwrg'),
         'left-mirror': ([heif.irot(1), heif.imir(1)], 'wgbr')}


@pytest.mark.parametrize('turn', TURNS)
@pytest.mark.parametrize('name,fmt', HEIF)
def test_heif_is_upright(scaler, tmp_path, name, fmt, turn):
    added, order = TURNS[turn]
    res = scaler.scale(heif.with_properties(heif.encode(corners(order='rgbw'), name), *added), fmt)
    turned = turn in ('left', 'right', 'left-mirror')
    assert res.status == OK and (res.ow, res.oh) == ((240, 320) if turned else (320, 240))
    assert (res.width, res.height) == ((96, 128) if turned else (128, 96))
    assert_corners(assert_clean(res, tmp_path), order)


@pytest.mark.parametrize('name,fmt', HEIF)
def test_heif_alpha_depth_and_profile(scaler, tmp_path, name, fmt):
    im = Image.new('RGBA', (300, 300), (255, 0, 0, 0))
    im.paste((0, 0, 255, 255), (150, 0, 300, 300))
    res = scaler.scale(heif.encode(im, name), fmt)
    assert res.status == OK and res.format == PNG
    out = assert_clean(res, tmp_path).convert('RGBA')
    assert out.getpixel((20, 60))[3] < 10 and near(out.getpixel((100, 60)), (0, 0, 255, 255))
    if name == 'heic':                                           # heif-enc aborts at an AVIF of ten bits
        res = scaler.scale(heif.encode(corners(), name, depth=10), fmt)
        assert res.status == OK
        assert_corners(assert_clean(res, tmp_path))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    box = struct.pack('>I4s4s', 12 + len(profile), b'colr', b'prof') + profile
    res = scaler.scale(heif.with_properties(heif.encode(corners(), name), box), fmt)
    assert res.status == OK
    assert_corners(assert_clean(res, tmp_path))


@pytest.mark.parametrize('name,fmt', HEIF)
def test_heif_damaged(scaler, name, fmt):
    data = heif.encode(corners(256, 192), name)
    for length in [*range(0, 64, 7), *range(64, len(data) - 1, max(1, len(data) // 40)), len(data) - 1]:
        assert scaler.scale(data[:length], fmt).status == FAILED, length
    for i in range(8, len(data), max(1, len(data) // 150)):
        for flip in (0xff, 0x01):
            bad = bytearray(data)
            bad[i] ^= flip
            status = scaler.scale(bytes(bad), fmt).status
            # A size that was flipped to 65536 lines: without RLIMIT_AS only the clock ends that.
            assert status in (OK, FAILED, TOO_BIG, NO_FIT) or (status == KILLED and not has_sandbox()), i
    assert scaler.scale(data, fmt).status == OK


@pytest.mark.parametrize('name,fmt', HEIF)
def test_heif_limits(scaler, name, fmt):
    data = heif.encode(corners(512, 512), name)
    assert scaler.scale(data, fmt, pixels=512 * 512).status == OK
    assert scaler.scale(data, fmt, pixels=512 * 512 - 1).status == TOO_BIG
    assert scaler.scale(data, fmt, side=511).status == TOO_BIG
    at = data.index(b'ispe') + 8
    bomb = data[:at] + struct.pack('>II', 30000, 30000) + data[at + 8:]
    assert scaler.scale(bomb, fmt).status == TOO_BIG             # by its header
    small = data[:at] + struct.pack('>II', 16, 16) + data[at + 8:]
    assert scaler.scale(small, fmt).status in (OK, FAILED)      # it lies: its coded size is not 16x16
    for other in set(range(JPEG, AVIF)) - {HEIC, AVIF}:
        assert scaler.scale(data, other).status == FAILED


@pytest.mark.parametrize('mode', ['1', 'L', 'I;16', 'LA'])
def test_grey_pictures(scaler, tmp_path, mode):
    im = Image.new('L', (200, 100), 0)
    im.paste(255, (100, 0, 200, 100))
    if mode == 'I;16':
        im = im.convert('I').point(lambda v: v * 257).convert('I;16')
    else:
        im = im.convert(mode)
    res = scaler.scale(save(im, 'PNG'), PNG, AS_PNG)
    assert res.status == OK
    out = assert_clean(res, tmp_path).convert('RGB')
    assert near(out.getpixel((32, 32)), (0, 0, 0), 5) and near(out.getpixel((96, 32)), (255, 255, 255), 5)


@pytest.mark.parametrize('name,fmt', [('JPEG', JPEG), ('PNG', PNG), ('WEBP', WEBP)])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_orientation_and_gps(scaler, tmp_path, name, fmt, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    exif[0x10e] = 'a place'
    exif.get_ifd(0x8825)[1] = 'N'
    res = scaler.scale(save(corners(), name, exif=exif), fmt)
    assert res.status == OK
    im = assert_clean(res, tmp_path)
    turned = orientation >= 5
    assert im.size == ((96, 128) if turned else (128, 96))
    assert (res.ow, res.oh) == ((240, 320) if turned else (320, 240))
    assert_corners(im, SIDES[orientation])


def test_profile_is_applied(scaler, tmp_path):
    lab = ImageCms.createProfile('sRGB')
    res = scaler.scale(save(corners(), 'JPEG', icc_profile=ImageCms.ImageCmsProfile(lab).tobytes()), JPEG)
    assert res.status == OK
    assert_corners(assert_clean(res, tmp_path))
    res = scaler.scale(save(corners(), 'PNG', icc_profile=b'no profile at all' * 10), PNG)
    assert res.status == OK
    assert_corners(assert_clean(res, tmp_path))


def test_alpha(scaler, tmp_path):
    im = Image.new('RGBA', (300, 300), (255, 0, 0, 0))
    im.paste((0, 0, 255, 255), (150, 0, 300, 300))
    data = save(im, 'PNG')
    res = scaler.scale(data, PNG)
    assert res.status == OK and res.format == PNG
    out = assert_clean(res, tmp_path).convert('RGBA')
    assert out.getpixel((20, 60))[3] == 0 and near(out.getpixel((100, 60)), (0, 0, 255, 255))
    res = scaler.scale(data, PNG, AS_JPEG)
    out = assert_clean(res, tmp_path)
    assert near(out.getpixel((20, 60)), (255, 255, 255)) and near(out.getpixel((100, 60)), (0, 0, 255))


@pytest.mark.parametrize('depth', [8, 16])
@pytest.mark.parametrize('mode', ['L', 'RGB'])
def test_transparent_colour(scaler, tmp_path, mode, depth):
    """tRNS without a palette: that very colour is transparent, its neighbour is not."""
    key_color, other = ((200, 30, 31), (200, 30, 32)) if mode == 'RGB' else ((200,), (201,))
    for size in ((300, 200), (30, 20)):
        im = Image.new(mode, size, key_color)
        im.paste(other, (size[0] // 2, 0, *size))
        key = struct.pack(f'>{len(mode)}H', *(v * (257 if depth == 16 else 1) for v in key_color))
        res = scaler.scale(stills.png(im, [(b'tRNS', key)], depth=depth), PNG)
        out = assert_clean(res, tmp_path).convert('RGBA')
        at = (out.width - 2, 2)
        assert out.getpixel((2, 2))[3] == 0 and out.getpixel(at)[3] == 255
        assert near(out.getpixel(at), other if mode == 'RGB' else other * 3, 4)
        res = scaler.scale(stills.png(im, [(b'tRNS', key[:-1])], [(b'tRNS', key)], depth), PNG)
        assert res.status == OK and res.image().convert('RGBA').getchannel('A').getextrema() == (255, 255)


def gama(value):
    return b'gAMA', struct.pack('>I', value)


def chrm(*points):
    return b'cHRM', struct.pack('>8I', *points)


SRGB = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
DISPLAY_P3 = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
SWAPPED = (*SRGB[:2], *SRGB[6:8], *SRGB[4:6], *SRGB[2:4])       # what it calls red is blue
NAMED = b'sRGB', b'\0'
# Chunks; what (128, 40, 127) becomes. The figures are Chromium's.
PNG_COLORS = [([gama(100000)], (188, 110, 187)), ([gama(55556)], (146, 53, 145)), ([gama(220000)], (222, 175, 222)),
              ([gama(45455)], (128, 40, 127)), ([gama(0)], (128, 40, 127)), ([chrm(*SWAPPED)], (128, 40, 127)),
              ([gama(45455), chrm(*DISPLAY_P3)], (141, 23, 132)), ([chrm(*SWAPPED), gama(45455)], (127, 35, 128)),
              ([gama(45455), chrm(*SRGB)], (128, 40, 127)), ([NAMED, gama(100000)], (128, 40, 127)),
              ([gama(100000), chrm(*SWAPPED), NAMED], (128, 40, 127)), ([gama(100000), gama(45455)], (188, 110, 187))]


@pytest.mark.parametrize('chunks,want', PNG_COLORS)
def test_png_colours_without_a_profile(scaler, tmp_path, chunks, want):
    for mode, size in (('RGB', (200, 130)), ('RGB', (20, 13)), ('RGBA', (200, 130))):
        res = scaler.scale(stills.png(Image.new(mode, size, (128, 40, 127)), chunks), PNG, AS_PNG)
        assert near(assert_clean(res, tmp_path).convert('RGB').getpixel((5, 5)), want, 2)
    if chunks[0][0] == b'gAMA' and len(chunks) == 1:
        res = scaler.scale(stills.png(Image.new('L', (200, 130), 128), chunks), PNG, AS_PNG)
        assert near(assert_clean(res, tmp_path).convert('RGB').getpixel((5, 5)), want[:1] * 3, 2)
        palette = save(Image.new('RGB', (20, 13), (128, 40, 127)).quantize(4), 'PNG')
        res = scaler.scale(palette[:33] + stills.png_chunk(*chunks[0]) + palette[33:], PNG, AS_PNG)
        assert near(assert_clean(res, tmp_path).convert('RGB').getpixel((5, 5)), want, 2)


def test_png_colours_that_make_no_sense(scaler):
    rng = random.Random(5)
    some = [0, 1, 2, 33333, 100000, 0x7fffffff, 0x80000000, 0xffffffff]
    for values in [[v] * 9 for v in some] + [[rng.choice(some + [rng.randrange(200000)]) for _ in range(9)] for _ in range(150)]:
        assert scaler.scale(stills.png(Image.new('RGB', (8, 8), 'red'), [gama(values[0]), chrm(*values[1:])]), PNG).status == OK
        assert scaler.scale(stills.png(Image.new('RGB', (8, 8), 'red'), [gama(55000), chrm(*values[1:])]), PNG).status == OK


@pytest.mark.parametrize('size', [(4000, 20), (20, 4000), (3001, 33), (2049, 1025), (1601, 9)])
def test_jpegs_that_end_within_a_block(scaler, size):
    """Decoded at an eighth the last row stands for less than eight: it must not count for as much as the others."""
    im = Image.linear_gradient('L').resize(size).convert('RGB')
    im.paste((255, 60, 0), (0, 0, size[0] // 2, size[1] // 2))
    data = save(im, 'JPEG', quality=95)
    out = scaler.scale(data, JPEG, AS_PNG, max_bytes=60000).image().convert('RGB')
    small = Image.open(io.BytesIO(data)).convert('RGB').resize(out.size, Image.BOX)
    assert max(ImageStat.Stat(ImageChops.difference(out, small)).mean) < 2


def test_thin_lines_all_count(scaler):
    """A screenshot's lines of one pixel: none lost, none doubled, whatever is written over them."""
    im = Image.new('RGB', (1920, 1080), 'white')
    for x in range(7, 1920, 41):
        im.paste((0, 0, 0), (x, 0, x + 1, 1080))
    for y in range(5, 1080, 37):
        im.paste((255, 0, 0), (0, y, 1920, y + 1))
    for kind, fmt, mode in (('PNG', PNG, 'RGB'), ('PNG', PNG, 'P'), ('PNG', PNG, 'RGBA'), ('GIF', GIF, 'P'), ('BMP', BMP, 'RGB')):
        out = scaler.scale(save(im.convert(mode), kind), fmt, AS_PNG, max_bytes=60000).image().convert('RGB')
        assert max(ImageStat.Stat(ImageChops.difference(out, im.resize(out.size, Image.BOX))).mean) < 1, (kind, mode)


def tiff(orientation, count=1):
    return b'II*\0' + struct.pack('<IHHHIHHI', 8, 1, 0x112, 3, count, orientation, 0, 0)


def app1(body):
    return b'\xff\xe1' + struct.pack('>H', len(body) + 2) + body


def test_which_orientation_counts(scaler):
    """The first EXIF block before the pixels, whatever it says: as browsers do it."""
    plain = save(corners(), 'JPEG')
    block = app1(b'Exif\0\0' + tiff(6))
    at = plain.index(b'\xff\xda')
    twice = save(corners(), 'JPEG', progressive=True)
    second = twice.index(b'\xff\xda', twice.index(b'\xff\xda') + 2)
    for data, turned in [(plain[:2] + block + plain[2:], True), (plain[:at] + block + plain[at:], True),
                         (plain[:2] + app1(b'Exif\0\xff' + tiff(6)) + plain[2:], True),
                         (plain[:2] + b'\xff\xff\xff' + block + plain[2:], True),
                         (plain[:-2] + block + plain[-2:], False), (twice[:second] + block + twice[second:], False),
                         (plain[:2] + app1(b'Exif\0\0' + tiff(0)) + block + plain[2:], False),
                         (plain[:2] + app1(b'Exif\0\0junk') + block + plain[2:], False),
                         (plain[:2] + app1(b'Exif\0\0' + tiff(6, 2)) + plain[2:], False),
                         (plain[:2] + app1(b'http://ns.adobe.com/xap/1.0/\0') + block + plain[2:], True)]:
        res = scaler.scale(data, JPEG)
        assert res.status == OK and ((res.ow, res.oh) == (240, 320)) == turned
        assert_corners(res.image(), SIDES[6 if turned else 1])
    for before, behind, turned in [([(b'eXIf', tiff(6))], [], True), ([(b'eXIf', b'Exif\0\0' + tiff(6))], [], False),
                                   ([], [(b'eXIf', tiff(6))], False), ([(b'eXIf', tiff(3))] * 2 + [(b'eXIf', b'')], [], None)]:
        res = scaler.scale(stills.png(corners(), before, behind), PNG)
        assert res.status == OK and ((res.ow, res.oh) == (240, 320)) == bool(turned)
        assert_corners(res.image(), SIDES[3 if turned is None else 6 if turned else 1])


def test_animation_first_frame(scaler, tmp_path):
    frames = [corners(order='rbgw'), corners(order='wwww'), corners(order='gggg')]
    res = scaler.scale(save(frames[0], 'GIF', save_all=True, append_images=frames[1:]), GIF)
    assert res.status == OK
    assert_corners(assert_clean(res, tmp_path))


@pytest.mark.parametrize('canvas,frame,at', [
    ((16, 16), (8, 8), (0, 0)), ((16, 16), (8, 8), (8, 8)), ((1000, 500), (400, 200), (300, 150)), ((1000, 500), (1000, 100), (0, 400)),
    ((1000, 500), (1, 1), (999, 499)), ((1000, 500), (1, 1), (0, 0)), ((129, 7), (100, 7), (29, 0)), ((5000, 3), (4999, 1), (1, 2)),
    ((2, 2), (300, 200), (0, 0)), ((2, 2), (300, 200), (100, 50))])
def test_first_frame_stays_in_its_place(scaler, tmp_path, canvas, frame, at):
    """A GIF's frame covers a part of its canvas: the rest is transparent, as browsers show it; never is the frame stretched."""
    gif = bytearray(save(Image.new('RGB', frame, 'red'), 'GIF'))
    gif[6:10] = struct.pack('<HH', *canvas)
    start = gif.index(b',\0\0\0\0' + struct.pack('<HH', *frame))
    gif[start + 1:start + 5] = struct.pack('<HH', *at)
    whole = [max(c, f + a) for c, f, a in zip(canvas, frame, at)]
    res = scaler.scale(bytes(gif), GIF)
    assert res.status == OK and [res.ow, res.oh] == whole
    out = assert_clean(res, tmp_path).convert('RGBA')
    left, upper, right, lower = out.getchannel('A').point(lambda a: 255 * (a > 127)).getbbox()
    scale = out.width / whole[0], out.height / whole[1]
    for have, a, f, by in ((left, at[0], 0, scale[0]), (upper, at[1], 0, scale[1]), (right, at[0], frame[0], scale[0]),
                           (lower, at[1], frame[1], scale[1])):
        assert abs(have - (a + f) * by) <= 1, (have, a, f, by)
    assert near(out.getpixel((left, upper)), (255, 0, 0, 255)) and near(out.getpixel((right - 1, lower - 1)), (255, 0, 0, 255))
    if not any(at) and frame >= canvas:
        assert out.getchannel('A').getextrema() == (255, 255)


@pytest.mark.parametrize('lossless', [False, True])
def test_first_frame_of_an_animated_webp(scaler, tmp_path, lossless):
    """It stays in its place on a transparent canvas, upright, in the colours of the file's profile."""
    first = stills.frame(corners(), (0, 0), quality=95, lossless=lossless)
    other = stills.frame(corners(order='wwww'), (0, 0))
    res = scaler.scale(save(corners(), 'WEBP', save_all=True, append_images=[corners(order='wwww')], lossless=lossless), WEBP)
    assert res.status == OK and (res.ow, res.oh) == (320, 240)
    assert_corners(assert_clean(res, tmp_path))
    exif = Image.Exif()
    exif[0x112] = 6
    turned = stills.animation((320, 240), [first, other], 0x1a, behind=stills.chunk(b'EXIF', exif.tobytes()))
    res = scaler.scale(turned, WEBP)
    assert res.status == OK and (res.ow, res.oh) == (240, 320)
    assert_corners(assert_clean(res, tmp_path), SIDES[6])
    res = scaler.scale(stills.animation((1000, 500), [stills.frame(corners(), (300, 150), lossless=lossless), other]), WEBP)
    out = assert_clean(res, tmp_path).convert('RGBA')
    assert (res.ow, res.oh, *out.size) == (1000, 500, 128, 64) and res.format == PNG
    box = out.getchannel('A').point(lambda a: 255 * (a > 127)).getbbox()
    assert all(abs(have - want * 0.128) <= 1 for have, want in zip(box, (300, 150, 620, 390))), box
    assert_corners(out.crop(box))


def test_animated_webp_that_lies(scaler):
    at, other = (100, 60), stills.frame(corners(order='wwww'), (0, 0))
    whole = stills.animation((500, 400), [stills.frame(corners(), at), other])
    assert scaler.scale(whole, WEBP).status == OK
    for canvas, frames, flags in [((418, 400), [stills.frame(corners(), at), other], 2),            # beyond the canvas
                                  ((500, 400), [stills.frame(corners(), at, (318, 240)), other], 2),
                                  ((500, 400), [stills.frame(corners(), at, (322, 240)), other], 2),
                                  ((500, 400), [stills.frame(corners(), at)[:8], other], 2), ((500, 400), [], 2),
                                  ((500, 400), [stills.frame(corners(), at), other], 0)]:             # a still, it says
        assert scaler.scale(stills.animation(canvas, frames, flags), WEBP).status == FAILED
    # Which frame is the first must not depend on who looks: this one is larger than the file says.
    large = stills.frame(corners(1200, 900), (0, 0))
    still = stills.chunk(b'VP8X', bytes(4) + stills.le24(319) + stills.le24(239))
    for first in (large, still + large, still, stills.chunk(b'abcd', b'x')):
        assert scaler.scale(stills.animation((500, 400), [stills.frame(corners(), at), other], first=first), WEBP).status == FAILED
    assert scaler.scale(stills.animation((30000, 30000), [other]), WEBP).status == TOO_BIG
    for length in range(0, len(whole) - 1, 37):
        assert scaler.scale(whole[:length], WEBP).status == FAILED, length
    for i in range(12, len(whole), 17):
        bad = bytearray(whole)
        bad[i] ^= 0xff
        assert scaler.scale(bytes(bad), WEBP).status in (OK, FAILED, TOO_BIG), i


# Bits, coding, header, masks; whether the fourth channel counts.
BITMAPS = [(1, 0, 40, None, False), (2, 0, 40, None, False), (4, 0, 40, None, False), (8, 0, 40, None, False),
           (4, 2, 40, None, False), (8, 1, 40, None, False), (4, 0, 12, None, False), (24, 0, 12, None, False),
           (24, 0, 52, None, False), (24, 0, 124, None, False), (16, 0, 40, None, False),
           (16, 3, 40, (0xf800, 0x7e0, 0x1f, 0), False), (16, 3, 56, (0xf00, 0xf0, 0xf, 0xf000), True),
           (16, 3, 108, (0x7c00, 0x3e0, 0x1f, 0x8000), True), (32, 0, 40, None, False), (32, 0, 56, stills.ALPHA, False),
           (32, 3, 40, stills.ALPHA, False), (32, 3, 52, stills.FROM_LEFT, False), (32, 3, 56, stills.ALPHA, True),
           (32, 3, 124, stills.FROM_LEFT, True), (32, 0, 108, stills.ALPHA, True), (32, 0, 124, None, False),
           (32, 3, 40, (0x3ff00000, 0xffc00, 0x3ff, 0), False)]


@pytest.mark.parametrize('bits,coding,header,masks,with_alpha', BITMAPS)
def test_bitmaps(scaler, bits, coding, header, masks, with_alpha):
    """As browsers show them: the fourth byte counts where a mask says so, and where it is not 0 everywhere."""
    opaque = corners(60, 40, 'rwrw' if bits == 1 else 'rbgw')
    for alpha, from_top in [(255, False), (0, False), *([(255, True)] if header != 12 and coding not in (1, 2) else [])]:
        im = opaque.convert('RGBA')
        im.putalpha(alpha)
        res = scaler.scale(stills.bmp(im, bits, coding, header, masks, from_top), BMP)
        assert res.status == OK and (res.ow, res.oh) == (60, 40)
        out = res.image().convert('RGBA')
        assert out.getchannel('A').getextrema() == (255, 255)
        assert_corners(out, 'rwrw' if bits == 1 else 'rbgw')
    im = opaque.convert('RGBA')
    im.paste((255, 0, 0, 0), (0, 0, 30, 20))
    res = scaler.scale(stills.bmp(im, bits, coding, header, masks), BMP) if bits > 8 else res
    out = res.image().convert('RGBA')
    assert (out.getpixel((10, 10))[3] < 10) == with_alpha and out.getpixel((45, 10))[3] == 255


def test_bitmaps_that_lie(scaler):
    """Run lengths that leave the picture, jump, or end early; and flipped bytes."""
    rle = bytearray(stills.bmp(corners(150, 100).convert('RGBA'), 8, 1))
    start, = struct.unpack_from('<I', rle, 10)
    for runs, status in [(b'\xff\1' * 40 + b'\0\1', OK), (b'\0\2\xff\xff' * 9, OK), (b'\0\1', OK), (b'\5\1\0\0' * 99 + b'\5\1', OK),
                         (b'\0\xff' + b'\1' * 99, FAILED), (b'\0\2\1', FAILED), (b'\5\1\0\0' * 50, FAILED), (b'\0', FAILED)]:
        bad = rle[:start] + runs
        struct.pack_into('<I', bad, 2, len(bad))
        assert scaler.scale(bytes(bad), BMP).status == status, runs[:8]
    for good in (bytes(rle), stills.bmp(corners(15, 10).convert('RGBA'), 32, 3, 124, stills.ALPHA)):
        for i in range(2, min(len(good), 200), 3):
            for flip in (0xff, 1):
                bad = bytearray(good)
                bad[i] ^= flip
                assert scaler.scale(bytes(bad), BMP).status in (OK, FAILED, TOO_BIG), i


def test_never_enlarged(scaler, tmp_path):
    for size in [(1, 1), (3, 500), (500, 3), (127, 128), (128, 129), (20, 10)]:
        res = scaler.scale(save(corners(*size) if min(size) > 3 else Image.new('RGB', size, 'red'), 'PNG'), PNG)
        assert res.status == OK and (res.ow, res.oh) == size
        assert_clean(res, tmp_path)


SMALL = [(1, 1), (1, 9), (8, 8), (17, 3), (40, 30), (90, 70), (100, 80), (120, 90), (127, 128), (128, 96), (130, 90),
         (255, 200), (256, 256), (257, 255), (511, 60), (60, 511)]


@pytest.mark.parametrize('output', [AUTO, AS_JPEG, AS_PNG, AS_WEBP])
@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK'])
def test_small_jpegs(scaler, tmp_path, mode, output):
    """libjpeg can double a picture, and GraphicsMagick lets it when it is asked for more than there is."""
    for size in SMALL:
        for orientation in (1, 3, 6):
            im = corners(*size, mode=mode) if min(size) > 8 else Image.new(mode, size)
            exif = Image.Exif()
            exif[0x112] = orientation
            res = scaler.scale(save(im, 'JPEG', quality=95, subsampling=0, exif=exif), JPEG, output)
            want = size if orientation < 5 else size[::-1]
            assert res.status == OK and (res.ow, res.oh) == want, size
            out = assert_clean(res, tmp_path)
            if max(size) <= 128:
                assert out.size == want
            if min(out.size) > 8 and mode != 'L':
                assert_corners(out, SIDES[orientation])


@pytest.mark.parametrize('output', [AUTO, AS_JPEG, AS_PNG, AS_WEBP])
def test_ladder(scaler, tmp_path, output):
    data = save(photo(), 'JPEG', quality=95)
    steps = []
    for max_bytes in (60000, 8192, 4096, 2048, 1024, 700, 256):
        res = scaler.scale(data, JPEG, output, max_bytes=max_bytes)
        if res.status == OK:
            assert_clean(res, tmp_path, max_bytes=max_bytes)
            steps.append(res.step)
        else:
            assert res.status == NO_FIT and res.bytes == b''
    assert steps == sorted(steps) and len(set(steps)) > 1


def drawings():
    """Pictures of which PNG or JPEG is smaller, by little and by much."""
    yield photo()
    yield photo(200, 100).resize((640, 480), Image.BICUBIC)
    yield Image.linear_gradient('L').resize((800, 600)).convert('RGB')
    for n in (1, 2, 7):
        im = Image.new('RGB', (128, 96))
        im.putdata([((x // n + y // n) % 2 * 255,) * 3 for y in range(96) for x in range(128)])
        yield im
    for side in (16, 32, 64):                                   # noise that repeats
        tile, im = Image.effect_noise((side, side), 90).convert('RGB'), Image.new('RGB', (128, 128))
        for x in range(0, 128, side):
            for y in range(0, 128, side):
                im.paste(tile, (x, y))
        yield im


def test_auto_takes_the_smaller(scaler):
    """PNG is tried only where it may win; that guess must not cost a byte."""
    for im in drawings():
        sizes = [len(scaler.scale(save(im, 'PNG'), PNG, how, max_bytes=60000).bytes) for how in (AUTO, AS_JPEG, AS_PNG)]
        assert sizes[0] == min(sizes[1:]), sizes


@pytest.mark.parametrize('name,fmt', [('JPEG', JPEG), ('PNG', PNG), ('GIF', GIF), ('WEBP', WEBP), ('BMP', BMP)])
def test_truncated(scaler, name, fmt):
    data = save(photo(), name)
    for tenth in range(0, 10):
        assert scaler.scale(data[:len(data) * tenth // 10], fmt).status == FAILED, tenth
    assert scaler.scale(data[:-2] if name != 'GIF' else data[:-3], fmt).status == FAILED
    assert scaler.scale(data, fmt).status == OK


def test_cut_jpeg_with_an_end(scaler):
    data = save(photo(), 'JPEG')
    assert scaler.scale(data[:len(data) // 2] + b'\xff\xd9', JPEG).status == FAILED


def test_bombs(scaler):
    def chunk(kind, body):
        return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))

    def png(width, height, bits, color, extra=b'', rows=None):
        z = zlib.compressobj(9)
        row = bytes(1 + (width * bits * (3 if color == 2 else 1) + 7) // 8)
        body = b''.join(z.compress(row) for _ in range(rows or height)) + z.flush()
        return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, bits, color, 0, 0, 0)) + extra +
                chunk(b'IDAT', body) + chunk(b'IEND', b''))

    assert scaler.scale(png(30000, 30000, 1, 0), PNG).status == TOO_BIG
    assert scaler.scale(png(65500, 10, 8, 2), PNG).status == TOO_BIG
    zeros = zlib.compress(bytes(100 << 20), 9)
    extra = chunk(b'zTXt', b'a\0\0' + zeros) + chunk(b'iCCP', b'a\0\0' + zeros)
    assert scaler.scale(png(100, 100, 8, 2, extra), PNG).status in (OK, FAILED)
    gif = bytearray(save(Image.new('P', (10, 10)), 'GIF'))
    gif[6:10] = b'\xff' * 4
    assert scaler.scale(bytes(gif), GIF).status == TOO_BIG
    assert scaler.scale(save(photo(), 'JPEG'), JPEG, pixels=1000, pixels_jpeg=1000).status == TOO_BIG
    assert scaler.scale(save(photo(), 'PNG'), PNG, pixels=640 * 480).status == OK
    assert scaler.scale(save(photo(), 'PNG'), PNG, pixels=640 * 480 - 1).status == TOO_BIG
    assert scaler.scale(save(photo(), 'PNG'), PNG, memory=100000).status == FAILED
    big = save(Image.new('RGB', (10000, 8000), (10, 200, 30)), 'JPEG')
    res = scaler.scale(big, JPEG)
    assert res.status == OK and (res.ow, res.oh) == (10000, 8000)


STRANGERS = [b'<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>' + b' ' * 99,
             b'%!PS-Adobe-3.0\n(/etc/passwd) (r) file\nshowpage\n', b'push graphic-context\nimage over 0,0 1,1 "/etc/passwd"\n',
             b'%PDF-1.4\n' + b' ' * 99, b'', b'\0', b'\xff\xd8\xff', os.urandom(5000)]


@pytest.mark.parametrize('fmt', [JPEG, PNG, GIF, WEBP, BMP])
def test_forced_decoder(scaler, fmt):
    for data in STRANGERS + [save(corners(), 'TIFF')]:
        assert scaler.scale(data, fmt).status == FAILED
    other = 'PNG' if fmt != PNG else 'GIF'
    assert scaler.scale(save(corners(), other), fmt).status == FAILED


def test_damaged_everywhere(scaler):
    """Flipped bytes: any status but silence, and the zygote lives."""
    for name, fmt in [('JPEG', JPEG), ('PNG', PNG), ('GIF', GIF), ('WEBP', WEBP), ('BMP', BMP)]:
        data = save(corners(64, 48), name)
        for i in range(0, len(data), max(1, len(data) // 40)):
            bad = bytearray(data)
            bad[i] ^= 0xff
            scaler.scale(bytes(bad), fmt)
    assert scaler.scale(save(corners(), 'PNG'), PNG).status == OK


def test_children_are_confined(scaler):
    scaler.wait_children(2)
    for pid in scaler.children():
        status = dict(line.split(':', 1) for line in Path(f'/proc/{pid}/status').read_text().splitlines())
        assert status['NoNewPrivs'].strip() == '1'
        assert status['Seccomp'].strip() == ('2' if has_sandbox() else '0')
        if os.geteuid() == 0:
            assert status['Uid'].split()[0] != '0'
            assert set(os.listdir(f'/proc/{pid}/fd')) <= ({'0'} if has_sandbox() else {'0', '2'})  # sanitizers report there
        assert Path(f'/proc/{pid}/oom_score_adj').read_text().strip() == '1000'


def test_child_killed_while_waiting(scaler):
    scaler.wait_children(2)
    before = scaler.children()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    scaler.wait_children(2)
    assert not set(before) & set(scaler.children())
    assert scaler.scale(save(corners(), 'PNG'), PNG).status == OK


def test_child_killed_in_the_middle(scaler):
    scaler.wait_children(2)
    pids = scaler.children()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    wanted = scaler.ask(save(photo(2000, 2000), 'PNG'), PNG)
    select.select([scaler.media], [], [], 0.3)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    res = scaler.answer()
    assert res.id == wanted and res.status == KILLED and res.bytes == b''
    scaler.wait_children(2)
    assert scaler.scale(save(corners(), 'PNG'), PNG).status == OK


def test_child_stopped_meets_the_wall(scaler):
    scaler.wait_children(2)
    pids = scaler.children()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    res = scaler.scale(save(corners(), 'PNG'), PNG, wall=300)
    assert res.status == KILLED
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    scaler.wait_children(2)
    assert scaler.scale(save(corners(), 'PNG'), PNG).status == OK


def test_many_at_once_are_all_answered(scaler):
    data = save(corners(), 'PNG')
    asked = {scaler.ask(data, PNG) for _ in range(60)}
    assert {scaler.answer().id for _ in range(60)} == asked


def test_new_media_and_bad_media(scaler):
    scaler.peer()
    assert scaler.formats() == (scaler.mask, '')
    scaler.media.send(b'garbage')
    assert scaler.media.recv(100) == b''
    scaler.peer()
    assert scaler.formats() == (scaler.mask, '')
    unsealed = os.memfd_create('picture', os.MFD_ALLOW_SEALING)
    os.write(unsealed, save(corners(), 'PNG'))
    body = struct.pack('=IQBBIII', TYPE['SCALE'], 5, PNG, AUTO, 128, 128, 8192) + limits_bytes(scaler.limits)
    socket.send_fds(scaler.media, [body], [unsealed])
    os.close(unsealed)
    assert scaler.answer().status == FAILED
    assert scaler.scale(save(corners(), 'PNG'), PNG).status == OK


def test_alone_it_says_so():
    alone = subprocess.run([BINARY], capture_output=True, text=True)
    assert alone.returncode == 2 and 'insetd' in alone.stderr and alone.stderr.count('\n') == 1
    for option in ('--help', '--version'):
        assert subprocess.run([BINARY, option], capture_output=True).returncode == 0


def test_no_sandbox_no_thumbnails():
    """A child that cannot take its limits never sees a picture: said once, asked again refused."""
    if os.geteuid() == 0:
        s = Scaler(prefix='ulimit -t 2; ')
        assert s.mask == 0 and s.why.startswith('no sandbox')
        assert s.scale(save(corners(), 'PNG'), PNG).status == UNAVAILABLE
        s.peer()
        assert s.formats()[0] == 0
        s.wait_children(0)
        s.stop()


def test_decoders_that_die_before_a_picture_turn_thumbnails_off():
    """Twenty a minute are too many: media learns it, with the reason, instead of waiting for each picture."""
    s = Scaler(children=4)
    killed = set()
    while len(killed) < 24:
        for pid in set(s.children()) - killed:
            try:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            except ProcessLookupError:
                pass
        if select.select([s.media], [], [], 0)[0]:
            break
    assert s.formats() == (0, 'decoders die before they get a picture')
    assert s.scale(save(corners(), 'PNG'), PNG).status == UNAVAILABLE
    s.stop()
