# SPDX-License-Identifier: MIT
"""From one insetd to the next: upgrade, drain, socket activation, service manager, watchdog.

The units of it are test_handover.c, test_sockets.c and test_pulse.c; loads of a thousand sessions
are tests/soak/life.py's.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest

from harness import pictures, processes, stanzas
from harness.box import Box, curl, post
from harness.insetd import BUILD, Insetd, conf_text, environment
from harness.processes import free_port, wait_for
from harness.rawpeer import HEADER, Session, connect
from harness.replay import Replay, captured, frames

ENDED = b"<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"


def status(daemon):
    answer = daemon.ctl('--json', 'status')
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def status_at(path):
    answer = subprocess.run([BUILD / 'insetctl', '-s', path, '--json', 'status'], capture_output=True, text=True,
                            timeout=30, env=environment(), check=False)
    return json.loads(answer.stdout) if answer.returncode == 0 else None


def chat(session, name):
    session.c2s(stanzas.message(f'<body>{name}</body>', name))
    session.s2c(f"<message from='bob@localhost/x' to='alice@localhost/raw' id='{name}'><body>hi</body></message>")


def gone(pid):
    try:
        with open(f'/proc/{pid}/stat') as f:
            return f.read().rsplit(')', 1)[1].split()[0] in 'ZX'
    except OSError:
        return True


def change(daemon, options):
    """Another configuration, for the next reload or upgrade."""
    daemon.options |= options
    daemon.conf.write_text(conf_text({k: v for k, v in daemon.options.items() if v is not None}))


def gets_thumbnails(session, media):
    """Some time soon: media hears from a new scaler what it can a moment after both are up."""
    def one():
        sent = stanzas.picture(media.put(pictures.jpeg(300, 200)))
        session.client.send(sent)
        return stanzas.thumbnails(session.server.until('</message>'))
    wait_for(one, 'a thumbnail')


class Echo:
    """An upstream that says what it hears."""

    def __init__(self):
        self.sock = socket.create_server(('127.0.0.1', 0), backlog=512)
        self.address = f'127.0.0.1:{self.sock.getsockname()[1]}'
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.sock.accept()[0],), daemon=True).start()

    @staticmethod
    def serve(sock):
        with contextlib.suppress(OSError), sock:
            while data := sock.recv(65536):
                sock.sendall(data)

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


@pytest.fixture(scope='module')
def echo():
    server = Echo()
    yield server
    server.close()


class Hammer:
    """Connects again and again, by several threads, and wants an answer each time."""

    def __init__(self, *actions):
        self.stopping, self.failures, self.counts = False, [], [0] * len(actions)
        self.threads = [threading.Thread(target=self.run, args=(i, action), daemon=True)
                        for i, action in enumerate(actions)]
        for thread in self.threads:
            thread.start()

    def run(self, i, action):
        while not self.stopping and len(self.failures) < 5:
            try:
                action()
                self.counts[i] += 1
            except (OSError, AssertionError, EOFError) as problem:
                self.failures.append(repr(problem))

    def wait(self, more=10):
        """Every action has succeeded so many more times."""
        goal = [count + more for count in self.counts]
        wait_for(lambda: self.failures or all(c >= g for c, g in zip(self.counts, goal)), 'more connections')

    def end(self):
        self.stopping = True
        for thread in self.threads:
            thread.join(30)
        assert not self.failures, self.failures


def hello(port):
    """A connection whose header comes back."""
    def action():
        with contextlib.closing(connect(port)) as peer:
            peer.send(HEADER)
            peer.expect(HEADER)
            # Ended by a fence, not by a reset that could hide what is lost.
    return action


def page(port):
    def action():
        with urllib.request.urlopen(f'http://127.0.0.1:{port}/metrics', timeout=20) as reply:
            assert b'inset_sessions' in reply.read()
    return action


# --- upgrade ------------------------------------------------------------------------------------


def test_sessions_live_on_in_the_old_one(start, upstream, media):
    daemon = start({'rules': [{'name': 'mine', 'action': 'thumbnail'}]})
    first = Session(daemon.port, upstream)
    old = daemon.pid
    units = daemon.metric('inset_units_total{direction="c2s"}')
    url = media.put(pictures.jpeg(300, 200))
    sent = stanzas.picture(url)
    first.client.send(sent)
    stanzas.check_thumbnail(sent, first.server.until('</message>'))
    new = daemon.upgrade()
    assert new != old and status(daemon)['pid'] == new
    second = Session(daemon.port, upstream)
    chat(first, 'one')
    chat(second, 'two')
    for session in (first, second):                # the old one's media and scaler work on
        sent = stanzas.picture(media.put(pictures.jpeg(300, 200)))
        session.client.send(sent)
        stanzas.check_thumbnail(sent, session.server.until('</message>'))

    found = status(daemon)
    assert found['state'] == 'up' and found['generation'] == 2
    path = f'{daemon.control}.{old}'
    wait_for(lambda: [(e['pid'], e['control'], e['sessions']) for e in status(daemon)['elders']] == [(old, path, 1)],
             'the old one is shown')
    assert f'old insetd draining: pid {old}, 1 sessions, control socket {path}' in daemon.ctl('status').stdout
    theirs = status_at(path)
    assert theirs['state'] == 'draining' and theirs['pid'] == old and theirs['drain']['sessions'] == 1
    assert theirs['drain']['upgraded'] and theirs['drain']['seconds'] > 3000
    refused = subprocess.run([BUILD / 'insetctl', '-s', path, 'reload'], capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and 'stopping' in refused.stderr

    # Figures go on, those of rules too; gauges of processes are the new one's alone.
    assert daemon.metric('inset_thumbnails_total') == 3 and daemon.metric('inset_units_total{direction="c2s"}') > units
    assert daemon.metric('inset_rule_thumbnails_total{rule="mine"}') == 3
    assert daemon.metric('inset_sessions') == 2 and daemon.metric('inset_connections_total') == 2
    assert daemon.metric('inset_processes{role="proxy"}') == 1 and daemon.metric('inset_scaler_formats') < 10

    first.close()
    wait_for(lambda: gone(old), 'the old one has ended')
    wait_for(lambda: status(daemon)['elders'] == [], 'and is shown no more')
    assert not os.path.exists(path) and 'old insetd has ended' in daemon.log()
    chat(second, 'three')
    second.close()
    wait_for(lambda: daemon.metric('inset_sessions') == 0, 'all sessions have ended')
    assert daemon.metric('inset_thumbnails_total') == 3


def test_not_one_connection_is_refused(start, echo):
    """With more, fewer and equally many workers; the page and the box, too."""
    box = Box()
    daemon = start(box.options | {'workers': 2, 'log.level': 'notice'}, to=echo.address)

    def upload():
        assert post(box.address(), b'x' * 2000)[0] == 200
    try:
        hammer = Hammer(hello(daemon.port), hello(daemon.port), page(daemon.web_port), upload)
        hammer.wait()
        for workers in (2, 3, 1):
            change(daemon, {'workers': workers})
            daemon.upgrade()
            hammer.wait()
            wait_for(lambda n=workers: len(daemon.role('proxy')) == n, 'as many workers')
        wait_for(lambda: not status(daemon)['elders'], 'the old ones have ended')
        hammer.wait()
        hammer.end()
    finally:
        box.remove()
    assert 'failed' not in daemon.log()


def test_more_workers_get_sockets_of_their_own(start, echo):
    daemon = start({'workers': 1}, to=echo.address)
    change(daemon, {'workers': 3})
    daemon.upgrade()
    wait_for(lambda: 'configuration reloaded generation=3' in daemon.log(), 'the sockets are there')
    with open('/proc/net/tcp') as f:
        rows = [row.split() for row in f]
    assert sum(row[1].endswith(f':{daemon.port:04X}') and row[3] == '0A' for row in rows) == 3
    for _ in range(30):
        hello(daemon.port)()


def test_two_upgrades_three_generations(start, upstream):
    daemon = start({'limits.sessions': 4, 'watchdog': '900ms'})
    sessions = [Session(daemon.port, upstream)]
    pids = [daemon.pid]
    for _ in range(2):
        pids.append(daemon.upgrade())
        sessions.append(Session(daemon.port, upstream))
    assert [e['pid'] for e in status(daemon)['elders']] == [pids[1], pids[0]]
    for i, session in enumerate(sessions):
        chat(session, f'm{i}')
    assert daemon.metric('inset_sessions') == 3
    # Limits are those of all together.
    sessions.append(Session(daemon.port, upstream))
    with contextlib.closing(connect(daemon.port)) as over, contextlib.suppress(ConnectionResetError):
        assert over.rest() == b''
    # The oldest is killed: what it had counts no more.
    os.kill(pids[0], signal.SIGKILL)
    wait_for(lambda: [e['pid'] for e in status(daemon)['elders']] == [pids[1]], 'it is gone')
    wait_for(lambda: daemon.metric('inset_sessions') == 3, 'its session too')
    chat(sessions[1], 'still')
    # The whole service ends: the older one as well, each client is told.
    daemon.stop()
    for session in sessions[1:]:
        assert session.client.rest() == ENDED and session.server.rest() == b''
        session.close()
    wait_for(lambda: all(map(gone, pids)), 'all have ended')


def test_upgrade_timeout_ends_sessions_where_they_can_be_told(start, upstream):
    daemon = start({'upgrade-timeout': '0s'})
    quiet, amid = Session(daemon.port, upstream), Session(daemon.port, upstream)
    unfinished = "<message from='bob@localhost/x' to='alice@localhost/raw'><body>half " + 'x' * 5000
    amid.server.send(unfinished)
    got = amid.client.until('half')
    old = daemon.pid
    daemon.upgrade()
    assert quiet.client.rest() == ENDED and quiet.server.rest() == b''
    assert unfinished.encode().startswith(got + amid.client.rest())
    assert amid.server.rest() == b''
    wait_for(lambda: gone(old), 'the old one has ended')
    for session in (quiet, amid):
        session.close()


@pytest.fixture
def installed(tmp_path):
    """A folder with a copy of insetd and of the scaler."""
    folder = tmp_path / 'sbin'
    folder.mkdir()
    for name in ('insetd', 'inset-scaler'):
        shutil.copy(BUILD / name, folder)
    return folder


class Installed(Insetd):
    """insetd from another folder than the build's."""

    def __init__(self, folder, sbin, upstream, options=None):
        super().__init__(folder, upstream, options, prefix=[
            '/bin/sh', '-c', f'shift; exec {sbin}/insetd "$@"', 'sh'])


