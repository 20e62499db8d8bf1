#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A thousand replayed sessions while insetd is reloaded, upgraded and its processes are killed.

Run by hand, takes some minutes: tests/soak/life.py BUILD [--sessions N] [--rate UNITS]
Three rounds, each with a verdict of inset-replay's:
  upgrade   a reload and an upgrade every two seconds: clean, and all figures add up
  kill      media, scaler, web and box are killed in turn: clean
  proxy     a proxy is killed every five seconds: its sessions end, nothing else happens
"""
import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'integration'))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('build', type=Path)
parser.add_argument('--sessions', type=int, default=1024, help='a multiple of those in the sample captures')
parser.add_argument('--rate', type=int, default=5000)
parser.add_argument('--loop', type=int, default=1)
args = parser.parse_args()
os.environ['INSET_BUILD'] = str(args.build.resolve())

from harness import processes                                   # noqa: E402
from harness.box import Box                                     # noqa: E402
from harness.insetd import Insetd                               # noqa: E402
from harness.replay import Replay, captured, frames             # noqa: E402

processes.adopt_orphans()
failures = []


def check(what, holds):
    print(f'  {"ok" if holds else "NOT OK":7} {what}', flush=True)
    if not holds:
        failures.append(what)


def status(daemon):
    return json.loads(daemon.ctl('--json', 'status').stdout)


def every(load, seconds, action):
    """The action again and again while the load runs: how often."""
    times = 0
    while True:
        until = time.monotonic() + seconds
        while load.runs() and time.monotonic() < until:
            time.sleep(0.1)
        if not load.runs():
            return times
        action(times)
        times += 1


def run(name, expect, disturb, judge):
    print(f'{name}: {args.sessions} sessions, {args.rate} units a second', flush=True)
    box = Box()
    with tempfile.TemporaryDirectory(prefix='inset-soak-') as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        load = Replay(folder)
        daemon = Insetd(folder, load.upstream, load.options | box.options | {'workers': 2, 'upgrade-timeout': '1h'})
        try:
            load.begin(daemon.port, '--speed', 'max', '--rate', args.rate, '--sessions', args.sessions, '--ramp-up', 10,
                       '--loop', args.loop, '--timeout', 60, '--expect', expect)
            disturb(load, daemon)
            code, report, output = load.end(600)
            units = report['units']
            print(f"  {report['seconds']:.1f} s, {report['sessions']['started']} sessions "
                  f"({report['sessions']['failed']} failed), {units['sent']} units, "
                  f"{report['thumbnails']['present']} of {report['thumbnails']['expected']} thumbnails, "
                  f"p99 {report['latency']['p99_us'] / 1000:.1f} ms, max {report['latency']['max_us'] / 1000:.1f} ms")
            judge(daemon, code, report, output)
        finally:
            daemon.stop()
            box.remove()


def upgrades(load, daemon):
    def both(_):
        check('reload', daemon.ctl('reload').returncode == 0)
        daemon.upgrade()
    print(f'  {every(load, 2, both)} reloads and upgrades')


def judge_upgrades(daemon, code, report, output):
    check('verdict clean', code == 0 and report['verdict'] == 'clean')
    if code:
        print(output)
    processes.wait_for(lambda: not status(daemon)['elders'], 'the old ones have ended', 60)
    seen = daemon.metrics()
    both = ('{direction="c2s"}', '{direction="s2c"}')
    times = args.sessions * args.loop // captured()
    for what, ours, theirs in (
            ('connections', seen['inset_connections_total'], report['sessions']['started']),
            ('sessions ended', seen['inset_sessions_ended_total{reason="ended"}'], report['sessions']['finished']),
            ('sessions open', seen['inset_sessions'], 0),
            ('thumbnails', seen['inset_thumbnails_total'], report['thumbnails']['present']),
            ('candidates', seen['inset_candidates_total'], report['thumbnails']['expected']),
            ('bytes', sum(seen['inset_bytes_total' + d] for d in both), report['bytes']['sent']),
            ('units', sum(seen['inset_units_total' + d] for d in both), report['units']['sent'] - times * frames())):
        check(f'{what}: {ours:.0f} counted, {theirs:.0f} by the verdict', ours == theirs)


def kills(roles, seconds):
    def disturb(load, daemon):
        def kill(times):
            role = roles[times % len(roles)]
            pids = daemon.role(role)
            if pids:
                os.kill(pids[times // len(roles) % len(pids)], signal.SIGKILL)
        print(f'  {every(load, seconds, kill)} processes killed')
    return disturb


def judge_kills(daemon, code, report, output):
    check('verdict clean', code == 0 and report['verdict'] == 'clean')
    if code:
        print(output)


def judge_proxies(daemon, code, report, output):
    units, sessions = report['units'], report['sessions']
    check(f"sessions failed: {sessions['failed']}", sessions['failed'] > 0)
    check('no session but those, nothing changed, doubled, reordered or foreign',
          units['changed'] == units['doubled'] == units['reordered'] == units['foreign'] == 0)
    processes.wait_for(lambda: all(c['state'] == 'up' for c in status(daemon)['children']), 'all are back', 60)
    check('no session is left in the figures', daemon.metric('inset_sessions') == 0)


run('upgrade', 'all', upgrades, judge_upgrades)
run('kill', 'any', kills(('media', 'scaler', 'web', 'box'), 1), judge_kills)
run('proxy', 'any', kills(('proxy',), 5), judge_proxies)
left = processes.end_strays()
check(f'nothing is left running {left}', not left)
sys.exit(1 if failures else 0)
