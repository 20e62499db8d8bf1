# SPDX-License-Identifier: MIT
"""The checker that says what clients draw (harness/drawers.py), checked itself: with the written forms
as they should be, and with the shapes that are known to do harm. Needs no server."""
import base64
import hashlib

import pytest

from harness import pictures
from harness.drawers import DRAWERS, Drawing, parse

URL = 'https://up.montague.lit/a1/summit.png'
ORIGINAL = pictures.png(40, 30)
THUMB = pictures.png(4, 3)
CID = f'sha1+{hashlib.sha1(THUMB).hexdigest()}@bob.xmpp.org'
B64 = base64.b64encode(THUMB).decode()
SHA256 = base64.b64encode(hashlib.sha256(ORIGINAL).digest()).decode()
HASH = f"<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>{SHA256}</hash>"
HASHTHUMB = 'AAgCBwAAAAAAAAAAAAAAAAAAAAAAAAAA'

OOB = f"<body>{URL}</body><x xmlns='jabber:x:oob'><url>{URL}</url></x><request xmlns='urn:xmpp:receipts'/>"
DATA = f"<data xmlns='urn:xmpp:bob' cid='{CID}' type='image/png' max-age='86400'>{B64}</data>"
THUMB_HASH = (f"<thumbnail xmlns='urn:xmpp:thumbs:1' uri='data:image/thumbhash;base64,{HASHTHUMB}' "
              "media-type='image/thumbhash' width='40' height='30'/>")
THUMB_DATA = f"<thumbnail xmlns='urn:xmpp:thumbs:1' uri='data:image/png;base64,{B64}' media-type='image/png' width='4' height='3'/>"
THUMB_CID = f"<thumbnail xmlns='urn:xmpp:thumbs:1' uri='cid:{CID}' media-type='image/png' width='4' height='3'/>"
SHARED = "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:sfs:0'><body/></fallback>"


def sims(thumbnails=THUMB_HASH, uri=URL, attrs=" type='data'", version=5, file_hash=HASH, name='summit.png'):
    return (f"<reference xmlns='urn:xmpp:reference:0'{attrs} uri='{uri}'><media-sharing xmlns='urn:xmpp:sims:1'>"
            f"<file xmlns='urn:xmpp:jingle:apps:file-transfer:{version}'><media-type>image/png</media-type>"
            f"<name>{name}</name><size>{len(ORIGINAL)}</size>{file_hash}{thumbnails}"
            "<width xmlns='https://schema.org/'>40</width><height xmlns='https://schema.org/'>30</height></file>"
            f"<sources><reference xmlns='urn:xmpp:reference:0' type='data' uri='{uri}'/></sources>"
            "</media-sharing></reference>")


def sfs(thumbnails=THUMB_CID, size=len(ORIGINAL), file_hash=HASH, source=URL):
    sources = (f"<sources><url-data xmlns='http://jabber.org/protocol/url-data' target='{source}'/></sources>"
               if source else '')
    size = f'<size>{size}</size>' if size is not None else ''
    return ("<file-sharing xmlns='urn:xmpp:sfs:0' disposition='inline'><file xmlns='urn:xmpp:file:metadata:0'>"
            f"<media-type>image/png</media-type><name>summit.png</name>{size}<width>40</width><height>30</height>"
            f"{file_hash}{thumbnails}</file>{sources}</file-sharing>")


def ogp(image=f'data:image/png;base64,{B64}', title="<title xmlns='https://ogp.me/ns#'>summit.png</title>", about='rdf:about'):
    return (f"<rdf:Description xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' {about}='{URL}'>{title}"
            f"<url xmlns='https://ogp.me/ns#'>{URL}</url><type xmlns='https://ogp.me/ns#'>image</type>"
            f"<image xmlns='https://ogp.me/ns#'>{image}</image></rdf:Description>")


IBB = f"<data xmlns='http://jabber.org/protocol/ibb' seq='0' type='image/png' sid='i781hf64'>{B64}</data>"
HTTP = (f"<body>{URL}</body><x xmlns='jabber:x:oob'><url>{URL}</url><thumbnail xmlns='urn:xmpp:thumbs:1' "
        "uri='https://thumbs.montague.lit/1.png' media-type='image/png' width='4' height='3'/></x>"
        f"<file xmlns='urn:xmpp:file:metadata:0'><media-type>image/png</media-type><size>{len(ORIGINAL)}</size></file>")


