# SPDX-License-Identifier: MIT
"""insetctl and the control socket: sessions, cache, trace, log, drain, and what becomes of them
when children or daemons do not answer. Reload and hostile clients: test_processes.py.
"""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness import pictures
from harness.insetd import BUILD, environment
from harness.processes import wait_for
from harness.rawpeer import Session, connect
from harness.redis import Redis
from harness.stanzas import check_thumbnail, message, picture

HITS = 'inset_cache_requests_total{result="hit"}'


def ctl(daemon, *args):
    """insetctl --json: its exit code and its answer."""
    done = daemon.ctl('--json', *args)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def asked(daemon, *args):
    code, answer = ctl(daemon, *args)
    assert code == 0, answer
    return answer


class Trace:
    """insetctl --json trace, running."""

    def __init__(self, daemon, jid, *args):
        self.process = subprocess.Popen([BUILD / 'insetctl', '-s', daemon.control, *args, 'trace', jid],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
        self.text = self.process.stdout.readline()

    def events(self, last='leaves', count=1):
        """Up to so many of this stage."""
        found = []
        while count:
            found.append(json.loads(self.process.stdout.readline()))
            count -= found[-1]['stage'] == last
        return found

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, err
        return out


@pytest.fixture(name='trace')
def trace_fixture():
    started = []

    def make(*args):
        started.append(Trace(*args))
        return started[-1]
    yield make
    for one in started:
        one.stop()


def roundtrip(session, stanza):
    session.client.send(stanza)
    return session.server.until(b'</message>')


# --- sessions ------------------------------------------------------------------------------


def test_sessions(start, upstream):
    daemon = start({'workers': 2})
    first, second = Session(daemon.port, upstream), Session(daemon.port, upstream, user='carol')
    waiting = connect(daemon.port)
    try:
        second.c2s(message('<body>' + 'x' * 20000 + '</body>'))
        answer = wait_for(lambda: (a := asked(daemon, 'sessions'))['sessions'] == 3 and a, 'three sessions')
        assert answer['matches'] == 3 and len(answer['list']) == 3
        rows = {row['jid']: row for row in answer['list']}
        assert set(rows) == {'alice@localhost/raw', 'carol@localhost/raw', None}
        row = rows['carol@localhost/raw']
        address = second.client.sock.getsockname()
        assert row['client'] == f'{address[0]}:{address[1]}' and row['listener'] == 'main' and row['state'] == 'open'
        assert row['bytes-c2s'] > 20000 > row['bytes-s2c'] > 0 and row['units-c2s'] == 3 and row['held'] == 0
        assert row['worker'] in ('proxy/0', 'proxy/1') and re.fullmatch('[0-9a-f]{6}', row['id'])
        assert (row['tls'], row['compressed'], row['opaque']) == (None, False, False)
        assert asked(daemon, 'sessions', '--order', 'bytes', '--limit', '1')['list'][0]['jid'] == 'carol@localhost/raw'
        ages = [row['age-ms'] for row in asked(daemon, 'sessions')['list']]
        assert ages == sorted(ages, reverse=True)    # each worker looks at its own clock
        for jid, count in {'CAROL@localhost': 1, 'carol@localhost/raw': 1, 'carol@localhost/other': 0, 'carol': 0}.items():
            assert asked(daemon, 'sessions', jid)['matches'] == count, jid
        text = daemon.ctl('sessions').stdout
        assert re.search(r'^proxy/\d:[0-9a-f]{6} +main +open +127\.0\.0\.1:\d+ .* carol@localhost/raw$', text, re.M)
        assert text.endswith('3 shown of 3; 3 sessions in all\n')
        status = asked(daemon, 'status')
        assert status['listeners'][0]['sessions'] == 3 and status['thumbnails'] == 'on'
        assert status['shared-cache'] == 'off' and status['record'] == {'path': '', 'workers': 0}
    finally:
        for one in (first, second, waiting):
            one.close()


def test_wrong_arguments(inset):
    for args in (('sessions', 'a', 'b'), ('sessions', '--limit', '0'), ('sessions', '--limit', '1001'), ('trace',),
                 ('sessions', '--limit', '5x'), ('sessions', '--order', 'size'), ('status', '--limit', '5'), ('log',),
                 ('cache', 'purge'), ('cache', 'flush', 'x'), ('cache', 'nonsense'), ('status', '-c', 'x')):
        assert inset.ctl(*args).returncode == 2, args
    for args, why in ((('burn',), 'no such command as "burn"'), (('cache', 'purge'), 'an argument is missing: cache purge URL'),
                      (('status', 'x'), 'too many arguments: status\n'), (('sessions', '--limit', '0'), '"0" is wrong for --limit N'),
                      (('sessions', '--order', 'size'), 'age|bytes|held'), (('status', '--limit', '5'), '--limit is for sessions')):
        assert why in inset.ctl(*args).stderr, args
    for args in (('log', 'loud'), ('trace', '')):
        done = inset.ctl(*args)
        assert done.returncode == 1 and 'refused' in done.stderr, args
    for args in (('cache', 'purge', 'no address'), ('cache', 'purge', 'ftp://example.org/')):
        assert inset.ctl(*args).returncode == 1 and 'no address' in inset.ctl(*args).stderr


def test_requests_that_no_insetctl_makes(inset):
    lines = [{'command': 'sessions', 'limit': 5000}, {'command': 'sessions', 'limit': 'x'}, {'command': 'trace'},
             {'command': 'sessions', 'order': 3}, {'command': 'sessions', 'jid': 'a\0b'}, {'command': 'log'},
             {'command': 'sessions', 'jid': 'x' * 4000}, {'command': 'cache-purge', 'url': ['x']},
             {'command': 'trace', 'jid': 'a\nb'}]
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(str(inset.control))
        s.sendall(b''.join(json.dumps(line).encode() + b'\n' for line in lines))   # all at once: one after the other
        with s.makefile() as answers:
            for line in lines:
                answer = json.loads(answers.readline())
                assert answer['ok'] is False and not answer.get('fault'), line
        s.sendall(b'{"command":"status"}\n{"command":"sessions"}\n')
        s.shutdown(socket.SHUT_WR)         # what is asked already is answered all the same
        with s.makefile() as answers:
            assert json.loads(answers.readline())['state'] == 'up'


# --- children that do not answer -------------------------------------------------------------


def test_a_worker_that_hangs_costs_a_line(start, upstream):
    daemon = start({'workers': 2, 'limits.features-wait': '0s'})
    pid = next(c['pid'] for c in asked(daemon, 'status')['children'] if (c['role'], c['index']) == ('proxy', 1))
    os.kill(pid, signal.SIGSTOP)
    try:
        code, answer = ctl(daemon, 'sessions')
        assert code == 70 and answer['problems'] == ['proxy/1: did not answer in time'] and answer['sessions'] == 0
        code, answer = ctl(daemon, 'status')
        assert code == 0 and answer['problems'] == ['proxy/1: did not answer in time']
        for _ in range(30):                                  # who asks and leaves costs nothing either
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(daemon.control))
                s.sendall(b'{"command":"sessions"}\n{"command":"trace","jid":"*"}\n')
        assert daemon.ctl('rules').returncode == 0           # their places are free at once
        asking = subprocess.Popen([BUILD / 'insetctl', '-s', daemon.control, 'sessions'], stderr=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True, env=environment())
    finally:
        os.kill(pid, signal.SIGKILL)
    out, err = asking.communicate(timeout=30)
    assert asking.returncode in (0, 70) and '0 shown of 0' in out
    assert err == '' or re.fullmatch(r'proxy/1: (ended meanwhile|is not up)\n', err)
    wait_for(lambda: ctl(daemon, 'sessions')[0] == 0, 'the worker is back')


