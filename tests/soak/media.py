#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The media side for long: many pictures, one picture wanted by many, hosts and pictures that misbehave.

    media.py BUILD-FOLDER [--urls 100000] [--only pictures,herd,trouble] [--stall 50]

Run by hand. Prints a line a figure and what was missed; exit code 1 if anything was. Judged are

  pictures  that media's own memory stays below cache.memory plus 64 MiB and that descriptors do not grow,
  herd      that 1,000 messages with one URL are one fetch,
  trouble   that no turn of a loop took longer than --stall ms under slow names, slow hosts and bombs.

Everything is on loopback. A loop's turn is wall-clock time: on a busy machine --stall means little.
"""
import argparse
import multiprocessing
import os
import selectors
import socket
import struct
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

ARGS = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
ARGS.add_argument('build', type=Path)
ARGS.add_argument('--urls', type=int, default=100000)
ARGS.add_argument('--only', default='pictures,herd,trouble')
ARGS.add_argument('--stall', type=float, default=50)
OPTIONS = ARGS.parse_args()
os.environ['INSET_BUILD'] = str(OPTIONS.build.resolve())
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'integration'))

from harness import pictures                                    # noqa: E402
from harness.dns import NameServer                              # noqa: E402
from harness.insetd import Insetd                               # noqa: E402
from harness.rawpeer import Session, Upstream                   # noqa: E402

CACHE = 16 << 20
SPARE = 64 << 20
WINDOW = 48
MISSED = []


def say(text, ok=True):
    print(('' if ok else 'MISSED: ') + text, flush=True)
    if not ok:
        MISSED.append(text)


def message(url, n):
    return f"<message to='bob@localhost' id='m{n}'><body>{url}</body><x xmlns='jabber:x:oob'><url>{url}</url></x></message>"


# --- a quick host ----------------------------------------------------------------------------

def bomb():
    """26 million black pixels, small on the wire: as much as max-pixels lets through."""
    def chunk(kind, body):
        return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
    z = zlib.compressobj(1)
    body = b''.join(z.compress(bytes(1 + 5200 * 3)) for _ in range(5000)) + z.flush()
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 5200, 5000, 8, 2, 0, 0, 0)) + chunk(b'IDAT', body) +
            chunk(b'IEND', b''))


def serve(listener, asked):
    """/small/N: a small picture, for each N other bytes. /bomb/N, /drip/N, /stall/N do as they say."""
    small, large = pictures.png(60, 45, seed=2), bomb()
    picker = selectors.DefaultSelector()
    picker.register(listener, selectors.EVENT_READ)
    drips = {}

    def answer(conn, path):
        kind, number = path.decode().strip('/').split('/')[:2]
        if kind == 'stall':
            return
        body = (large if kind == 'bomb' else small) + int(number).to_bytes(4, 'big')
        head = b'HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\nConnection: close\r\n\r\n' % len(body)
        if kind == 'drip':
            conn.setblocking(False)
            conn.send(head)
            drips[conn] = body
            return
        conn.setblocking(True)
        conn.sendall(head + body)
        picker.unregister(conn)
        conn.close()

    while True:
        for key, _ in picker.select(0.1 if drips else None):
            if key.fileobj is listener:
                conn = listener.accept()[0]
                picker.register(conn, selectors.EVENT_READ)
                continue
            conn = key.fileobj
            try:
                request = conn.recv(4096)
                if request:
                    with asked.get_lock():
                        asked.value += 1
                    answer(conn, request.split(b' ')[1])
                    continue
            except OSError:
                pass
            drips.pop(conn, None)
            if conn.fileno() != -1:
                picker.unregister(conn)
                conn.close()
        for conn, body in list(drips.items()):
            try:
                conn.send(body[:1])
                drips[conn] = body[1:]
            except OSError:
                drips.pop(conn)


class Host:
    def __init__(self):
        listener = socket.create_server(('127.0.0.1', 0), backlog=1024)
        self.origin = 'http://127.0.0.1:%d' % listener.getsockname()[1]
        self.asked = multiprocessing.Value('L', 0)
        self.process = multiprocessing.Process(target=serve, args=(listener, self.asked), daemon=True)
        self.process.start()
        listener.close()

    def stop(self):
        self.process.terminate()
        self.process.join()


# --- looking ---------------------------------------------------------------------------------

def memory(pid):
    """(own, proportional) bytes."""
    own = pss = 0
    for line in Path(f'/proc/{pid}/status').read_text().splitlines():
        if line.startswith('RssAnon:'):
            own = int(line.split()[1]) * 1024
    for line in Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines():
        if line.startswith('Pss:'):
            pss = int(line.split()[1]) * 1024
    return own, pss


def descriptors(daemon):
    return {role: sum(len(os.listdir(f'/proc/{pid}/fd')) for pid in daemon.role(role)) for role in ('proxy', 'media', 'scaler')}


def stalls(daemon):
    return {name: value for name, value in daemon.metrics().items() if 'loop_stall_max' in name}


class Flow:
    """Messages with URLs through one session, so many under way at a time; what arrives is counted."""

    def __init__(self, daemon, upstream):
        self.session = Session(daemon.port, upstream)
        self.session.server.sock.settimeout(None)               # it may be silent while others have their turn
        self.arrived = self.thumbnails = 0
        self.moved = threading.Condition()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        rest = b''
        while True:
            try:
                data = self.session.server.sock.recv(1 << 18)
            except OSError:
                data = b''
            if not data:
                return
            *whole, rest = (rest + data).split(b'</message>')
            with self.moved:
                self.arrived += len(whole)
                self.thumbnails += sum(m.count(b'<body>') and len(m) > 600 for m in whole)
                self.moved.notify_all()

    def send(self, urls):
        for n, url in enumerate(urls):
            with self.moved:
                start, at = self.sent, self.arrived
                if start - at >= WINDOW and not self.moved.wait_for(lambda: self.sent - self.arrived < WINDOW, 60):
                    raise SystemExit('nothing arrives any more')
            self.session.client.send(message(url, n))
            self.sent += 1
        with self.moved:
            if not self.moved.wait_for(lambda: self.arrived == self.sent, 120):
                raise SystemExit(f'{self.sent - self.arrived} messages are missing')

    sent = 0


# --- what is run -----------------------------------------------------------------------------

def pictures_soak(start, host):
    daemon, upstream = start({'cache.memory': CACHE})
    media = daemon.role('media')[0]
    flows = [Flow(daemon, upstream) for _ in range(4)]          # in turns: a lane may not hold for ever
    seen = {'own': 0, 'pss': 0, 'early': None, 'at': time.monotonic()}

    def watch(sent):
        own, pss = memory(media)
        seen.update(own=max(seen['own'], own), pss=max(seen['pss'], pss))
        if seen['early'] is None and sent >= OPTIONS.urls // 10:
            seen['early'] = descriptors(daemon)
        if sent % 5000 == 0:
            rate = sent / (time.monotonic() - seen['at'])
            print(f'  {sent} sent, {rate:.0f}/s, media own {own >> 20} MiB, pss {pss >> 20} MiB', flush=True)
    for n in range(0, OPTIONS.urls, 500):
        flows[n // 500 % 4].send(f'{host.origin}/small/{k}' for k in range(n, n + 500))
        watch(n + 500)
    got, late = sum(flow.thumbnails for flow in flows), descriptors(daemon)
    outcomes = {k.split('"')[1]: int(v) for k, v in daemon.metrics().items() if k.startswith('inset_jobs_total') and v}
    say(f'{outcomes}')
    say(f'{got} of {OPTIONS.urls} messages got a thumbnail', got >= OPTIONS.urls * 0.999)
    say(f'media: at most {seen["own"] >> 20} MiB of its own, {seen["pss"] >> 20} MiB in proportion; '
        f'cache {CACHE >> 20} MiB, it says {daemon.metric("inset_cache_bytes") / (1 << 20):.1f}',
        seen['own'] < CACHE + SPARE and seen['pss'] < CACHE + SPARE)
    say(f'descriptors after a tenth {seen["early"]}, at the end {late}',
        all(late[role] <= seen['early'][role] + WINDOW // 4 for role in late))
    say(f'the same media process: {daemon.role("media") == [media]}', daemon.role('media') == [media])
    say(f'longest turns: {stalls(daemon)}')


def herd(start, host):
    daemon, upstream = start({})
    before = host.asked.value
    flows = [Flow(daemon, upstream) for _ in range(25)]
    url = f'{host.origin}/small/4000000'
    threads = [threading.Thread(target=flow.send, args=([url] * 40,)) for flow in flows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = sum(flow.thumbnails for flow in flows)
    say(f'1000 messages with one URL: {host.asked.value - before} fetch, {got} thumbnails', host.asked.value - before == 1)


def trouble(start, host):
    dns = NameServer()
    dns.silent.update(f's{n}.example.test' for n in range(200))
    daemon, upstream = start({'fetch.dns-servers': [dns.address], 'fetch.timeout': '2s', 'fetch.connect-timeout': '1s',
                              'fetch.low-speed-time': '2s',
                              'listen.main.hold': '3s'})
    flows = [Flow(daemon, upstream) for _ in range(4)]
    for wave in range(0, 200, 20):                              # together no more than fetch.concurrent
        loads = [[f'http://s{n}.example.test/x.png' for n in range(wave, wave + 20)],
                 *([f'{host.origin}/{kind}/{n}' for n in range(wave, wave + 20)] for kind in ('drip', 'stall', 'bomb'))]
        threads = [threading.Thread(target=flow.send, args=(load,)) for flow, load in zip(flows, loads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    outcomes = {k.split('"')[1]: int(v) for k, v in daemon.metrics().items() if k.startswith('inset_jobs_total') and v}
    found = stalls(daemon)
    say(f'slow names, dripping hosts, silent hosts and bombs: jobs {outcomes}')
    say(f'longest turns, ms: {found} (load {os.getloadavg()[0]:.1f})', all(v <= OPTIONS.stall for v in found.values()))
    dns.stop()


def main():
    host, running = Host(), []

    def start(options):
        folder = tempfile.mkdtemp(prefix='inset-soak-')
        os.chmod(folder, 0o755)
        upstream = Upstream()
        common = {'fetch.allow-origin': [host.origin], 'fetch.concurrent-per-host': 64, 'limits.per-sender': '',
                  'fetch.queue': 4096, 'scale.queue': 4096, 'limits.held-bytes': '4MiB'}
        running.append((Insetd(folder, upstream.address, {**common, **options}), upstream))
        return running[-1]
    try:
        for name, run in (('pictures', pictures_soak), ('herd', herd), ('trouble', trouble)):
            if name in OPTIONS.only.split(','):
                print(f'{name}:', flush=True)
                run(start, host)
    finally:
        for daemon, upstream in running:
            daemon.stop()
            upstream.close()
        host.stop()
    return 1 if MISSED else 0


if __name__ == '__main__':
    sys.exit(main())