def web(url):
    return {URL: ORIGINAL, 'https://thumbs.montague.lit/1.png': THUMB}.get(url)


def draw(client, content, kind='chat'):
    return DRAWERS[client](parse(f"<message from='romeo@montague.lit/o' to='juliet@capulet.lit' type='{kind}' id='m1'>"
                                 f"{content}</message>"), web)


FORMS = {'plain': OOB, 'sims': OOB + sims(), 'sfs': OOB + sfs() + SHARED + DATA, 'bob': OOB + DATA, 'http': HTTP,
         'ogp': OOB + ogp(), 'ibb': OOB + IBB}

# What each client draws for each form: (picture, preview). What is not here is the plain message's.
PLAIN = {'profanity': 'link', 'psi': 'link', 'kontalk': 'placeholder', 'gajim-in-a-room': 'link'}
DRAWN = {
    ('cheogram', 'sims'): ('original', 'placeholder'), ('movim', 'sims'): ('original', 'placeholder'),
    ('psi', 'sims'): ('original', None),
    ('kaidan', 'sfs'): ('original', 'thumbnail'), ('dino', 'sfs'): ('original', 'thumbnail'),
    ('kontalk', 'sfs'): ('thumbnail', 'thumbnail'), ('kontalk', 'bob'): ('thumbnail', 'thumbnail'),
    ('fluux', 'http'): ('original', 'thumbnail'),
    ('gajim', 'ogp'): ('original', 'thumbnail'), ('gajim-in-a-room', 'ogp'): ('thumbnail', 'thumbnail'),
    ('note-of-2013', 'ibb'): ('original', 'thumbnail'),
}


# Gajim passes over messages that hold a chunk of a bytestream: so does the real one (tests/clients).
LOST = {('gajim', 'ibb'), ('gajim-in-a-room', 'ibb')}
DRAWN.update({pair: (None, None) for pair in LOST})


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('client', DRAWERS)
def test_every_form_for_every_client(client, form):
    plain, drawn = draw(client, OOB), draw(client, FORMS[form])
    assert drawn.crash is None
    assert (drawn.picture, drawn.preview) == DRAWN.get((client, form), (PLAIN.get(client, 'original'), None))
    if drawn.preview == 'thumbnail':
        assert drawn.preview_bytes == hashlib.sha1(THUMB).hexdigest()
    if drawn.picture == 'original':
        assert drawn.bytes == hashlib.sha1(ORIGINAL).hexdigest()
    if (client, form) in LOST:
        assert drawn.worse_than(plain)
    elif (client, form) in DRAWN:
        assert drawn.better_than(plain)
    elif (client, form) == ('converse', 'sims'):
        assert drawn.worse_than(plain) == f'text more than before: {URL!r}'     # seen in the real one
    else:
        assert not drawn.worse_than(plain) and not drawn.better_than(plain)


MENTION = "<reference xmlns='urn:xmpp:reference:0' type='mention' begin='0' end='5' uri='xmpp:x@y'/>"
CAPTION = (f"<body>look {URL}</body><x xmlns='jabber:x:oob'><url>{URL}</url></x>")

