# SPDX-License-Identifier: MIT
"""Resolver, guard, cache, queue and breaker of the media process, inside a whole insetd.

The tables of guard and target are unit/test_guard.c's, those of replies, rates and the breaker
unit/test_cache.c's; hosts that misbehave are test_hostile.py's.
"""
import gzip
import os
import socket
import threading

import pytest

from harness import pictures
from harness.dns import A, AAAA, NameServer
from harness.insetd import BUILD, Insetd
from harness.media import MediaHost
from harness.processes import free_port, wait_for
from harness.rawpeer import Session
from harness.stanzas import check_thumbnail, message, oob, picture

GOOD = pictures.png(200, 150, seed=5)
PUBLIC, PUBLIC6 = '93.184.216.34', '2606:2800:220:1:248:1893:25c8:1946'   # judged, never connected to


def gets_thumbnail(session, url, mid='m1'):
    sent = picture(url, mid)
    session.client.send(sent)
    check_thumbnail(sent, session.server.until(b'</message>'))


def outcome(daemon, name):
    return daemon.metric(f'inset_jobs_total{{outcome="{name}"}}')


class Trap:
    """A port on every loopback address that must never see a connection."""

    def __init__(self):
        self.sockets = [socket.create_server(('', 0)), socket.socket(socket.AF_INET6, socket.SOCK_STREAM)]
        self.port = self.sockets[0].getsockname()[1]
        self.sockets[1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.sockets[1].bind(('::', self.port))
        self.sockets[1].listen()

    def is_untouched(self):
        for s in self.sockets:
            s.setblocking(False)
            try:
                s.accept()[0].close()
                return False
            except BlockingIOError:
                pass
        return True

    def close(self):
        for s in self.sockets:
            s.close()


@pytest.fixture(scope='module')
def trap():
    t = Trap()
    yield t
    t.close()


@pytest.fixture(scope='module')
def dns():
    server = NameServer()
    yield server
    server.stop()


@pytest.fixture(scope='module')
def named(tmp_path_factory, upstream, media, trap, dns):
    """An insetd that asks our name server; the trap's port is fine, so that only addresses decide.
    An origin whose name begins with pics is exempt."""
    daemon = Insetd(tmp_path_factory.mktemp('named'), upstream.address,
                    {'fetch.dns-servers': [dns.address], 'fetch.ports': [80, 22, trap.port],
                     'fetch.connect-timeout': '1s',
                     'fetch.allow-origin': [media.origin, f'http://pics.example.test:{media.port}',
                                            f'http://pics2.example.test:{media.port}']})
    yield daemon
    daemon.stop()


# --- names ---------------------------------------------------------------------------------

MIXES = {
    'private': ['127.0.0.1'],
    'private-6': ['::1'],
    'public-then-private': [PUBLIC, '127.0.0.1'],
    'private-then-public': ['127.0.0.1', PUBLIC],
    'public-4-private-6': [PUBLIC, '::1'],
    'private-4-public-6': [PUBLIC6, '10.0.0.1'],
    'mapped': [PUBLIC, '::ffff:127.0.0.1'],
    'metadata': ['169.254.169.254'],
    'nat64': [PUBLIC, '64:ff9b::7f00:1'],
    '6to4': ['2002:7f00:1::'],
    'any': ['0.0.0.0'],
    'last-of-many': [f'93.184.216.{n}' for n in range(1, 8)] + ['127.0.0.2'],
}


@pytest.mark.parametrize('mix', MIXES)
def test_one_private_address_refuses_the_host(named, upstream, dns, trap, media, mix):
    dns.put(f'{mix}.example.test', MIXES[mix])
    session = Session(named.port, upstream)
    refused = outcome(named, 'address')
    for how in (f'http://{mix}.example.test:{trap.port}/x.png',
                media.put(lambda handler: handler.reply(302, b'', headers=[
                    ('Location', f'http://{mix}.example.test:{trap.port}/x.png')]))):
        session.c2s(picture(how))
    named.wait_metric('inset_jobs_total{outcome="address"}', refused + 2)
    assert trap.is_untouched()
    session.close()


def test_a_name_is_asked_for_once_and_pinned(named, upstream, dns, media):
    """Rebinding: the second answer would lead elsewhere."""
    other = MediaHost()
    dns.put('pics.example.test', ['127.0.0.1'], ['127.0.0.9'])
    before = dns.asked['pics.example.test', A]
    session = Session(named.port, upstream)
    path = media.put(GOOD)[len(media.origin):]
    gets_thumbnail(session, f'http://pics.example.test:{media.port}{path}')
    assert dns.asked['pics.example.test', A] == before + 1
    assert dns.asked['pics.example.test', AAAA] == 1
    assert other.connections == 0
    other.stop()
    session.close()


def test_next_address_when_the_first_refuses(named, upstream, dns, media):
    dns.put('pics2.example.test', ['127.0.0.9', '127.0.0.8', '127.0.0.1'])
    session = Session(named.port, upstream)
    gets_thumbnail(session, f'http://pics2.example.test:{media.port}' + media.put(GOOD)[len(media.origin):])
    session.close()


@pytest.mark.parametrize('silent', [False, True])
def test_name_that_does_not_resolve(named, upstream, dns, trap, silent):
    name = 'silent.example.test' if silent else 'nobody.example.test'
    if silent:
        dns.silent.add(name)
    session = Session(named.port, upstream)
    before = outcome(named, 'connect') + outcome(named, 'timeout')
    session.c2s(picture(f'http://{name}:{trap.port}/x.png'))
    wait_for(lambda: outcome(named, 'connect') + outcome(named, 'timeout') > before, 'a failure', process=named.process)
    session.close()


@pytest.mark.parametrize('name', ['printer', 'printer.local', 'x.onion', 'x.internal', 'x.home.arpa', 'localhost', 'a.localhost'])
def test_private_name_is_not_even_asked_for(named, upstream, dns, trap, name):
    dns.put(name, [PUBLIC])
    session = Session(named.port, upstream)
    session.c2s(picture(f'http://{name}:{trap.port}/x.png'))
    assert dns.asked[name, A] + dns.asked[name, AAAA] == 0
    session.close()


# --- addresses in disguise: the list of security.md 2.3 --------------------------------------

# {} is where a port goes; those without one have their own, or are no address at all.
TRICKS = [
    'http://2130706433{}/', 'http://0x7f000001{}/', 'http://0177.0.0.1{}/', 'http://127.1{}/', 'http://0x7f.1{}/',
    'http://0{}/', 'http://4294967296{}/', 'http://256.256.256.256{}/', 'http://[::ffff:127.0.0.1]{}/', 'http://[::]{}/',
    'http://[::1%lo]{}/', 'http://[fe80::1%25lo]{}/', 'http://127.0.0.1.{}/', 'http://localhost.{}/',
    'http://%31%32%37.0.0.1{}/', 'http://127.0.0.1%00.example.com{}/', 'http://1.1.1.1&@127.0.0.1{}/',
    'http://1.1.1.1 @127.0.0.1{}/', 'http://a\\@127.0.0.1{}/', 'http://user:pw@127.0.0.1{}/', 'http:\\\\127.0.0.1{}\\',
    'http:127.0.0.1{}/', 'http:/127.0.0.1{}/', 'http:///127.0.0.1{}/', 'http://127.0.0.1:80{}/', 'http://127.0.0.1:22/',
    'http://127.0.0.1:0/', 'http://127.0.0.1:65536/', 'http://127.0.0.1:/', 'HTTP://127.0.0.1{}/', '127.0.0.1{}',
    'ftp.example.com', 'http://①②⑦.⓪.⓪.①{}/', 'http://127。0。0。1{}/', 'http://ⓛocalhost{}/', 'http://127.0.0.1\n{}/',
    'http://127.0.0.1{}\t/', ' http://127.0.0.1{}/', 'file:///etc/passwd', 'file://localhost/etc/passwd',
    'gopher://127.0.0.1{}/x', 'dict://127.0.0.1{}/stat', 'ftp://127.0.0.1{}/x', 'ws://127.0.0.1{}/', 'smb://127.0.0.1{}/x',
]


@pytest.mark.parametrize('how', ['as-is', 'port', 'redirect'])
def test_address_in_disguise(named, upstream, dns, media, trap, how):
    session = Session(named.port, upstream)
    for url in TRICKS:
        url = url.format(f':{trap.port}' if how != 'as-is' else '')
        if how == 'redirect':
            target = url.replace('\n', '').encode('utf-8').decode('latin-1')
            url = media.put(lambda handler, to=target: handler.reply(302, b'', headers=[('Location', to)]))
        text = url.replace('&', '&amp;').replace('\n', '&#10;').replace('\t', '&#9;')
        session.c2s(message(oob(text)))
    gets_thumbnail(session, media.put(GOOD), 'still-works')
    assert trap.is_untouched()
    session.close()


def test_names_that_look_like_addresses(named, upstream, dns, media, trap):
    """Harmless ones: what is before the path's first mark is asked for, and nothing else."""
    session = Session(named.port, upstream)
    encoded = f'http://127.0.0.1%2eexample.test:{trap.port}/'
    for url, host in (('http://query.example.test?@127.0.0.1/', 'query.example.test'),
                      ('http://xn--80ak6aa92e.test:{}/', 'xn--80ak6aa92e.test')):
        session.c2s(picture(url.format(trap.port)))
        assert dns.asked[host, A] >= 1, url
    # In a message rules would not see which host that is; in a redirect they are not asked.
    session.c2s(picture(encoded))
    assert not dns.asked['127.0.0.1.example.test', A]
    session.c2s(picture(media.put(lambda handler: handler.reply(302, b'', headers=[('Location', encoded)]))))
    assert dns.asked['127.0.0.1.example.test', A] >= 1
    assert trap.is_untouched()
    session.close()


@pytest.mark.parametrize('status', [301, 302, 303, 307, 308])
def test_every_redirect_is_judged_anew(named, upstream, dns, media, trap, status):
    """Also one that stays with a name whose origin is exempt, and whose address has changed meanwhile."""
    dns.put('pics.example.test', ['127.0.0.1'], ['127.0.0.1'], ['127.0.0.9'])
    session = Session(named.port, upstream)
    for target in (f'http://127.0.0.1:{trap.port}/x.png', f'//127.0.0.2:{trap.port}/x.png', f'http://pics.example.test:{trap.port}/x',
                   f'https://pics.example.test:{media.port}/x.png', f'http://[::1]:{trap.port}/', 'file:///etc/passwd'):
        url = media.put(lambda handler, to=target: handler.reply(status, b'', headers=[('Location', to)]))
        session.c2s(picture(f'http://pics.example.test:{media.port}{url[len(media.origin):]}'))
    gets_thumbnail(session, media.put(GOOD), 'still-works')
    assert trap.is_untouched()
    session.close()


def test_proxies_of_the_environment_are_ignored(tmp_path, upstream, media, trap, monkeypatch):
    for name in ('http_proxy', 'HTTP_PROXY', 'https_proxy', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.setenv(name, f'http://127.0.0.1:{trap.port}')
    daemon = Insetd(tmp_path, upstream.address, {'fetch.allow-origin': [media.origin]})
    session = Session(daemon.port, upstream)
    gets_thumbnail(session, media.put(GOOD))
    assert trap.is_untouched()
    session.close()
    daemon.stop()


# --- redirects and what comes with a body ----------------------------------------------------

def chain(media, hops):
    url = media.put(GOOD)
    for _ in range(hops):
        url = media.put(lambda handler, to=url: handler.reply(307, b'', headers=[('Location', to)]))
    return url


def test_redirects_are_followed_up_to_the_limit(session, media):
    gets_thumbnail(session, chain(media, 3))
    session.c2s(picture(chain(media, 4)))


def test_relative_redirect(session, media):
    path = media.put(GOOD)[len(media.origin):]
    gets_thumbnail(session, media.put(lambda handler: handler.reply(301, b'', headers=[('Location', path + '#f')])))


def test_encoded_body_is_not_unpacked(session, media):
    packed = gzip.compress(GOOD)
    session.c2s(picture(media.put(lambda handler: handler.reply(200, packed, headers=[('Content-Encoding', 'gzip')]))))


def test_request_says_who_asks_and_nothing_else(start, upstream, media):
    seen = []

    def answer(handler):
        seen.append(dict(handler.headers))
        handler.reply(200, GOOD, headers=[('Set-Cookie', 'a=b')])
    daemon = start({'fetch.contact': 'mailto:admin@example.org'})
    session = Session(daemon.port, upstream)
    for n in range(2):
        gets_thumbnail(session, media.put(answer), f'm{n}')
    session.close()
    for headers in seen:
        assert set(headers) == {'Host', 'User-Agent', 'Accept'}
        assert headers['User-Agent'].startswith('inset/') and 'mailto:admin@example.org' in headers['User-Agent']
    assert len(seen) == 2


def test_formats_are_counted_once(start, upstream, media):
    """Ready is what media knows, and not what the scaler knows already."""
    daemon = start()
    formats = 7 if '#define HAVE_HEIF 1' in (BUILD / 'config.h').read_text() else 5
    assert daemon.metric('inset_scaler_formats') == formats
    session = Session(daemon.port, upstream)
    gets_thumbnail(session, media.put(GOOD))
    assert daemon.metric('inset_scaler_formats') == formats
    session.close()


# --- sharing and restraint -------------------------------------------------------------------

def test_thousand_jobs_one_request(inset, upstream, media):
    url, serve = media.gate(GOOD)
    sessions = [Session(inset.port, upstream, user=f'u{n}') for n in range(20)]
    sent = [picture(url, f'm{n}') for n in range(50)]
    joined = inset.metric('inset_cache_requests_total{result="joined"}')
    for at in range(0, len(sent), 10):      # no more at a time than the channel to the media process holds
        for session in sessions:
            session.client.send(b''.join(sent[at:at + 10]))
        inset.wait_metric('inset_cache_requests_total{result="joined"}', joined + 20 * (at + 10) - 1)
    serve.set()
    for session in sessions:
        for original in sent:
            check_thumbnail(original, session.server.until(b'</message>'))
        session.close()
    assert len([path for path in media.requests if url.endswith(path)]) == 1


def test_transfers_from_one_host_at_a_time(start, upstream, media):
    daemon = start({'fetch.concurrent-per-host': 2})
    lock, running, most = threading.Lock(), set(), []
    go = threading.Event()

    def answer(handler):
        with lock:
            running.add(handler.path)
            most.append(len(running))
        go.wait(20)
        with lock:
            running.discard(handler.path)
        handler.reply(200, GOOD)
    session = Session(daemon.port, upstream)
    sent = [picture(media.put(answer), f'm{n}') for n in range(8)]
    session.client.send(b''.join(sent))
    wait_for(lambda: len(running) == 2, 'two run')
    go.set()
    for original in sent:
        check_thumbnail(original, session.server.until(b'</message>'))
    assert max(most) == 2 and len(most) == 8
    session.close()


def test_breaker(start, upstream, media):
    """After so many failures in a row the host is left alone, then tried again."""
    port = free_port()
    daemon = start({'fetch.allow-origin': [f'http://127.0.0.1:{port}'], 'limits.breaker-failures': 3,
                    'limits.breaker-open': '2s'})
    session = Session(daemon.port, upstream)
    for n in range(6):
        session.c2s(picture(f'http://127.0.0.1:{port}/{n}.png', f'm{n}'))
    assert (outcome(daemon, 'connect'), outcome(daemon, 'breaker')) == (3, 3)

    def is_tried_again():
        session.c2s(picture(f'http://127.0.0.1:{port}/{os.urandom(8).hex()}.png'))
        return outcome(daemon, 'connect') == 4
    wait_for(is_tried_again, 'the breaker lets one through')
    session.close()


def test_failures_are_remembered(session, inset, media):
    urls = [media.put(lambda handler: handler.reply(404, b'')), media.put(lambda handler: handler.reply(500, b'')),
            media.put(b'no picture')]
    media.forget()
    hits = inset.metric('inset_cache_requests_total{result="negative"}')
    for url in urls * 3:
        session.c2s(picture(url))
    assert len(media.requests) == 3
    assert inset.metric('inset_cache_requests_total{result="negative"}') == hits + 6


def test_no_store_is_not_kept(session, media):
    url = media.put(lambda handler: handler.reply(200, GOOD, headers=[('Cache-Control', 'no-store')]))
    media.forget()
    gets_thumbnail(session, url, 'm1')
    gets_thumbnail(session, url, 'm2')
    assert len(media.requests) == 2


def test_cache_stays_within_its_memory(start, upstream, media):
    daemon = start({'cache.memory': '64KiB'})
    session = Session(daemon.port, upstream)
    for n in range(40):
        gets_thumbnail(session, media.put(pictures.jpeg(300, 200 + n)), f'm{n}')
    assert 0 < daemon.metric('inset_cache_bytes') <= 65536
    assert daemon.metric('inset_cache_entries') < 40
    session.close()
