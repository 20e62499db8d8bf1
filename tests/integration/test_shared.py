# SPDX-License-Identifier: MIT
"""The shared cache (cache.redis): two insetd and a real redis-server, which is killed, stopped,
filled with nonsense, or never there.
"""
import hashlib
import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from harness import pictures
from harness.insetd import BUILD, Insetd
from harness.processes import wait_for
from harness.rawpeer import Session
from harness.redis import Redis
from harness.stanzas import check_thumbnail, picture

HITS, MISSES = 'inset_cache_shared_total{result="hit"}', 'inset_cache_shared_total{result="miss"}'
FAILURES = 'inset_cache_shared_failures_total'
COMPLAINT = 'the shared cache fails'


@pytest.fixture(name='redis', params=['tcp', 'unix', 'name'])
def any_redis(tmp_path, request):
    server = Redis(tmp_path, password='pass@word:5/%', unix=request.param == 'unix').start()
    if request.param == 'name':
        server.url_of_name = server.url.replace('127.0.0.1', 'localhost')
    yield server
    server.stop()


@pytest.fixture(name='plain')
def plain_redis(tmp_path):
    server = Redis(tmp_path).start()
    yield server
    server.stop()


@pytest.fixture(name='pair')
def two(tmp_path, upstream, media):
    """pair(url, {...}): machines behind one balancer."""
    started = []

    def make(url, options=None, count=2):
        for _ in range(count):
            started.append(Insetd(tmp_path, upstream.address,
                                  {'fetch.allow-origin': [media.origin], 'cache.redis': url,
                                   'limits.shared-wait': '10s'} | (options or {}), name=f'insetd{len(started)}'))
        return started
    yield make
    for daemon in started:
        daemon.stop()


def through(daemon, upstream, url, thumbnail=True, extra=''):
    session = Session(daemon.port, upstream)
    try:
        sent = picture(url, extra=extra)
        session.client.send(sent)
        received = session.server.until(b'</message>')
        if thumbnail:
            return check_thumbnail(sent, received).data
        assert received == sent
        return None
    finally:
        session.close()


def count(media, url):
    return media.requests.count(url[len(media.origin):])


def settled(redis, n):
    wait_for(lambda: len(redis.values()) >= n and len(redis.keys()) == len(redis.values()),
             'the result is there and the lock is not')


def test_second_machine_needs_no_fetch(redis, pair, upstream, media):
    a, b = pair(getattr(redis, 'url_of_name', redis.url))
    wait_for(lambda: through(a, upstream, media.put(pictures.png())) and redis.values(), 'the name is resolved')
    through(b, upstream, media.put(pictures.png()))
    before, hits = len(redis.values()), b.metric(HITS)
    url = media.put(pictures.png(300, 200, seed=3))
    first = through(a, upstream, url)
    settled(redis, before + 1)
    assert through(b, upstream, url) == first
    assert through(b, upstream, url) == first       # now from its own memory
    assert count(media, url) == 1
    assert b.metric(HITS) == hits + 1 and b.metric(FAILURES) == 0 and a.metric(MISSES) > 0
    for key in redis.keys():
        assert len(key) == len('inset:1:') + 64 and key.startswith(b'inset:1:')
        assert 0 < redis.ask('PTTL', key) <= 3600000
        assert url[len(media.origin):].encode() not in redis.ask('GET', key)
        assert hashlib.sha256(url.encode()).hexdigest().encode() not in key
    assert redis.password not in a.said() + b.said()


def test_what_was_found_unchanged_is_shared(plain, pair, upstream, media):
    """Nobody may keep it at first; then its host says that it has not changed, and for how long."""
    a, b = pair(plain.url)
    asked = []

    def answer(handler):
        asked.append(handler.headers.get('If-None-Match'))
        if asked[-1]:
            handler.send_response(304)
            handler.send_header('Cache-Control', 'max-age=600')
            handler.end_headers()
        else:
            handler.reply(200, pictures.png(80, 80, seed=7), headers=[('Cache-Control', 'no-cache'), ('ETag', '"x"')])
    url = media.put(answer)
    first = through(a, upstream, url)
    assert plain.values() == []
    assert through(a, upstream, url) == first
    settled(plain, 1)
    assert through(b, upstream, url) == first
    assert asked == [None, '"x"']


