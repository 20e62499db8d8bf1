# SPDX-License-Identifier: MIT
"""No client shows a message worse than without inset, whichever client sent it, and those that a form
is written for show it better.

Messages as real clients send them go through a whole insetd with each built-in profile; what the
recipient gets is drawn by harness/drawers.py before and after. First between raw peers, then
through a real Prosody and a real ejabberd, which reorder what they pass on.
"""
import asyncio
import base64
import hashlib
import re

import pytest

from harness import pictures
from harness.drawers import DRAWERS, parse
from harness.insetd import Insetd
from harness.rawpeer import Session
from harness.slix import Client, stanza_bytes

ORIGINAL = pictures.png(160, 120)
SMALL = pictures.png(16, 12)
B64 = base64.b64encode(SMALL).decode()
CID = f'sha1+{hashlib.sha1(SMALL).hexdigest()}@bob.xmpp.org'
HASH = ("<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>"
        f"{base64.b64encode(hashlib.sha256(ORIGINAL).digest()).decode()}</hash>")
THUMBHASH = 'data:image/thumbhash;base64,AAgCBwAAAAAAAAAAAAAAAAAAAAAAAAAA'


def oob(url, inside=''):
    return f"<x xmlns='jabber:x:oob'><url>{url}</url>{inside}</x>"


def plain(url):
    return f'<body>{url}</body>{oob(url)}'


def sims(url, version, thumbnail='', attrs='', file_hash=''):
    return (f"<reference xmlns='urn:xmpp:reference:0' type='data' uri='{url}'{attrs}><media-sharing xmlns='urn:xmpp:sims:1'>"
            f"<file xmlns='urn:xmpp:jingle:apps:file-transfer:{version}'><media-type>image/png</media-type><name>p.png</name>"
            f"<size>{len(ORIGINAL)}</size>{file_hash}{thumbnail}</file><sources><reference xmlns='urn:xmpp:reference:0' "
            f"type='data' uri='{url}'/></sources></media-sharing></reference>")


def sfs(url, thumbnail='', fid=''):
    source = (f"<sources><url-data xmlns='http://jabber.org/protocol/url-data' target='{url}'/></sources>" if url else '')
    return (f"<file-sharing xmlns='urn:xmpp:sfs:0' disposition='inline'{fid}><file xmlns='urn:xmpp:file:metadata:0'>"
            f"<media-type>image/png</media-type><name>p.png</name><size>{len(ORIGINAL)}</size><width>160</width>"
            f"<height>120</height>{HASH}{thumbnail}</file>{source}</file-sharing>")


def thumb1(uri, kind='image/png', width=16, height=12, attr='media-type'):
    return f"<thumbnail xmlns='urn:xmpp:thumbs:1' uri='{uri}' {attr}='{kind}' width='{width}' height='{height}'/>"


def fallback(what, start='', end=''):
    place = f" start='{start}' end='{end}'" if end else ''
    return f"<fallback xmlns='urn:xmpp:fallback:0' for='{what}'><body{place}/></fallback>"


def caption(url, text='look: '):
    return f'<body>{text}{url}</body>'


def bob(cid=f" cid='{CID}'"):
    return f"<data xmlns='urn:xmpp:bob'{cid} type='image/png' max-age='86400'>{B64}</data>"


EXTRAS = ("<request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/>"
          "<origin-id xmlns='urn:xmpp:sid:0' id='o1'/>")
MENTION = "<reference xmlns='urn:xmpp:reference:0' type='mention' begin='0' end='4' uri='xmpp:bob@localhost'/>"

# What leaves each client for a picture at an address.
SENT = {
    'conversations': lambda u: plain(u) + EXTRAS,
    'monal': lambda u: plain(u) + "<request xmlns='urn:xmpp:receipts'/>",
    'gajim': lambda u: plain(u) + "<origin-id xmlns='urn:xmpp:sid:0' id='o2'/>",
    'converse': lambda u: EXTRAS + plain(u),
    'siskin': lambda u: oob(u) + f'<body>{u}</body>',
    'cheogram': lambda u: f'<body>{u}</body>' + sims(u, 5, thumb1(THUMBHASH, 'image/thumbhash', attr='type')) + oob(u),
    'cheogram with text': lambda u: (caption(u) + oob(u) + fallback('jabber:x:oob', 6, 6 + len(u))
                                     + sims(u, 5, thumb1(THUMBHASH, 'image/thumbhash', attr='type'))),
    'cheogram with text, no thumbnail': lambda u: caption(u) + oob(u) + fallback('jabber:x:oob', 6, 6 + len(u)),
    'dino, first': lambda u: sfs(None, thumb1(f'data:image/png;base64,{B64}'), " id='f1'"),
    'dino, second': lambda u: (plain(u) + "<attach-to xmlns='urn:xmpp:message-attaching:1' id='m0'/>"
                               f"<sources xmlns='urn:xmpp:sfs:0' id='f1'><url-data xmlns='http://jabber.org/protocol/url-data' "
                               f"target='{u}'/></sources>"),
    'movim': lambda u: plain(u) + sims(u, 4, thumb1(THUMBHASH, 'image/thumbhash')),
    'movim, no thumbnail': lambda u: plain(u) + sims(u, 4),
    'kaidan': lambda u: plain(u) + sfs(u, thumb1(f'cid:{CID}')) + fallback('urn:xmpp:sfs:0') + bob(),
    'kaidan, no thumbnail': lambda u: plain(u) + sfs(u) + fallback('urn:xmpp:sfs:0'),
    'psi': lambda u: caption(u) + sims(u, 5, thumb1(f'cid:{CID}'), f" begin='6' end='{6 + len(u)}'", HASH),
    'kontalk': lambda u: f"<x xmlns='jabber:x:oob'><url type='image/png' length='{len(ORIGINAL)}'>{u}</url></x>" + bob(''),
    'kontalk, no thumbnail': lambda u: f"<x xmlns='jabber:x:oob'><url type='image/png' length='{len(ORIGINAL)}'>{u}</url></x>",
    'fluux': lambda u: (caption(u) + oob(u, thumb1(u)) + fallback('jabber:x:oob', 6, 6 + len(u))
                        + "<file xmlns='urn:xmpp:file:metadata:0'><media-type>image/png</media-type><name>p.png</name></file>"),
    'slidge': lambda u: (plain(u) + sims(u, 5, thumb1(THUMBHASH, 'image/thumbhash'))
                         + sfs(u, thumb1(THUMBHASH, 'image/thumbhash')) + fallback('urn:xmpp:sfs:0')),
    'bifrost, several': lambda u: f'<body>two</body>{oob(u)}{oob(u + "?2")}',
    'mention beside': lambda u: plain(u) + MENTION,
    'no body': oob,
    'link alone': lambda u: f'<body>{u}</body>',
    'text alone': lambda u: '<body>no picture</body>',
}

