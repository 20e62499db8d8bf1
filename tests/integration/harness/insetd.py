# SPDX-License-Identifier: MIT
"""The program under test, with a configuration made from a dict.

INSET_BUILD names the build folder (default: build/ in the source tree), so the same tests run
against the sanitizer's build.
"""
import os
import re
import signal
import subprocess
import urllib.request
from pathlib import Path

from .processes import Failure, PATIENCE, Process, SANITIZER_MARKS, children, cmdline, descendants, free_port, wait_for

TOP = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get('INSET_BUILD') or TOP / 'build').resolve()

# Limits that are about wall-clock time or counts over a whole run are far away unless a test
# is about them: on a busy machine they must not decide.
DEFAULTS = {
    'workers': 1,
    'drain-timeout': '0s',
    'watchdog': '10m',
    'log.level': 'debug',
    'listen.main.hold': '10s',
    'listen.main.hold-s2c': '10s',
    'fetch.timeout': '20s',
    'fetch.low-speed-time': '20s',
    'limits.hold-budget': '60s',
    'limits.hold-window': '60s',
    'limits.per-sender': '',
    'limits.breaker-failures': 1000,
    'scale.wall': '20s',
    'scale.cpu': '20s',
    # The seed's form: one child, and nothing else is written. What the built-in default does is
    # asked for by None (test_not_worse.py).
    'profiles.default.formats': ['ibb'],
}


def _value(value):
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)) and any(isinstance(v, dict) for v in value):
        return '( ' + ', '.join(_value(v) for v in value) + ' )'
    if isinstance(value, (list, tuple)):
        return '[ ' + ', '.join(_value(v) for v in value) + ' ]'
    if isinstance(value, dict):
        return '{\n' + ''.join(f'{k} = {_value(v)};\n' for k, v in value.items()) + '}'
    return '"' + str(value).replace('\\', '\\\\').replace('"', '\\"') + '"'


def conf_text(options):
    """{'listen.c2s.hold': '1s', ...} as a configuration file."""
    tree = {}
    for path, value in options.items():
        *groups, name = path.split('.')
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[name] = value
    return ''.join(f'{k} = {_value(v)};\n' for k, v in tree.items())


def environment():
    """Sanitized daemons are not dumpable, so the leak check, which needs ptrace, is left to the unit tests."""
    env = dict(os.environ)
    env['ASAN_OPTIONS'] = 'detect_leaks=0:abort_on_error=0:' + env.get('ASAN_OPTIONS', '')
    env['UBSAN_OPTIONS'] = 'print_stacktrace=1'
    return env


class Insetd:
    """A running insetd with one listener, `main`.

    upstream: "127.0.0.1:PORT". Options by path override DEFAULTS; None drops one.
    """

    def __init__(self, folder, upstream, options=None, name='insetd', wait=True, prefix=()):
        self.folder = Path(folder)
        self.port, self.web_port = free_port(), free_port()
        self.control = self.folder / (name + '.sock')
        self.conf = self.folder / (name + '.conf')
        self.options = dict(DEFAULTS)
        self.options.update({
            'control': str(self.control),
            'web.bind': [f'127.0.0.1:{self.web_port}'],
            'listen.main.bind': [f'127.0.0.1:{self.port}'],
            'listen.main.upstream': upstream,
        })
        self.options.update(options or {})
        self.options = {k: v for k, v in self.options.items() if v is not None}
        self.conf.write_text(conf_text(self.options))
        self.main = None
        self.process = Process([*prefix, BUILD / 'insetd', '-c', self.conf], self.folder, name, env=environment())
        self.main = self.process.pid
        if wait:
            try:
                wait_for(self._ready, 'insetd is up', process=self.process)
            except BaseException:
                self.process.stop(signal.SIGKILL)
                raise

    def _ready(self):
        return (' up version=' in self.log() or '"text":"up"' in self.log()) and self.metric('inset_scaler_formats') > 0

    @property
    def pid(self):
        """Of the master that serves: after an upgrade not the one that was started."""
        return self.main

    def upgrade(self):
        """SIGUSR2, until the new one has taken over; its pid."""
        times = self.log().count('taken over from') + 1
        os.kill(self.main, signal.SIGUSR2)
        wait_for(lambda: self.log().count('taken over from') >= times, 'the new insetd takes over\n' + self.log())
        self.main = int(re.findall(r' up version=\S+ pid=(\d+)', wait_for(
            lambda: self.log() if self.log().count(' up version=') > times else '', 'the up line'))[-1])
        return self.main

    def log(self):
        return self.process.output()

    def said(self):
        """The log with every line up to now: a process's answer comes behind its lines, as figures do not."""
        answer = self.ctl('log', self.options['log.level'])
        assert answer.returncode == 0, answer.stderr
        return self.log()

    def metrics(self):
        """All figures: {'inset_sessions': 1.0, 'inset_bytes_total{direction="c2s"}': 20.0}. Empty while web is away."""
        try:
            with urllib.request.urlopen(f'http://127.0.0.1:{self.web_port}/metrics', timeout=PATIENCE) as reply:
                text = reply.read().decode()
        except OSError:
            return {}
        return {m[1]: float(m[2]) for m in re.finditer(r'^(inset_\S+) (\S+)$', text, re.M)}

    def metric(self, name):
        return self.metrics().get(name, 0)

    def wait_metric(self, name, value, timeout=PATIENCE):
        wait_for(lambda: self.metric(name) >= value, f'{name} reaches {value}', timeout, self.process)

    def role(self, role):
        """Pids of the processes of a role: proxy, media, web, scaler."""
        wanted = 'inset-scaler' if role == 'scaler' else f'--role={role}'
        return [pid for pid in children(self.pid) if wanted in cmdline(pid)]

    def scaler_children(self):
        """Pids of the decoder processes that the scaler keeps ready or at work."""
        return [pid for scaler in self.role('scaler') for pid in descendants(scaler)]

    def ctl(self, *args):
        """insetctl with these arguments: the completed process."""
        return subprocess.run([BUILD / 'insetctl', '-s', self.control, *args], capture_output=True, text=True,
                              timeout=PATIENCE, env=environment(), check=False)

    def stop(self, sig=signal.SIGTERM):
        if self.main == self.process.pid:
            status = self.process.stop(sig)
        else:                                   # an heir is ours because orphans are
            try:
                os.kill(self.main, sig)
                status = os.waitstatus_to_exitcode(os.waitpid(self.main, 0)[1])
            except (ProcessLookupError, ChildProcessError):
                status = 0                      # has ended before, and was looked at then
            self.process.wait()
        found = [mark for mark in SANITIZER_MARKS if mark in self.log()]
        if found:
            raise Failure(f'insetd: sanitizer report {found}\n{self.log()[-8000:]}')
        if sig == signal.SIGTERM and status != 0:
            raise Failure(f'insetd ended with status {status}\n{self.log()[-4000:]}')
        return status


def run(*args, timeout=PATIENCE):
    """insetd in the foreground, for runs that end by themselves: the completed process."""
    return subprocess.run([BUILD / 'insetd', *[str(a) for a in args]], capture_output=True, text=True,
                          timeout=timeout, env=environment(), check=False)