# client, content, what must be true of the drawing
TRAPS = {
    'cheogram dies of a thumbnail without uri':
        ('cheogram', OOB + sims("<thumbnail xmlns='urn:xmpp:thumbs:1' width='1' height='1'/>"), lambda d: d.crash),
    'cheogram dies of a uri without scheme':
        ('cheogram', OOB + sims("<thumbnail xmlns='urn:xmpp:thumbs:1' uri='x'/>"), lambda d: d.crash),
    'cheogram dies of data without comma':
        ('cheogram', OOB + sims("<thumbnail xmlns='urn:xmpp:thumbs:1' uri='data:image/png;base64'/>"), lambda d: d.crash),
    'cheogram dies of a width in per cent':
        ('cheogram', OOB + sims(THUMB_HASH.replace("'40'", "'4%'")), lambda d: d.crash),
    'cheogram lives without width': ('cheogram', OOB + sims(THUMB_HASH.replace(" width='40'", '')), lambda d: not d.crash),
    'cheogram draws a small real picture for good':
        ('cheogram', OOB + sims(THUMB_HASH + THUMB_DATA), lambda d: d.picture == 'thumbnail'),
    'cheogram cannot ask for the cid': ('cheogram', OOB + sims(THUMB_CID), lambda d: d.picture == 'original' and not d.preview),
    'cheogram has two attachments when the addresses differ':
        ('cheogram', OOB + sims(uri=URL + '?'), lambda d: d.text and d.picture == 'link'),
    'cheogram reads file-transfer:3': ('cheogram', OOB + sims(version=3), lambda d: d.preview == 'placeholder'),
    'cheogram does not read file-transfer:2': ('cheogram', OOB + sims(version=2), lambda d: not d.preview),
    'movim sees a mention only when it comes first':
        ('movim', OOB + MENTION + sims(), lambda d: d.picture == 'original' and not d.preview),
    'movim sees sims before a mention': ('movim', OOB + sims() + MENTION, lambda d: d.preview == 'placeholder'),
    'movim has 255 characters for a name': ('movim', OOB + sims(name='n' * 256), lambda d: d.crash),
    'movim has 255 characters for an address of a thumbnail':
        ('movim', OOB + sims(f"<thumbnail xmlns='urn:xmpp:thumbs:1' uri='https://a/{'x' * 255}'/>"), lambda d: d.crash),
    'movim draws no data of a picture': ('movim', OOB + sims(THUMB_DATA), lambda d: not d.preview),
    'movim reads the first thumbnail only': ('movim', OOB + sims(THUMB_CID + THUMB_HASH), lambda d: not d.preview),
    'kaidan reads the first thumbnail only': ('kaidan', OOB + sfs(THUMB_HASH + THUMB_CID) + DATA, lambda d: not d.preview),
    'kaidan wants the data in the message': ('kaidan', OOB + sfs() + SHARED, lambda d: not d.preview and d.picture == 'original'),
    'kaidan drops a thumbnail of no size':
        ('kaidan', OOB + sfs(THUMB_CID.replace("'4'", "'four'")) + DATA, lambda d: not d.preview),
    'kaidan passes over what is a fallback for others': ('kaidan', OOB + SHARED, lambda d: d.picture is None),
    'kaidan keeps a caption': ('kaidan', CAPTION + sfs() + DATA, lambda d: d.text == f'look {URL}'),
    'kaidan hides the marked part of a caption':
        ('kaidan', CAPTION + sfs() + "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:sfs:0'>"
         f"<body start='5' end='{5 + len(URL)}'/></fallback>" + DATA, lambda d: d.text == 'look'),
    'dino shows a link without hash': ('dino', OOB + sfs(file_hash='') + DATA, lambda d: d.picture == 'link' and d.text == URL),
    'dino shows a link with an unknown hash':
        ('dino', OOB + sfs(file_hash=HASH.replace('sha-256', 'sha3-256')) + DATA, lambda d: d.picture == 'link'),
    'dino discards a file with a wrong hash':
        ('dino', OOB + sfs(file_hash=HASH.replace(SHA256, base64.b64encode(bytes(32)).decode())) + DATA,
         lambda d: d.picture == 'thumbnail'),
    'dino does not load without size': ('dino', OOB + sfs(size=None) + DATA, lambda d: d.picture == 'thumbnail'),
    'dino does not load what is large': ('dino', OOB + sfs(size=5000000) + DATA, lambda d: d.picture == 'thumbnail'),
    'dino loads no more than the size': ('dino', OOB + sfs(size=10) + DATA, lambda d: d.picture == 'thumbnail'),
    'dino has data of png only':
        ('dino', OOB + sfs(THUMB_DATA), lambda d: d.preview == 'thumbnail'),
    'dino has no data of jpeg':
        ('dino', OOB + sfs(THUMB_DATA.replace('image/png', 'image/jpeg')), lambda d: not d.preview and d.picture == 'original'),
    'dino tries one thumbnail': ('dino', OOB + sfs(THUMB_HASH + THUMB_CID) + DATA, lambda d: not d.preview),
    'dino needs the cid of the data': ('dino', OOB + sfs() + DATA.replace(f" cid='{CID}'", ''), lambda d: not d.preview),
    'dino loses the caption beside a share': ('dino', CAPTION + sfs() + DATA, lambda d: 'look' not in d.text),
    'dino takes sources as the second message':
        ('dino', OOB + "<attach-to xmlns='urn:xmpp:message-attaching:1' id='0'/><sources xmlns='urn:xmpp:sfs:0'/>",
         lambda d: d.picture is None and d.text == ''),
    'kontalk needs no cid': ('kontalk', OOB + DATA.replace(f" cid='{CID}'", ''), lambda d: d.picture == 'thumbnail'),
    'kontalk needs no body':
        ('kontalk', f"<x xmlns='jabber:x:oob'><url>{URL}</url></x>" + DATA, lambda d: d.picture == 'thumbnail'),
    'kontalk wants oob beside it': ('kontalk', f'<body>{URL}</body>' + DATA, lambda d: d.picture == 'link'),
    'kontalk does not read ibb': ('kontalk', OOB + IBB, lambda d: d.picture == 'placeholder'),
    'fluux wants all four attributes': ('fluux', HTTP.replace(" height='3'", ''), lambda d: not d.preview),
    'fluux wants the thumbnail inside oob': ('fluux', OOB + THUMB_DATA, lambda d: not d.preview),
    'gajim wants a title': ('gajim', OOB + ogp(title=''), lambda d: not d.preview and d.picture == 'original'),
    'gajim wants base64': ('gajim', OOB + ogp(image='data:image/png,' + B64), lambda d: not d.preview),
    'gajim takes 50000': ('gajim', OOB + ogp(image='data:image/png;base64,' + 'A' * 49979), lambda d: not d.preview),
    'gajim reads about without prefix': ('gajim', OOB + ogp(about='about'), lambda d: d.preview == 'thumbnail'),
    'psi wants a type': ('psi', OOB + sims(attrs=''), lambda d: d.picture == 'link'),
    'psi wants a hash': ('psi', OOB + sims(file_hash=''), lambda d: d.picture == 'link'),
    'psi wants file-transfer:5': ('psi', OOB + sims(version=4), lambda d: d.picture == 'link'),
    'converse takes begin and end for a mention':
        ('converse', OOB + sims(attrs=" type='data' begin='0' end='37'"), lambda d: d.picture == 'link'),
    'converse takes the last oob, however deep':
        ('converse', OOB + "<a xmlns='b'><x xmlns='jabber:x:oob'><url>https://elsewhere/</url></x></a>",
         lambda d: d.picture == 'link'),
    'bifrost takes the first x': ('bifrost', "<x xmlns='vcard-temp:x:update'/>" + OOB, lambda d: d.picture == 'link'),
    'conversations wants the body to be the address': ('conversations', CAPTION, lambda d: d.picture == 'link'),
    'monal wants the body to be the address': ('monal', CAPTION, lambda d: d.picture == 'link'),
    'white space in base64 is refused': ('kaidan', OOB + sfs() + DATA.replace(B64, B64[:40] + '\n' + B64[40:]), lambda d: not d.preview),
    'a picture that is none is no picture':
        ('kontalk', OOB + DATA.replace(B64, base64.b64encode(b'none').decode()), lambda d: d.picture == 'placeholder'),
}


