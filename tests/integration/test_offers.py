# SPDX-License-Identifier: MIT
"""Seed 001: thumbnails in file offers (XEP-0096, XEP-0234). They pass untouched in any form; with
twins = true each gets its twin of the other namespace, valid and lossless."""
import pytest

from harness.insetd import Insetd
from harness.rawpeer import Session
from harness.schemas import tree, validate
from lxml import etree

CID = 'sha1+ffd7c8d28e9c5e82afea41f97108c6b4@bob.xmpp.org'     # the seed's, with 32 digits
SI_FILE = 'http://jabber.org/protocol/si/profile/file-transfer'
T0, T1 = '{urn:xmpp:thumbs:0}thumbnail', '{urn:xmpp:thumbs:1}thumbnail'


def thumbs0(cid=CID, rest=" mime-type='image/png' width='128' height='96'"):
    return f"<thumbnail xmlns='urn:xmpp:thumbs:0' cid='{cid}'{rest}/>"


def thumbs1(uri='cid:' + CID, rest=" media-type='image/png' width='128' height='96'"):
    return f"<thumbnail xmlns='urn:xmpp:thumbs:1' uri='{uri}'{rest}/>"


def si(inner):
    return ("<iq type='set' id='offer1' to='receiver@jabber.org/resource' from='romeo@montague.lit/orchard'>"
            "<si xmlns='http://jabber.org/protocol/si' id='a0' mime-type='image/jpeg' "
            f"profile='{SI_FILE}'><file xmlns='{SI_FILE}' name='image.jpg' size='3032449'>{inner}</file>"
            "<feature xmlns='http://jabber.org/protocol/feature-neg'><x xmlns='jabber:x:data' type='form'>"
            "<field var='stream-method' type='list-single'><option><value>http://jabber.org/protocol/ibb</value>"
            "</option></field></x></feature></si></iq>")


def jingle(version, app, security=''):
    """The offers of XEP-0234 as its versions had them."""
    file_ns = SI_FILE if app < 3 else f'urn:xmpp:jingle:apps:file-transfer:{app}'
    attrs = " name='image.jpg' size='3032449' hash='552da749930852c69ae5d2141d3766b1'" if app < 3 else ''
    content = '' if app < 3 else '<name>image.jpg</name><size>3032449</size>'
    opened, closed = ('<offer>', '</offer>') if app < 4 else ('', '')
    app = max(app, 1)

    def make(inner):
        return ("<iq from='romeo@montague.lit/orchard' id='nzu25s8' to='juliet@capulet.lit/balcony' type='set'>"
                f"<jingle xmlns='urn:xmpp:jingle:{version}' action='session-initiate' "
                "initiator='romeo@montague.lit/orchard' sid='851ba2'><content creator='initiator' name='a-file-offer'>"
                f"<description xmlns='urn:xmpp:jingle:apps:file-transfer:{app}'>{opened}"
                f"<file xmlns='{file_ns}'{attrs}>{content}<desc>This is a test. If this were a real file...</desc>{inner}"
                f"</file>{closed}</description>"
                "<transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='vj3hs98y' mode='tcp'/>"
                f"{security}</content></jingle></iq>")
    return make


CARRIERS = {'si': si} | {f'jingle-{v}-ft-{n}': jingle(v, n) for v, n in
                         ((0, 1), (1, 1), (1, 2), (1, 3), (1, 4), (1, 5))}
