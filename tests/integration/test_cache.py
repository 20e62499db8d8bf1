# SPDX-License-Identifier: MIT
"""What is kept and for how long, what is asked for again, and transfers that end early.

Headers are unit/test_freshness.c's; the cache's own limits unit/test_cache.c's.
"""
import email.utils
import struct
import threading
import time
import zlib

import pytest

from harness import pictures
from harness.processes import wait_for
from harness.rawpeer import Session
from harness.stanzas import check_thumbnail, picture

THEN = 'Tue, 14 Nov 2023 22:13:20 GMT'
RENEWED, SAME = 'inset_cache_renewed_total', 'inset_cache_same_bytes_total'
SCALED = 'inset_scaled_total{result="ok"}'


def outcome(daemon, name):
    return daemon.metric(f'inset_jobs_total{{outcome="{name}"}}')


def thumbnail(session, url, mid='m1'):
    sent = picture(url, mid)
    session.client.send(sent)
    return check_thumbnail(sent, session.server.until(b'</message>')).data


class Resource:
    """A picture with a validator, and what it was asked with."""

    def __init__(self, media, body, headers, unchanged=()):
        self.body, self.headers, self.unchanged = body, list(headers), list(unchanged)
        self.asked = []
        self.url = media.put(self.answer)

    def answer(self, handler):
        self.asked.append({k: v for k, v in handler.headers.items() if k.startswith('If-')})
        conditions = {'If-None-Match': 'ETag', 'If-Modified-Since': 'Last-Modified'}
        same = [dict(self.headers).get(conditions[k]) == v for k, v in self.asked[-1].items()]
        if same and all(same):
            handler.send_response(304)
            for name, value in self.unchanged:
                handler.send_header(name, value)
            handler.end_headers()
        else:
            handler.reply(200, self.body, headers=self.headers)


# --- lives -----------------------------------------------------------------------------------

@pytest.mark.parametrize('validators', [{'ETag': '"v1"'}, {'ETag': 'W/"v1"'}, {'Last-Modified': THEN},
                                        {'ETag': '"v1"', 'Last-Modified': THEN}])
@pytest.mark.parametrize('life', ['max-age=0', 'no-cache', 's-maxage=0, max-age=600'])
def test_expired_is_asked_about(session, inset, media, validators, life):
    made = inset.metric(SCALED)
    renewed = inset.metric(RENEWED)
    r = Resource(media, pictures.jpeg(300, 200 + len(life), seed=len(str(validators))),
                 [('Cache-Control', life), *validators.items()])
    first = thumbnail(session, r.url)
    assert thumbnail(session, r.url, 'm2') == first
    assert thumbnail(session, r.url, 'm3') == first
    names = {'ETag': 'If-None-Match', 'Last-Modified': 'If-Modified-Since'}
    assert r.asked == [{}] + 2 * [{names[k]: v for k, v in validators.items()}]
    assert inset.metric(RENEWED) == renewed + 2
    assert inset.metric(SCALED) <= made + 1


def test_304_gives_another_life(session, media):
    """And the life that was said first where it says none."""
    r = Resource(media, pictures.png(120, 80, seed=31), [('Cache-Control', 'max-age=0'), ('ETag', '"a"')],
                 [('Cache-Control', 'max-age=600')])
    for n in range(4):
        thumbnail(session, r.url, f'm{n}')
    assert len(r.asked) == 2
    r = Resource(media, pictures.png(120, 80, seed=32), [('Cache-Control', 'max-age=0'), ('ETag', '"a"')])
    for n in range(4):
        thumbnail(session, r.url, f'm{n}')
    assert len(r.asked) == 4


def test_changed_is_taken_anew(session, media):
    r = Resource(media, pictures.png(120, 80, seed=33), [('Expires', THEN), ('ETag', '"a"')])
    first = thumbnail(session, r.url)
    r.body, r.headers = pictures.png(120, 80, seed=34), [('ETag', '"b"')]
    assert thumbnail(session, r.url, 'm2') != first
    thumbnail(session, r.url, 'm3')
    assert r.asked == [{}, {'If-None-Match': '"a"'}]


def test_times_of_failures(start, upstream, media):
    """What is gone has a time of its own."""
    daemon = start({'cache.negative-ttl': '0s', 'cache.gone-ttl': '1d'})
    session = Session(daemon.port, upstream)
    for status, requests in ((404, 1), (410, 1), (500, 3), (403, 3)):
        url = media.put(lambda handler, status=status: handler.reply(status, b''))
        for n in range(3):
            session.c2s(picture(url, f'm{n}'))
        assert media.requests.count(url[len(media.origin):]) == requests, status
    session.close()


def test_no_store_of_a_304_counts(session, media):
    r = Resource(media, pictures.png(120, 80, seed=35), [('Cache-Control', 'max-age=0'), ('ETag', '"a"')],
                 [('Cache-Control', 'no-store')])
    for n in range(3):
        thumbnail(session, r.url, f'm{n}')
    assert r.asked == [{}, {'If-None-Match': '"a"'}, {}]


