# SPDX-License-Identifier: MIT
"""XEP-0138 compression: taken off and put on where both peers agree, answered where it is stripped.

The peers' zlib is Python's; a real ejabberd with `zlib: true` at the end. Every split of the switch
and every place of an answer: unit/test_compress.c; damaged data: unit/test_zstream.c.
"""
import base64
import os
import ssl
import threading
import zlib

import pytest

from harness import pictures
from harness.certs import Authority
from harness.insetd import Insetd
from harness.processes import wait_for
from harness.rawpeer import FEATURES2, HEADER, Peer, REPLY, Session, connect
from harness.stanzas import check_thumbnail, picture

NS = "xmlns='http://jabber.org/protocol/compress'"
ASK = f'<compress {NS}><method>zlib</method></compress>'.encode()
AGREED = f'<compressed {NS}/>'.encode()
FAILURE = f'<failure {NS}><setup-failed/></failure>'.encode()
FEATURE = "<compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>"
OFFER = FEATURES2.replace('<sm ', FEATURE + '<sm ')
END = b'</stream:stream>'
GOOD = pictures.png(200, 150, seed=38)


def error(name):
    return f"<stream:error><{name} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>".encode()


@pytest.fixture(scope='module')
def relay(tmp_path_factory, upstream, media):
    daemon = Insetd(tmp_path_factory.mktemp('relay'), upstream.address,
                    {'fetch.allow-origin': [media.origin], 'listen.main.compression': 'relay',
                     'listen.main.directions': ['c2s', 's2c'], 'limits.header-timeout': '20s'})
    yield daemon
    daemon.stop()


class Zip(Peer):
    """The same connection, compressed from here on both ways."""

    def __init__(self, peer):
        self.sock, self.buf = peer.sock, b''
        self.pack, self.unpack = zlib.compressobj(9), zlib.decompressobj()
        if peer.buf:
            self.buf = self.unpack.decompress(peer.buf)

    def packed(self, data):
        data = data.encode() if isinstance(data, str) else data
        return self.pack.compress(data) + self.pack.flush(zlib.Z_SYNC_FLUSH)

    def send(self, data):
        super().send(self.packed(data))

    def send_raw(self, data):
        self.sock.sendall(data)

    def _fill(self):
        data = self.sock.recv(262144)
        if not data:
            raise EOFError(f'closed; had {self.buf[-2000:]!r}')
        self.buf += self.unpack.decompress(data)

    def rest(self):
        out, self.buf = self.buf, b''
        while True:
            try:
                data = self.sock.recv(262144)
            except ConnectionError:
                return out
            if not data:
                return out
            out += self.unpack.decompress(data)