def test_at_the_same_time_one_fetches(plain, pair, upstream, media):
    a, b = pair(plain.url)
    url, gate = media.gate(pictures.png(200, 100))
    got = []
    threads = [threading.Thread(target=lambda d=d: got.append(through(d, upstream, url))) for d in (a, b)]
    threads[0].start()
    wait_for(lambda: count(media, url) == 1, 'one fetches')
    threads[1].start()
    b.wait_metric('inset_cache_requests_total{result="miss"}', 1)
    wait_for(lambda: plain.keys()[0].endswith(b':lock'), 'it is locked')
    gate.set()
    for t in threads:
        t.join()
    assert len(got) == 2 and got[0] == got[1] and count(media, url) == 1
    assert b.metric(HITS) == 1


def test_whoever_waits_too_long_fetches(plain, pair, upstream, media):
    """The one that fetches dies, and its lock lives on."""
    a, b = pair(plain.url, {'listen.main.hold': '3s'})
    url, gate = media.gate(pictures.png())
    session = Session(a.port, upstream)
    session.client.send(picture(url))
    wait_for(lambda: count(media, url) == 1, 'one fetches')
    os.kill(a.role('media')[0], signal.SIGKILL)
    other = Session(b.port, upstream)
    sent = picture(url)
    other.client.send(sent)
    wait_for(lambda: count(media, url) == 2, 'the other does not wait for ever')
    gate.set()
    assert other.server.until(b'</message>').startswith(sent[:40])
    session.close()
    other.close()


def test_failures_are_shared_and_end(plain, pair, upstream, media):
    a, b = pair(plain.url, {'cache.gone-ttl': '5m', 'cache.negative-ttl': '5m'})
    missing = media.origin + '/not-there.png'
    text = media.put(b'no picture at all, really none')
    for n, url in enumerate([missing, text]):
        through(a, upstream, url, thumbnail=False)
        settled(plain, n + 1)
        through(b, upstream, url, thumbnail=False)
        assert count(media, url) == 1
    assert b.metric(HITS) == 2
    assert all(0 < plain.ask('PTTL', key) <= 300000 for key in plain.keys())


def test_what_is_not_to_be_stored_is_not_shared(plain, pair, upstream, media):
    a, b = pair(plain.url)
    body = pictures.png()
    private = media.put(lambda handler: handler.reply(200, body, headers=[('Cache-Control', 'no-store')]))
    hinted = media.put(pictures.png(90, 60))
    for url, extra in ((private, ''), (hinted, "<no-store xmlns='urn:xmpp:hints'/>")):
        for daemon in (a, b):
            through(daemon, upstream, url, extra=extra)
        assert count(media, url) == 2
    wait_for(lambda: not plain.keys(), 'locks are given back')
    assert a.metric(HITS) == b.metric(HITS) == 0


def test_life_follows_the_host_and_the_value_leaves(plain, pair, upstream, media):
    a, b = pair(plain.url)
    body = pictures.png()
    url = media.put(lambda handler: handler.reply(200, body, headers=[('Cache-Control', 'max-age=60')]))
    through(a, upstream, url)
    settled(plain, 1)
    key = plain.values()[0]
    assert 0 < plain.ask('PTTL', key) <= 60000
    plain.ask('PEXPIRE', key, 1)
    wait_for(lambda: not plain.keys(), 'it is gone')
    through(b, upstream, url)
    assert count(media, url) == 2


@pytest.mark.parametrize('how', ['empty', 'text', 'cut', 'flipped', 'longer', 'huge', 'list', 'other key', 'no end'])
def test_nonsense_is_fetched_anew(plain, pair, upstream, media, how):
    a, b = pair(plain.url)
    one, two_ = media.put(pictures.png(100, 80)), media.put(pictures.png(80, 100))
    through(a, upstream, one)
    settled(plain, 1)
    key = plain.values()[0]
    value = plain.ask('GET', key)
    if how == 'other key':
        through(a, upstream, two_)
        settled(plain, 2)
        value = plain.ask('GET', next(k for k in plain.values() if k != key))
    bad = {'empty': b'', 'text': b'hello', 'cut': value[:-1], 'longer': value + b'x', 'huge': bytes(3 << 20),
           'flipped': value[:60] + bytes([value[60] ^ 1]) + value[61:]}.get(how, value)
    plain.ask('DEL', key)
    if how == 'list':
        plain.ask('RPUSH', key, 'x')
        plain.ask('PEXPIRE', key, 600000)
    elif how == 'no end':
        plain.ask('SET', key, bad)
    else:
        plain.ask('SET', key, bad, 'PX', 600000)
    through(b, upstream, one)
    assert count(media, one) == 2 and b.metric(HITS) == 0
    if how != 'empty':
        assert b.metric(FAILURES) > 0 and COMPLAINT in b.said()
    if how != 'list':
        wait_for(lambda: plain.ask('GET', key) == value or how == 'other key', 'the value is repaired')