@pytest.mark.parametrize('trap', TRAPS)
def test_trap(trap):
    client, content, holds = TRAPS[trap]
    drawing = draw(client, content)
    assert holds(drawing), drawing


def test_gajim_limit():
    """Just below and just above 50,000 bytes of a picture that is one."""
    for length, shown in ((50000, True), (50004, False)):
        size = (length - len('data:image/png;base64,')) // 4 * 3
        image = 'data:image/png;base64,' + base64.b64encode(THUMB + bytes(size - len(THUMB))).decode()
        assert bool(draw('gajim', OOB + ogp(image=image)).preview) == shown, len(image)


LESS = [
    (Drawing('original', bytes='a'), Drawing('thumbnail', bytes='b')),
    (Drawing('original', bytes='a'), Drawing('original', bytes='b')),
    (Drawing('original', bytes='a'), Drawing(crash='dead')),
    (Drawing('original', 'thumbnail', bytes='a'), Drawing('original', 'placeholder', bytes='a')),
    (Drawing('thumbnail', bytes='a'), Drawing('placeholder')),
    (Drawing('placeholder'), Drawing('link')),
    (Drawing('link', text=URL), Drawing(None, text=URL)),
    (Drawing('link', text=f'look {URL}'), Drawing('original', bytes='a', text='')),
    (Drawing('original', bytes='a'), Drawing('original', bytes='a', text=URL)),
    (Drawing('original', more=[Drawing('original')]), Drawing('original')),
]


@pytest.mark.parametrize('number', range(len(LESS)))
def test_order(number):
    before, after = LESS[number]
    assert after.worse_than(before)
    assert not before.worse_than(before)
    assert not after.better_than(before)