def test_media_away(start):
    daemon = start()
    pid, = daemon.role('media')
    os.kill(pid, signal.SIGSTOP)
    try:
        done = daemon.ctl('cache')
        assert done.returncode == 70 and done.stderr == 'media: did not answer in time\ninsetctl: cache refused\n'
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: daemon.ctl('cache').returncode == 0, 'it answers again')


# --- daemons that are none -------------------------------------------------------------------


class Fake:
    """A control socket whose other end says what it is told."""

    def __init__(self, path, *steps):
        self.path, self.requests, self.steps = path, [], steps
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        connection, _ = self.socket.accept()
        with contextlib.suppress(OSError), connection, connection.makefile('rb') as lines:
            for step in self.steps:
                self.requests.append(json.loads(lines.readline()))
                connection.sendall(step)
        self.socket.close()

    def ctl(self, *args):
        done = subprocess.run([BUILD / 'insetctl', '-s', self.path, *args], capture_output=True, text=True, timeout=30,
                              env=environment(), check=False)
        self.thread.join(30)
        return done


@pytest.mark.parametrize('said', [b'', b'nonsense\n', b'[]\n', b'{"ok":true}{"ok":true}\n', b'\xff\n', b'{"ok":tr'])
def test_a_daemon_that_answers_nonsense(tmp_path, said):
    done = Fake(tmp_path / 's', said).ctl('status')
    assert done.returncode == 69 and done.stderr.count('\n') == 1 and done.stdout == ''