FORMS = {
    'seed': thumbs0(),
    '40-digits': thumbs0('sha1+' + '0123456789' * 4 + '@bob.xmpp.org'),
    'receivers-domain': thumbs0('sha1-ffd7c8d28e9c5e82afea41f97108c6b4@example.org'),
    'no-size': thumbs0(rest=" mime-type='image/png'"),
    'cid-alone': thumbs0(rest=''),
    'width-as-height': thumbs0(rest=" mime-type='image/png' width='64' height='64'"),
    'odd-size': thumbs0(rest=" width='-1' height='99999999999999999999'"),
    'no-cid': "<thumbnail xmlns='urn:xmpp:thumbs:0' mime-type='image/png'/>",
    'empty-cid': thumbs0(''),
    'strange-cid': thumbs0('&lt;a b%&amp;#&quot;&apos;'),
    'prefixed': f"<t:thumbnail xmlns:t='urn:xmpp:thumbs:0' cid='{CID}'></t:thumbnail>",
    'double-quotes': f'<thumbnail  cid = "{CID}" xmlns="urn:xmpp:thumbs:0" mime-type="a/b; c=&apos;d&apos;" ></thumbnail >',
    'new': thumbs1(),
    'new-http': thumbs1('https://example.org/t.png'),
    'new-data': thumbs1('data:image/png;base64,AAAA'),
    'new-several': thumbs1() + thumbs1('https://example.org/t.png') + thumbs1('cid:other@bob.xmpp.org'),
    'both': thumbs0() + thumbs1(),
    'long': thumbs0('a' * 3000),
}


def instance(folder, upstream, twins):
    return Insetd(folder, upstream.address, {'listen.main.filters': ['trace', 'thumbnail'], 'profiles.default.twins': twins,
                                             'listen.main.directions': ['c2s', 's2c']})


@pytest.fixture(name='plain', scope='module')
def plain_inset(tmp_path_factory, upstream):
    daemon = instance(tmp_path_factory.mktemp('plain'), upstream, False)
    yield daemon
    daemon.stop()


@pytest.fixture(name='twins', scope='module')
def twins_inset(tmp_path_factory, upstream):
    daemon = instance(tmp_path_factory.mktemp('twins'), upstream, True)
    yield daemon
    daemon.stop()


@pytest.fixture(name='pair')
def twins_session(twins, upstream):
    session = Session(twins.port, upstream)
    yield session
    session.close()


@pytest.mark.parametrize('form', FORMS)
def test_offers_pass_untouched(plain, upstream, form):
    session = Session(plain.port, upstream)
    for carrier in CARRIERS.values():
        session.c2s(carrier(FORMS[form]))
        session.s2c(carrier(FORMS[form]))
    session.close()


def through(session, offer, lane='c2s'):
    near, far = (session.client, session.server) if lane == 'c2s' else (session.server, session.client)
    near.send(offer)
    return far.until(b'</iq>').decode()


def without(received, offer):
    """What was spliced in; the rest must be the offer."""
    at = next((i for i, (a, b) in enumerate(zip(received, offer)) if a != b), len(offer))
    extra = len(received) - len(offer)
    while at > 0 and received[:at] + received[at + extra:] == offer and not received[at:].startswith('<'):
        at -= 1
    assert received[:at] + received[at + extra:] == offer, received
    return received[at:at + extra]


@pytest.mark.parametrize('lane', ['c2s', 's2c'])
@pytest.mark.parametrize('carrier', CARRIERS)
def test_twins(pair, carrier, lane):
    for given, twin in ((thumbs0(), thumbs1()), (thumbs1(), thumbs0())):
        offer = CARRIERS[carrier](given)
        received = through(pair, offer, lane)
        assert received == CARRIERS[carrier](given + twin)
        assert sorted(validate(received.encode())) == ['thumbs-0 thumbnail', 'thumbs-1 thumbnail']
        assert through(pair, received, lane) == received       # once is enough


@pytest.mark.parametrize('form', ['receivers-domain', '40-digits', 'no-size', 'cid-alone', 'width-as-height', 'odd-size',
                                  'prefixed', 'double-quotes'])
def test_twins_of_odd_forms(pair, form):
    offer = si(FORMS[form])
    received = through(pair, offer)
    found = tree(received.encode()).iter(T0, T1)
    old, new = list(found)
    assert (old.tag, new.tag) == (T0, T1)
    assert new.get('uri') == 'cid:' + old.get('cid') and new.get('media-type') == old.get('mime-type')
    if form != 'odd-size':
        validate(received.encode())
        assert [new.get(k) for k in ('width', 'height')] == [old.get(k) for k in ('width', 'height')]
    else:
        validate(etree.tostring(new))
        assert new.get('width') is None and new.get('height') is None
    start = received.index(FORMS[form]) + len(FORMS[form])
    assert received[:start] + received[start + len(received) - len(offer):] == offer


