# SPDX-License-Identifier: MIT
"""The PROXY protocol: from a balancer (scripted, and a real HAProxy) and to the server.

Headers in detail: unit/test_proxyproto.c.
"""
import contextlib
import ipaddress
import ssl
import struct

import pytest

from harness import pictures
from harness.certs import Authority
from harness.haproxy import HAProxy
from harness.insetd import Insetd, run
from harness.processes import wait_for
from harness.rawpeer import FEATURES1, HEADER, REPLY, Session, Upstream, connect
from harness.stanzas import check_thumbnail, picture

SIGNATURE = b'\r\n\r\n\0\r\nQUIT\n'
V1 = b'PROXY TCP4 192.0.2.7 198.51.100.1 4711 5222\r\n'
V2 = SIGNATURE + b'\x21\x11\0\x0c' + bytes([192, 0, 2, 7, 198, 51, 100, 1]) + struct.pack('>HH', 4711, 5222)
V2_6 = (SIGNATURE + b'\x21\x21\0\x24' + ipaddress.ip_address('2001:db8::7').packed
        + ipaddress.ip_address('2001:db8::1').packed + struct.pack('>HH', 4711, 5222))
LOCAL = SIGNATURE + b'\x20\0\0\0'
GOOD = pictures.png(120, 90, seed=4)


class Announced(Session):
    """A session through a listener for balancers; `told` is what the server got before the stream."""

    def __init__(self, port, upstream, header, told=b'', piece=None):
        self.client = connect(port)
        data = header + HEADER
        for at in range(0, len(data), piece or len(data)):
            self.client.send(data[at:at + (piece or len(data))])
        self.server = upstream.accept(told + HEADER)
        self.user = 'alice'
        self.s2c((REPLY % 1) + FEATURES1)


@pytest.fixture(scope='module')
def balanced(tmp_path_factory, upstream, media):
    daemon = Insetd(tmp_path_factory.mktemp('balanced'), upstream.address, {
        'fetch.allow-origin': [media.origin], 'listen.main.proxy-accept': 'any',
        'listen.main.proxy-from': ['10.0.0.0/8', '127.0.0.0/8']})
    yield daemon
    daemon.stop()


@pytest.mark.parametrize('header', [V1, V2, V2_6, LOCAL, b'PROXY UNKNOWN\r\n'])
@pytest.mark.parametrize('piece', [None, 1, 7])
def test_accepted(balanced, upstream, media, header, piece):
    session = Announced(balanced.port, upstream, header, piece=piece)
    session.login()
    sent = picture(media.put(GOOD))
    session.client.send(sent)
    check_thumbnail(sent, session.server.until(b'</message>'))
    session.close()


@pytest.mark.parametrize('header', [HEADER, b'PROXY TCP4 x\r\n', b'PROXY ' + b'1' * 200, V2[:12] + b'\x31' + V2[13:],
                                    SIGNATURE + b'\x21\x11\xff\xff', b'\x16\x03\x01\x00'])
def test_malformed(balanced, upstream, header):
    refused = balanced.metric('inset_proxy_refused_total')
    client = connect(balanced.port)
    client.send(header)
    assert client.rest() == b''
    client.close()
    balanced.wait_metric('inset_proxy_refused_total', refused + 1)


def test_cut_header(balanced):
    refused = balanced.metric('inset_proxy_refused_total')
    client = connect(balanced.port)
    client.send(V2[:20])
    client.half_close()
    assert client.rest() == b''
    client.close()
    balanced.wait_metric('inset_proxy_refused_total', refused + 1)


def test_only_from_the_balancers(start):
    daemon = start({'listen.main.proxy-accept': 'v2', 'listen.main.proxy-from': ['10.0.0.0/8', '2001:db8::/32']})
    client = connect(daemon.port)
    with contextlib.suppress(OSError):
        client.send(V2 + HEADER)
    assert client.rest() == b''
    client.close()
    daemon.wait_metric('inset_proxy_refused_total', 1)
    wait_for(lambda: 'not from proxy-from' in daemon.log(), 'a line in the log')


def test_other_version(start, upstream):
    daemon = start({'listen.main.proxy-accept': 'v1', 'listen.main.proxy-from': ['127.0.0.1/32']})
    client = connect(daemon.port)
    client.send(V2 + HEADER)
    assert client.rest() == b''
    client.close()
    Announced(daemon.port, upstream, V1).close()


