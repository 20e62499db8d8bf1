# SPDX-License-Identifier: MIT
"""TLS from clients (STARTTLS and direct) and to the server: raw peers that look at every byte, and
`openssl s_client`.

OpenSSL's part in detail: unit/test_tls.c; inset's own words: unit/test_greeting.c; real clients and
servers: test_matrix.py.
"""
import contextlib
import os
import re
import ssl
import subprocess
import threading
import warnings

import pytest

from harness import pictures
from harness.certs import Authority
from harness.insetd import Insetd, run
from harness.processes import wait_for
from harness.rawpeer import FEATURES1, HEADER, Peer, REPLY, Session, Upstream, connect
from harness.stanzas import check_thumbnail, picture

STARTTLS = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
PROCEED = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
OFFER = (b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
         b"</stream:features>")
GOOD = pictures.png(200, 150, seed=9)


@pytest.fixture(scope='module')
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp('ca'))


@pytest.fixture(scope='module')
def certificates(authority):
    return [authority.issue('localhost'), authority.issue('example.org', '*.example.org'),
            authority.issue('rsa.example.net', kind=('rsa:2048',))]


@pytest.fixture(scope='module', params=['starttls', 'direct'])
def secured(request, tmp_path_factory, upstream, media, certificates):
    """insetd with TLS, one way or the other; `.tls` says which."""
    daemon = Insetd(tmp_path_factory.mktemp(request.param), upstream.address,
                    {'fetch.allow-origin': [media.origin], 'listen.main.tls': request.param,
                     'listen.main.certificates': [str(c) for c in certificates]})
    daemon.tls = request.param
    yield daemon
    daemon.stop()


@pytest.fixture(scope='module')
def starttls(tmp_path_factory, upstream, media, certificates):
    daemon = Insetd(tmp_path_factory.mktemp('starttls-only'), upstream.address,
                    {'fetch.allow-origin': [media.origin], 'listen.main.tls': 'starttls',
                     'limits.handshake-timeout': '2s', 'listen.main.certificates': [str(c) for c in certificates]})
    yield daemon
    daemon.stop()


def context_of(authority, **options):
    context = ssl.create_default_context(cafile=authority.file)
    for name, value in options.items():
        setattr(context, name, value)
    return context


def say_starttls(peer, header=HEADER):
    """Up to <proceed/>, every byte looked at."""
    peer.send(header)
    answer = peer.until(b'</stream:features>')
    assert re.fullmatch(rb"<\?xml version='1\.0'\?><stream:stream xmlns='jabber:client' "
                        rb"xmlns:stream='http://etherx\.jabber\.org/streams' version='1\.0' id='[0-9a-f]{16}'"
                        rb"( from='[^']*')?>" + re.escape(OFFER), answer), answer
    peer.send(STARTTLS)
    peer.expect(PROCEED)
    assert peer.silent()


def secure(daemon, authority, name='localhost', header=HEADER, context=None):
    """A client behind its handshake."""
    peer = connect(daemon.port)
    if getattr(daemon, 'tls', 'starttls') == 'starttls':
        say_starttls(peer, header)
    peer.sock = (context or context_of(authority)).wrap_socket(peer.sock, server_hostname=name)
    return peer


class SecureSession(Session):
    """As Session, with TLS on the client's side."""

    def __init__(self, daemon, authority, upstream, features=FEATURES1, **kwargs):
        self.client = secure(daemon, authority, **kwargs)
        self.client.send(HEADER)
        self.server = upstream.accept(HEADER)
        self.user = 'alice'
        self.s2c((REPLY % 1) + features)


def names_of(peer):
    return {value for kind, value in peer.sock.getpeercert()['subjectAltName']}


# --- clients -------------------------------------------------------------------------------

