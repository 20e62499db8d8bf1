#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The box for some minutes: memory over gibibytes, killed again and again, every size, slow peers.

Run by hand: tests/soak/box.py BUILD [--gibibytes N] [--minutes N] [--only NAME,...]
  memory    N GiB of new bytes, ten files of 10 MiB at a time, deleted by nobody: the quota is their room
  bucket    1 GiB through a bucket (the double) with a local store of 64 MiB: memory, what made room
  sizes     every power of two to 16 MiB, and one less and one more, up and down
  parallel  200 uploads and downloads at a time, ten times
  slow      300 readers and writers of a byte a second while others upload: how long an upload takes
  kill      kill -9 of the box while eight upload: every file that was acknowledged is whole
"""
import argparse
import concurrent.futures
import hashlib
import os
import secrets
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'integration'))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('build', type=Path)
parser.add_argument('--gibibytes', type=float, default=1)
parser.add_argument('--minutes', type=float, default=1)
parser.add_argument('--only', default='memory,bucket,sizes,parallel,slow,kill')
args = parser.parse_args()
os.environ['INSET_BUILD'] = str(args.build.resolve())

from harness import processes                                   # noqa: E402
from harness.box import Box, curl, post                         # noqa: E402
from harness.insetd import Insetd                               # noqa: E402
from harness.processes import wait_for                          # noqa: E402
from harness.rawpeer import Upstream                            # noqa: E402
from harness.s3 import S3                                       # noqa: E402

processes.adopt_orphans()
failures = []
BYTES = 'application/octet-stream'


def check(what, holds):
    print(f'  {"ok" if holds else "NOT OK":7} {what}', flush=True)
    if not holds:
        failures.append(what)


class Machine:
    def __init__(self, options=None, box=None):
        self.box = box or Box()
        self.folder = tempfile.mkdtemp(prefix='inset-soak-')
        self.upstream = Upstream()
        self.daemon = Insetd(Path(self.folder), self.upstream.address, self.box.options | (options or {}))
        wait_for(lambda: self.daemon.metric('inset_processes{role="box"}') == 1, 'the box is up')

    def memory(self):
        """KiB of the box that are its own."""
        with open(f'/proc/{self.daemon.role("box")[0]}/status') as f:
            return next(int(line.split()[1]) for line in f if line.startswith('RssAnon:'))

    def descriptors(self):
        return len(os.listdir(f'/proc/{self.daemon.role("box")[0]}/fd'))

    def end(self, keep=False):
        self.daemon.stop()
        self.upstream.close()
        if not keep:
            self.box.remove()


def flood(machine, count, size, workers=10):
    """count uploads of new bytes, each by a user of its own; seconds, and the highest memory."""
    peak = [0]

    def one(n):
        status = post(machine.box.address(user=f'u{n}@localhost'), secrets.token_bytes(size), BYTES)[0]
        peak[0] = max(peak[0], machine.memory())
        return status
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        codes = list(pool.map(one, range(count)))
    check(f'{codes.count(200)} of {count} uploads acknowledged', codes.count(200) == count)
    return time.monotonic() - begun, peak[0]


def memory():
    size, count = 10 << 20, int(args.gibibytes * 1024 / 10) + 1
    machine = Machine({'upload.quota': '20GiB', 'upload.quota-user': '1GiB'})
    flood(machine, 20, size)
    before = machine.memory()
    seconds, peak = flood(machine, count, size)
    after = machine.memory()
    print(f'  {count * 10} MiB in {seconds:.0f} s, {count * 10 / seconds:.0f} MiB/s; memory before {before} KiB, '
          f'peak {peak} KiB, after {after} KiB')
    check('memory grew by less than 4 MiB', after < before + 4096 and peak < before + 16384)
    machine.end()


def bucket():
    s3 = S3()
    box = Box()
    machine = Machine(s3.options(box.folder) | {'upload.quota': '64MiB', 'upload.quota-user': '8GiB'}, box)
    flood(machine, 10, 1 << 20)
    before = machine.memory()
    kept = [(data := secrets.token_bytes(1 << 20), post(box.address(), data, BYTES)[2].decode()) for _ in range(5)]
    s3.objects = Forgetful(s3.objects)          # the double need not hold a gibibyte
    s3.objects.keep |= set(s3.objects)
    seconds, peak = flood(machine, 1024, 1 << 20, 8)
    after = machine.memory()
    metrics = machine.daemon.metrics()
    print(f'  1024 MiB in {seconds:.0f} s; memory before {before} KiB, peak {peak} KiB, after {after} KiB; '
          f'{metrics["inset_box_evicted_total"]:.0f} made room, {metrics["inset_box_bytes"] / 2 ** 20:.0f} MiB are here')
    check('memory grew by less than 4 MiB', after < before + 4096)
    check('the local store keeps to its quota', metrics['inset_box_bytes'] <= 64 << 20)
    check('what made room is loaded again', all(curl(url)[::2] == (200, data) for data, url in kept))
    machine.end()
    s3.stop()


class Forgetful(dict):
    keep = set()

    def __setitem__(self, key, value):
        super().__setitem__(key, value if len(value) < 4096 else b'')


def sizes():
    machine = Machine({'upload.max-bytes': '16MiB', 'upload.quota-user': '1GiB'})
    wrong = 0
    for size in sorted({max(1, (1 << n) + d) for n in range(25) for d in (-1, 0, 1)}):
        data = secrets.token_bytes(size)
        status, _, url = post(machine.box.address(size=1 << 30), data, BYTES)
        if size > 16 << 20:
            wrong += status != 413
        else:
            wrong += status != 200 or curl(url.decode())[::2] != (200, data)
    check('every size from 1 B to 16 MiB and beyond', wrong == 0)
    machine.end()


def parallel():
    machine = Machine()

    def one(n):
        data = secrets.token_bytes(1000 + n * 500)
        status, _, url = post(machine.box.address(user=f'u{n}@localhost'), data, BYTES)
        return status == 200 and curl(url.decode())[2] == data
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        good = [all(pool.map(one, range(200))) for _ in range(10)]
    print(f'  2000 uploads and downloads in {time.monotonic() - begun:.0f} s')
    check('200 at a time, ten times', all(good))
    machine.end()


def slow():
    machine = Machine({'upload.low-speed': '256KiB'})
    box = machine.box
    url = post(box.address(), secrets.token_bytes(10 << 20), BYTES)[2].decode()[len(box.url):]
    before, peers, stop, idle = machine.memory(), [], threading.Event(), machine.descriptors()
    for n in range(300):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)      # else the kernel takes it all
        sock.connect(('127.0.0.1', box.port))
        path = box.address(user=f's{n}@localhost')[len(box.url):]
        sock.sendall(f'GET {url} HTTP/1.1\r\nHost: x\r\n\r\n'.encode() if n % 2 else
                     f'POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n'.encode())
        peers.append(sock)
    wait_for(lambda: machine.descriptors() > idle + 290, 'all are there')

    def drip():
        while not stop.wait(1):
            for n, sock in enumerate(peers):
                try:
                    sock.setblocking(False)
                    _ = sock.recv(1) if n % 2 else sock.send(b'x')
                except OSError:
                    pass
    dripping = threading.Thread(target=drip)
    dripping.start()
    times, peak = [], 0
    end = time.monotonic() + 100
    while time.monotonic() < end and machine.descriptors() > idle + 20:
        begun = time.monotonic()
        check_quietly = post(box.address(user=secrets.token_hex(4)), secrets.token_bytes(100000), BYTES)[0]
        times.append(time.monotonic() - begun)
        peak = max(peak, machine.memory())
        if check_quietly != 200:
            check('uploads of others', False)
    left, late = machine.descriptors() - idle, machine.daemon.metric('inset_box_late_total')
    seconds = 100 - (end - time.monotonic())
    stop.set()
    dripping.join()
    for sock in peers:
        sock.close()
    print(f'  {len(times)} uploads of 100 kB beside 300 slow peers: median {statistics.median(times) * 1000:.0f} ms, '
          f'worst {max(times) * 1000:.0f} ms; memory before {before} KiB, peak {peak} KiB; {late:.0f} were cut off as too '
          f'slow on average, the others because nothing moved, after {seconds:.0f} s')
    check('all slow peers are cut off', left <= 20)
    machine.end()


def kill():
    machine = Machine({'upload.quota': '20GiB', 'upload.quota-user': '20GiB'})
    box, daemon, done, stop = machine.box, machine.daemon, {}, threading.Event()

    def one(n):
        while not stop.is_set():
            data = secrets.token_bytes(300 << 10)
            try:
                status, _, url = post(box.address(user=f'u{n}@localhost'), data, BYTES)
            except Exception:               # noqa: BLE001, curl's own time-out
                continue
            if status == 200:
                done[url.decode()] = hashlib.sha256(data).digest()
    kills, end = 0, time.monotonic() + 60 * args.minutes
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for n in range(8):
            pool.submit(one, n)
        while time.monotonic() < end:
            before = len(done)
            wait_for(lambda before=before: len(done) > before + 5, 'uploads go on', 60)
            for pid in daemon.role('box'):
                os.kill(pid, signal.SIGKILL)
                kills += 1
            wait_for(lambda: daemon.metric('inset_processes{role="box"}') == 0, 'the box is gone')
            wait_for(lambda: daemon.metric('inset_processes{role="box"}') == 1, 'the box is back', 60)
        stop.set()
    machine.end(keep=True)
    machine = Machine({'upload.quota': '20GiB', 'upload.quota-user': '20GiB'}, box)
    whole = sum(hashlib.sha256(curl(url)[2]).digest() == want for url, want in done.items())
    names = box.store()
    print(f'  {kills} kills, {len(done)} files acknowledged')
    check('each of them is whole', whole == len(done))
    check('nothing half-written is left', not [name for name in names if name[0] == 't'])
    visible = [name for name in names if name[0] == 'm']
    good = sum(hashlib.sha256((box.state / 'box' / ('u-' + name[2:])).read_bytes()).hexdigest() ==
               (box.state / 'box' / name).read_text().split('\n')[1] for name in visible)
    check('every visible file is whole', good == len(visible))
    machine.end()


for name in args.only.split(','):
    print(name, flush=True)
    {'memory': memory, 'bucket': bucket, 'sizes': sizes, 'parallel': parallel, 'slow': slow, 'kill': kill}[name]()
left = processes.end_strays()
check('no process is left', not left)
print('FAILED: ' + ', '.join(failures) if failures else 'all well')
sys.exit(bool(failures))
