#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every figure of doc/PERFORMANCE.md but idle memory, which relay.py has: ratios, measured side by side.

Relays take turns within each round on the same machine under the same load; figures are medians of
the rounds' ratios. CPU is that of the processes that relay (insetd: its proxies).

    suite.py BUILD-FOLDER [--rounds 5] [--seconds 2] [--only NAME,...] [--write FILE]

Prints one JSON line a measurement, then the table. Judges nothing.
"""
import argparse
import gzip
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ARGS = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
ARGS.add_argument('build', type=Path)
ARGS.add_argument('--rounds', type=int, default=5)
ARGS.add_argument('--seconds', type=float, default=2)
ARGS.add_argument('--only', default='')
ARGS.add_argument('--write', type=Path)
OPTIONS = ARGS.parse_args()
BUILD = OPTIONS.build.resolve()
os.environ['INSET_BUILD'] = str(BUILD)
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'integration'))

from harness import pictures, processes                         # noqa: E402
from harness.insetd import Insetd                               # noqa: E402

TICK = os.sysconf('SC_CLK_TCK')
PICTURES = 24
SHORT = 4

HAPROXY = '''
global
  nbthread 1
  maxconn 9500
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen relay
  bind 127.0.0.1:{port}
  server s 127.0.0.1:{upstream}
'''


class HAProxy:
    def __init__(self, folder, upstream):
        self.port = processes.free_port()
        conf = folder / 'haproxy.cfg'
        conf.write_text(HAPROXY.format(port=self.port, upstream=upstream))
        self.process = processes.Process(['haproxy', '-db', '-f', conf], folder, 'haproxy')
        processes.wait_for(lambda: processes.listening(self.port), 'HAProxy listens', process=self.process)

    def pids(self):
        return [self.process.pid]

    def stop(self):
        self.process.stop()


class Bufferevent(HAProxy):
    def __init__(self, folder, upstream):
        self.port = processes.free_port()
        self.process = processes.Process([BUILD / 'relay_bufferevent', self.port, upstream], folder, 'bufferevent')
        processes.wait_for(lambda: processes.listening(self.port), 'the relay listens', process=self.process)

    def stop(self):
        self.process.stop(9)


class Inset(Insetd):
    def __init__(self, folder, upstream, **options):
        options = {path.replace('__', '.').replace('_', '-'): value for path, value in options.items()}
        super().__init__(folder, f'127.0.0.1:{upstream}', {'log.level': 'notice'} | options)

    def pids(self):
        return self.role('proxy')


RELAYS = {'insetd': Inset, 'haproxy': HAProxy, 'bufferevent': Bufferevent}


def say(**values):
    print(json.dumps(values), flush=True)


class Bench:
    def __init__(self, folder):
        self.folder = folder
        self.rows = []      # title, figures by name, ratio, target

    def relay(self, name, upstream, **options):
        below = Path(tempfile.mkdtemp(prefix=name, dir=self.folder))
        below.chmod(0o755)
        return RELAYS[name](below, upstream, **options)

    def row(self, title, unit, ours, theirs, against, target=None, ratios=None):
        ratio = statistics.median(ratios) if ratios else ours / theirs if theirs else 0
        self.rows.append((title, unit, ours, theirs, against, ratio, target))
        say(row=title, unit=unit, ours=ours, theirs=theirs, against=against, ratio=round(ratio, 3), target=target)

    # --- CPU ---------------------------------------------------------------------------------

    def load(self, relay, upstream, connections, size, seconds=None):
        reply = subprocess.run([BUILD / 'bench_relay', str(relay.port), str(upstream), str(connections), str(size),
                                str(seconds or OPTIONS.seconds), *map(str, relay.pids())], capture_output=True, text=True,
                               timeout=300, check=False)
        if reply.returncode:
            raise processes.Failure(reply.stderr)
        return json.loads(reply.stdout)

    def cpu(self):
        upstream = processes.free_port()
        loads = {'CPU per 300-byte stanza, 50 connections': (50, 300, 'us', lambda r: r['messages'] / 1e6, 1.0),
                 'CPU per GB, 16 KiB, 400 connections': (400, 16384, 's', lambda r: r['messages'] * 16384 / 1e9, 1.2)}
        relays = {name: self.relay(name, upstream) for name in RELAYS}
        try:
            for title, (connections, size, unit, count, target) in loads.items():
                found = {name: [] for name in RELAYS}
                # Short rounds, many of them: on a busy machine ratios of long ones swing as much, and there are fewer.
                for turn in range(OPTIONS.rounds * SHORT):
                    for name in sorted(RELAYS, reverse=turn % 2 == 1):
                        result = self.load(relays[name], upstream, connections, size, OPTIONS.seconds / SHORT)
                        say(round=turn, load=title, relay=name, **result)
                        found[name].append(result['cpu_seconds'] / count(result))
                for other in ('haproxy', 'bufferevent'):
                    self.row(title, unit, statistics.median(found['insetd']), statistics.median(found[other]), other,
                             target if other == 'haproxy' else None,
                             [a / b for a, b in zip(found['insetd'], found[other])])
        finally:
            for relay in relays.values():
                relay.stop()

    # --- scaling ------------------------------------------------------------------------------

    def scaling(self):
        """Beside HAProxy's own growth: most of the time is the kernel's, whose sockets get cold as well."""
        upstream = processes.free_port()
        relays = {name: self.relay(name, upstream) for name in ('insetd', 'haproxy')}
        found = {(name, n): [] for name in relays for n in (100, 8000)}
        try:
            for turn in range(OPTIONS.rounds):
                for name, connections in sorted(found, reverse=turn % 2 == 1):
                    result = self.load(relays[name], upstream, connections, 300)
                    say(round=turn, load='sessions', relay=name, **result)
                    found[name, connections].append(result['cpu_seconds'] / result['messages'] * 1e6)
        finally:
            for relay in relays.values():
                relay.stop()
        for name, title in (('insetd', 'CPU per stanza, 8,000 sessions against 100'),
                            ('haproxy', 'the same of HAProxy (first figure: HAProxy with 8,000)')):
            many, few = found[name, 8000], found[name, 100]
            self.row(title, 'us', statistics.median(many), statistics.median(few), '100 sessions',
                     1.3 if name == 'insetd' else None, [a / b for a, b in zip(many, few)])
        ours, theirs = found['insetd', 8000], found['haproxy', 8000]
        self.row('CPU per stanza, 8,000 sessions', 'us', statistics.median(ours), statistics.median(theirs), 'haproxy', None,
                 [a / b for a, b in zip(ours, theirs)])

    def workers(self):
        """Stanzas a second that the workers could do if each had a CPU: messages over CPU seconds, times workers."""
        found = {1: [], 2: []}
        upstream = processes.free_port()
        relays = {n: self.relay('insetd', upstream, workers=n) for n in found}
        try:
            for turn in range(OPTIONS.rounds):
                for n, relay in relays.items():
                    result = self.load(relay, upstream, 200, 300)
                    say(round=turn, load='workers', workers=n, **result)
                    found[n].append(n * result['messages'] / result['cpu_seconds'])
        finally:
            for relay in relays.values():
                relay.stop()
        self.row('stanzas per second of CPU time, two workers against one', '1/s', statistics.median(found[2]),
                 statistics.median(found[1]), 'one worker', '>= 1.8', [a / b for a, b in zip(found[2], found[1])])

    # --- latency ------------------------------------------------------------------------------

    def capture(self, name, bodies):
        """A capture of one session that says these stanzas."""
        path = self.folder / f'{name}.jsonl.gz'
        head = "<stream:stream{} version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        sasl, bind = ("xmlns='urn:ietf:params:xml:ns:xmpp-%s'" % ns for ns in ('sasl', 'bind'))
        said = [('c2s', head.format(" to='x'")), ('s2c', head.format(" from='x'") + '<stream:features/>'),
                ('c2s', f"<auth {sasl} mechanism='PLAIN'>AGEAYQ==</auth>"), ('s2c', f'<success {sasl}/>'),
                ('c2s', head.format(" to='x'")), ('s2c', head.format(" from='x'") + f'<stream:features><bind {bind}/></stream:features>'),
                ('c2s', f"<iq type='set' id='b'><bind {bind}/></iq>"),
                ('s2c', f"<iq type='result' id='b'><bind {bind}><jid>a@x/b</jid></bind></iq>")]
        said += [('c2s', body) for body in bodies]
        with gzip.open(path, 'wt') as f:
            f.write('{"format":"inset-capture","version":1,"start":"2026-01-01T00:00:00.000Z"}\n')
            for i, (way, text) in enumerate(said):
                f.write(json.dumps({'t': i / 100, 's': 1, 'd': way, 'e': 'data', 'x': text}) + '\n')
        return path

    def play(self, port, upstream, capture, *args):
        report = self.folder / 'report.json'
        reply = subprocess.run([BUILD / 'inset-replay', 'play', '--connect', f'127.0.0.1:{port}', '--listen', f'127.0.0.1:{upstream}',
                                '--json', report, '--quiet', *map(str, args), capture], capture_output=True, text=True,
                               timeout=300, check=False)
        if reply.returncode:
            raise processes.Failure(reply.stdout + reply.stderr)
        return json.loads(report.read_text())

    def latency(self):
        """Open loop at half of what HAProxy does in a closed one; what the relay adds to no relay at all."""
        body = "<message to='bob@localhost' type='chat' id='m1'><body>" + 'x' * 229 + '</body></message>'
        upstream = processes.free_port()
        relays = {name: self.relay(name, upstream) for name in ('insetd', 'haproxy')}
        found = {(name, q): [] for name in ('insetd', 'haproxy', 'direct') for q in ('p50_us', 'p99_us')}
        try:
            result = self.load(relays['haproxy'], upstream, 50, 300)
            rate = int(result['messages'] / result['seconds'] / 2)
            capture = self.capture('chat', [body] * int(max(20, rate * OPTIONS.seconds / 50)))
            for turn in range(OPTIONS.rounds):
                for name in sorted(('insetd', 'haproxy', 'direct'), reverse=turn % 2 == 1):
                    port = upstream if name == 'direct' else relays[name].port
                    report = self.play(port, upstream, capture, '--sessions', 50, '--ramp-up', 0, '--speed', 'max', '--rate', rate)
                    say(round=turn, load='latency', relay=name, rate=rate,
                        **{key: report['latency'][key] for key in ('p50_us', 'p90_us', 'p99_us', 'p99.9_us')})
                    for q in ('p50_us', 'p99_us'):
                        found[name, q].append(report['latency'][q])
        finally:
            for relay in relays.values():
                relay.stop()
        for q in ('p50_us', 'p99_us'):
            added = {name: [max(a - b, 1) for a, b in zip(found[name, q], found['direct', q])] for name in relays}
            self.row(f'added latency {q[:3]} at half load ({rate} stanzas/s)', 'us', statistics.median(added['insetd']),
                     statistics.median(added['haproxy']), 'haproxy', 1.1 if q == 'p99_us' else None,
                     [statistics.median(added['insetd']) / statistics.median(added['haproxy'])])

    # --- thumbnails ---------------------------------------------------------------------------

    @staticmethod
    def cpu_with_children(pids):
        total = 0
        for pid in pids:
            fields = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
            total += sum(int(fields[i]) for i in (11, 12, 13, 14))
        return total / TICK

    @staticmethod
    def cpu_of_loops(pids):
        """Seconds, of each process's first thread, to the nanosecond."""
        return sum(int(Path(f'/proc/{pid}/schedstat').read_text().split()[0]) for pid in pids) / 1e9

    def tool(self, argv, files):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for path in files:
            subprocess.run([part.replace('@', str(path)) for part in argv], shell=False, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / len(files)

    def thumbnails(self):
        folder = self.folder / 'pictures'
        folder.mkdir()
        picture = pictures.jpeg(4000, 3000)
        for i in range(PICTURES):
            (folder / f'{i}.jpg').write_bytes(picture + bytes([i]))     # different bytes: nothing is cached
        files = sorted(folder.iterdir())
        tools = {'djpeg -scale': ['djpeg', '-scale', '1/8', '-outfile', '/dev/null', '@'],
                 'vipsthumbnail': ['vipsthumbnail', '@', '--size', '128', '-o', str(self.folder / 'thumb.jpg')],
                 'gm': ['gm', 'convert', '-size', '128x128', '@', '-thumbnail', '128x128', str(self.folder / 'thumb.jpg')]}
        found = {name: [] for name in ('inset', *tools)}
        for turn in range(OPTIONS.rounds):
            media, upstream = processes.free_port(), processes.free_port()
            capture = self.capture('pictures', [
                f"<message to='b@x' id='p{i}'><body>http://h.example/{turn}/{i}.jpg</body><x xmlns='jabber:x:oob'>"
                f'<url>http://h.example/{turn}/{i}.jpg</url></x></message>' for i in range(PICTURES)])
            relay = self.relay('insetd', upstream, fetch__allow_origin=[f'http://127.0.0.1:{media}'])
            try:
                pids = relay.role('scaler') + relay.role('media')
                before = self.cpu_with_children(pids)
                report = self.play(relay.port, upstream, capture, '--media', media, '--pictures', folder, '--speed', 'max',
                                   '--expect', 'all')
                spent = self.cpu_with_children(pids) - before
                # inset-replay chooses pictures by their addresses: some serve twice, and media scales the same bytes once.
                scaled = min(report['thumbnails']['present'], relay.metric('inset_scaled_total{result="ok"}'))
                found['inset'].append(spent / scaled * 1e3)
            finally:
                relay.stop()
            for name, argv in tools.items():
                found[name].append(self.tool(argv, files) * 1e3)
            say(round=turn, load='thumbnails', **{name: round(values[-1], 2) for name, values in found.items()})
        for name in tools:
            self.row('CPU per thumbnail of a 12 Mpx JPEG, fetch and all', 'ms', statistics.median(found['inset']),
                     statistics.median(found[name]), name, None, [a / b for a, b in zip(found['inset'], found[name])])

    def cached(self):
        media, upstream = processes.free_port(), processes.free_port()
        count, sessions, rate = 100, 160, 20000     # all that there is time for; no more than a lane may hold at a time
        body = 'http://h.example/picture.jpg'
        captures = {
            'cached': self.capture('cached', [f"<message to='b@x' id='p'><body>{body}</body><x xmlns='jabber:x:oob'>"
                                              f'<url>{body}</url></x></message>'] * count),
            'plain': self.capture('plain', [f"<message to='b@x' id='p'><body>{body}</body><x xmlns='jabber:x:none'>"
                                            f'<url>{body}</url></x></message>'] * count)}
        found = {name: [] for name in captures}
        relay = self.relay('insetd', upstream, fetch__allow_origin=[f'http://127.0.0.1:{media}'])
        try:
            for turn in range(3 * OPTIONS.rounds + 1):
                spent = {}
                for name, capture in captures.items():
                    pids = relay.role('proxy') + relay.role('media')
                    before = self.cpu_of_loops(pids)
                    report = self.play(relay.port, upstream, capture, '--media', media, '--sessions', sessions, '--ramp-up', 0,
                                       '--speed', 'max', '--rate', rate)
                    spent[name] = (self.cpu_of_loops(pids) - before) / (sessions * count) * 1e6
                    say(round=turn, load='cached', kind=name, us=round(spent[name], 2), thumbnails=report['thumbnails']['present'],
                        expected=report['thumbnails']['expected'])
                    # On a busy machine some messages leave without: such a round says nothing, nor does the one that fills the cache.
                    if not turn or report['thumbnails']['present'] < report['thumbnails']['expected'] * 0.99:
                        spent.clear()
                        break
                for name, us in spent.items():
                    found[name].append(us)
                if len(found['plain']) == OPTIONS.rounds:
                    break
            if not found['plain']:
                raise processes.Failure('not all messages got their thumbnail in any round')
        finally:
            relay.stop()
        rates = {name: [1e6 / us for us in values] for name, values in found.items()}
        self.row('messages with a cached thumbnail per second of CPU time', '1/s', statistics.median(rates['cached']),
                 statistics.median(rates['plain']), 'plain messages', '>= 0.2', [a / b for a, b in zip(rates['cached'], rates['plain'])])


def machine():
    with open('/proc/cpuinfo') as f:
        model = next((line.split(':', 1)[1].strip() for line in f if line.startswith('model name')), platform.machine())
    haproxy = subprocess.run(['haproxy', '-v'], capture_output=True, text=True, check=False).stdout.split('\n')[0]
    return (f'{os.cpu_count()} CPUs, {model}; Linux {platform.release()}; {haproxy}; load {os.getloadavg()[0]:.1f} before; '
            f'{OPTIONS.rounds} rounds of {OPTIONS.seconds:g} s')


def number(value):
    return f'{value:,.0f}' if value >= 1000 else f'{value:.3g}'


def table(rows):
    out = ['| figure | inset | other | against | ratio | target |', '|---|---|---|---|---|---|']
    for title, unit, ours, theirs, against, ratio, target in rows:
        out.append(f'| {title} | {number(ours)} {unit} | {number(theirs)} {unit} | {against} | {ratio:.2f} | {target or ""} |')
    return '\n'.join(out)


def main():
    processes.adopt_orphans()
    wanted = OPTIONS.only.split(',') if OPTIONS.only else ['cpu', 'latency', 'scaling', 'workers', 'thumbnails', 'cached']
    where = machine()
    with tempfile.TemporaryDirectory(prefix='inset-bench-') as name:
        folder = Path(name)
        folder.chmod(0o755)
        bench = Bench(folder)
        try:
            for what in wanted:
                getattr(bench, what)()
        finally:
            processes.end_strays()
            shutil.rmtree(folder / 'pictures', ignore_errors=True)
    text = table(bench.rows)
    print(f'\n{where}\n\n{text}')
    if OPTIONS.write:
        old = OPTIONS.write.read_text()
        begin, end = '<!-- table -->\n', '<!-- end -->'
        head, rest = old.split(begin, 1)
        OPTIONS.write.write_text(f'{head}{begin}{where}\n\n{text}\n{end}{rest.split(end, 1)[1]}')


if __name__ == '__main__':
    main()