def test_a_whole_session(secured, authority, upstream, media):
    session = SecureSession(secured, authority, upstream)
    assert session.client.sock.version() == 'TLSv1.3'
    session.login()
    sent = picture(media.put(GOOD))
    session.client.send(sent)
    check_thumbnail(sent, session.server.until(b'</message>'))
    large = b'<message><body>' + os.urandom(300000).hex().encode() + b'</body></message>'
    session.s2c(large)
    session.c2s(large)
    for n in range(0, len(sent), 7):                    # a record for every few bytes
        session.client.send(sent[n:n + 7])
    check_thumbnail(sent, session.server.until(b'</message>'))
    session.c2s(b'</stream:stream>')
    session.server.half_close()
    session.client.sock = session.client.sock.unwrap()  # close_notify both ways
    session.client.half_close()
    assert session.server.rest() == b''
    session.close()


@pytest.mark.parametrize('lane', ['c2s', 's2c'])
def test_bulk_with_backpressure(secured, authority, upstream, lane):
    """16 MiB to a reader that begins late: all of it arrives, in order."""
    session = SecureSession(secured, authority, upstream)
    session.login()
    fro, to = (session.client, session.server) if lane == 'c2s' else (session.server, session.client)
    block = b'<message><body>' + os.urandom(8192).hex().encode() + b'</body></message>'
    sender = threading.Thread(target=lambda: [fro.send(block) for _ in range(1000)])
    sender.start()
    for _ in range(1000):
        to.expect(block)
    sender.join()
    session.close()


@pytest.mark.parametrize('name,expected', [('localhost', {'localhost'}), ('example.org', {'example.org', '*.example.org'}),
                                           ('chat.example.org', {'example.org', '*.example.org'}),
                                           ('rsa.example.net', {'rsa.example.net'})])
def test_certificate_by_sni(secured, authority, name, expected):
    peer = secure(secured, authority, name)
    assert names_of(peer) == expected
    peer.close()


def test_unknown_name_gets_the_first_certificate(secured, authority):
    context = context_of(authority, check_hostname=False)
    peer = secure(secured, authority, 'elsewhere.net', context=context)
    assert names_of(peer) == {'localhost'}
    peer.close()


def test_certificate_by_the_streams_to(starttls, authority):
    """A client without SNI."""
    header = HEADER.replace(b"'localhost'", b"'chat.example.org'")
    peer = secure(starttls, authority, None, header, context_of(authority, check_hostname=False))
    assert 'example.org' in names_of(peer)
    peer.close()