def replace(path, text):
    """As a package does it: the running program's file stays what it was."""
    other = path.with_suffix('.dpkg-new')
    other.write_text(text)
    other.chmod(0o755)
    other.rename(path)


@pytest.mark.parametrize('name, spoil, reason', [
    ('configuration', lambda d, sbin: d.conf.write_text(d.conf.read_text() + 'workres = 1;\n'),
     'workres: no such setting; did you mean "workers"?'),
    ('address', lambda d, sbin: change(d, {'listen.other.bind': [f'127.0.0.1:{d.taken}'],
                                           'listen.other.upstream': '127.0.0.1:1'}), 'Address already in use'),
    ('control', lambda d, sbin: change(d, {'control': '/proc/none/c.sock'}), 'control socket /proc/none/c.sock'),
    ('program', lambda d, sbin: replace(sbin / 'insetd', '#!/bin/sh\nexit 3\n'), 'the new one has ended'),
    ('missing', lambda d, sbin: (sbin / 'insetd').unlink(), 'cannot execute'),
    ('scaler', lambda d, sbin: (sbin / 'inset-scaler').unlink(), 'scaler has ended'),
])
def test_a_failed_upgrade_changes_nothing(tmp_path, installed, upstream, name, spoil, reason):
    if name == 'scaler' and os.path.exists('/usr/libexec/inset/inset-scaler'):
        spoil = None
    daemon = Installed(tmp_path, installed, upstream.address)
    try:
        with socket.create_server(('127.0.0.1', 0)) as taken:
            daemon.taken = taken.getsockname()[1]
            session = Session(daemon.port, upstream)
            before, pids = status(daemon), processes.descendants(daemon.pid)
            spoil(daemon, installed)
            os.kill(daemon.pid, signal.SIGUSR2)
            wait_for(lambda: 'upgrade failed, this insetd goes on: ' in daemon.log(), 'it has failed')
            assert reason in re.search('upgrade failed, this insetd goes on: (.*)', daemon.log())[1]
            chat(session, 'one')
            other = Session(daemon.port, upstream)
            chat(other, 'two')
            after = status(daemon)
            assert after['state'] == 'up' and after['pid'] == before['pid'] and after['elders'] == []
            assert processes.descendants(daemon.pid) == pids
            assert os.listdir(daemon.folder).count(daemon.control.name) == 1
            session.close()
            other.close()
    finally:
        daemon.stop()
    wait_for(lambda: not [name for name in os.listdir(tmp_path) if '.sock' in name], 'nothing is left of the new one')


