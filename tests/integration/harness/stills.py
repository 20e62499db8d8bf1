# SPDX-License-Identifier: MIT
"""Pictures that Pillow does not write: bitmaps with masks and run lengths, animated WebP, PNG's chunks by hand."""
import functools
import io
import struct
import zlib

ALPHA = (0xff0000, 0xff00, 0xff, 0xff000000)
FROM_LEFT = (0xff000000, 0xff0000, 0xff00, 0xff)                # red is the first from the left


def runs(row, rle4):
    out, x = b'', 0
    while x < len(row):
        n = next((n for n in range(1, 255) if row[x + n:x + n + 1] != row[x:x + 1]), 255)
        out += bytes([n, row[x] * 17 if rle4 else row[x]])
        x += n
    return out + b'\0\0'


@functools.cache
def pixel(color, masks, size):
    value = 0
    for c, mask in zip(color, masks):
        shift = (mask & -mask).bit_length() - 1 if mask else 0
        value |= ((c * (mask >> shift) + 127) // 255) << shift
    return value.to_bytes(size, 'little')


def bmp(im, bits, coding=0, header=40, masks=None, from_top=False):
    """im: RGBA; bits, coding (1, 2: run lengths; 3: masks) and header (12: OS/2) as in the file."""
    w, h = im.size
    palette, rows, step = b'', [], 1 if from_top else -1
    if bits <= 8:
        # Opaque pictures only: as few colours as the tests have.
        small = im.convert('RGB').quantize(2 ** bits, dither=0)
        colors = (small.getpalette() + [0] * 768)[:3 << bits]
        palette = b''.join(bytes(colors[i:i + 3][::-1]) + b'\0' * (header != 12) for i in range(0, len(colors), 3))
        for y in range(h):
            row = small.crop((0, y, w, y + 1)).tobytes()
            if coding in (1, 2):
                rows.append(runs(row, coding == 2))
            else:
                text = ''.join(f'{v:0{bits}b}' for v in row)
                text += '0' * (-len(text) % 32)
                rows.append(int(text, 2).to_bytes(len(text) // 8, 'big'))
    else:
        used = masks or ((0x7c00, 0x3e0, 0x1f, 0) if bits == 16 else ALPHA if bits == 32 else ALPHA[:3])
        for y in range(h):
            row = b''.join(pixel(im.getpixel((x, y)), used, bits // 8) for x in range(w))
            rows.append(row + b'\0' * (-len(row) % 4))
    data = b''.join(rows[::step]) + b'\0\1' * (coding in (1, 2))
    if header == 12:
        info = struct.pack('<IHHHH', 12, w, h, 1, bits)
    else:
        info = struct.pack('<IiiHHIIiiII', max(header, 40), w, -h if from_top else h, 1, bits, coding, len(data), 0, 0, 0, 0)
        given = struct.pack('<IIII', *(masks or (0, 0, 0, 0)))
        info += (given + bytes(124))[:header - 40] if header > 40 else given[:12] if coding == 3 else b''
    offset = 14 + len(info) + len(palette)
    return b'BM' + struct.pack('<IHHI', offset + len(data), 0, 0, offset) + info + palette + data


def chunk(kind, body):
    return kind + struct.pack('<I', len(body)) + body + b'\0' * (len(body) % 2)


def le24(value):
    return struct.pack('<I', value)[:3]


def frame(im, at, size=None, **options):
    """im as a frame at that place; size: what it says of itself."""
    out = io.BytesIO()
    im.save(out, 'WEBP', **options)
    data, start, chunks = out.getvalue(), 12, b''
    while start < len(data):
        end = start + 8 + struct.unpack_from('<I', data, start + 4)[0]
        end += end % 2
        if data[start:start + 4] in (b'VP8 ', b'VP8L', b'ALPH'):
            chunks += data[start:end]
        start = end
    w, h = size or im.size
    return chunk(b'ANMF', le24(at[0] // 2) + le24(at[1] // 2) + le24(w - 1) + le24(h - 1) + bytes([100, 0, 0, 0]) + chunks)


def animation(canvas, frames, flags=0x12, before=b'', behind=b'', first=b''):
    """A WebP of these frames; before, behind: further chunks, of which flags tells; first: what must not stand there."""
    body = (b'WEBP' + first + chunk(b'VP8X', bytes([flags, 0, 0, 0]) + le24(canvas[0] - 1) + le24(canvas[1] - 1)) + before +
            chunk(b'ANIM', bytes([0, 255, 0, 255, 0, 0])) + b''.join(frames) + behind)
    return chunk(b'RIFF', body)


def png_chunk(kind, body):
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))


def png(im, before=(), behind=(), depth=8):
    """im (L, RGB or RGBA) with (name, body) of chunks before and behind its pixels."""
    color = {'L': 0, 'RGB': 2, 'RGBA': 6}[im.mode]
    size = im.width * len(im.mode)
    data = im.tobytes()
    rows = [data[y * size:(y + 1) * size] for y in range(im.height)]
    if depth == 16:
        rows = [bytes(v for v in row for _ in range(2)) for row in rows]
    return (b'\x89PNG\r\n\x1a\n' + png_chunk(b'IHDR', struct.pack('>IIBBBBB', *im.size, depth, color, 0, 0, 0)) +
            b''.join(png_chunk(*c) for c in before) + png_chunk(b'IDAT', zlib.compress(b''.join(b'\0' + r for r in rows))) +
            b''.join(png_chunk(*c) for c in behind) + png_chunk(b'IEND', b''))