@pytest.mark.parametrize('form', ['no-cid', 'empty-cid', 'strange-cid', 'new-http', 'new-data', 'both', 'long'])
def test_no_twin(pair, form):
    for carrier in CARRIERS.values():
        pair.c2s(carrier(FORMS[form]))


def test_one_twin_for_the_old_form(pair):
    """thumbs:0 implies a single thumbnail: the first by cid gets the twin."""
    received = through(pair, si(FORMS['new-several']))
    assert received == si(thumbs1() + thumbs0() + FORMS['new-several'].removeprefix(thumbs1()))


def test_several_files(pair):
    two = thumbs0('a@bob.xmpp.org') + f"</file><file xmlns='{SI_FILE}' name='b' size='1'>" + thumbs1('cid:b@bob.xmpp.org')
    received = through(pair, si(two))
    assert received.count('urn:xmpp:thumbs:') == 4 and validate(received.encode())


SECURITY = {
    'xtls': "<security xmlns='urn:xmpp:jingle:security:xtls:0'><method name='x509'/></security>",
    'jet': "<security xmlns='urn:xmpp:jingle:jet:0' name='a-file-offer' cipher='urn:xmpp:ciphers:aes-128-gcm-nopadding' "
           "type='urn:xmpp:jingle:jet-omemo:0'/>",
}


@pytest.mark.parametrize('name', SECURITY)
def test_encrypted_transfers_are_left_alone(pair, name):
    pair.c2s(jingle(1, 5, SECURITY[name])(thumbs0()))


def test_only_in_files_of_offers(pair):
    for stanza in (f"<iq type='set' id='1' to='b@c'><query xmlns='jabber:iq:private'>{thumbs0()}</query></iq>",
                   si(f'<x>{thumbs0()}</x>'),
                   si('').replace("type='set'", "type='result'").replace('</si>', thumbs0() + '</si>'),
                   f"<message to='b@c'>{thumbs0()}</message>"):
        pair.c2s(stanza)


def test_figures(twins, pair):
    before = twins.metric('inset_offer_twins_total')
    through(pair, si(thumbs0()))
    assert twins.metric('inset_offer_twins_total') == before + 1


# --- strip: a rule takes them out ------------------------------------------------------------

ENCRYPTED = "//*[local-name() = 'security' or local-name() = 'encrypted']"


def test_rule_strips_offers_of_encrypted_transfers(start, upstream):
    """The seed's privacy note: what is encrypted gets no preview in the clear, if the operator says so."""
    daemon = start({'listen.main.directions': ['c2s', 's2c'], 'profiles.default.twins': True,
                    'rules': [{'name': 'no previews of encrypted files', 'xpath': ENCRYPTED, 'action': 'strip'}]})
    session = Session(daemon.port, upstream)
    for security in SECURITY.values():
        for lane in ('c2s', 's2c'):
            offer = jingle(1, 5, security)
            assert through(session, offer(thumbs0() + thumbs1()), lane) == offer('')
    assert daemon.metric('inset_thumbnails_stripped_total') == 8
    assert without(through(session, si(thumbs0())), si(thumbs0()))      # not encrypted: the next rule, and its twin
    session.close()


@pytest.mark.parametrize('carrier', CARRIERS)
def test_default_action_strips_every_offer(start, upstream, carrier):
    daemon = start({'default-action': 'strip'})
    session = Session(daemon.port, upstream)
    for form in ('seed', 'new-several', 'both', 'prefixed', 'double-quotes', 'strange-cid'):
        assert through(session, CARRIERS[carrier](FORMS[form])) == CARRIERS[carrier]('')
    session.s2c(CARRIERS[carrier](thumbs0()))       # a lane that is not asked for
    session.close()