def test_a_new_one_that_hangs_and_is_killed(tmp_path, installed, upstream):
    daemon = Installed(tmp_path, installed, upstream.address)
    try:
        replace(installed / 'insetd', '#!/bin/sh\nexec sleep 1234\n')
        os.kill(daemon.pid, signal.SIGUSR2)

        def hanging():
            return [pid for pid in processes.children(os.getpid()) if processes.cmdline(pid) == 'sleep 1234']
        pid = wait_for(hanging, 'it hangs')[0]
        os.kill(daemon.pid, signal.SIGUSR2)
        wait_for(lambda: 'no upgrade now: another upgrade is under way' in daemon.log(), 'one at a time')
        refused = daemon.ctl('reload')
        assert refused.returncode == 1 and 'an upgrade is under way' in refused.stderr
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: 'upgrade failed' in daemon.log(), 'it has failed')
        session = Session(daemon.port, upstream)
        chat(session, 'one')
        session.close()
    finally:
        daemon.stop()


def test_the_old_one_keeps_its_own_scaler(tmp_path, installed, upstream, media):
    """A package has replaced both programs: each generation goes on with what it was started with."""
    daemon = Installed(tmp_path, installed, upstream.address, {'fetch.allow-origin': [media.origin]})
    try:
        session = Session(daemon.port, upstream)
        replace(installed / 'inset-scaler', '#!/bin/sh\nexit 3\n')
        os.kill(daemon.role('scaler')[0], signal.SIGKILL)
        wait_for(lambda: 'scaler was ended by signal 9' in daemon.log(), 'the scaler has ended')
        wait_for(lambda: daemon.log().count('ready for pictures') == 2, 'it is back', process=daemon.process)
        gets_thumbnails(session, media)
        session.close()
    finally:
        daemon.stop()