def authenticate(session):
    """Up to the second features, which offer compression."""
    session.c2s("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAGFsaWNlcHc=</auth>")
    session.s2c("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
    session.c2s(HEADER)
    session.s2c((REPLY % 2) + OFFER)


def switch(session):
    """Both sides compressed, at the beginning of their new streams."""
    session.c2s(ASK)
    session.s2c(AGREED)
    session.client, session.server = Zip(session.client), Zip(session.server)


def bind(session):
    session.c2s(HEADER)
    session.s2c((REPLY % 3) + FEATURES2)
    session.c2s("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>raw</resource></bind></iq>")
    session.s2c("<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                "<jid>alice@localhost/raw</jid></bind></iq>")


def agree(daemon, upstream):
    session = Session(daemon.port, upstream, login=False)
    authenticate(session)
    switch(session)
    bind(session)
    return session


@pytest.fixture
def packed(relay, upstream):
    """A session compressed on both sides, bound."""
    session = agree(relay, upstream)
    yield session
    session.close()


# --- relay ---------------------------------------------------------------------------------

def test_filters_see_a_compressed_session(packed, media, relay):
    sent = picture(media.put(GOOD))
    packed.client.send(sent)
    check_thumbnail(sent, packed.server.until(b'</message>'))
    packed.server.send(sent)
    check_thumbnail(sent, packed.client.until(b'</message>'))
    whole = packed.client.packed(sent)
    for at in range(len(whole)):                            # byte by byte
        packed.client.send_raw(whole[at:at + 1])
    check_thumbnail(sent, packed.server.until(b'</message>'))
    assert relay.metric('inset_sessions_compressed_total') >= 1
    assert relay.metric('inset_sessions_opaque_total') == 0


def test_each_write_is_flushed(packed):
    """No byte waits for the next one, in either direction."""
    for n in range(50):
        packed.c2s(f'<message id="{n}"/>')
        packed.s2c(' ')
        packed.s2c('<presence>' + 'ab' * n)
        packed.s2c('</presence>')
        packed.c2s(' ')


def test_a_held_message_keeps_the_order(packed, media):
    url, serve = media.gate(GOOD)
    sent = picture(url)
    packed.client.send(sent + b"<r xmlns='urn:xmpp:sm:3'/>")
    packed.client.send('<presence/>')
    packed.s2c('<presence/>')                               # the other lane flows
    serve.set()
    check_thumbnail(sent, packed.server.until(b'</message>'))
    packed.server.expect("<r xmlns='urn:xmpp:sm:3'/><presence/>")


def test_the_first_compressed_bytes_in_one_write(relay, upstream):
    """<compressed/> and what the server's zlib says next, for each split of both."""
    pack = zlib.compressobj()
    early = pack.compress((REPLY % 3).encode()) + pack.flush(zlib.Z_SYNC_FLUSH)
    whole = AGREED + early
    for cut in list(range(len(AGREED) - 3, len(AGREED) + 6)) + [len(whole)]:
        session = Session(relay.port, upstream, login=False)
        authenticate(session)
        session.c2s(ASK)
        session.server.send(whole[:cut])
        session.server.send(whole[cut:])
        session.client.expect(AGREED)
        session.client, session.server = Zip(session.client), Zip(session.server)
        session.server.pack = pack.copy()
        session.client.expect(REPLY % 3)
        session.c2s(HEADER)
        session.s2c(FEATURES2)
        session.close()


@pytest.mark.parametrize('lane', ['c2s', 's2c'])
def test_bulk_with_backpressure(packed, lane):
    """8 MiB to a reader that begins late: all of it arrives, in order."""
    fro, to = (packed.client, packed.server) if lane == 'c2s' else (packed.server, packed.client)
    blocks = [b'<message><body>' + os.urandom(8192).hex().encode() + b'</body></message>' for _ in range(512)]
    sender = threading.Thread(target=lambda: [fro.send(block) for block in blocks])
    sender.start()
    for block in blocks:
        to.expect(block)
    sender.join()
    packed.c2s('<a/>')
    packed.s2c('<b/>')


def test_repetition_below_the_ratio_passes(packed):
    """What packs well is no bomb: a long text of spaces, once, and lists of likenesses."""
    packed.c2s(b'<message><body>' + b' ' * 60000 + b'</body></message>')
    packed.s2c(b'<iq>' + b''.join(b"<item jid='user%d@example.org' subscription='both'/>" % n for n in range(20000)) + b'</iq>')


def test_the_end_of_both_directions(packed):
    packed.c2s(END)
    packed.s2c(END)
    packed.server.half_close()
    assert packed.client.rest() == b''
    packed.client.half_close()
    assert packed.server.rest() == b''


def test_a_finished_direction(packed):
    """A peer whose zlib says that it is done, and then closes."""
    packed.client.send_raw(packed.client.pack.compress(b'<a/>' + END) + packed.client.pack.flush(zlib.Z_FINISH))
    packed.client.half_close()
    packed.server.expect(b'<a/>' + END)
    assert packed.server.rest() == b''


def test_the_server_refuses(relay, upstream):
    session = Session(relay.port, upstream, login=False)
    authenticate(session)
    session.c2s(ASK)
    session.s2c(FAILURE)
    session.c2s('<presence/>')
    session.s2c('<presence/>')
    session.close()


def test_another_method_is_relayed_blind(relay, upstream):
    before = relay.metric('inset_sessions_opaque_total')
    session = Session(relay.port, upstream, login=False)
    authenticate(session)
    session.c2s(ASK.replace(b'zlib', b'lzw'))
    session.s2c(AGREED + bytes(range(256)))
    session.c2s(bytes(range(256)))
    session.close()
    relay.wait_metric('inset_sessions_opaque_total', before + 1)


def test_features(relay, upstream):
    session = Session(relay.port, upstream, login=False)
    offered = f'<stream:features><a/>{FEATURE.replace("</c", "<method>lzw</method></c")}</stream:features>'
    session.server.send(offered)
    session.client.expect('<stream:features><a/></stream:features>')        # only behind authentication
    authenticate(session)
    session.server.send(offered)
    session.client.expect(f'<stream:features><a/>{FEATURE}</stream:features>')
    switch(session)
    session.c2s(HEADER)
    session.server.send((REPLY % 3) + offered)
    session.client.expect((REPLY % 3) + '<stream:features><a/></stream:features>')
    session.close()


class SecureSession(Session):
    """As Session, with TLS on the client's side."""

    def __init__(self, port, upstream, context):
        self.client = connect(port)
        self.client.sock = context.wrap_socket(self.client.sock, server_hostname='localhost')
        self.client.send(HEADER)
        self.server = upstream.accept(HEADER)
        self.s2c((REPLY % 1) + '<stream:features/>')


@pytest.fixture
def secured(tmp_path, start, upstream):
    """A session that is compressed, inside TLS on the client's side."""
    authority = Authority(tmp_path)
    daemon = start({'listen.main.tls': 'direct', 'listen.main.certificates': [str(authority.issue('localhost'))],
                    'listen.main.compression': 'relay'})
    session = SecureSession(daemon.port, upstream, ssl.create_default_context(cafile=authority.file))
    authenticate(session)
    switch(session)
    bind(session)
    yield session
    session.close()


def test_tls_below_compression(secured, media):
    session = secured
    sent = picture(media.put(GOOD))
    session.client.send(sent)
    check_thumbnail(sent, session.server.until(b'</message>'))
    for lane in (session.c2s, session.s2c):
        lane(b'<message><body>' + b' ' * 60000 + b'</body></message>')      # much from one record
        lane(b'<message><body>' + os.urandom(300000).hex().encode() + b'</body></message>')


def test_the_end_of_tls_behind_what_is_still_packed(secured):
    """close_notify alone, with the connection left open: it comes behind all that unpacks."""
    whole = b'<message><body>' + b' ' * 63000 + b'</body></message>' + END
    secured.client.send(whole)
    closing = threading.Thread(target=secured.client.sock.unwrap)
    closing.start()
    secured.server.expect(whole)
    assert secured.server.rest() == b''
    secured.server.half_close()
    closing.join()


@pytest.mark.parametrize('kind', ['packed', 'secured'])
def test_bulk_both_ways(request, kind):
    """Both lanes full of bytes at the same time: nobody waits for ever for what is here already."""
    session = request.getfixturevalue(kind)
    blocks = [b'<message><body>' + os.urandom(2000).hex().encode() * 8 + b'</body></message>' for _ in range(200)]

    def send(peer):
        for block in blocks:
            peer.send_raw(b''.join(peer.packed(block[at:at + 5000]) for at in range(0, len(block), 5000)))

    threads = [threading.Thread(target=send, args=(session.server,))]
    if kind == 'packed':                                    # Python's TLS cannot read and write at once
        threads.append(threading.Thread(target=send, args=(session.client,)))
    for thread in threads:
        thread.start()
    if kind == 'packed':
        for block in blocks:
            session.server.expect(block)
    for block in blocks:
        session.client.expect(block)
    for thread in threads:
        thread.join()


# --- hostile peers ---------------------------------------------------------------------------

def ends(daemon, offender, other, raw, condition, reason):
    """These bytes end the session: one side is told why, the other one closed without a word."""
    metric = f'inset_compression_failures_total{{reason="{reason}"}}'
    before = daemon.metric(metric)
    got = []
    reader = threading.Thread(target=lambda: got.append(other.rest()))
    reader.start()
    offender.sock.sendall(raw)
    assert offender.rest() == error(condition)
    offender.close()
    reader.join()
    assert END not in got[0]
    daemon.wait_metric(metric, before + 1)
    return got[0]


def sides(session, side):
    return (session.client, session.server) if side == 'client' else (session.server, session.client)


@pytest.mark.parametrize('side', ['client', 'server'])
def test_bombs(relay, packed, side):
    offender, other = sides(packed, side)
    raw = offender.packed(b'<message><body>' + b' ' * (32 << 20))
    assert len(raw) < 40000
    got = ends(relay, offender, other, raw, 'policy-violation', 'ratio')
    assert len(got) < 4 << 20                               # 100 for each byte, not 1000


@pytest.mark.parametrize('side', ['client', 'server'])
@pytest.mark.parametrize('garbage', [b'\xff' * 100, b'<presence/>', os.urandom(50000)], ids=['ff', 'clear', 'random'])
def test_garbage(relay, packed, side, garbage):
    offender, other = sides(packed, side)
    raw = offender.packed('<a/>') + b'\x07' + garbage      # 7: a block of the type that there is not
    assert ends(relay, offender, other, raw, 'undefined-condition', 'corrupt') in (b'', b'<a/>')


@pytest.mark.parametrize('side', ['client', 'server'])
def test_no_zlib_at_all(relay, upstream, side):
    session = Session(relay.port, upstream, login=False)
    authenticate(session)
    switch(session)
    offender, other = sides(session, side)
    metric = 'inset_compression_failures_total{reason="corrupt"}'
    before = relay.metric(metric)
    offender.send_raw(HEADER)
    answer = offender.rest()
    assert answer == b'' if side == 'server' else answer.endswith(error('undefined-condition'))
    assert other.rest() == b''
    relay.wait_metric(metric, before + 1)
    session.close()


def test_clear_bytes_behind_the_question(relay, upstream):
    """What a client says before the answer is not taken, be it in one write or in two."""
    for more in (b' ', b'<presence/>', HEADER):
        for writes in ([ASK + more], [ASK, more]):
            session = Session(relay.port, upstream, login=False)
            authenticate(session)
            for write in writes:
                session.client.send(write)
            assert session.client.rest() == error('policy-violation')
            assert session.server.rest() == ASK
            session.close()


def test_a_peer_that_vanishes(relay, upstream):
    for _ in range(20):
        session = agree(relay, upstream)
        session.client.send(b'<message><body>' + os.urandom(100000).hex().encode())
        session.client.close()
        session.server.close()
    wait_for(lambda: relay.metric('inset_sessions') == 0, 'no session is left')


# --- strip ---------------------------------------------------------------------------------

def test_stray_requests_are_answered(session):
    session.client.send(b'<presence/>' + ASK + b'<message/>')
    session.server.expect('<presence/><message/>')
    session.client.expect(FAILURE)
    session.s2c('<presence>')                               # in the middle of a unit
    session.client.send(ASK)
    session.c2s('<a/>')                                     # a fence
    session.s2c('<show>away</show>')
    session.server.send('</presence><b/>')
    session.client.expect(b'</presence>' + FAILURE + b'<b/>')
    for n in range(len(ASK)):
        session.client.send(ASK[n:n + 1])
    session.client.expect(FAILURE)
    session.client.send(b'<c/>' + ASK)                      # enough of that
    assert session.client.rest() == error('policy-violation')
    assert session.server.rest() == b'<c/>'


def test_a_stray_request_behind_a_held_message(session, media):
    url, serve = media.gate(GOOD)
    sent = picture(url)
    session.client.send(sent + ASK + b'<presence/>')
    session.client.expect(FAILURE)                          # the other lane is not held
    serve.set()
    check_thumbnail(sent, session.server.until(b'</message>'))
    session.server.expect('<presence/>')


def test_an_answer_behind_a_held_message(start, upstream, media):
    daemon = start({'listen.main.directions': ['s2c']})
    session = Session(daemon.port, upstream)
    url, serve = media.gate(GOOD)
    sent = picture(url)
    session.server.send(sent + b'<a/>')
    daemon.wait_metric('inset_held_units', 1)
    session.client.send(ASK)
    session.c2s('<presence/>')
    assert session.client.silent()
    session.server.send('<b/>')
    serve.set()
    check_thumbnail(sent, session.client.until(b'</message>'))
    session.client.expect(b'<a/>' + FAILURE + b'<b/>')
    session.close()


# --- ejabberd ------------------------------------------------------------------------------

class RealSession:
    """A client of a real server: a compressed one if the server says so."""

    def __init__(self, port, user, compress):
        self.peer = connect(port)
        self.stream()
        secret = base64.b64encode(f'\0{user}\0{user}pw'.encode()).decode()
        self.peer.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>")
        self.peer.until(b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
        self.features = self.stream()
        if compress:
            self.peer.send(ASK)
            self.answer = self.peer.until(b'/>')
            if self.answer == AGREED:
                self.peer = Zip(self.peer)
                self.stream()
        self.peer.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>raw</resource></bind>"
                       "</iq>")
        self.peer.until(b'</iq>')
        self.peer.send('<presence/>')
        self.peer.until(b'<presence')

    def stream(self):
        self.peer.send(HEADER)
        return self.peer.until(b'</stream:features>')

    def close(self):
        self.peer.send(END)
        self.peer.rest()
        self.peer.close()


@pytest.mark.parametrize('mode', ['relay', 'strip'])
def test_ejabberd(start, ejabberd, media, mode):
    daemon = start({'listen.main.compression': mode}, to=f'127.0.0.1:{ejabberd.zlib_port}')
    alice = RealSession(daemon.port, 'alice', compress=mode == 'relay')
    bob = RealSession(daemon.port, 'bob', compress=False)
    assert (b'<method>zlib</method>' in alice.features) == (mode == 'relay')
    if mode == 'relay':
        assert alice.answer == AGREED
        sessions = ejabberd.connected()
        assert 'compressed' in sessions['alice@localhost/raw']['connection']
        assert 'compressed' not in sessions['bob@localhost/raw']['connection']
        assert daemon.metric('inset_sessions_compressed_total') == 1
    for fro, to, name in ((alice, bob, 'bob'), (bob, alice, 'alice')):
        sent = picture(media.put(GOOD), to=f'{name}@localhost/raw')
        fro.peer.send(sent)
        got = to.peer.until(b'</message>')
        assert b'http://jabber.org/protocol/ibb' in got
    alice.close()
    bob.close()
    assert daemon.metric('inset_thumbnails_total') == 2
    assert daemon.metric('inset_sessions_opaque_total') == 0
