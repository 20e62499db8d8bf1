#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Would the first scans of a progressive JPEG do for a thumbnail? Run by hand:

    tests/bench/progressive.py [FOLDER...]      folders with pictures, besides the generated ones

Every picture is cut behind each of its scans and decoded as the scaler does it (GraphicsMagick, a
size hint of twice the box, 128 pixels). Each cut is compared with the thumbnail of the whole: PSNR and SSIM
of the pixels before they are written, and CPU time. "thin" is what the scaler does at an eighth
(src/scaler/scans.c): all scans but the details of components of full resolution, of which the first
stay. Baseline JPEGs are made progressive by jpegtran,
as they are in the wild. One line a picture and number of scans, then the table.
"""
import math
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BOX = 128
ROUNDS = 5
GENERATED = [('plasma:fractal', '4000x3000', 85), ('plasma:red-blue', '2048x1536', 75), ('plasma:fractal', '1600x1200', 92),
             ('gradient:black-white', '3000x2000', 90), ('plasma:green-yellow', '800x600', 60)]
NOISY = ['+noise', 'Gaussian']


def run(*args, data=None):
    return subprocess.run([str(a) for a in args], input=data, capture_output=True, timeout=120, check=False)


def scans(data):
    """Offsets behind each scan, and (width, height); None if it is no progressive JPEG of a usual kind."""
    at, ends, size = 2, [], None
    while at + 4 <= len(data):
        if data[at] != 0xff:
            return None
        marker = data[at + 1]
        if marker == 0xd9:
            break
        length = int.from_bytes(data[at + 2:at + 4], 'big')
        if marker in (0xc0, 0xc1):
            return None
        if marker == 0xc2:
            size = int.from_bytes(data[at + 7:at + 9], 'big'), int.from_bytes(data[at + 5:at + 7], 'big')
        at += 2 + length
        if marker == 0xda:
            while at + 1 < len(data) and (data[at] != 0xff or data[at + 1] == 0 or 0xd0 <= data[at + 1] <= 0xd7):
                at += 1
            ends.append(at)
    return (ends, size) if size and len(ends) > 2 else None


def thin(data):
    """As scans_thin(): without the details that a decoder at an eighth does not look at."""
    at, out, full, seen = 2, bytearray(data[:2]), set(), set()
    while at + 4 <= len(data) and data[at + 1] != 0xd9:
        start, marker = at, data[at + 1]
        body = data[at + 4:at + 2 + int.from_bytes(data[at + 2:at + 4], 'big')]
        at += 4 + len(body)
        if marker == 0xc2:
            frame = [(body[6 + 3 * n], body[7 + 3 * n]) for n in range(body[5])]
            most = max(f[1] & 0xf0 for f in frame) | max(f[1] & 15 for f in frame)
            full = {f[0] for f in frame if f[1] == most}
        if marker == 0xda:
            while at + 1 < len(data) and (data[at] != 0xff or data[at + 1] == 0 or 0xd0 <= data[at + 1] <= 0xd7):
                at += 1
            if body[0] == 1 and body[3] > 0 and body[1] in full:
                if body[3] != 1 or body[5] >> 4 or body[1] in seen:
                    continue
                seen.add(body[1])
        out += data[start:at]
    return bytes(out) + b'\xff\xd9'


def thumbnail(path, size):
    """Pixels as (width, height, bytes), and CPU seconds."""
    scale = min(BOX / size[0], BOX / size[1], 1)
    hint = f'{max(1, round(size[0] * scale)) * 2}x{max(1, round(size[1] * scale)) * 2}'
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run('gm', 'convert', '-size', hint, f'JPEG:{path}', '-thumbnail', f'{BOX}x{BOX}>', '-depth', '8',
               '-colorspace', 'RGB', '-type', 'TrueColor', 'PPM:-')
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    head = done.stdout.split(b'\n', 3)
    if len(head) < 4 or head[0] != b'P6':
        return None, cpu
    width, height = map(int, head[1].split())
    return (width, height, head[3]), cpu


def psnr(a, b):
    error = sum((x - y) ** 2 for x, y in zip(a[2], b[2])) / max(1, len(a[2]))
    return 99.0 if error == 0 else 10 * math.log10(255 ** 2 / error)


def ssim(a, b):
    """Mean over windows of 8x8, by 4, of the luminance."""
    width, height = a[:2]
    grey = [[(299 * p[i] + 587 * p[i + 1] + 114 * p[i + 2]) / 1000 for i in range(0, len(p), 3)] for p in (a[2], b[2])]
    found = []
    side = min(8, width, height)
    for top in range(0, height - side + 1, 4):
        for left in range(0, width - side + 1, 4):
            cells = [y * width + x for y in range(top, top + side) for x in range(left, left + side)]
            p, q = [grey[0][c] for c in cells], [grey[1][c] for c in cells]
            n, mp, mq = len(cells), sum(p) / len(cells), sum(q) / len(cells)
            vp, vq = sum(v * v for v in p) / n - mp * mp, sum(v * v for v in q) / n - mq * mq
            cov = sum(x * y for x, y in zip(p, q)) / n - mp * mq
            found.append((2 * mp * mq + 6.5025) * (2 * cov + 58.5225)
                         / ((mp * mp + mq * mq + 6.5025) * (vp + vq + 58.5225)))
    return statistics.fmean(found) if found else 1.0


def sources(folder, given):
    for n, (kind, size, quality) in enumerate(GENERATED):
        for noisy in ([], NOISY):
            path = folder / f'generated-{n}{"-noisy" if noisy else ""}.jpg'
            run('gm', 'convert', '-size', size, kind, *noisy, '-quality', quality, path)
            yield path
    for top in given:
        yield from sorted(p for p in Path(top).rglob('*') if p.is_file() and p.read_bytes()[:3] == b'\xff\xd8\xff')


def measure(path, data, found, folder):
    ends, size = found
    cut = folder / 'cut.jpg'
    rows = []
    files = {n: data[:end] + b'\xff\xd9' for n, end in enumerate(ends[:-1], 1)} | {'thin': thin(data), 'whole': data}
    costs, pixels = {n: [] for n in files}, {}
    for _ in range(ROUNDS):                                      # in turns, so that load hits all alike
        for n, part in files.items():
            cut.write_bytes(part)
            pixels[n], cpu = thumbnail(cut, size)
            costs[n].append(cpu)
    if not pixels['whole']:
        return rows
    whole = statistics.median(costs['whole'])
    for n, part in files.items():
        if n != 'whole' and pixels[n] and pixels[n][:2] == pixels['whole'][:2]:
            rows.append((n, len(ends), len(part) / len(data), psnr(pixels[n], pixels['whole']),
                         ssim(pixels[n], pixels['whole']), statistics.median(costs[n]) / whole, whole, size))
    for row in rows:
        print(f'{path.name[:40]:40} {size[0]}x{size[1]} scans {row[0]}/{row[1]} bytes {row[2]:.2f} '
              f'PSNR {row[3]:.1f} SSIM {row[4]:.4f} CPU {row[5]:.2f} of {1000 * whole:.0f} ms', flush=True)
    return rows


def main():
    table = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in sources(folder, sys.argv[1:]):
            data = path.read_bytes()
            found = scans(data)
            if not found:
                data = run('jpegtran', '-progressive', path).stdout
                found = scans(data) if data[:2] == b'\xff\xd8' else None
            if found and found[1][0] * found[1][1] >= 100000:
                for row in measure(path, data, found, folder):
                    if row[1] == 10:                             # libjpeg's own script
                        group = 'at an eighth' if max(row[7]) >= 16 * BOX else 'larger than that'
                        table.setdefault((group, row[0]), []).append(row)
    print('\n| pictures | scans | n | bytes | PSNR median (worst) | SSIM median (worst) | CPU of the whole |\n|---|---|---|---|---|---|---|')
    for (group, n), rows in sorted(table.items(), key=str):
        quality, likeness = [r[3] for r in rows], [r[4] for r in rows]
        print(f'| {group} | {n if n == "thin" else f"{n} of 10"} | {len(rows)} | {statistics.median(r[2] for r in rows):.2f} '
              f'| {statistics.median(quality):.1f} ({min(quality):.1f}) dB | {statistics.median(likeness):.4f} ({min(likeness):.4f}) '
              f'| {statistics.median(r[5] for r in rows):.2f} |')


if __name__ == '__main__':
    main()