def test_a_draining_one_brings_its_processes_back(start, upstream, media):
    daemon = start()
    session = Session(daemon.port, upstream)
    victims = daemon.role('media') + daemon.role('scaler')
    old = daemon.pid
    daemon.upgrade()
    times = daemon.log().count('ready for pictures')
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: all(c['state'] == 'up' for c in status_at(f'{daemon.control}.{old}')['children']
                         if c['role'] in ('media', 'scaler')) and
             daemon.log().count('ready for pictures') > times, 'they are back')
    gets_thumbnails(session, media)
    session.close()


def test_uploads_under_way_are_finished_by_the_old_box(start):
    box = Box()
    daemon = start(box.options)
    try:
        with socket.create_connection(('127.0.0.1', box.port), timeout=30) as sock:
            where = box.address(size=3000).removeprefix(box.url)
            sock.sendall(f'POST {where} HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n'.encode() + b'a' * 1000)
            wait_for(lambda: [n for n in box.store() if n.startswith('t-')], 'the upload has begun')
            daemon.upgrade()
            keeper = daemon.process.pid
            url = post(box.address(), b'new' * 100)[2].decode()     # while the old one still has its own
            sock.sendall(b'b' * 2000)
            reply = b''
            while b'\r\n\r\n' not in reply or not reply.split(b'\r\n\r\n', 1)[1]:
                reply += sock.recv(4096)
            assert b' 200 ' in reply.split(b'\r\n')[0]
        assert curl(reply.split(b'\r\n\r\n', 1)[1].decode())[2] == b'a' * 1000 + b'b' * 2000
        assert curl(url)[2] == b'new' * 100
        wait_for(lambda: gone(keeper), 'the old one has ended')
    finally:
        box.remove()


# --- drain --------------------------------------------------------------------------------------