@pytest.mark.parametrize('command', ['status', 'sessions', 'rules', 'cache', 'reload', 'log debug', 'drain', 'cache flush'])
def test_answers_without_their_members(tmp_path, command):
    for number, answer in enumerate((b'{"ok":true}\n', b'{"ok":true,"list":5,"rules":[5,null],"children":[[]],"problems":7}\n')):
        done = Fake(tmp_path / str(number), answer).ctl(*command.split())
        assert done.returncode in (0, 69) and done.stdout


def test_what_strangers_wrote_does_not_steer_the_terminal(tmp_path):
    row = {'jid': 'a\x1b]0;x\x07\u009b31mb\r\n@x', 'worker': 'proxy/0', 'id': '1', 'listener': 'm\x7f', 'client': '?'}
    answer = json.dumps({'ok': True, 'list': [row], 'problems': ['\x1b[2J']}).encode() + b'\n'
    done = Fake(tmp_path / 's', answer).ctl('sessions')
    assert 'a?]0;x??31mb??@x' in done.stdout and done.stderr == '?[2J\n' and done.returncode == 70


def test_drain_shows_what_is_left_until_the_daemon_has_gone(tmp_path):
    left = [json.dumps({'ok': True, 'drain': {'sessions': n}}).encode() + b'\n' for n in (2, 2, 1)]
    fake = Fake(tmp_path / 's', b'{"ok":true,"sessions":2,"timeout":60000}\n', *left)
    done = fake.ctl('drain')
    assert done.returncode == 0 and done.stdout == 'draining, 2 sessions have 60.0 s\n2 sessions left\n1 session left\ndrained\n'
    assert [r['command'] for r in fake.requests] == ['drain', 'status', 'status', 'status']
    done = Fake(tmp_path / 't', b'{"more":true,"sessions":3}\n{"ok":false,"problems":["no"]}\n').ctl('drain')
    assert (done.returncode, done.stdout, done.stderr) == (1, '3 sessions left\n', 'no\ninsetctl: drain refused\n')


# --- the cache -------------------------------------------------------------------------------