@pytest.mark.parametrize('directive', ['no-store', 'private, max-age=600'])
def test_what_may_not_be_kept_is_not_asked_about(session, media, directive):
    r = Resource(media, pictures.png(120, 80, seed=36), [('Cache-Control', directive), ('ETag', '"a"')])
    for n in range(2):
        thumbnail(session, r.url, f'm{n}')
    assert r.asked == [{}, {}]


def test_304_that_nobody_asked_for_is_a_failure(session, inset, media):
    before = outcome(inset, 'http')

    def answer(handler):
        handler.send_response(304)
        handler.end_headers()
    session.c2s(picture(media.put(answer)))
    assert outcome(inset, 'http') == before + 1


def test_validator_means_nothing_elsewhere(session, media):
    """A redirect that leads to another place: its picture may have the same tag."""
    a, b = (Resource(media, pictures.png(120, 80, seed=n), [('Cache-Control', 'max-age=0'), ('ETag', '"1"')])
            for n in (37, 38))
    where = [a]
    url = media.put(lambda handler: handler.reply(302, b'', headers=[('Location', where[0].url)]))
    first = thumbnail(session, url)
    assert thumbnail(session, url, 'm2') == first
    where[0] = b
    assert thumbnail(session, url, 'm3') != first
    assert a.asked == [{}, {'If-None-Match': '"1"'}] and b.asked == [{}]


@pytest.mark.parametrize('evil', ['"a\rX-Y: z"', '"' + 'x' * 500 + '"', 'bare', '"a" "b"'])
def test_odd_validator_is_never_sent_back(session, media, evil):
    r = Resource(media, pictures.png(120, 80, seed=39), [('Cache-Control', 'max-age=0'), ('ETag', evil)])
    for n in range(2):
        thumbnail(session, r.url, f'm{n}')
    assert r.asked == [{}, {}]


# --- the same bytes ----------------------------------------------------------------------------

def test_same_bytes_are_scaled_once(start, upstream, media):
    """Under many addresses: one after another, and at the same time."""
    daemon = start({'fetch.concurrent-per-host': 64, 'limits.per-sender': ''})
    session = Session(daemon.port, upstream)
    body = pictures.jpeg(1200, 900, seed=41)
    first = thumbnail(session, media.put(body))
    for n in range(5):
        assert thumbnail(session, media.put(body), f'm{n}') == first
    assert (daemon.metric(SCALED), daemon.metric(SAME)) == (1, 5)
    other = pictures.jpeg(1200, 900, seed=42)
    gates = [media.gate(other) for _ in range(8)]
    sent = [picture(url, f'g{n}') for n, (url, _) in enumerate(gates)]
    session.client.send(b''.join(sent))
    wait_for(lambda: all(media.requests.count(url[len(media.origin):]) for url, _ in gates), 'all are asked for')
    for _, gate in gates:
        gate.set()
    got = {check_thumbnail(original, session.server.until(b'</message>')).data for original in sent}
    assert len(got) == 1 and first not in got
    assert (daemon.metric(SCALED), daemon.metric(SAME)) == (2, 12)
    # Bytes that cannot be scaled fail for all of them.
    broken = other[:2000]
    gates = [media.gate(broken) for _ in range(4)]
    sent = [picture(url, f'b{n}') for n, (url, _) in enumerate(gates)]
    session.client.send(b''.join(sent))
    for _, gate in gates:
        gate.set()
    for original in sent:
        assert session.server.until(b'</message>') == original
    assert outcome(daemon, 'scaler') == 4
    session.close()


# --- too late, and nobody waits ------------------------------------------------------------------

def test_late_result_fills_the_cache(start, upstream, media):
    daemon = start({'listen.main.hold': '300ms', 'fetch.timeout': '20s'})
    session = Session(daemon.port, upstream)
    url, gate = media.gate(pictures.png(200, 100, seed=44))
    session.c2s(picture(url))
    daemon.wait_metric('inset_jobs_total{outcome="deadline"}', 1)
    entries = daemon.metric('inset_cache_entries')
    gate.set()
    daemon.wait_metric('inset_cache_entries', entries + 1)
    thumbnail(session, url, 'm2')
    assert media.requests.count(url[len(media.origin):]) == 1
    session.close()


def stalls(head, gone, started=None, **headers):
    """Sends the header and the first bytes, then nothing more until the client has gone."""
    def answer(handler):
        if started:
            started.wait(20)
        handler.send_response(200)
        for name, value in ({'Content-Length': 5000000} | headers).items():
            handler.send_header(name.replace('_', '-'), str(value))
        handler.end_headers()
        handler.wfile.write(head)
        handler.wfile.flush()
        handler.server.host.stalled.set()
        handler.connection.settimeout(20)
        try:
            if handler.connection.recv(1) == b'':
                gone.set()
        except ConnectionError:
            gone.set()
    return answer