def test_drain_by_insetctl(start, upstream):
    daemon = start({'drain-timeout': '1h'})
    session = Session(daemon.port, upstream)
    asking = subprocess.Popen([BUILD / 'insetctl', '-s', daemon.control, 'drain'], stdout=subprocess.PIPE, text=True)
    assert asking.stdout.readline() == 'draining, 1 sessions have 3600.0 s\n'

    def refused():
        try:
            socket.create_connection(('127.0.0.1', daemon.port)).close()
        except ConnectionRefusedError:
            return True
        return False
    wait_for(refused, 'nobody is accepted any more')
    chat(session, 'one')
    found = status(daemon)
    assert found['state'] == 'draining' and found['drain']['sessions'] == 1 and found['drain']['seconds'] > 3500
    assert 'draining: 1 sessions, at most ' in daemon.ctl('status').stdout
    assert daemon.metric('inset_sessions') == 1             # the page is there until the end
    session.close()
    assert asking.communicate(timeout=30)[0].endswith('drained\n') and asking.returncode == 0
    assert daemon.process.wait() == 0


def test_a_second_signal_ends_a_drain_at_once(start, upstream):
    daemon = start({'drain-timeout': '1h'})
    session = Session(daemon.port, upstream)
    os.kill(daemon.pid, signal.SIGTERM)
    wait_for(lambda: status(daemon)['state'] == 'draining', 'it drains')
    chat(session, 'one')
    os.kill(daemon.pid, signal.SIGINT)
    assert session.client.rest() == ENDED and session.server.rest() == b''
    assert daemon.process.wait() == 0
    session.close()


# --- the service manager --------------------------------------------------------------------------


class Manager:
    """Listens where NOTIFY_SOCKET says."""

    def __init__(self, folder):
        self.path = str(folder / 'notify')
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(30)
        self.lines = []

    def until(self, line):
        """Everything said up to and including this line."""
        said = []
        while line not in said:
            said += self.sock.recv(4096).decode().split('\n')
        return said


@pytest.fixture
def manager(tmp_path, monkeypatch):
    there = Manager(tmp_path)
    monkeypatch.setenv('NOTIFY_SOCKET', there.path)
    yield there
    there.sock.close()


def test_what_the_service_manager_is_told(start, manager, upstream):
    daemon = start()
    said = manager.until('READY=1') + manager.until('STATUS=up: 4 processes, 0 sessions')
    assert not [line for line in said if line.startswith(('RELOADING', 'MAINPID', 'STOPPING'))]

    os.kill(daemon.pid, signal.SIGHUP)
    said = manager.until('RELOADING=1')
    assert not [line for line in said if line.startswith('READY')]
    assert any(line.startswith('MONOTONIC_USEC=') for line in said + manager.until('READY=1'))
    good = daemon.conf.read_text()
    daemon.conf.write_text('{{{')
    assert daemon.ctl('reload').returncode == 1
    manager.until('RELOADING=1')
    manager.until('READY=1')
    os.kill(daemon.pid, signal.SIGUSR2)
    manager.until('RELOADING=1')
    manager.until('READY=1')
    assert 'upgrade failed' in daemon.log()
    daemon.conf.write_text(good)

    session = Session(daemon.port, upstream)
    new = daemon.upgrade()
    said = manager.until(f'MAINPID={new}')
    assert 'RELOADING=1' in said and 'READY=1' not in said
    said = manager.until('READY=1') + manager.until('STATUS=up: 4 processes, 0 sessions')
    # The old one says nothing any more, above all not that the service stops.
    session.close()
    wait_for(lambda: gone(daemon.process.pid), 'the old one has ended')
    daemon.stop()
    said += manager.until('STOPPING=1')
    assert said.count('STOPPING=1') == 1
    assert sum(line.startswith('STATUS=up') for line in said) >= 1


def test_the_watchdog_is_fed_by_the_loops(start, manager, monkeypatch):
    monkeypatch.setenv('WATCHDOG_USEC', '300000')
    daemon = start({'watchdog': '1h'})
    manager.until('READY=1')
    for _ in range(3):
        manager.until('WATCHDOG=1')
    daemon.upgrade()
    manager.until('READY=1')
    for _ in range(3):
        manager.until('WATCHDOG=1')


