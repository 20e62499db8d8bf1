# SPDX-License-Identifier: MIT
"""How fetches leave: through an HTTP proxy with the guard still in force, with client certificates,
and to listed upload services alone.

The proxy leads public addresses, which nothing here connects to, to hosts on loopback.
"""
import asyncio
import http.server
import os
import signal
import ssl
import subprocess
import threading
import urllib.request

import pytest
import slixmpp

from harness import pictures
from harness.certs import Authority
from harness.dns import A, NameServer
from harness.egress import EgressProxy
from harness.insetd import BUILD, Insetd
from harness.processes import free_port, wait_for
from harness.rawpeer import Session
from harness.slix import Client, stanza_bytes
from harness.stanzas import check_thumbnail, picture, thumbnails

PUBLIC, PUBLIC2, PUBLIC6 = '93.184.216.34', '93.184.216.35', '2606:2800:220:1:248:1893:25c8:1946'


def outcome(daemon, name):
    return daemon.metric(f'inset_jobs_total{{outcome="{name}"}}')


@pytest.fixture(scope='module')
def dns():
    server = NameServer()
    yield server
    server.stop()


@pytest.fixture
def proxy():
    there = EgressProxy()
    yield there
    there.stop()


@pytest.fixture
def through(start, dns, proxy, media):
    """through({...}): an insetd that fetches by the proxy; nothing is exempt from the guard."""
    def make(options=None, **kwargs):
        proxy.put(PUBLIC, media.port, media.port)
        dns.put('pics.example.test', [PUBLIC])
        return start({'fetch.dns-servers': [dns.address], 'fetch.ports': [80, media.port], 'fetch.proxy': proxy.url,
                      'fetch.allow-origin': None} | (options or {}), **kwargs)
    return make


def by_name(media, url, name='pics.example.test'):
    return f'http://{name}:{media.port}' + url[len(media.origin):]


def gets_thumbnail(session, url, mid='m1'):
    sent = picture(url, mid)
    session.client.send(sent)
    check_thumbnail(sent, session.server.until(b'</message>'))


# --- the proxy ---------------------------------------------------------------------------------

@pytest.mark.parametrize('named', [False, True])
def test_proxy_gets_an_address_and_the_host_its_name(through, upstream, media, proxy, dns, named):
    dns.put('proxy.example.test', ['127.0.0.1'])
    daemon = through({'fetch.proxy': f'http://proxy.example.test:{proxy.port}'} if named else None)
    seen = []

    def answer(handler):
        seen.append(dict(handler.headers))
        handler.reply(200, pictures.png(90, 60))
    session = Session(daemon.port, upstream)
    url = by_name(media, media.put(answer))
    gets_thumbnail(session, url)
    gets_thumbnail(session, url, 'm2')      # the proxy's own no-store means nothing
    assert proxy.asked == [f'CONNECT {PUBLIC}:{media.port}']
    assert 'example.test' not in proxy.heads[0] and 'image/*' not in proxy.heads[0]
    assert len(seen) == 1 and seen[0]['Host'] == f'pics.example.test:{media.port}'
    assert set(seen[0]) == {'Host', 'User-Agent', 'Accept'}
    session.close()


def test_guard_holds_behind_a_proxy(through, upstream, media, proxy, dns):
    """Private addresses, names, ports, and redirects to them: the proxy does not hear of them."""
    daemon = through()
    dns.put('private.example.test', [PUBLIC, '10.0.0.1'])
    dns.put('loop.example.test', ['127.0.0.1'])
    session = Session(daemon.port, upstream)
    refused = [f'http://127.0.0.1:{media.port}/x', f'http://[::1]:{media.port}/x', f'http://169.254.169.254:{media.port}/x',
               f'http://private.example.test:{media.port}/x', f'http://loop.example.test:{media.port}/x',
               f'http://printer.local:{media.port}/x', 'http://pics.example.test:81/x',
               f'http://127.0.0.1:{proxy.port}/x']
    for n, url in enumerate(refused):
        session.c2s(picture(url, f'a{n}'))
    assert proxy.asked == [] and outcome(daemon, 'address') == len(refused)
    for n, to in enumerate(refused):
        session.c2s(picture(by_name(media, media.put(
            lambda handler, to=to: handler.reply(302, b'', headers=[('Location', to)]))), f'r{n}'))
    assert set(proxy.asked) == {f'CONNECT {PUBLIC}:{media.port}'} and outcome(daemon, 'address') == 2 * len(refused)
    session.close()