def test_limit_per_announced_address(start, upstream):
    daemon = start({'listen.main.proxy-accept': 'any', 'listen.main.proxy-from': ['127.0.0.1/32'],
                    'limits.per-address': 2})
    sessions = [Announced(daemon.port, upstream, V1) for _ in range(2)]
    client = connect(daemon.port)
    client.send(V1 + HEADER)
    assert client.rest() == b''
    client.close()
    sessions += [Announced(daemon.port, upstream, V1.replace(b'192.0.2.7', b'192.0.2.8')) for _ in range(2)]
    sessions[0].close()
    daemon.wait_metric('inset_sessions_ended_total{reason="ended"}', 1)

    def has_room():
        try:
            sessions.append(Announced(daemon.port, upstream, V1))
            return True
        except (OSError, EOFError):
            return False
    wait_for(has_room, 'room again')
    for session in sessions[1:]:
        session.close()


def test_configuration(tmp_path):
    conf = tmp_path / 'inset.conf'
    conf.write_text('listen = { c2s = { bind = "127.0.0.1:5222" upstream = "127.0.0.1:15222" proxy-accept = "any" } }\n')
    done = run('-c', conf, '-t')
    assert done.returncode == 1 and 'missing: the networks of the balancers' in done.stderr


# --- to the server -------------------------------------------------------------------------

@pytest.mark.parametrize('version', ['v1', 'v2'])
def test_announced_address_is_passed_on(start, upstream, version):
    daemon = start({'listen.main.proxy-accept': 'any', 'listen.main.proxy-from': ['127.0.0.1/32'],
                    'listen.main.proxy-send': version})
    Announced(daemon.port, upstream, V2, told=V1 if version == 'v1' else V2).close()
    Announced(daemon.port, upstream, V1, told=V1 if version == 'v1' else V2).close()
    six = b'PROXY TCP6 2001:db8::7 2001:db8::1 4711 5222\r\n'
    Announced(daemon.port, upstream, V2_6, told=six if version == 'v1' else V2_6).close()
    nobody = (b'PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n' if version == 'v1' else SIGNATURE + b'\x20\x11\0\x0c' + bytes(12))
    Announced(daemon.port, upstream, LOCAL, told=nobody).close()


def test_own_address_is_told(start, upstream):
    daemon = start({'listen.main.proxy-send': 'v1'})
    client = connect(daemon.port)
    mine = client.sock.getsockname()[1]
    client.send(HEADER)
    server = upstream.accept(f'PROXY TCP4 127.0.0.1 127.0.0.1 {mine} {daemon.port}\r\n'.encode() + HEADER)
    client.close()
    server.close()


def test_tls_is_told(tmp_path, start, upstream):
    authority = Authority(tmp_path)
    daemon = start({'listen.main.proxy-send': 'v2', 'listen.main.tls': 'direct',
                    'listen.main.certificates': [str(authority.issue('example.org'))]})
    context = ssl.create_default_context(cafile=authority.file)
    context.set_alpn_protocols(['xmpp-client'])
    client = connect(daemon.port)
    client.sock = context.wrap_socket(client.sock, server_hostname='example.org')
    client.send(HEADER)
    server = upstream.accept(SIGNATURE + b'\x21\x11')
    block = server.take(struct.unpack('>H', server.take(2))[0])
    assert block[:8] == bytes([127, 0, 0, 1] * 2)
    tlvs, at = {}, 12
    while at < len(block):
        kind, size = struct.unpack_from('>BH', block, at)
        tlvs[kind] = block[at + 3:at + 3 + size]
        at += 3 + size
    assert (tlvs[1], tlvs[2]) == (b'xmpp-client', b'example.org')
    assert tlvs[0x20].startswith(b'\x01\0\0\0\x01\x21\0\x07TLSv1.3\x23')
    server.expect(HEADER)
    client.close()
    server.close()


# --- a real balancer -----------------------------------------------------------------------

@pytest.mark.parametrize('how,told', [('send-proxy', 'v1'), ('send-proxy-v2', 'v2'),
                                      ('send-proxy-v2 proxy-v2-options crc32c,unique-id', 'v2')])
def test_haproxy_in_front(tmp_path, start, upstream, media, how, told):
    daemon = start({'listen.main.proxy-accept': told, 'listen.main.proxy-from': ['127.0.0.1/32'],
                    'listen.main.proxy-send': 'v1'})
    haproxy = HAProxy(tmp_path, daemon.port, how)
    client = connect(haproxy.port)
    mine = client.sock.getsockname()[1]
    client.send(HEADER)
    server = upstream.accept(f'PROXY TCP4 127.0.0.1 127.0.0.1 {mine} {haproxy.port}\r\n'.encode() + HEADER)
    server.send((REPLY % 1) + FEATURES1)
    client.expect((REPLY % 1) + FEATURES1)
    client.close()
    server.close()
    haproxy.stop()