def test_killed_and_back(plain, pair, upstream, media):
    a, b = pair(plain.url)
    through(a, upstream, media.put(pictures.png()))
    plain.kill()
    for daemon in (a, b):
        through(daemon, upstream, media.put(pictures.png()))
    assert b.metric(FAILURES) > 0
    plain.start()
    url = media.put(pictures.png())
    through(a, upstream, url)
    settled(plain, 1)
    through(b, upstream, url)
    assert count(media, url) == 1
    assert b.said().count(COMPLAINT) == 1


def test_not_there_at_the_start_and_breaker(tmp_path, pair, upstream, media):
    """After two failures nobody asks any more, and one line says so."""
    redis = Redis(tmp_path)
    daemon = pair(redis.url, {'limits.breaker-failures': 2, 'limits.breaker-open': '1h', 'limits.breaker-max': '1h'},
                  count=1)[0]
    for _ in range(5):
        through(daemon, upstream, media.put(pictures.png()))
    failures = daemon.metric(FAILURES)
    assert failures == 2
    redis.start()
    through(daemon, upstream, media.put(pictures.png()))
    assert daemon.metric(FAILURES) == failures and redis.keys() == []
    assert daemon.said().count(COMPLAINT) == 1
    redis.stop()


def test_stopped_costs_a_moment(plain, pair, upstream, media):
    daemon = pair(plain.url, {'limits.shared-wait': '150ms'}, count=1)[0]
    plain.pause()
    for _ in range(3):
        through(daemon, upstream, media.put(pictures.png()))
    assert daemon.metric(FAILURES) >= 3 and 'it is too slow' in daemon.said()
    plain.go_on()
    wait_for(lambda: through(daemon, upstream, media.put(pictures.png())) and plain.values(), 'it is used again')


def test_an_idle_connection_that_ends_is_no_failure(plain, pair, upstream, media):
    daemon = pair(plain.url, count=1)[0]
    through(daemon, upstream, media.put(pictures.png()))
    settled(plain, 1)
    plain.ask('CLIENT', 'KILL', 'TYPE', 'normal')
    wait_for(lambda: plain.ask('CLIENT', 'LIST').count(b'\n') == 1, 'only our own is left')
    through(daemon, upstream, media.put(pictures.png()))
    assert daemon.metric(FAILURES) in (0, 1)    # 1: it had not seen the end yet
    settled(plain, 2)


def test_killed_while_many_are_asking(plain, pair, upstream, media):
    daemon = pair(plain.url, count=1)[0]
    plain.pause()
    sessions = [Session(daemon.port, upstream) for _ in range(12)]
    sent = [picture(media.put(pictures.png(40 + n, 40))) for n in range(len(sessions))]
    for session, message in zip(sessions, sent):
        session.client.send(message)
    daemon.wait_metric('inset_cache_requests_total{result="miss"}', len(sessions))
    sessions.pop().close()      # nobody waits for this one
    plain.kill()
    for session, message in zip(sessions, sent):
        check_thumbnail(message, session.server.until(b'</message>'))
        session.close()


ANSWERS = {
    'closes': b'',
    'text': b'HTTP/1.1 400 Bad Request\r\n\r\n',
    'endless': b'$500000000\r\n' + bytes(1 << 21),
    'negative': b'$-5\r\n:x\r\n',
    'nested': b'*1\r\n' * 100,
    'endless list': b'*100000000\r\n' + b':1\r\n' * (1 << 22),      # a quarter of a GiB, if it were kept
    'wrong types': b':1\r\n*2\r\n:1\r\n:2\r\n:3\r\n+x\r\n$1\r\nx\r\n' * 20,
    'too many': b'+OK\r\n' * 1000,
    'silent': None,
}


def peak_mib(pid):
    return int(re.search(r'VmHWM:\s+(\d+) kB', Path(f'/proc/{pid}/status').read_text())[1]) >> 10


