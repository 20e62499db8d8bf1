# SPDX-License-Identifier: MIT
"""Free ports and child processes that never outlive the test.

The test process adopts orphans (PR_SET_CHILD_SUBREAPER), so whatever any program under test
leaves behind becomes our child and is found by strays(). Processes are ended by pid only.
"""
import collections
import ctypes
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PATIENCE = 120  # seconds; only a failing test waits so long: on a busy machine a start takes many times what it should
PR_SET_CHILD_SUBREAPER = 36
SANITIZER_MARKS = ('ERROR: AddressSanitizer', 'runtime error:', 'ERROR: LeakSanitizer', 'SUMMARY: UndefinedBehavior')

_known = set()
_given = collections.deque(maxlen=1000)    # ports


class Failure(AssertionError):
    """Something the test started did not do its part."""


def adopt_orphans():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid):
    """Pids of the direct children of pid; empty when it is gone."""
    try:
        tasks = os.listdir(f'/proc/{pid}/task')
    except OSError:
        return []
    found = []
    for task in tasks:
        try:
            with open(f'/proc/{pid}/task/{task}/children') as f:
                found += [int(word) for word in f.read().split()]
        except OSError:
            pass
    return found


def descendants(pid):
    found = []
    for child in children(pid):
        found.append(child)
        found += descendants(child)
    return found


def cmdline(pid):
    try:
        with open(f'/proc/{pid}/cmdline', 'rb') as f:
            return f.read().replace(b'\0', b' ').decode(errors='replace').strip()
    except OSError:
        return ''


def _reap(spare):
    """Orphans that have ended by themselves are nobody's fault; take their status."""
    for pid in children(os.getpid()):
        if pid in _known or pid in spare:
            continue
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass


def strays(spare=(), patience=5):
    """What is still running below this process, is no Process and none of spare: [(pid, command)]."""
    deadline = time.monotonic() + patience
    while True:
        _reap(spare)
        left = [(pid, cmdline(pid)) for pid in children(os.getpid()) if pid not in _known and pid not in spare]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def end_strays(spare=()):
    """Ends them, by pid; returns what they were."""
    left = strays(spare)
    for pid, _ in left:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except OSError:
            pass
    return left


def let_in(folder):
    """Lets other users through to a folder of a test's: opens it and what is above it, below the folder for
    temporary files and nowhere else."""
    for above in (folder, *folder.parents):
        if Path(tempfile.gettempdir()) in above.parents and above.stat().st_uid == os.getuid():
            above.chmod(above.stat().st_mode | 0o055)


def _own_ports():
    """Ports of this process alone, outside the range that the kernel gives to outgoing connections: what is
    free now must still be free when the program that is told of it binds, whatever runs beside this one."""
    worker = int(re.sub(r'\D', '', os.environ.get('PYTEST_XDIST_WORKER', '')) or 0)
    return range(10240 + worker % 4 * 5000, 10240 + worker % 4 * 5000 + 5000)


def free_port():
    """A free loopback port that was not given lately."""
    while True:
        port = random.SystemRandom().choice(_own_ports())
        if port in _given:
            continue
        with socket.socket() as s:
            try:
                s.bind(('127.0.0.1', port))
            except OSError:
                continue
        _given.append(port)
        return port


def listening(port):
    """Does something listen on this port? Found out without connecting, which servers would count."""
    wanted = f':{port:04X}'
    for table in ('/proc/net/tcp', '/proc/net/tcp6'):
        try:
            with open(table) as f:
                if any(row.split()[1].endswith(wanted) and row.split()[3] == '0A' for row in f):
                    return True
        except OSError:
            pass
    return False


def wait_for(condition, what, timeout=PATIENCE, process=None):
    """Polls until condition() holds. The time-out is only a stop for runs that hang."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if process is not None and process.poll() is not None:
            raise Failure(f'{process.name} ended with {process.poll()} before: {what}\n{process.output()[-4000:]}')
        if time.monotonic() > deadline:
            raise Failure(f'did not happen within {timeout} s: {what}'
                          + (f'\n{process.output()[-4000:]}' if process else ''))
        time.sleep(0.01)
    return value


class Process:
    """A program in a session of its own, its output in a file."""

    def __init__(self, argv, folder, name, env=None):
        self.name = name
        self.log = os.path.join(folder, name + '.log')
        with open(self.log, 'ab') as out:
            self.popen = subprocess.Popen([str(a) for a in argv], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        self.pid = self.popen.pid
        _known.add(self.pid)

    def poll(self):
        return self.popen.poll()

    def output(self):
        with open(self.log, errors='replace') as f:
            return f.read()

    def memory(self):
        """Resident bytes of the process and all below it."""
        total = 0
        for pid in [self.pid] + descendants(self.pid):
            try:
                with open(f'/proc/{pid}/status') as f:
                    total += sum(int(line.split()[1]) * 1024 for line in f if line.startswith('RssAnon:'))
            except OSError:
                pass
        return total

    def wait(self, timeout=PATIENCE):
        try:
            return self.popen.wait(timeout)
        finally:
            if self.popen.returncode is not None:
                _known.discard(self.pid)

    def stop(self, sig=signal.SIGTERM, timeout=PATIENCE):
        """Ends it and everything below it. Returns the exit status; fails when it has to be killed."""
        below = descendants(self.pid)
        if self.poll() is None:
            self.popen.send_signal(sig)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.wait()
            for pid in below:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            raise Failure(f'{self.name} did not end after signal {sig}\n{self.output()[-4000:]}') from None
