# SPDX-License-Identifier: MIT
"""Media hosts and files that mean harm, and processes that die in the middle: the message goes
on as it came, in its place, and the next one gets its thumbnail.

Resolver, guard and cache in detail: test_media.py. Decoder in detail: test_scaler.py.
"""
import os
import random
import signal
import threading
import time

import pytest

from harness import pictures
from harness.insetd import Insetd
from harness.media import MediaHost
from harness.processes import free_port, wait_for
from harness.rawpeer import Session
from harness.stanzas import check_thumbnail, message, oob, picture

GOOD = pictures.png(200, 150, seed=3)
BEHIND = b"<message to='bob@localhost' id='behind'><body>behind</body></message>"


def stays_as_it_came(session, media, url):
    """The message leaves unchanged and before the one behind it; then a good one still works."""
    session.c2s(picture(url) + BEHIND)
    still_works(session, media)


def still_works(session, media):
    good = picture(media.put(GOOD), 'good')
    session.client.send(good)
    check_thumbnail(good, session.server.until(b'</message>'))


def flow_until_closed(handler, data, pause=0.0):
    """Sends data again and again until the other side has gone away."""
    while not handler.server.host.closing.is_set():
        handler.wfile.write(data)
        if pause:
            time.sleep(pause)


# --- answers that carry no usable picture --------------------------------------------------

def redirect(target):
    return lambda handler: handler.reply(302, b'', headers=[('Location', target)])


BODIES = {
    'empty': b'',
    'html': b'<!DOCTYPE html><html><body><img src="x.png"></body></html>',
    'text': b'hello ' * 1000,
    'svg': pictures.SVG,
    'svg-gzipped-name': b'\x1f\x8b\x08' + bytes(200),
    'mvg': b'push graphic-context\nimage over 0,0 0,0 "http://127.0.0.1/"\npop graphic-context\n',
    'msl': b'<?xml version="1.0"?><image><read filename="/etc/passwd"/></image>',
    'eps': b'%!PS-Adobe-3.0 EPSF-3.0\n(%pipe%id) (w) file\n',
    'pdf': b'%PDF-1.7\n' + bytes(500),
    'tiff': b'II*\0\x08\0\0\0' + bytes(500),
    'magic-only-jpeg': b'\xff\xd8\xff\xe0',
    'magic-only-png': b'\x89PNG\r\n\x1a\n',
    'magic-only-gif': b'GIF89a',
    'magic-only-webp': b'RIFF\x10\0\0\0WEBPVP8 ',
    'magic-only-bmp': b'BM' + bytes(30),
    'truncated-jpeg-header': pictures.jpeg()[:200],
    'truncated-png': pictures.png()[:300],
    'truncated-webp': pictures.webp()[:100],
    'png-bomb': pictures.png_bomb(),
    'noise': random.Random(1).randbytes(20000),
}


@pytest.mark.parametrize('name', BODIES)
def test_not_a_usable_picture(session, media, name):
    stays_as_it_came(session, media, media.put(BODIES[name]))


STATUS = [201, 204, 206, 301, 302, 304, 400, 401, 403, 404, 410, 416, 429, 500, 503]


@pytest.mark.parametrize('status', STATUS)
def test_status_other_than_200(session, media, status):
    stays_as_it_came(session, media, media.put(lambda handler: handler.reply(status, b'' if status in (204, 304) else GOOD)))


def raw_answer(data):
    return lambda handler: handler.wfile.write(data)