def test_cache_flush_and_purge(start, upstream, media):
    daemon = start({'profiles.tiny': {'width': 16, 'height': 16, 'formats': ['ibb']},
                    'rules': [{'name': 'tiny', 'to': ['tiny@localhost'], 'action': 'thumbnail', 'profile': 'tiny'}]})
    session = Session(daemon.port, upstream)
    try:
        url, other, lost = media.put(pictures.jpeg(300, 200)), media.put(pictures.jpeg(200, 300)), media.origin + '/none'
        wanted = [picture(url), picture(url, to='tiny@localhost'), picture(other)]

        def ask_all():
            media.forget()
            for stanza in wanted:
                check_thumbnail(stanza, roundtrip(session, stanza))
            session.c2s(picture(lost))
            return len(media.requests)

        assert ask_all() == 4 and ask_all() == 0
        cache = asked(daemon, 'cache')
        assert (cache['entries'], cache['hits'], cache['negative'], cache['misses']) == (4, 3, 1, 4)
        assert cache['hosts'] == [] and 0 < cache['bytes'] < cache['max-bytes'] and cache['shared'] == 'off'
        assert '4 entries, ' in daemon.ctl('cache').stdout
        answer = asked(daemon, 'cache', 'purge', url.replace('http', 'HTTP') + '#fragment')   # as the cache reads it
        assert answer['entries'] == 2 and answer['bytes'] > 0 and answer['shared'] == 'off'
        assert asked(daemon, 'cache', 'purge', url)['entries'] == 0
        assert ask_all() == 2
        assert asked(daemon, 'cache', 'purge', lost)['entries'] == 1
        assert ask_all() == 1
        done = daemon.ctl('cache', 'flush')
        assert done.returncode == 0 and done.stdout.startswith('entries forgotten: 4, ')
        assert asked(daemon, 'cache')['entries'] == 0
        assert ask_all() == 4
    finally:
        session.close()


def test_a_fetch_under_way_does_not_bring_back_what_was_purged(start, upstream, media):
    daemon = start()
    session = Session(daemon.port, upstream)
    try:
        for args in (('cache', 'flush'), ('cache', 'purge')):
            media.forget()
            url, gate = media.gate(pictures.jpeg(300, 200))
            session.client.send(picture(url))
            assert media.asked.wait(30)
            assert daemon.ctl(*args, *([url] if args[1] == 'purge' else [])).returncode == 0
            gate.set()
            check_thumbnail(picture(url), session.server.until(b'</message>'))   # who waits has it
            assert asked(daemon, 'cache')['entries'] == 0
    finally:
        session.close()


def test_purge_reaches_the_shared_cache(start, upstream, media, tmp_path):
    redis = Redis(tmp_path).start()
    try:
        daemon = start({'cache.redis': redis.url, 'limits.shared-wait': '10s'})
        session = Session(daemon.port, upstream)
        url = media.put(pictures.jpeg(300, 200))
        check_thumbnail(picture(url), roundtrip(session, picture(url)))
        wait_for(lambda: len(redis.values()) == 1, 'it is there')
        assert asked(daemon, 'cache')['shared'] == 'up'
        assert asked(daemon, 'status')['shared-cache'] == 'up'
        assert asked(daemon, 'cache', 'flush')['shared'] == 'kept' and len(redis.values()) == 1
        answer = asked(daemon, 'cache', 'purge', url)       # this machine has it no more, others might
        assert answer['entries'] == 0 and answer['shared'] == 'purged'
        wait_for(lambda: not redis.values(), 'it is gone')
        session.close()
    finally:
        redis.stop()


def test_hosts_that_are_left_alone(start, upstream, media):
    daemon = start({'limits.breaker-failures': 1, 'limits.breaker-open': '10m'})
    session = Session(daemon.port, upstream)
    try:
        url = media.put(lambda handler: handler.connection.close())
        session.c2s(picture(url))
        host, = asked(daemon, 'cache')['hosts']
        assert (host['host'], host['port'], host['failures']) == ('127.0.0.1', media.port, 1)
        assert 0 < host['open-ms'] <= 600000
        assert re.search(rf'left alone for \d+m\d+s: 127\.0\.0\.1 port {media.port}, failures in a row: 1', daemon.ctl('cache').stdout)
    finally:
        session.close()


# --- trace -----------------------------------------------------------------------------------


