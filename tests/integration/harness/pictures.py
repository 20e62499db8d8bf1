# SPDX-License-Identifier: MIT
"""Generated pictures, so that no photograph lies in the tree. Same arguments, same bytes."""
import io
import math
import random
import struct
import zlib

from PIL import Image, ImageDraw


def photo(width=1600, height=1200, seed=1):
    """Something with the statistics of a photograph: sky, sun, hills, noise."""
    rng = random.Random(seed)
    small = Image.new('RGB', (160, 120))
    draw = ImageDraw.Draw(small)
    for y in range(120):
        draw.line([(0, y), (160, y)], fill=(90 + y, 140 + y // 2, 235 - y // 2))
    draw.ellipse([110, 12, 136, 38], fill=(255, 236, 170))
    for layer in range(4):
        phase, base = rng.random() * 6, 62 + 15 * layer
        ridge = [(x, base + 9 * math.sin(phase + x / (11 + 3 * layer)) + 4 * math.sin(x / 3.7 + layer))
                 for x in range(161)]
        draw.polygon(ridge + [(160, 120), (0, 120)], fill=(70 - 14 * layer, 110 - 18 * layer, 80 - 16 * layer))
    noise = Image.frombytes('RGB', (320, 240), rng.randbytes(320 * 240 * 3)).resize((width, height))
    return Image.blend(small.resize((width, height), Image.BICUBIC), noise, 0.06)


def encode(image, kind='JPEG', **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpeg(width=640, height=480, seed=1):
    return encode(photo(width, height, seed), 'JPEG', quality=85)


def png(width=320, height=240, seed=1):
    return encode(photo(width, height, seed), 'PNG')


def flat_png(width=200, height=100):
    """Few colours, with real transparency."""
    image = Image.new('RGBA', (width, height), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse([10, 10, width - 10, height - 10], fill=(200, 30, 60, 255))
    return encode(image, 'PNG')


def gif(width=300, height=200):
    """Two frames: the first red, the second blue."""
    frames = [Image.new('P', (width, height), n) for n in (0, 1)]
    for frame in frames:
        frame.putpalette([220, 20, 20, 20, 20, 220] + [0] * 762)
    return encode(frames[0], 'GIF', save_all=True, append_images=frames[1:], duration=100)


def webp(width=400, height=300):
    return encode(photo(width, height), 'WEBP')


def bmp(width=200, height=300):
    return encode(photo(width, height), 'BMP')


def rotated_jpeg(width=640, height=320):
    """Stored lying, to be shown standing (EXIF orientation 6)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(photo(width, height), 'JPEG', exif=exif)


def _chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png_bomb(side=30000):
    """One bit a pixel: some 100 KB that are 900 megapixels."""
    packer = zlib.compressobj(9)
    row = b'\0' * (1 + (side + 7) // 8)
    data = b''.join(packer.compress(row * 100) for _ in range(side // 100)) + packer.flush()
    return (b'\x89PNG\r\n\x1a\n' + _chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 1, 0, 0, 0, 0))
            + _chunk(b'IDAT', data) + _chunk(b'IEND', b''))


SVG = (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="64" height="64">'
       b'<image href="http://127.0.0.1/x.png"/><rect width="64" height="64" fill="red"/></svg>')