SIMS_ONLY = {'profiles.sims.formats': ['sims']}
AS_BUILT_IN = {'profiles.default.formats': None}
PROFILES = {'default': AS_BUILT_IN, 'classic': {}, 'kontalk': {}, 'modern': {}, 'everyone': {}, 'sims': SIMS_ONLY}

# Who draws more than before of a message with body and oob.
BETTER = {
    'classic': {'note-of-2013'},
    'kontalk': {'kontalk'},
    'default': {'kontalk', 'kaidan', 'dino'},
    'modern': {'kontalk', 'kaidan', 'dino'},
    'everyone': {'kontalk', 'kaidan', 'dino', 'gajim', 'gajim-in-a-room'},
    'sims': {'cheogram', 'movim', 'psi'},
}
BASIC = ('conversations', 'monal', 'gajim', 'converse', 'siskin')

# What a form costs a client, and why it is not in the profiles for many: the real Converse.js keeps the
# address as text beside any reference, and the real Gajim shows nothing of a message with a chunk of a
# bytestream (tests/clients has both).
KNOWN = {
    ('sims', 'converse'): 'text more than before: ',
    ('classic', 'gajim'): 'None instead of |text is gone: ',
    ('classic', 'gajim-in-a-room'): 'None instead of |text is gone: ',
}


def judge(profile, sender, before, after, web):
    """Compares for every client; returns those that draw more."""
    better = set()
    for client, draw in DRAWERS.items():
        old, new = draw(before, web), draw(after, web)
        why = new.worse_than(old)
        if why and re.match(KNOWN.get((profile, client), '$'), why):
            continue
        assert not why, f'{client} shows what {sender} sent worse with profile {profile}: {why}\n{old}\n{new}'
        if new.better_than(old):
            better.add(client)
    if sender in BASIC:
        assert better == BETTER[profile], (sender, better)
    return better


@pytest.fixture(scope='module', params=PROFILES)
def profile(request):
    return request.param


def options(profile, *origins):
    return {'listen.main.profile': profile, 'fetch.allow-origin': list(origins)} | PROFILES[profile]


@pytest.fixture(scope='module')
def through(tmp_path_factory, upstream, media, profile):
    """A raw session through an insetd with this profile."""
    daemon = Insetd(tmp_path_factory.mktemp('inset'), upstream.address, options(profile, media.origin))
    session = Session(daemon.port, upstream)
    yield session
    session.close()
    daemon.stop()


@pytest.fixture(scope='module')
def picture(media):
    url = media.put(ORIGINAL, 'p.png')
    media.answers[url.removeprefix(media.origin) + '?2'] = ORIGINAL
    return url


def web_of(media):
    return lambda url: media.answers.get(url.removeprefix(media.origin)) if url.startswith(media.origin) else None


@pytest.mark.parametrize('kind', ['chat', 'groupchat'])
@pytest.mark.parametrize('sender', SENT)
def test_raw(through, media, picture, profile, sender, kind):
    stanza = f"<message to='bob@localhost' id='m1' type='{kind}'>{SENT[sender](picture)}</message>".encode()
    through.client.send(stanza)
    received = through.server.until(b'</message>')
    judge(profile, sender, parse(stanza), parse(received), web_of(media))
    if sender in BASIC:
        assert received != stanza


async def arrival(client, mid):
    """The message's bytes, when they are there: slixmpp has no event for one without a body."""
    while not (found := stanza_bytes(client.raw, mid)):
        await asyncio.sleep(0.01)
    return found


@pytest.mark.parametrize('server', ['prosody', 'ejabberd'])
def test_real_server(request, tmp_path, media, picture, profile, server):
    """carol sends without inset, alice through it; bob gets both from the server."""
    real = request.getfixturevalue(server)
    daemon = Insetd(tmp_path, real.upstream, options(profile, media.origin))

    async def talk():
        bob_, carol, alice = Client('bob', real.port), Client('carol', real.port), Client('alice', daemon.port)
        await asyncio.gather(*(client.start() for client in (bob_, carol, alice)))
        for number, (sender, content) in enumerate(SENT.items()):
            got = []
            for client, mid in ((carol, f'before-{number}'), (alice, f'after-{number}')):
                client.send_raw(f"<message to='bob@localhost' type='chat' id='{mid}'>{content(picture)}</message>")
                got.append(await asyncio.wait_for(arrival(bob_, mid), 30))
            judge(profile, sender, parse(got[0]), parse(got[1]), web_of(media))
        for client in (bob_, carol, alice):
            await client.end()
    try:
        asyncio.run(talk())
    finally:
        daemon.stop()