def test_trace(start, upstream, media, trace):
    daemon = start({'rules': [{'name': 'nobody', 'to': ['nobody@localhost'], 'action': 'pass'},
                              {'name': 'big', 'media-pixels': '30000..', 'action': 'thumbnail'},
                              {'name': 'rest', 'action': 'pass'}]})
    alice, carol = Session(daemon.port, upstream), Session(daemon.port, upstream, user='carol')
    try:
        one = trace(daemon, 'Alice@localhost', '--json')
        assert json.loads(one.text) == {'stage': 'begins', 'more': True, 'process': 'proxy/0'}
        url = media.put(pictures.jpeg(300, 200), name='secretpath')
        stanza = picture(url)
        check_thumbnail(stanza, roundtrip(carol, stanza))
        check_thumbnail(stanza, roundtrip(alice, stanza))     # from the cache
        events = one.events()
        assert [e['stage'] for e in events] == ['seen', 'candidate', 'rule', 'job', 'result', 'rule', 'leaves']
        seen, _, still, job, result, decided, leaves = events
        assert seen['jid'] == 'alice@localhost/raw' and seen['bytes'] == len(stanza) and seen['direction'] == 'c2s'
        assert (still['rule'], still['outcome'], still['condition']) == ('big', 'open', 'media-pixels')
        assert job['host'] == '127.0.0.1' and job['sent'] and job['box'] == '128x128'
        assert (result['status'], result['from-cache'], result['media-size']) == ('ok', True, '300x200')
        assert (decided['rule'], decided['outcome'], decided['phase']) == ('big', 'decided', 'after the fetch')
        assert leaves['how'] == 'changed' and leaves['added'] > 300 and leaves['held-ms'] >= 0
        assert {e['unit'] for e in events} == {seen['unit']} and {e['session'] for e in events} == {seen['session']}

        alice.c2s(picture(url, to='nobody@localhost'))
        events = one.events()
        assert [e['stage'] for e in events] == ['seen', 'candidate', 'rule', 'leaves']
        assert events[2]['rule'] == 'nobody' and events[3]['why'] == 'no rule or profile asks for more'
        alice.c2s(message('<body>hello</body>'))
        assert one.events()[-1]['why'] == 'it has nothing that a filter looks for'
        alice.c2s(picture(url, extra="<encrypted xmlns='eu.siacs.conversations.axolotl'/>"))
        assert one.events()[-1]['why'] == 'it has a sign of encryption'
        alice.c2s(picture(media.origin + '/none'))
        assert [e.get('status') for e in one.events() if e['stage'] == 'result'] == ['http']
        alice.s2c(message('<body>hello</body>', to='alice@localhost/raw'))
        events = one.events()
        assert events[0]['direction'] == 's2c' and events[-1]['why'] == 'no filter looks at messages of this direction'
        small = media.put(pictures.jpeg(30, 20))
        alice.c2s(picture(small))
        assert [e['rule'] for e in one.events() if e['stage'] == 'rule'] == ['big', 'rest']

        stanza = picture(media.put(lambda h: (time.sleep(0.05), h.reply(200, pictures.jpeg(300, 200)))))
        check_thumbnail(stanza, roundtrip(alice, stanza))
        result, = (e for e in one.events() if e['stage'] == 'result')
        assert not result['from-cache'] and result['fetch-ms'] >= 50 and {'queue-ms', 'scale-ms'} < set(result)

        everybody = trace(daemon, '*')
        assert everybody.text == 'begins proxy/0\n'
        carol.c2s(message('<body>hello</body>'))
        assert ' seen ' in everybody.process.stdout.readline()
        other = trace(daemon, 'carol@localhost/other', '--json')
        alice.c2s(message('<body>hello</body>'))
        assert len(one.events()) == 2                       # nothing of carol's in between
        assert 'secretpath' not in everybody.stop() and other.stop() == ''
    finally:
        alice.close()
        carol.close()