def test_next_address_when_the_proxy_cannot(through, upstream, media, proxy, dns):
    daemon = through()
    dns.put('many.example.test', [PUBLIC2, PUBLIC])
    dns.put('six.example.test', [PUBLIC6])
    proxy.put(PUBLIC6, media.port, media.port)
    session = Session(daemon.port, upstream)
    gets_thumbnail(session, by_name(media, media.put(pictures.png(91, 60)), 'many.example.test'))
    assert proxy.asked[-1] == f'CONNECT {PUBLIC}:{media.port}'
    gets_thumbnail(session, by_name(media, media.put(pictures.png(92, 60)), 'six.example.test'))
    assert proxy.asked[-1] == f'CONNECT [{PUBLIC6}]:{media.port}'
    proxy.put(PUBLIC, 80, media.port)       # an address as such
    gets_thumbnail(session, f'http://{PUBLIC}' + media.put(pictures.png(93, 60))[len(media.origin):])
    assert proxy.asked[-1] == f'CONNECT {PUBLIC}:80'
    session.close()


def test_proxy_that_refuses_or_is_away(through, upstream, media, proxy, dns):
    """Refused: the host's fault, for its breaker. Away: no host's."""
    dns.put('nowhere.example.test', [PUBLIC2])
    daemon = through({'limits.breaker-failures': 2})
    session = Session(daemon.port, upstream)
    for n in range(3):
        session.c2s(picture(f'http://nowhere.example.test:{media.port}/{n}', f'm{n}'))
    assert (outcome(daemon, 'connect'), outcome(daemon, 'breaker')) == (2, 1)
    session.close()
    daemon.stop()
    daemon = through({'limits.breaker-failures': 2, 'fetch.proxy': f'http://127.0.0.1:{free_port()}'})
    session = Session(daemon.port, upstream)
    for n in range(4):
        session.c2s(picture(f'http://nowhere.example.test:{media.port}/{n}', f'm{n}'))
    assert (outcome(daemon, 'connect'), outcome(daemon, 'breaker')) == (4, 0)
    assert daemon.said().count('fetch.proxy does not answer') == 1
    session.close()


# --- client certificates ---------------------------------------------------------------------------

class TlsHost:
    """Asks for a certificate and keeps whose it got; /to/URL redirects there."""

    def __init__(self, pem, authority):
        self.names, host = [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                subject = dict(part[0] for part in (self.connection.getpeercert() or {}).get('subject', ()))
                host.names.append(subject.get('commonName'))
                to = self.path.partition('/to/')[2]
                body = b'' if to else pictures.png(94, 60)
                self.send_response(302 if to else 200)
                self.send_header('Content-Length', str(len(body)))
                self.send_header('Location', to)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        context.load_verify_locations(authority.file)
        context.verify_mode = ssl.CERT_OPTIONAL
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(scope='module')
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp('ca'))


def test_client_certificate_for_its_origin_alone(start, upstream, dns, authority):
    pem, mine = authority.issue('files.example.test', 'other.example.test'), authority.issue('fetcher.example.test')
    hosts = [TlsHost(pem, authority), TlsHost(pem, authority)]
    names = ('files.example.test', 'other.example.test')
    urls = [f'https://{name}:{host.port}' for name, host in zip(names, hosts)]
    for name in names:
        dns.put(name, ['127.0.0.1'])
    daemon = start({'fetch.dns-servers': [dns.address], 'fetch.allow-origin': urls, 'fetch.ca-file': str(authority.file),
                    'fetch.origins': [{'url': urls[0].replace('files', 'FILES'), 'client-certificate': str(mine)}]})
    session = Session(daemon.port, upstream)
    gets_thumbnail(session, urls[0] + '/a.png')
    gets_thumbnail(session, urls[1] + '/b.png', 'm2')
    gets_thumbnail(session, f'{urls[0]}/to/{urls[1]}/c.png', 'm3')
    gets_thumbnail(session, f'{urls[1]}/to/{urls[0]}/d.png', 'm4')
    assert hosts[0].names == ['fetcher.example.test'] * 3
    assert hosts[1].names == [None] * 3
    session.close()
    for host in hosts:
        host.stop()