def test_a_stuck_process_is_killed_and_comes_back(start, upstream):
    daemon = start({'watchdog': '300ms', 'workers': 2})
    victims = [daemon.role(role)[0] for role in ('proxy', 'media', 'web', 'scaler')]
    for pid in victims:
        os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: all(map(gone, victims)), 'they were killed')
    wait_for(lambda: all(c['state'] == 'up' for c in status(daemon)['children']), 'all are up')
    wait_for(lambda: daemon.metric('inset_stuck_total') == 4, 'they are counted')
    assert len(re.findall(r'(proxy/\d|media|web|scaler) is stuck: its loop has not turned', daemon.log())) == 4
    session = Session(daemon.port, upstream)
    chat(session, 'one')
    session.close()


def test_a_stopped_master_accuses_nobody(start):
    """Everything was stopped at once, as when a machine is suspended."""
    daemon = start({'watchdog': '300ms'})
    pids = [daemon.pid, *processes.descendants(daemon.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    threading.Event().wait(1)
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)
    assert status(daemon)['state'] == 'up'
    assert {c['restarts'] for c in status(daemon)['children']} == {0}


# --- socket activation ------------------------------------------------------------------------------

ACTIVATE = '''
import os, socket, sys
at = sys.argv.index("--")
names, socks = [], []
for word in sys.argv[1:at]:
    name, host, port = word.split(",")
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if host == "::":
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind((host, int(port)))
    if name != "deaf":
        s.listen(64)
    names.append(name)
    socks.append(os.dup2(s.fileno(), 100 + len(names)))
for i, fd in enumerate(socks):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ.update(LISTEN_FDS=str(len(socks)), LISTEN_FDNAMES=":".join(names), LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[at + 1], sys.argv[at + 1:])
'''


def activated(*sockets):
    return {'prefix': (sys.executable, '-c', ACTIVATE, *sockets, '--')}


def test_sockets_of_a_service_manager(start, echo):
    port, web, box = free_port(), free_port(), Box()
    options = box.options | {'workers': 2, 'listen.main.bind': [f'127.0.0.1:{port}'], 'web.bind': [f'127.0.0.1:{web}']}
    daemon = start(options, to=echo.address, wait=False, **activated(
        f'listen.main,127.0.0.1,{port}', f'web,127.0.0.1,{web}', f'upload,127.0.0.1,{box.port}'))
    daemon.port, daemon.web_port = port, web
    try:
        wait_for(daemon._ready, 'insetd is up', process=daemon.process)
        inodes = set()
        for pid in daemon.role('proxy'):
            links = [os.readlink(f'/proc/{pid}/fd/{fd}') for fd in os.listdir(f'/proc/{pid}/fd')]
            inodes.add(frozenset(link for link in links if link.startswith('socket:')))
        assert frozenset.intersection(*inodes), 'the workers share the one socket'
        hammer = Hammer(hello(port), hello(port), page(web))
        hammer.wait()
        assert daemon.ctl('reload').returncode == 0
        hammer.wait()
        change(daemon, {'workers': 3})
        daemon.upgrade()
        hammer.wait()
        hammer.end()
        assert post(box.address(), b'x')[0] == 200
    finally:
        box.remove()


def test_a_socket_for_both_families(start, echo):
    port = free_port()
    daemon = start({'listen.main.bind': [f'0.0.0.0:{port}', f'[::]:{port}']}, to=echo.address,
                   **activated(f'inset.socket,::,{port}'))
    hello(port)()
    daemon.upgrade()
    hello(port)()


@pytest.mark.parametrize('sockets, reason', [
    (['main,127.0.0.1,{free}'], r'descriptor 3 \(main\): no listener, web or upload has 127.0.0.1:\d+ in its bind'),
    (['web,127.0.0.1,{port}'], r'descriptor 3 is called web, but 127.0.0.1:\d+ is in the bind of main'),
    (['listen.c2s,127.0.0.1,{port}'], r'descriptor 3 is called listen.c2s, but 127.0.0.1:\d+ is in the bind of main'),
    (['main,127.0.0.1,{port}', 'deaf,127.0.0.1,{web}'], r'descriptor 4 \(deaf\): is no listening TCP socket'),
])
def test_wrong_sockets_of_a_service_manager(tmp_path, upstream, sockets, reason):
    port, web = free_port(), free_port()
    daemon = Insetd(tmp_path, upstream.address, {'listen.main.bind': [f'127.0.0.1:{port}'],
                                                 'web.bind': [f'127.0.0.1:{web}']}, wait=False,
                    **activated(*[s.format(port=port, web=web, free=free_port()) for s in sockets]))
    assert daemon.process.wait() == 1
    assert re.search('socket activation: ' + reason, daemon.log()), daemon.log()
    assert daemon.log().count('\n') == 1


# --- under load -------------------------------------------------------------------------------------


@pytest.fixture
def load(tmp_path):
    replay = Replay(tmp_path)
    yield replay
    if replay.popen and replay.runs():
        replay.popen.kill()
        replay.popen.communicate()


def adds_up(daemon, report, times):
    """The daemon's figures are the verdict's own; times: that each captured session was played."""
    wait_for(lambda: daemon.metric('inset_sessions') == 0, 'all sessions have ended')
    seen, frame = daemon.metrics(), frames()
    assert seen['inset_connections_total'] == report['sessions']['started'] == times * captured()
    assert seen['inset_sessions_ended_total{reason="ended"}'] == report['sessions']['finished']
    assert seen['inset_sessions_ended_total{reason="failed"}'] == report['sessions']['failed'] == 0
    assert seen['inset_thumbnails_total'] == report['thumbnails']['present']
    assert seen['inset_candidates_total'] == report['thumbnails']['expected']
    assert seen['inset_thumbnails_total'] == sum(e['count'] for e in report['edits'] if e['filter'] == 'thumbnail')
    both = ('{direction="c2s"}', '{direction="s2c"}')
    assert sum(seen['inset_bytes_total' + d] for d in both) == report['bytes']['sent']
    assert sum(seen['inset_units_total' + d] for d in both) == report['units']['sent'] - times * frame
    assert report['units']['sent'] == report['units']['arrived']


def test_figures_add_up_with_the_verdict_over_reloads_and_upgrades(start, load):
    daemon = start(load.options | {'workers': 2, 'upgrade-timeout': '1h'}, to=load.upstream)
    load.begin(daemon.port, '--speed', 'max', '--rate', 9000, '--sessions', 2 * captured(), '--ramp-up', 0.3,
               '--loop', 2, '--expect', 'all')
    daemon.wait_metric('inset_sessions', 20)
    disturbed = 0
    for _ in range(2):
        assert daemon.ctl('reload').returncode == 0
        disturbed += load.runs()
        daemon.upgrade()
        disturbed += load.runs()
    code, report, output = load.end()
    assert code == 0 and report['verdict'] == 'clean', output
    assert disturbed == 4, 'the load has ended before'
    wait_for(lambda: not status(daemon)['elders'], 'the old ones have ended')
    adds_up(daemon, report, 4)


def test_each_process_killed_under_load(start, load):
    box = Box()
    daemon = start(load.options | box.options | {'workers': 2}, to=load.upstream)
    try:
        load.begin(daemon.port, '--speed', 'max', '--rate', 8000, '--sessions', 2 * captured(), '--ramp-up', 0.3,
                   '--loop', 2, '--expect', 'any')
        daemon.wait_metric('inset_sessions', 20)
        for role in ('media', 'scaler', 'box', 'web'):
            os.kill(daemon.role(role)[0], signal.SIGKILL)
            assert load.runs()
        code, report, output = load.end()
        assert code == 0 and report['verdict'] == 'clean', output
        wait_for(lambda: all(c['state'] == 'up' for c in status(daemon)['children']), 'all are back')
        assert sorted(c['role'] for c in status(daemon)['children'] if c['restarts']) == ['box', 'media', 'scaler', 'web']
    finally:
        box.remove()


def test_a_killed_proxy_ends_its_sessions_and_nothing_else(start, load):
    daemon = start(load.options | {'workers': 2}, to=load.upstream)
    load.begin(daemon.port, '--speed', 'max', '--rate', 10000, '--sessions', 2 * captured(), '--ramp-up', 0.1,
               '--expect', 'any')
    daemon.wait_metric('inset_sessions', 20)
    os.kill(daemon.role('proxy')[0], signal.SIGKILL)
    _, report, output = load.end()
    assert 0 < report['sessions']['failed'] < 2 * captured(), output
    assert report['sessions']['finished'] + report['sessions']['failed'] == 2 * captured()
    units = report['units']
    assert units['changed'] == units['doubled'] == units['reordered'] == units['foreign'] == 0, output
