# SPDX-License-Identifier: MIT
"""What inset cannot or must not read: violations end the offender's stream with one stream
error and harm nobody else; odd but legal units are relayed unread, byte for byte.

The framer itself, at every split point: tests/unit/test_framer.c.
"""
import pytest

from harness import pictures
from harness.processes import free_port
from harness.rawpeer import END, HEADER, REPLY, Session, connect
from harness.stanzas import check_thumbnail, oob, picture

STREAMS = b"xmlns='urn:ietf:params:xml:ns:xmpp-streams'"

VIOLATIONS = {
    'comment': (b'<!-- hi -->', b'restricted-xml'),
    'comment-in-stanza': (b'<message><!-- hi --></message>', b'restricted-xml'),
    'instruction': (b'<?php echo 1 ?>', b'restricted-xml'),
    'doctype': (b'<!DOCTYPE x [<!ENTITY a "b">]>', b'restricted-xml'),
    'foreign-entity': (b'<message><body>&nbsp;</body></message>', b'restricted-xml'),
    'not-utf-8': (b'<message><body>\xff\xfe</body></message>', b'not-well-formed'),
    'overlong-utf-8': (b'<message><body>\xc0\x80</body></message>', b'not-well-formed'),
    'surrogate': (b'<message><body>\xed\xa0\x80</body></message>', b'not-well-formed'),
    'control-character': (b'<message><body>\x01</body></message>', b'not-well-formed'),
    'control-reference': (b'<message><body>&#1;</body></message>', b'not-well-formed'),
    'bare-ampersand': (b'<message><body>a & b</body></message>', b'not-well-formed'),
    'less-than-in-attribute': (b"<message id='<'/>", b'not-well-formed'),
    'no-quotes': (b'<message id=1/>', b'not-well-formed'),
    'wrong-end-tag': (b'<message><body></message></body>', b'not-well-formed'),
    'end-tag-of-nothing': (b'</message>', b'not-well-formed'),
    'text-between-stanzas': (b'hello', b'not-well-formed|bad-format|invalid-xml'),
    'cdata-end-in-text': (b'<message><body>]]></body></message>', b'not-well-formed'),
}


@pytest.mark.parametrize('name', VIOLATIONS)
@pytest.mark.parametrize('offender', ['client', 'server'])
def test_violation_ends_the_offenders_stream(inset, upstream, name, offender):
    data, conditions = VIOLATIONS[name]
    bystander, session = Session(inset.port, upstream), Session(inset.port, upstream)
    good = b"<message to='bob@localhost'><body>before</body></message>"
    (session.c2s if offender == 'client' else session.s2c)(good)
    guilty, innocent = session.client, session.server
    if offender == 'server':
        guilty, innocent = innocent, guilty
    guilty.send(data)
    answer = guilty.rest()
    assert answer.count(b'error>') in (1, 2) and STREAMS in answer.replace(b'"', b"'"), answer
    assert any(b'<' + c in answer for c in conditions.split(b'|')), answer
    assert answer.endswith(END)
    assert END not in innocent.rest()       # the innocent side sees a broken connection, no invented end
    bystander.c2s(good)
    bystander.s2c(good)
    bystander.close()
    session.close()


BEFORE_LOGIN = {
    'no-xml': (b'GET / HTTP/1.1\r\nHost: x\r\n\r\n', b'not-well-formed|bad-format'),
    'version-1.1': (b"<?xml version='1.1'?>" + HEADER.split(b'?>', 1)[1], b'unsupported-version|not-well-formed'),
    'encoding': (b"<?xml version='1.0' encoding='UTF-16'?>" + HEADER.split(b'?>', 1)[1], b'unsupported-encoding'),
    'doctype': (b"<?xml version='1.0'?><!DOCTYPE stream>", b'restricted-xml'),
    'huge-header': (b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client' to='"
                    + b'x' * 9000 + b"'>", b'policy-violation'),
}


@pytest.mark.parametrize('name', BEFORE_LOGIN)
def test_violation_before_the_header(inset, name):
    data, conditions = BEFORE_LOGIN[name]
    client = connect(inset.port)
    try:
        client.send(data)
    except ConnectionError:
        pass
    answer = client.rest()
    assert b'<stream:stream' in answer or b':stream ' in answer, answer      # its own header, then the error
    assert any(b'<' + c in answer for c in conditions.split(b'|')), answer
    assert answer.endswith(END)
    client.close()


def test_limits_before_login(inset, upstream):
    """64 KiB and 64 elements a unit until the client is authenticated."""
    for stanza in (b'<message><body>' + b'x' * 70000 + b'</body></message>',
                   b'<iq>' + b'<a/>' * 100 + b'</iq>'):
        session = Session(inset.port, upstream, login=False)
        try:
            session.client.send(stanza)
        except ConnectionError:
            pass
        assert b'<policy-violation' in session.client.rest()
        session.close()