def test_check_names_the_line_of_a_bad_certificate(tmp_path, authority):
    good, other = authority.issue('good.example.test'), authority.issue('x.example.test')
    swapped = tmp_path / 'swapped.pem'
    swapped.write_text(good.read_text().partition('-----BEGIN PRIVATE')[0]
                       + '-----BEGIN PRIVATE' + other.read_text().partition('-----BEGIN PRIVATE')[2])
    conf = tmp_path / 'bad.conf'
    conf.write_text('listen = { c2s = { bind = "127.0.0.1:1"  upstream = "127.0.0.1:2" } }\n'
                    'fetch = {\n proxy = "https://p.example"\n origins = (\n'
                    f'  {{ url = "https://a.example"  client-certificate = "{good}" }},\n'
                    '  { url = "https://b.example"\n    client-certificate = "/nowhere.pem" },\n'
                    f'  {{ url = "https://c.example"\n    client-certificate = "{swapped}" }},\n'
                    f'  {{ url = "https://a.example"  client-certificate = "{good}" }},\n'
                    f'  {{ url = "http://d.example"  client-certificate = "{good}" }},\n'
                    f'  {{ url = "https://e.example/path"  client-certificate = "{good}" }},\n'
                    '  { url = "https://f.example" }, { certificate = "x" } )\n}\n')
    done = subprocess.run([BUILD / 'insetd', '-t', '-c', conf], capture_output=True, text=True, timeout=30)
    lines = [line[len(str(conf)) + 1:] for line in (done.stdout + done.stderr).splitlines() if line.startswith(str(conf))]
    assert done.returncode == 1
    for start_of in ('3: fetch.proxy', '7: fetch.origins.[1].client-certificate', '9: fetch.origins.[2].client-certificate',
                     '10: fetch.origins.[3].url: two groups', '11: fetch.origins.[4].url: an origin with https',
                     '12: fetch.origins.url: "https://e.example/path" is no origin', '13: fetch.origins.[6].client-certificate',
                     '13: fetch.origins.certificate: no such setting'):
        assert any(line.startswith(start_of) for line in lines), (start_of, lines)
    assert not any(line.startswith('5:') for line in lines)


# --- listed upload services ----------------------------------------------------------------------------

SLOT = "<slot xmlns='urn:xmpp:http:upload:0'><put url='http://put.example.test/x'/><get url='{}'/></slot>"
REQUEST = "<request xmlns='urn:xmpp:http:upload:0' filename='a.jpg' size='5'/>"


def ask(session, to='upload.localhost', mid='s1', child=REQUEST):
    session.c2s(f"<iq type='get' id='{mid}' to='{to}'>{child}</iq>")


def reply(session, url, sender='upload.localhost', mid='s1', kind='result'):
    session.s2c(f"<iq type='{kind}' id='{mid}' from='{sender}' to='alice@localhost/raw'>{SLOT.format(url)}</iq>")


def test_only_what_the_server_was_asked_for_and_answered(through, upstream, media, proxy, dns):
    """Slots that strangers send, or that somebody else is asked for, list nobody."""
    daemon = through({'fetch.from': 'listed'})
    session = Session(daemon.port, upstream)
    url = by_name(media, media.put(pictures.png(95, 60)))
    before = dns.asked['pics.example.test', A]
    reply(session, url)                                         # nobody asked
    for n, (to, sender, kind) in enumerate([
            ('upload.localhost', 'evil.example', 'result'), ('upload.localhost', 'upload.localhost', 'error'),
            ('evil.example', 'evil.example', 'result'), ('evillocalhost', 'evillocalhost', 'result'),
            ('mallory@localhost', 'mallory@localhost', 'result'), ('localhost/upload', 'localhost/upload', 'result'),
            ('mallory@upload.localhost', 'mallory@upload.localhost', 'result')]):
        ask(session, to, f'q{n}')
        reply(session, url, sender, f'q{n}', kind)
    ask(session, mid='ping', child="<ping xmlns='urn:xmpp:ping'/>")
    reply(session, url, mid='ping')
    session.c2s(picture(url, 'm1'))
    assert outcome(daemon, 'address') == 1 and proxy.asked == [] and dns.asked['pics.example.test', A] == before
    ask(session)
    reply(session, 'nonsense')
    ask(session, mid='long')
    reply(session, f'http://{"x" * 400}/', mid='long')
    ask(session, mid='this')
    reply(session, url + '#fragment', mid='this')
    gets_thumbnail(session, url, 'm2')
    reply(session, by_name(media, url, 'again.example.test'), mid='this')      # once is enough
    session.c2s(picture(f'http://again.example.test:{media.port}/x', 'm3'))
    # Another port is another origin, and a listed host may not send elsewhere.
    session.c2s(picture('http://pics.example.test/x', 'm4'))
    dns.put('else.example.test', [PUBLIC])
    session.c2s(picture(by_name(media, media.put(lambda handler: handler.reply(
        302, b'', headers=[('Location', f'http://else.example.test:{media.port}/x')]))), 'm5'))
    assert outcome(daemon, 'address') == 4
    session.close()