@pytest.mark.parametrize('when', ['before-the-header', 'behind-the-header'])
@pytest.mark.parametrize('directive', ['no-store', 'max-age=60'])
def test_what_nobody_waits_for_and_nobody_may_keep(start, upstream, media, when, directive):
    daemon = start({'listen.main.hold': '300ms', 'fetch.timeout': '20s', 'fetch.low-speed': 0})
    session = Session(daemon.port, upstream)
    gone, go, media.stalled = threading.Event(), threading.Event(), threading.Event()
    if when == 'behind-the-header':
        go.set()
    url = media.put(stalls(pictures.jpeg(300, 200)[:500], gone, go, Content_Type='image/jpeg', Cache_Control=directive))
    session.c2s(picture(url))
    daemon.wait_metric('inset_jobs_total{outcome="deadline"}', 1)
    go.set()
    if directive == 'no-store':
        assert gone.wait(15)
    else:
        assert media.stalled.wait(15)
        thumbnail(session, media.put(pictures.png(50, 50, seed=45)), 'fence')
        assert not gone.is_set()
    session.close()


# --- early ends ------------------------------------------------------------------------------------

def png_head(width, height):
    ihdr = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13) + ihdr + struct.pack('>I', zlib.crc32(ihdr))


USELESS = {
    'declared': (b'x' * 100, 'not-picture', {'Content_Type': 'text/html'}),
    'declared-video': (b'', 'not-picture', {'Content_Type': 'video/mp4'}),
    'sniffed': (b'<!DOCTYPE html>\n', 'not-picture', {'Content_Type': 'image/png'}),
    'length': (b'', 'too-big', {'Content_Type': 'image/png', 'Content_Length': 10485761}),
    'png': (png_head(30000, 30000), 'too-big', {}),
    'png-side': (png_head(32769, 1), 'too-big', {}),
    'gif': (b'GIF89a\xff\xff\xff\xff\0\0\0' + b'\0' * 8, 'too-big', {}),
    'webp': (b'RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\x3f\0\xff\x3f\0', 'too-big', {}),
    'bmp': (b'BM' + b'\0' * 12 + struct.pack('<Iii', 40, 20000, -20000), 'too-big', {}),
    # a camera's Exif first
    'jpeg': (b'\xff\xd8\xff\xe1\x40\x02' + b'e' * 16384 + b'\xff\xc0\0\x11\x08\x7f\xff\x7f\xff\x03', 'too-big', {}),
}


@pytest.mark.parametrize('case', USELESS)
def test_useless_transfer_ends_with_the_byte_that_shows_it(session, inset, media, case):
    """The host sends so much, keeps back the rest, and sees the end of the connection."""
    head, status, headers = USELESS[case]
    gone, media.stalled = threading.Event(), threading.Event()
    before, received = outcome(inset, status), inset.metric('inset_fetch_bytes_total')
    session.c2s(picture(media.put(stalls(head, gone, **headers))))
    assert gone.wait(15)
    assert outcome(inset, status) == before + 1
    assert inset.metric('inset_fetch_bytes_total') - received <= len(head)


# --- hosts that want to be left alone -----------------------------------------------------------------

@pytest.mark.parametrize('status', [429, 503])
@pytest.mark.parametrize('form', ['seconds', 'date'])
def test_retry_after(start, upstream, media, status, form):
    """One answer is enough, and the host is left alone."""
    daemon = start({'limits.breaker-failures': 1000})
    session = Session(daemon.port, upstream)
    value = '3600' if form == 'seconds' else email.utils.formatdate(time.time() + 3600, usegmt=True)
    url = media.put(lambda handler: handler.reply(status, b'', headers=[('Retry-After', value)]))
    session.c2s(picture(url))
    before = len(media.requests)
    for n in range(3):
        session.c2s(picture(media.put(pictures.png(60, 40)), f'm{n}'))
    assert len(media.requests) == before
    assert outcome(daemon, 'breaker') == 3
    session.close()


def test_retry_after_passes(start, upstream, media):
    """breaker-max caps what a host may ask for; other answers' Retry-After means nothing."""
    daemon = start({'limits.breaker-failures': 1000, 'limits.breaker-max': '1s', 'limits.breaker-open': '1s',
                    'limits.per-sender': ''})
    session = Session(daemon.port, upstream)
    session.c2s(picture(media.put(lambda handler: handler.reply(404, b'', headers=[('Retry-After', '3600')]))))
    thumbnail(session, media.put(pictures.png(61, 40)))
    session.c2s(picture(media.put(lambda handler: handler.reply(503, b'', headers=[('Retry-After', '99999999')]))))

    def is_tried_again():
        url = media.put(pictures.png(62, 40))
        session.client.send(picture(url, 'again'))
        session.server.until(b'</message>')
        return url[len(media.origin):] in media.requests
    assert not is_tried_again()
    wait_for(is_tried_again, 'the pause is over')
    session.close()