def test_trace_of_what_waits(start, upstream, media, trace):
    daemon = start({'listen.main.hold': '100ms'})
    session = Session(daemon.port, upstream)
    try:
        one = trace(daemon, '*', '--json')
        url, gate = media.gate(pictures.jpeg(300, 200))
        session.c2s(picture(url))
        leaves = one.events()[-1]
        assert leaves['why'] == 'deadline' and leaves['held-ms'] >= 90    # by the clock of a turn
        gate.set()
        url, gate = media.gate(pictures.jpeg(300, 200))
        pid, = daemon.role('media')
        os.kill(pid, signal.SIGSTOP)                         # takes the job, and the message waits
        session.client.send(picture(url))
        assert one.events('job')[-1]['sent']
        os.kill(pid, signal.SIGKILL)
        session.server.expect(picture(url))
        assert one.events()[-1]['why'] in ('the media process is away', 'deadline')
        gate.set()
    finally:
        session.close()


def test_trace_survives_a_worker_and_ends_with_its_client(start, upstream, trace):
    daemon = start()
    one = trace(daemon, '*', '--json')
    pid, = daemon.role('proxy')
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: daemon.role('proxy') != [pid] and ctl(daemon, 'sessions')[0] == 0, 'it is back')
    session = Session(daemon.port, upstream)
    try:
        one.events('begins')                                 # the new one has been asked
        session.c2s(message('<body>hello</body>'))
        assert one.events()[0]['jid'] == 'alice@localhost/raw'
        one.process.kill()                                   # no farewell
        one.process.wait()
        one.process.returncode = 0
        # Only so many at a time: each one's place is free again.
        for _ in range(6):
            again = trace(daemon, '*', '--json')
            session.c2s(message('<body>hello</body>'))
            assert again.events()[-1]['stage'] == 'leaves'
            again.stop()
        held = [trace(daemon, '*', '--json') for _ in range(5)]
        assert [json.loads(t.text)['stage'] for t in held] == 4 * ['begins'] + ['refused']
        for t in held:
            t.stop()
    finally:
        session.close()


def test_a_trace_that_nobody_reads_loses_events_and_holds_nothing_up(start, upstream):
    daemon = start()
    session = Session(daemon.port, upstream)
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(str(daemon.control))
        s.sendall(b'{"command":"trace","jid":"*"}\n')
        lines = s.makefile()
        assert json.loads(lines.readline())['stage'] == 'begins'
        for _ in range(60):
            session.c2s(message('<body>hello</body>') * 50)
        lost = 0
        while not lost:
            event = json.loads(lines.readline())
            lost = event.get('lost', 0)
            if event['unit'] == 250:
                time.sleep(1)                                    # the next second's events tell
                session.c2s(message('<body>hello</body>'))
        assert lost > 0
    session.close()


# --- the log ---------------------------------------------------------------------------------


def test_log_level_at_run_time(start, upstream):
    daemon = start({'log.level': 'notice', 'workers': 1})
    debug = ' debug proxy/0: '
    assert debug not in daemon.log()
    done = daemon.ctl('log', 'debug')
    assert done.returncode == 0 and 'until the next reload or start (configured: notice)' in done.stdout
    assert asked(daemon, 'status')['log-level'] == 'debug'
    Session(daemon.port, upstream).close()
    wait_for(lambda: debug in daemon.log(), 'a line of a worker')
    pid, = daemon.role('proxy')
    os.kill(pid, signal.SIGKILL)                             # its successor knows, too
    wait_for(lambda: daemon.log().count('proxy/0 is up') == 1, 'it is back')
    asked(daemon, 'sessions')
    before = daemon.log().count(debug)
    Session(daemon.port, upstream).close()
    wait_for(lambda: daemon.log().count(debug) > before, 'a line of the new worker')
    assert daemon.ctl('reload').returncode == 0
    assert asked(daemon, 'status')['log-level'] == 'notice'
    before = daemon.log().count(debug)
    session = Session(daemon.port, upstream)
    session.close()
    wait_for(lambda: asked(daemon, 'sessions')['sessions'] == 0, 'it has ended')
    assert daemon.log().count(debug) == before