def test_listed_does_not_bypass_the_guard(through, upstream, media, proxy):
    daemon = through({'fetch.from': 'listed'})
    session = Session(daemon.port, upstream)
    ask(session)
    reply(session, media.origin + '/x')
    session.c2s(picture(media.put(pictures.png(96, 60))))
    assert outcome(daemon, 'address') == 1 and proxy.asked == []
    assert 'private address' in daemon.said()
    session.close()


def test_allow_origin_is_always_listed(start, upstream, media):
    daemon = start({'fetch.from': 'listed'})
    session = Session(daemon.port, upstream)
    gets_thumbnail(session, media.put(pictures.png(97, 60)))
    session.close()


@pytest.mark.parametrize('dies', ['proxy', 'media'])
def test_listed_outlives_a_process(through, upstream, media, dies):
    """Media remembers for the proxies, and they for media."""
    daemon = through({'fetch.from': 'listed'})
    session = Session(daemon.port, upstream)
    url = by_name(media, media.put(pictures.png(98, 60)))
    ask(session)
    reply(session, url)
    gets_thumbnail(session, url)
    old, formats = daemon.role(dies), daemon.metric('inset_scaler_formats')
    session.close()
    os.kill(old[0], signal.SIGKILL)

    def is_back():
        return (daemon.role(dies) not in ([], old) and daemon.metric(f'inset_processes{{role="{dies}"}}') == 1
                and daemon.metric('inset_scaler_formats') == formats)
    wait_for(is_back, 'it is back', process=daemon.process)
    session = Session(daemon.port, upstream)
    refused = outcome(daemon, 'address')

    def gets_one():
        sent = picture(by_name(media, media.put(pictures.png(99, 60))))
        session.client.send(sent)
        return session.server.until(b'</message>') != sent
    wait_for(gets_one, 'the channels are there')
    assert outcome(daemon, 'address') == refused
    session.close()


@pytest.mark.parametrize('server', ['prosody', 'ejabberd'])
def test_real_upload_services_are_learned(tmp_path, proxy, dns, request, server):
    """mod_http_file_share and mod_http_upload, under a name with a public address."""
    made = {'prosody': 'harness.prosody.Prosody', 'ejabberd': 'harness.ejabberd.Ejabberd'}[server]
    module, _, name = made.rpartition('.')
    there = getattr(__import__(module, fromlist=[name]), name)(tmp_path, http_name='share.example.test')
    request.addfinalizer(there.stop)
    dns.put('share.example.test', [PUBLIC])
    proxy.put(PUBLIC, there.http_port, there.http_port)
    upstream = there.upstream
    daemon = Insetd(tmp_path, upstream, {'fetch.dns-servers': [dns.address], 'fetch.ports': [there.http_port],
                                         'fetch.proxy': proxy.url, 'fetch.from': 'listed'})
    request.addfinalizer(daemon.stop)

    async def talk():
        alice, bob = Client('alice', daemon.port), Client('bob', daemon.port)
        await asyncio.gather(alice.start(), bob.start())
        early = f'{there.origin}/not-yet.jpg'
        alice.picture_message(early, 'early', to='bob@localhost/slix').send()
        await bob.next_message('early')
        assert outcome(daemon, 'address') == 1 and proxy.asked == []
        data = pictures.jpeg(800, 600)
        reply = await alice['xep_0363'].request_slot(slixmpp.JID('upload.localhost'), 'a.jpg', len(data), 'image/jpeg')
        slot = reply['http_upload_slot']
        url = str(slot['get']['url'])           # at once: slixmpp's stanzas may be empty later
        assert url.startswith(there.origin)
        headers = {header['name']: header['value'] for header in slot['put']['headers']}
        put = urllib.request.Request(slot['put']['url'].replace('share.example.test', '127.0.0.1'), data,
                                     headers | {'Content-Type': 'image/jpeg', 'Host': there.origin[7:]}, method='PUT')
        assert (await asyncio.to_thread(urllib.request.urlopen, put, timeout=30)).status == 201
        alice.picture_message(url, 'shared', to='bob@localhost/slix').send()
        await bob.next_message('shared')
        assert len(thumbnails(stanza_bytes(bob.raw, 'shared'))) == 1
        assert proxy.asked == [f'CONNECT {PUBLIC}:{there.http_port}']
        await alice.end()
        await bob.end()
    asyncio.run(talk())