@pytest.mark.parametrize('version', [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(secured, authority, version):
    peer = secure(secured, authority, context=context_of(authority, maximum_version=version, minimum_version=version))
    assert peer.sock.version() == version.name.replace('_', '.')
    peer.close()


def test_old_versions_are_refused(secured, authority):
    context = context_of(authority)
    context.set_ciphers('DEFAULT@SECLEVEL=0')
    with warnings.catch_warnings(action='ignore'):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        secure(secured, authority, context=context)


@pytest.mark.parametrize('offered', [['xmpp-client'], ['http/1.1', 'xmpp-client'], None, ['http/1.1'], ['xmpp-server']])
def test_alpn(secured, authority, offered):
    context = context_of(authority)
    if offered:
        context.set_alpn_protocols(offered)
    if offered and 'xmpp-client' not in offered:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            secure(secured, authority, context=context)
        return
    peer = secure(secured, authority, context=context)
    assert peer.sock.selected_alpn_protocol() == ('xmpp-client' if offered else None)
    peer.close()


def s_client(daemon, authority, *args, text=''):
    """`openssl s_client` as a client of example.org: the completed process."""
    how = ['-starttls', 'xmpp', '-xmpphost', 'example.org'] if daemon.tls == 'starttls' else ['-alpn', 'xmpp-client']
    return subprocess.run(['openssl', 's_client', '-connect', f'127.0.0.1:{daemon.port}', *how, '-CAfile', authority.file,
                           '-servername', 'example.org', '-verify_return_error', '-verify_hostname', 'example.org', *args],
                          input=text, capture_output=True, text=True, timeout=30, check=False)


def test_s_client(secured, authority):
    done = s_client(secured, authority)
    assert 'Verify return code: 0 (ok)' in done.stdout, done.stdout + done.stderr
    assert 'Secure Renegotiation IS' in done.stdout
    assert 'Compression: NONE' in done.stdout


@pytest.mark.parametrize('version', ['-tls1', '-tls1_1'])
def test_s_client_with_an_old_version(secured, authority, version):
    """Refused by inset, not by the client's own settings: its alert says so."""
    done = s_client(secured, authority, version, '-cipher', 'DEFAULT@SECLEVEL=0')
    assert done.returncode != 0
    assert 'alert protocol version' in done.stderr, done.stdout + done.stderr


def test_s_client_that_renegotiates(secured, authority):
    done = s_client(secured, authority, '-tls1_2', text='R\n')
    assert 'Protocol  : TLSv1.2' in done.stdout and 'RENEGOTIATING' in done.stderr + done.stdout
    assert done.returncode != 0
    assert 'no renegotiation' in done.stderr, done.stdout + done.stderr


# --- STARTTLS to the letter ----------------------------------------------------------------

def test_pipelined_starttls(starttls, authority, upstream):
    peer = connect(starttls.port)
    peer.send(HEADER + STARTTLS)
    assert peer.until(b'</stream:features>').endswith(OFFER)
    peer.expect(PROCEED)
    peer.sock = context_of(authority).wrap_socket(peer.sock, server_hostname='localhost')
    peer.send(HEADER)
    upstream.accept(HEADER).close()
    peer.close()


@pytest.mark.parametrize('behind', [b' ', b'<presence/>', HEADER, b'\x16\x03\x01'])
def test_bytes_behind_starttls_end_the_session(starttls, upstream, behind):
    peer = connect(starttls.port)
    peer.send(HEADER)
    peer.until(OFFER)
    peer.send(STARTTLS + behind)
    rest = peer.rest()
    assert PROCEED not in rest and b'<policy-violation ' in rest
    peer.close()


@pytest.mark.parametrize('first,condition', [
    (b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>", b'policy-violation'),
    (b'<presence/>', b'policy-violation'),
    (b"<starttls xmlns='urn:example:other'/>", b'policy-violation'),
    (b'<!-- hi -->', b'restricted-xml'),
    (b'<a', None),
    (b'</stream:stream>', None),
    (b'<presence' + b' ' * 20000, b'policy-violation'),
])
def test_something_else_than_starttls(starttls, first, condition):
    peer = connect(starttls.port)
    peer.send(HEADER)
    peer.until(OFFER)
    peer.send(first)
    rest = peer.rest()                              # <a: until the time is over
    if first == b'</stream:stream>':
        assert rest == first
    elif condition:
        assert rest.startswith(b'<stream:error><' + condition) and rest.endswith(b'</stream:stream>')
    else:
        assert b'<connection-timeout ' in rest
    peer.close()


@pytest.mark.parametrize('garbage', [b'\x16\x03\x01\x02\x00\x01\x00', b'GET / HTTP/1.1\r\n\r\n', b'<message/>', b"<a:stream xmlns:a='b'>"])
def test_no_stream_at_all(starttls, garbage):
    peer = connect(starttls.port)
    peer.send(garbage)
    assert b'<stream:error>' in peer.rest()
    peer.close()


def test_nothing_reaches_the_server_before_tls(starttls, upstream, authority):
    peer = connect(starttls.port)
    say_starttls(peer)
    upstream.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        upstream.sock.accept()
    upstream.sock.settimeout(30)
    peer.close()


WRONG = {'nothing': b'', 'cut': b'\x16\x03\x01\x00\x10', 'noise': b'\xfe' + bytes(range(256)) * 2, 'header': HEADER}


@pytest.mark.parametrize('name', WRONG)
def test_handshake_that_goes_wrong(secured, name):
    what = WRONG[name]
    failed = secured.metric('inset_tls_failures_total')
    peer = connect(secured.port)
    if secured.tls == 'starttls':
        say_starttls(peer)
    peer.send(what)
    with contextlib.suppress(OSError):              # closed meanwhile
        peer.half_close()
    peer.rest()
    peer.close()
    secured.wait_metric('inset_tls_failures_total', failed + 1)


def test_slow_handshake(starttls):
    peer = connect(starttls.port)
    say_starttls(peer)
    assert peer.rest() == b''                       # limits.handshake-timeout
    peer.close()


# --- features ------------------------------------------------------------------------------

def test_handshake_that_ends_when_it_is_too_late(starttls, authority, upstream):
    """The last message of a handshake comes when its time is over: nothing but this connection ends."""
    proxies = starttls.role('proxy')
    peer = connect(starttls.port)
    say_starttls(peer)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context_of(authority).wrap_bio(incoming, outgoing, server_hostname='localhost')
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            peer.send(outgoing.read())
            incoming.write(peer.sock.recv(65536))
    assert peer.rest() == b''
    with contextlib.suppress(OSError):
        peer.send(outgoing.read())                  # Finished, in TLS 1.3
        assert peer.rest() == b''
    SecureSession(starttls, authority, upstream)
    assert starttls.role('proxy') == proxies


def test_starttls_of_the_server_is_cut(secured, authority, upstream):
    offered = ("<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
               "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
               "<compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>"
               "<c xmlns='http://jabber.org/protocol/caps' ver='x'/></stream:features>")
    wanted = ("<stream:features>"
              "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
              "<c xmlns='http://jabber.org/protocol/caps' ver='x'/></stream:features>")
    session = SecureSession(secured, authority, upstream, features='')
    for part in (offered, offered.replace("'", '"'), offered[:60], offered[60:]):
        session.server.send(part)
    session.client.expect(wanted + wanted.replace("'", '"') + wanted)
    session.close()


def test_in_the_clear_starttls_passes_and_compression_is_cut(session):
    session.server.send("<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
                        "<compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>"
                        "</stream:features>")
    session.client.expect("<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>")


# --- reload --------------------------------------------------------------------------------

def test_reload_takes_a_new_certificate_and_drops_nobody(tmp_path, upstream, authority):
    file = tmp_path / 'live.pem'
    file.write_bytes(authority.issue('localhost', file='first').read_bytes())
    daemon = Insetd(tmp_path, upstream.address, {'listen.main.tls': 'direct', 'listen.main.certificates': [str(file)]})
    daemon.tls = 'direct'
    old = SecureSession(daemon, authority, upstream)
    old.login()
    file.write_bytes(authority.issue('localhost', 'new.example.org', file='second').read_bytes())
    assert daemon.ctl('reload').returncode == 0
    new = secure(daemon, authority)
    assert 'new.example.org' in names_of(new)
    old.c2s(b'<presence/>')
    file.write_text('no certificate')
    broken = daemon.ctl('reload')
    assert broken.returncode == 1 and 'holds no certificate in PEM form' in broken.stderr
    third = secure(daemon, authority)
    assert 'new.example.org' in names_of(third)
    for peer in (new, third, old):
        peer.close()
    daemon.stop()


# --- what -t says --------------------------------------------------------------------------

def check_file(tmp_path, certificate, extra=''):
    conf = tmp_path / 'inset.conf'
    conf.write_text(f'listen = {{\n c2s = {{ bind = "127.0.0.1:5222" upstream = "127.0.0.1:15222"\n'
                    f'  tls = "starttls"\n  certificates = ["{certificate}"]\n{extra} }}\n}}\n')
    return run('-c', conf, '-t')


def test_check_of_certificates(tmp_path, authority):
    good = authority.issue('localhost', file='good')
    other = authority.issue('localhost', file='other')
    parts = good.read_text().split('-----BEGIN ')
    cert, ca, key = ('-----BEGIN ' + part for part in parts[1:])
    other_key = '-----BEGIN ' + other.read_text().split('-----BEGIN ')[3]
    unrelated = Authority(tmp_path).file.read_text()
    cases = {'good': (cert + ca + key, None), 'key first': (key + cert + ca, None), 'no chain': (cert + key, None),
             'no key': (cert + ca, 'holds no private key'), 'no certificate': (key, 'holds no certificate'),
             'other key': (cert + ca + other_key, 'the key is not that of the first certificate'),
             'chain out of order': (cert + unrelated + key, 'is not followed by its issuer'),
             'empty': ('', 'holds no certificate')}
    for name, (text, problem) in cases.items():
        file = tmp_path / 'case.pem'
        file.write_text(text)
        done = check_file(tmp_path, file)
        assert (done.returncode, problem or '') == (1 if problem else 0, problem or ''), (name, done.stderr)
        if problem:
            assert problem in done.stderr and re.match(rf'{tmp_path}/inset\.conf:4: ', done.stderr), (name, done.stderr)
    expired = authority.issue('localhost', days='-1', file='expired')
    done = check_file(tmp_path, expired)
    assert done.returncode == 1 and 'has expired' in done.stderr


def test_key_that_cannot_be_read(tmp_path):
    done = check_file(tmp_path, tmp_path / 'missing.pem')
    assert done.returncode == 1
    assert done.stderr.strip().endswith(f'"{tmp_path}/missing.pem": cannot be read: No such file or directory')
    assert done.stderr.count('\n') == 1


def test_tls_without_certificate(tmp_path):
    conf = tmp_path / 'inset.conf'
    conf.write_text('listen = { c2s = { bind = "127.0.0.1:5222" upstream = "127.0.0.1:15222" tls = "direct" } }\n')
    done = run('-c', conf, '-t')
    assert done.returncode == 1 and 'missing: certificate and key for tls' in done.stderr


# --- the server's side ---------------------------------------------------------------------

class TlsUpstream(Upstream):
    """A scripted server that speaks direct TLS."""

    def __init__(self, certificate):
        super().__init__()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.context.set_alpn_protocols(['xmpp-client'])

    def accept(self, first):
        raw = self.sock.accept()[0]
        peer = Peer(raw)
        peer.sock = self.context.wrap_socket(raw, server_side=True)
        peer.expect(first)
        return peer


def test_upstream_by_tls(tmp_path, authority, certificates, media):
    server = TlsUpstream(certificates[0])
    daemon = Insetd(tmp_path, f'tls://{server.address}', {
        'fetch.allow-origin': [media.origin], 'listen.main.upstream-name': 'localhost',
        'listen.main.upstream-ca': str(authority.file)})
    session = Session(daemon.port, server)
    assert session.server.sock.version() == 'TLSv1.3'
    assert session.server.sock.selected_alpn_protocol() == 'xmpp-client'
    sent = picture(media.put(GOOD))
    session.client.send(sent)
    check_thumbnail(sent, session.server.until(b'</message>'))
    session.close()
    daemon.stop()
    server.close()


@pytest.mark.parametrize('name,authorities', [('elsewhere.net', True), ('localhost', False)])
def test_upstream_that_is_not_who_it_should_be(tmp_path, authority, certificates, name, authorities):
    server = TlsUpstream(certificates[0])
    other = tmp_path / 'other'
    other.mkdir()
    daemon = Insetd(tmp_path, f'tls://{server.address}', {
        'listen.main.upstream-name': name,
        'listen.main.upstream-ca': str(authority.file if authorities else Authority(other).file)})
    client = connect(daemon.port)
    client.send(HEADER)
    raw = server.sock.accept()[0]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        server.context.wrap_socket(raw, server_side=True).recv(1)
    assert b'<remote-connection-failed ' in client.rest()
    wait_for(lambda: 'upstream unreachable' in daemon.log(), 'a line in the log')
    assert 'mismatch' in daemon.log() or 'certificate' in daemon.log()
    client.close()
    daemon.stop()
    server.close()