@pytest.mark.parametrize('what', ANSWERS)
def test_something_else_listens_there(pair, upstream, media, what):
    server = socket.create_server(('127.0.0.1', 0))
    held = []

    def serve():
        while True:
            try:
                held.append(server.accept()[0])
                if ANSWERS[what] is not None:
                    held[-1].recv(100)
                    held[-1].sendall(ANSWERS[what])
                    held[-1].close()
            except OSError:
                if server.fileno() == -1:
                    return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    daemon = pair(f'redis://:secret@127.0.0.1:{server.getsockname()[1]}',
                  {'limits.shared-wait': '500ms'}, count=1)[0]
    for _ in range(2):
        through(daemon, upstream, media.put(pictures.png()))
    assert daemon.metric(FAILURES) > 0 and daemon.metric('inset_restarts_total') == 0
    assert 'secret' not in daemon.said()
    assert peak_mib(daemon.role('media')[0]) < 200
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_wrong_password(tmp_path, pair, upstream, media):
    redis = Redis(tmp_path, password='right-one').start()
    daemon = pair(redis.url.replace('right-one', 'wrong-one'), count=1)[0]
    through(daemon, upstream, media.put(pictures.png()))
    assert 'the password or the database is refused' in daemon.said() and 'wrong-one' not in daemon.log()
    assert redis.keys() == []
    redis.stop()


def test_full(tmp_path, pair, upstream, media):
    redis = Redis(tmp_path, ['--maxmemory', '1', '--maxmemory-policy', 'noeviction']).start()
    daemon = pair(redis.url, count=1)[0]
    through(daemon, upstream, media.put(pictures.png()))
    assert daemon.metric(FAILURES) > 0 and redis.keys() == []
    redis.stop()


def test_bad_addresses_are_named_without_their_password(tmp_path):
    for text in ('redis:', 'redis://', 'rediss://:hidden@h:1/0', 'redis://:hidden@h:0', 'redis://:hidden@h:70000',
                 'redis://:hidden@h:1/x', 'redis://:hidden@h:1/99999', 'redis://:hidden@', 'redis://user:hidden@h:1',
                 'redis://:@h:1', 'redis://[::1', 'redis://h:1:2', 'redis://h h:1', 'unix:x', 'unix:', 'unix::hidden@x',
                 'unix:/' + 'x' * 120, 'redis://' + 'h' * 254, 'http://h:1', '127.0.0.1:6379'):
        run = subprocess.run([BUILD / 'insetd', '-t', '--listen', '127.0.0.1:5', '--upstream', '127.0.0.1:6',
                              '-o', f'cache.redis={text}'], capture_output=True, text=True, timeout=30, check=False,
                             env=dict(os.environ, ASAN_OPTIONS='detect_leaks=0'))
        assert run.returncode != 0 and 'cache.redis' in run.stderr + run.stdout, text
        assert 'hidden' not in run.stderr + run.stdout, text


def test_reload_turns_it_on_and_off(plain, start, upstream, media):
    daemon = start()
    through(daemon, upstream, media.put(pictures.png()))
    text = daemon.conf.read_text()
    daemon.conf.write_text(text + f'cache = {{ redis = "{plain.url}"; }};\n')
    assert daemon.ctl('reload').returncode == 0
    through(daemon, upstream, media.put(pictures.png()))
    settled(plain, 1)
    daemon.conf.write_text(text)
    assert daemon.ctl('reload').returncode == 0
    through(daemon, upstream, media.put(pictures.png()))
    assert len(plain.values()) == 1 and daemon.metric(FAILURES) == 0


def test_switched_off_while_another_is_waited_for(plain, pair, upstream, media):
    """Between two looks nothing is under way, and the next one finds no cache to look in."""
    a, b = pair(plain.url, {'listen.main.hold': '10s'})
    url, gate = media.gate(pictures.png())
    session, other = Session(a.port, upstream), Session(b.port, upstream)
    sent = picture(url)
    session.client.send(sent)
    wait_for(lambda: count(media, url) == 1, 'one fetches')
    waits = b.role('media')
    other.client.send(sent)
    b.wait_metric('inset_cache_requests_total{result="miss"}', 1)
    b.conf.write_text(b.conf.read_text().replace(plain.url, ''))
    assert b.ctl('reload').returncode == 0
    wait_for(lambda: count(media, url) == 2, 'the other fetches as well')
    gate.set()
    for each in (session, other):
        check_thumbnail(sent, each.server.until(b'</message>'))
        each.close()
    assert b.role('media') == waits, 'still the same process'