def unread(url):
    """Legal for the framer, not for filters: name, unit."""
    x = oob(url).encode()
    return {
        'unbound-prefix': b"<message><q:body>jabber:x:oob</q:body>" + x + b"</message>",
        'unbound-attribute-prefix': b"<message q:id='1'>" + x + b"</message>",
        'duplicate-attribute': b"<message id='1' id='2'>" + x + b"</message>",
        'duplicate-by-namespace': b"<message xmlns:a='urn:x' xmlns:b='urn:x' a:i='1' b:i='2'>" + x + b"</message>",
        'redefined-xml': b"<message xmlns:xml='urn:x'>" + x + b"</message>",
        'two-colons': b"<message><a:b:c xmlns:a='urn:x'/>" + x + b"</message>",
        'depth-70': b"<message>" + x + b"<a>" * 70 + b"</a>" * 70 + b"</message>",
        'depth-5000': b"<message>" + x + b"<a>" * 5000 + b"</a>" * 5000 + b"</message>",
        'elements-3000': b"<message>" + x + b"<a/>" * 3000 + b"</message>",
        'attributes-200': b"<message" + b''.join(b" a%d='1'" % n for n in range(200)) + b">" + x + b"</message>",
        'huge-body': b"<message>" + x + b"<body>" + b'y' * 400000 + b"</body></message>",
        'huge-attribute': b"<message>" + x + b"<a b='" + b'z' * 300000 + b"'/></message>",
        'huge-start-tag': b"<message id='" + b'z' * 300000 + b"'>" + x + b"</message>",
        'other-root-namespace': b"<message xmlns='urn:example:other'>" + x + b"</message>",
    }


@pytest.mark.parametrize('name', sorted(unread('')))
def test_unit_is_relayed_unread(session, media, name):
    unit = unread(media.put(pictures.png()))[name]
    fence_url = media.put(pictures.png(seed=2), 'fence')
    fence = picture(fence_url, 'fence')
    media.forget()
    session.client.send(unit)
    session.server.expect(unit)
    session.client.send(fence)
    check_thumbnail(fence, session.server.until(b'</message>'))
    assert media.requests == ['/' + fence_url.split('/', 3)[3]]


def test_unfinished_tag_waits_for_its_end(session):
    """An unfinished tag of up to 4 KiB is kept back: expat-based peers stall on dribbled tags."""
    session.client.send(b"<presence id='")
    session.s2c("<message><body>fence</body></message>")
    assert session.server.silent()
    session.client.send(b"1'/>")
    session.server.expect(b"<presence id='1'/>")


def test_dribbled_login_and_message(inset, upstream, media):
    """Every byte its own write, both ways."""
    session = Session(inset.port, upstream, login=False)
    stanza = b"<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>"
    for sender, receiver in ((session.client, session.server), (session.server, session.client)):
        for byte in stanza:
            sender.send(bytes([byte]))
        receiver.expect(stanza)
    session.login()
    held = picture(media.put(pictures.png()))
    for byte in held:
        session.client.send(bytes([byte]))
    check_thumbnail(held, session.server.until(b'</message>'))
    session.close()


def test_pipelined_headers(inset, upstream):
    """Stream header behind SASL in one write, before <success/> has come (RFC 6120 6.3.2)."""
    session = Session(inset.port, upstream, login=False)
    auth = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAGFsaWNlcHc=</auth>"
    session.c2s(auth + HEADER)
    session.s2c(b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>" + (REPLY % 2).encode())
    session.c2s(b"<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>")
    session.close()


def test_unreachable_upstream(start):
    daemon = start(to=f'127.0.0.1:{free_port()}')
    client = connect(daemon.port)
    client.send(HEADER)
    answer = client.rest()
    assert b'<remote-connection-failed' in answer and answer.endswith(END), answer
    client.close()


def test_upstream_that_comes_back(start, upstream):
    """The next client is served as soon as the server is there."""
    daemon = start()
    session = Session(daemon.port, upstream)
    session.server.close()
    assert END not in session.client.rest()
    again = Session(daemon.port, upstream)
    again.c2s("<presence/>")
    again.close()
    session.close()


OPAQUE = b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + bytes(range(256)) * 8


def test_tls_from_the_first_byte_is_relayed_blind(inset, upstream):
    client = connect(inset.port)
    client.send(OPAQUE)
    server = upstream.accept(OPAQUE)
    server.send(OPAQUE[::-1])
    client.expect(OPAQUE[::-1])
    client.close()
    server.close()


def test_starttls_past_inset_is_relayed_blind(inset, upstream):
    session = Session(inset.port, upstream, login=False)
    session.c2s("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    session.s2c("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    session.c2s(OPAQUE)
    session.s2c(OPAQUE)
    session.close()


def test_compression_past_inset_is_relayed_blind(inset, upstream):
    session = Session(inset.port, upstream)
    session.s2c("<compressed xmlns='http://jabber.org/protocol/compress'/>")    # nobody asked for it
    session.c2s(b'x\x9c' + bytes(range(256)))
    session.s2c(b'x\x9c' + bytes(range(256)))
    session.close()


def test_opaque_close(start, upstream):
    daemon = start({'listen.main.opaque': 'close'})
    client = connect(daemon.port)
    client.send(OPAQUE)
    client.rest()
    client.close()
