#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""CPU of insetd beside HAProxy in TCP mode: the same machine, the same run, the same load.

HAProxy runs with nbthread 1 and without splice, insetd with one proxy process; what counts for
insetd is that process. Rounds alternate between the two; figures are medians over the rounds.

    relay.py BUILD-FOLDER [ROUNDS=5] [SECONDS=2]

Prints one JSON line a measurement, then the table. Judges nothing.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD = Path(sys.argv[1] if len(sys.argv) > 1 else 'build').resolve()
os.environ['INSET_BUILD'] = str(BUILD)
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'integration'))

from harness import processes                                   # noqa: E402
from harness.insetd import Insetd                               # noqa: E402

# name: connections, bytes a message
LOADS = {'small': (50, 300), 'bulk': (400, 16384)}
IDLE = 1000

HAPROXY = '''
global
  nbthread 1
  maxconn 4000
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


class Inset(Insetd):
    def __init__(self, folder, upstream):
        super().__init__(folder, f'127.0.0.1:{upstream}', {'log.level': 'notice'})

    def pids(self):
        return self.role('proxy')


RELAYS = {'insetd': Inset, 'haproxy': HAProxy}


def measure(relay, upstream, connections, size, seconds):
    reply = subprocess.run([BUILD / 'bench_relay', str(relay.port), str(upstream), str(connections), str(size), str(seconds),
                            *map(str, relay.pids())], capture_output=True, text=True, timeout=300, check=False)
    if reply.returncode:
        raise processes.Failure(reply.stderr)
    return json.loads(reply.stdout)


def fresh(name, folder, upstream):
    below = folder / f'{name}-{processes.free_port()}'
    below.mkdir()
    below.chmod(0o755)
    return RELAYS[name](below, upstream)


def busy(folder, rounds, seconds):
    """{load: {relay: [cpu seconds per message or per GB, one a round]}}"""
    figures = {load: {name: [] for name in RELAYS} for load in LOADS}
    upstream = processes.free_port()
    running = {}
    try:
        for name in RELAYS:
            running[name] = fresh(name, folder, upstream)
        for turn in range(rounds):
            for load, (connections, size) in LOADS.items():
                for name in sorted(RELAYS, reverse=turn % 2 == 1):
                    result = measure(running[name], upstream, connections, size, seconds)
                    print(json.dumps({'round': turn, 'load': load, 'relay': name} | result), flush=True)
                    unit = result['messages'] if load == 'small' else result['messages'] * size / 1e9
                    figures[load][name].append(result['cpu_seconds'] / unit)
    finally:
        for relay in running.values():
            relay.stop()
    return figures


def idle(folder):
    """{relay: bytes per logged-in session}, each in a fresh process."""
    found = {}
    for name in RELAYS:
        upstream = processes.free_port()
        relay = fresh(name, folder, upstream)
        try:
            result = measure(relay, upstream, IDLE, 300, 0)
        finally:
            relay.stop()
        print(json.dumps({'load': 'idle', 'relay': name} | result), flush=True)
        found[name] = result['memory_per_connection']
    return found


def row(title, unit, inset, haproxy, form):
    print(f'{title:<34} {form % inset:>10} {form % haproxy:>10} {unit:<12} {inset / haproxy if haproxy else 0:>6.2f}')


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 2
    processes.adopt_orphans()
    with tempfile.TemporaryDirectory(prefix='inset-bench-') as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            figures, memory = busy(folder, rounds, seconds), idle(folder)
        finally:
            processes.end_strays()
    median = {load: {relay: statistics.median(values) for relay, values in by.items()} for load, by in figures.items()}
    print(f'\n{"median of " + str(rounds):<34} {"insetd":>10} {"haproxy":>10} {"":<12} {"ratio":>6}')
    row('300-byte stanzas, 50 connections', 'us CPU each', median['small']['insetd'] * 1e6,
        median['small']['haproxy'] * 1e6, '%.2f')
    row('16 KiB stanzas, 400 connections', 's CPU per GB', median['bulk']['insetd'], median['bulk']['haproxy'], '%.2f')
    row(f'idle session, of {IDLE}', 'bytes', memory['insetd'], memory['haproxy'], '%.0f')


if __name__ == '__main__':
    main()