ANSWERS = {
    'closes-at-once': lambda handler: None,
    'not-http': raw_answer(b'SSH-2.0-OpenSSH_9.2\r\n'),
    'http-0.9': raw_answer(GOOD),
    'short-of-its-length': lambda handler: handler.reply(200, GOOD[:-20], length=len(GOOD)),
    'far-short-of-its-length': lambda handler: handler.reply(200, GOOD, length=len(GOOD) + 5000),
    'negative-length': raw_answer(b'HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n' + GOOD),
    'two-lengths': raw_answer(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\n' + GOOD),
    'announces-too-much': lambda handler: handler.reply(200, GOOD, length=1 << 40),
    'chunk-cut': raw_answer(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n' + GOOD[:16] + b'\r\nffff\r\nab'),
    'endless-headers': lambda handler: (handler.wfile.write(b'HTTP/1.1 200 OK\r\n'),
                                        flow_until_closed(handler, b'X-More: ' + b'x' * 1000 + b'\r\n')),
    'endless-body': lambda handler: (handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n'),
                                     flow_until_closed(handler, GOOD)),
    'endless-chunks': lambda handler: (handler.wfile.write(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'),
                                       flow_until_closed(handler, b'4000\r\n' + bytes(0x4000) + b'\r\n')),
    'redirect-loop': lambda handler: handler.reply(302, b'', headers=[('Location', handler.path)]),
    'redirect-without-target': lambda handler: handler.reply(302, b''),
    'redirect-to-file': redirect('file:///etc/passwd'),
    'redirect-to-gopher': redirect('gopher://127.0.0.1:25/_HELO'),
    'redirect-to-data': redirect('data:image/png;base64,AAAA'),
}


@pytest.mark.parametrize('name', ANSWERS)
def test_host_that_misbehaves(session, media, name):
    stays_as_it_came(session, media, media.put(ANSWERS[name]))


# --- addresses -----------------------------------------------------------------------------

@pytest.fixture(scope='module')
def private():
    """A host on a loopback port that no origin exempts: it must never see a connection."""
    host = MediaHost()
    yield host
    host.stop()


@pytest.fixture(scope='module')
def guarded(tmp_path_factory, upstream, media, private):
    """An insetd to which that host's port is fine, so that its address alone decides."""
    daemon = Insetd(tmp_path_factory.mktemp('guarded'), upstream.address,
                    {'fetch.allow-origin': [media.origin], 'fetch.ports': [80, private.port]})
    yield daemon
    daemon.stop()


@pytest.mark.parametrize('where', ['http://127.0.0.1:{}/x.png', 'http://localhost:{}/x.png', 'http://[::1]:{}/x.png',
                                   'http://[::ffff:127.0.0.1]:{}/x.png', 'http://2130706433:{}/x.png',
                                   'http://0x7f.1:{}/x.png', 'http://0:{}/x.png', 'http://0.0.0.0:{}/x.png',
                                   'http://127.0.0.1.:{}/x.png', 'http://LOCALHOST:{}/x.png'])
@pytest.mark.parametrize('how', ['direct', 'redirect'])
def test_private_address_is_refused(guarded, upstream, media, private, where, how):
    session = Session(guarded.port, upstream)
    private.answers['/x.png'] = GOOD
    target = where.format(private.port)
    stays_as_it_came(session, media, target if how == 'direct' else media.put(redirect(target)))
    assert private.connections == 0
    session.close()


@pytest.mark.parametrize('address', ['10.0.0.1', '169.254.169.254', '192.168.1.1', '172.16.0.1', '100.64.0.1', '224.0.0.1',
                                     '255.255.255.255', '[fe80::1]', '[fd00::1]', '[64:ff9b::7f00:1]', '[2002:7f00:1::]'])
def test_network_on_the_deny_list(session, inset, address):
    refused = inset.metric('inset_jobs_total{outcome="address"}')
    session.c2s(picture(f'http://{address}/x.png'))
    inset.wait_metric('inset_jobs_total{outcome="address"}', refused + 1)


def test_refusing_host(session, media, start, upstream):
    port = free_port()
    daemon = start({'fetch.allow-origin': [media.origin, f'http://127.0.0.1:{port}']})
    other = Session(daemon.port, upstream)
    stays_as_it_came(other, media, f'http://127.0.0.1:{port}/x.png')
    other.close()


# --- hosts that take their time: the hold time ends the wait ---------------------------------

def drip(handler):
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % len(GOOD))
    for byte in GOOD:
        if handler.server.host.closing.wait(0.1):
            return
        handler.wfile.write(bytes([byte]))


def stall(handler):
    handler.server.host.closing.wait()


def stall_in_body(handler):
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % len(GOOD) + GOOD[:50])
    handler.server.host.closing.wait()


@pytest.fixture(scope='module')
def hasty(tmp_path_factory, upstream, media):
    daemon = Insetd(tmp_path_factory.mktemp('hasty'), upstream.address,
                    {'fetch.allow-origin': [media.origin], 'listen.main.hold': '1500ms', 'limits.hold-budget': '60s'})
    yield daemon
    daemon.stop()


@pytest.mark.parametrize('how', [drip, stall, stall_in_body])
def test_hold_time_ends_the_wait(hasty, upstream, media, how):
    session = Session(hasty.port, upstream)
    deadline = hasty.metric('inset_jobs_total{outcome="deadline"}')
    session.c2s(picture(media.put(how)) + BEHIND)
    hasty.wait_metric('inset_jobs_total{outcome="deadline"}', deadline + 1)
    session.close()


def test_hold_budget(start, upstream, media):
    """After the budget is used up messages are not held any more, except for what the cache has."""
    daemon = start({'listen.main.hold': '300ms', 'limits.hold-budget': '500ms', 'limits.hold-window': '600s'})
    session = Session(daemon.port, upstream)
    known = media.put(GOOD)
    first = picture(known)
    session.client.send(first)
    session.server.until(b'</message>')     # whether in time or not: the cache has it some time later
    daemon.wait_metric('inset_cache_entries', 1)
    for n in range(3):
        session.c2s(picture(media.put(stall), f's{n}'))
    media.forget()
    session.c2s(picture(media.put(GOOD), 'over-budget'))
    cached = picture(known, 'cached')
    session.client.send(cached)
    check_thumbnail(cached, session.server.until(b'</message>'))
    assert media.requests == []
    session.close()


def test_late_picture_is_cached_for_the_next(hasty, upstream, media):
    session = Session(hasty.port, upstream)
    url, serve = media.gate(GOOD)
    session.c2s(picture(url))               # hold time over, the fetch goes on
    serve.set()

    def thumbnail_came():
        again = picture(url, 'again')
        session.client.send(again)
        return session.server.until(b'</message>') != again
    wait_for(thumbnail_came, 'a thumbnail from the cache', process=hasty.process)
    assert media.requests.count(url.removeprefix(media.origin)) == 1
    session.close()


# --- processes that die ----------------------------------------------------------------------

def kill_all(pids):
    assert pids
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def recovers(daemon, session, media):
    """Thumbnails come again when the process is back; until then messages go on as they came."""
    def thumbnail_came():
        stanza = picture(media.put(GOOD), 'again')
        session.client.send(stanza)
        return session.server.until(b'</message>') != stanza
    wait_for(thumbnail_came, 'thumbnails again', 60, daemon.process)


@pytest.mark.parametrize('role', ['media', 'scaler'])
def test_process_killed_while_a_message_waits(start, upstream, media, role):
    daemon = start()
    session = Session(daemon.port, upstream)
    url, serve = media.gate(GOOD)
    media.forget()
    stanza = picture(url)
    session.client.send(stanza + BEHIND)
    assert media.asked.wait(30)
    before = daemon.role(role)
    kill_all(before)
    if role == 'scaler':
        wait_for(lambda: not set(before) & set(daemon.role(role)), 'the scaler is gone', process=daemon.process)
    serve.set()
    received = session.server.until(b'</message>')
    if received != stanza:                  # the new scaler was quick
        check_thumbnail(stanza, received)
    session.server.expect(BEHIND)
    recovers(daemon, session, media)
    session.s2c("<message><body>the session lives on</body></message>")
    session.close()


def test_decoders_killed_over_and_over(start, upstream, media):
    """A decoder that dies costs one picture at most; the session and the order stay."""
    daemon = start({'cache.memory': '64KiB'})
    session = Session(daemon.port, upstream)
    big = [pictures.jpeg(3000, 2000, seed=n) for n in range(2)]
    stop = threading.Event()

    def killer():
        killed = set()
        # 20 that die before they got a picture would be too much of it: a minute without decoders.
        while not stop.wait(0.02) and len(killed) < 18:
            for pid in daemon.scaler_children():
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
                except ProcessLookupError:
                    pass
    thread = threading.Thread(target=killer)
    thread.start()
    try:
        for n in range(8):
            stanza = picture(media.put(big[n % 2]), f'k{n}')
            session.client.send(stanza)
            received = session.server.until(b'</message>')
            if received != stanza:
                check_thumbnail(stanza, received)
    finally:
        stop.set()
        thread.join()
    recovers(daemon, session, media)
    session.close()


def test_proxy_killed_ends_its_sessions_only(start, upstream, media):
    """A crashed proxy is a reconnect: neither side gets an invented stream end."""
    daemon = start()
    session = Session(daemon.port, upstream)
    kill_all(daemon.role('proxy'))
    assert b'</stream:stream>' not in session.client.rest()
    assert b'</stream:stream>' not in session.server.rest()
    session.close()
    wait_for(lambda: daemon.role('proxy'), 'a new proxy', process=daemon.process)
    again = Session(daemon.port, upstream)
    recovers(daemon, again, media)
    again.close()


def test_media_queue_full(start, upstream, media):
    """More messages than the fetch queue takes: the surplus goes on as it came, nothing is lost."""
    daemon = start({'fetch.queue': 1, 'fetch.concurrent': 1, 'fetch.concurrent-per-host': 1, 'limits.held-bytes': '1MiB'})
    session = Session(daemon.port, upstream)
    gates = [media.gate(GOOD) for _ in range(12)]
    stanzas = [picture(url, f'q{n}') for n, (url, _) in enumerate(gates)]
    session.client.send(b''.join(stanzas))
    daemon.wait_metric('inset_jobs_total{outcome="overload"}', 1)
    for _, serve in gates:
        serve.set()
    changed = 0
    for stanza in stanzas:
        received = session.server.until(b'</message>')
        if received != stanza:
            check_thumbnail(stanza, received)
            changed += 1
    assert 1 <= changed < 12
    session.close()


def test_log_holds_no_secret(session, media, inset):
    """Addresses, bodies and fragments of messages never reach the log."""
    secret = 'sesame-7f3a'
    url = media.put(GOOD, secret + '.png')
    for stanza in (message(f'<body>{secret}</body>' + oob(url)), message(oob(url + '#' + secret)),
                   picture(f'http://10.1.1.1/{secret}')):
        session.client.send(stanza)
        session.server.until(b'</message>')
    assert secret not in inset.said()


def test_host_that_accepts_and_says_nothing_to_many(hasty, upstream, media):
    """Twenty messages to a dead host: bounded wait, all arrive, in order."""
    session = Session(hasty.port, upstream)
    session.c2s(b''.join(picture(media.put(stall), f'd{n}') for n in range(20)))
    session.close()


# --- clients that are slow or send too much ---------------------------------------------------

def test_an_unfinished_message_flows_on_unread(start, upstream, media):
    daemon = start({'limits.unit-timeout': '1s'})
    session = Session(daemon.port, upstream)
    message = picture(media.put(GOOD))
    session.client.send(message[:-30])
    session.server.expect(message[:-30])        # nothing else makes it leave
    session.client.send(message[-30:])
    session.server.expect(message[-30:])
    assert daemon.metric('inset_units_unread_total{reason="slow"}') == 1
    following = picture(media.put(GOOD), 'next')
    session.client.send(following)
    check_thumbnail(following, session.server.until(b'</message>'))
    session.close()


@pytest.mark.parametrize('stanza', ['message', 'presence'])
def test_oversize_close(start, upstream, stanza):
    daemon = start({'listen.main.oversize': 'close', 'listen.main.max-stanza': '20000'})
    session = Session(daemon.port, upstream)
    innocent = Session(daemon.port, upstream, user='bob')
    large = f'<{stanza}><a>{"x" * 30000}</a></{stanza}>'.encode()
    session.s2c(large)                          # what a server sends is relayed
    session.client.send(large)
    told = session.client.rest()
    assert told == (b"<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                    b"</stream:error></stream:stream>")
    got = session.server.rest()
    assert large.startswith(got) and got != large, 'no stream end, and no whole stanza, for the innocent side'
    innocent.c2s(b'<presence/>')
    innocent.close()
    session.close()
