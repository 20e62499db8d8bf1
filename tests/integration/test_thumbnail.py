# SPDX-License-Identifier: MIT
"""The main job over the whole path: which messages get a thumbnail, what it looks like, that
nothing overtakes while one is held, and in which lanes.

Encrypted and other untouchable messages: test_encryption.py. Hostile media: test_hostile.py.
"""
import pytest

from harness import pictures
from harness.processes import wait_for
from harness.rawpeer import Session
from harness.stanzas import check_thumbnail, message, oob, picture

FORMATS = {
    'jpeg': (pictures.jpeg, 'image/jpeg', (128, 96)),
    'jpeg-portrait': (lambda: pictures.jpeg(480, 640), 'image/jpeg', (96, 128)),
    'jpeg-12-megapixels': (lambda: pictures.jpeg(4000, 3000), 'image/jpeg', (128, 96)),
    'jpeg-rotated-by-exif': (pictures.rotated_jpeg, 'image/jpeg', (64, 128)),
    'jpeg-progressive': (lambda: pictures.encode(pictures.photo(800, 600), progressive=True), 'image/jpeg', (128, 96)),
    'jpeg-grey': (lambda: pictures.encode(pictures.photo(640, 480).convert('L')), 'image/jpeg', (128, 96)),
    'jpeg-cmyk': (lambda: pictures.encode(pictures.photo(640, 480).convert('CMYK')), 'image/jpeg', (128, 96)),
    'jpeg-metadata': (lambda: pictures.encode(pictures.photo(640, 480), comment=b'secret' * 2000), 'image/jpeg', (128, 96)),
    'png-photo': (pictures.png, 'image/jpeg', (128, 96)),
    'png-alpha': (pictures.flat_png, 'image/png', (128, 64)),
    'png-16-bit': (lambda: pictures.encode(pictures.photo(320, 240).convert('L').convert('I'), 'PNG'), None, (128, 96)),
    'gif-first-frame': (pictures.gif, None, (128, 85)),
    'webp': (pictures.webp, 'image/jpeg', (128, 96)),
    'bmp': (pictures.bmp, 'image/jpeg', (85, 128)),
    'very-wide': (lambda: pictures.encode(pictures.photo(3000, 20)), None, (128, 1)),
    'never-enlarged': (lambda: pictures.encode(pictures.photo(40, 30), 'PNG'), None, (40, 30)),
    'one-pixel': (lambda: pictures.encode(pictures.photo(1, 1), 'PNG'), None, (1, 1)),
}


def roundtrip(session, stanza):
    session.client.send(stanza)
    return session.server.until(b'</message>')


@pytest.mark.parametrize('name', FORMATS)
def test_picture_becomes_thumbnail(session, media, name):
    make, kind, size = FORMATS[name]
    stanza = picture(media.put(make()))
    thumb = check_thumbnail(stanza, roundtrip(session, stanza))
    assert (thumb.width, thumb.height) == size
    if kind:
        assert thumb.type == kind
    assert b'secret' not in thumb.data
    assert not thumb.image.info.get('exif') and not thumb.image.info.get('comment')


def test_first_frame_of_an_animation(session, media):
    stanza = picture(media.put(pictures.gif()))
    thumb = check_thumbnail(stanza, roundtrip(session, stanza))
    red, green, blue = thumb.image.convert('RGB').getpixel((thumb.width // 2, thumb.height // 2))
    assert red > 150 and green < 90 and blue < 90


def test_rotation_is_applied(session, media):
    """The sky is above the hills in the picture as shown."""
    exif_free = pictures.photo(640, 320)
    stanza = picture(media.put(pictures.rotated_jpeg(640, 320)))
    thumb = check_thumbnail(stanza, roundtrip(session, stanza)).image.convert('RGB')
    assert exif_free.width > exif_free.height and thumb.width < thumb.height
    # Orientation 6: turned clockwise by 90 degrees, so the sky (top) comes to stand at the right.
    right, left = thumb.getpixel((thumb.width - 4, 10)), thumb.getpixel((3, 10))
    assert right[2] > left[2], (right, left)


MESSAGES = {
    'no-body': lambda u: message(oob(u)),
    'text-beside-url': lambda u: message(f'<body>look: {u}</body>' + oob(u)),
    'no-type': lambda u: picture(u, kind=None),
    'normal': lambda u: picture(u, kind='normal'),
    'groupchat': lambda u: picture(u, kind='groupchat', to='room@conference.localhost'),
    'headline': lambda u: picture(u, kind='headline'),
    'type-hint': lambda u: message(oob(u, " type='image/png'")),
    'type-hint-upper-case': lambda u: message(oob(u, " type='IMAGE/PNG; charset=x'")),
    'type-hint-jpg': lambda u: message(oob(u, " type='image/jpg'")),
    'length-hint': lambda u: message(oob(u, " length='12345'")),
    'length-hint-nonsense': lambda u: message(oob(u, " length='many'")),
    'encrypted-false': lambda u: message(oob(u, " encrypted='false'")),
    'white-space': lambda u: message(f"<x xmlns='jabber:x:oob'>\n <url>\n {u}\t</url>\n</x>"),
    'prefixed': lambda u: message(f"<o:x xmlns:o='jabber:x:oob'><o:url type='image/png'>{u}</o:url></o:x>"),
    'prefix-declared-above': lambda u: message(f"<o:x><o:url>{u}</o:url></o:x>", attrs=" xmlns:o='jabber:x:oob'"),
    'double-quotes': lambda u: f'<message to="bob@localhost" type="chat"><x xmlns="jabber:x:oob"><url>{u}</url></x>'
                               '</message>'.encode(),
    'entities': lambda u: message(oob(u + '?a=1&amp;b=&#50;')),
    'cdata': lambda u: message(f"<x xmlns='jabber:x:oob'><url><![CDATA[{u}]]></url></x>"),
    'namespace-entity': lambda u: message(f"<body>jabber:x:oob</body><x xmlns='jabber:x:&#111;ob'><url>{u}</url></x>"),
    'url-after-desc': lambda u: message(f"<x xmlns='jabber:x:oob'><desc>d</desc><url>{u}</url></x>"),
    'url-with-desc': lambda u: message(f"<x xmlns='jabber:x:oob'><url>{u}</url><desc>jabber:x:oob</desc></x>"),
    'own-namespace': lambda u: f"<message xmlns='jabber:client' to='bob@localhost'>{oob(u)}</message>".encode(),
    'prefixed-message': lambda u: f"<c:message xmlns:c='jabber:client' to='bob@localhost'>{oob(u)}</c:message>".encode(),
    'odd-spacing': lambda u: f"<message  to = 'bob@localhost'\n\ttype='chat' ><x xmlns='jabber:x:oob' ><url >{u}</url ></x\n>"
                             '</message>'.encode(),
    'unicode': lambda u: message(f'<body>{u} – Größe 😀 \u2028</body>' + oob(u)),
}


@pytest.mark.parametrize('name', MESSAGES)
def test_message_gets_thumbnail(session, media, name):
    url = media.put(pictures.png(160, 120))
    media.answers[url.removeprefix(media.origin) + '?a=1&b=2'] = pictures.png(160, 120)
    stanza = MESSAGES[name](url)
    session.client.send(stanza)
    if name == 'prefixed-message':
        received = session.server.until(b'</c:message>').replace(b'</c:message>', b'</message>')
        stanza = stanza.replace(b'</c:message>', b'</message>')
    else:
        received = session.server.until(b'</message>')
    check_thumbnail(stanza, received)


def test_first_usable_picture_only(session, media):
    """Two addresses, the first of no use: one thumbnail, of the second."""
    bad, good = media.put(b'no picture'), media.put(pictures.flat_png(64, 64))
    stanza = message(oob(bad) + oob(good))
    thumb = check_thumbnail(stanza, roundtrip(session, stanza))
    assert (thumb.width, thumb.height) == (64, 64)
    stanza = message(oob(good) + oob(media.put(pictures.png())))
    thumb = check_thumbnail(stanza, roundtrip(session, stanza))
    assert (thumb.width, thumb.height) == (64, 64)


def test_sid_is_never_used_again(session, media):
    url = media.put(pictures.png())
    seen = set()
    for n in range(5):
        stanza = picture(url, f'm{n}')
        seen.add(check_thumbnail(stanza, roundtrip(session, stanza)).sid)
    assert len(seen) == 5


def test_second_message_comes_from_the_cache(session, media, inset):
    url = media.put(pictures.png(seed=77))
    media.forget()
    for n in range(3):
        stanza = picture(url, f'm{n}')
        check_thumbnail(stanza, roundtrip(session, stanza))
    assert len(media.requests) == 1
    delayed = message(oob(url) + "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>")
    check_thumbnail(delayed, roundtrip(session, delayed))
    assert len(media.requests) == 1


def test_single_flight(session, media):
    """Many messages with one address, while it is being fetched: one fetch."""
    url, serve = media.gate(pictures.png(seed=5))
    media.forget()
    stanzas = [picture(url, f'm{n}') for n in range(8)]
    session.client.send(b''.join(stanzas))
    media.asked.wait(30)
    serve.set()
    for stanza in stanzas:
        check_thumbnail(stanza, session.server.until(b'</message>'))
    assert len(media.requests) == 1


def test_order_is_kept_while_one_is_held(session, media):
    """Stanzas, nonzas and white space behind a held message wait; the other lane flows."""
    url, serve = media.gate(pictures.png(seed=6))
    media.forget()
    held = picture(url, 'held')
    behind = (b" <message to='bob@localhost' id='2'><body>second</body></message><r xmlns='urn:xmpp:sm:3'/>\n"
              b"<presence/><iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq><a xmlns='urn:xmpp:sm:3' h='3'/>")
    before = b"<message to='bob@localhost' id='0'><body>first</body></message>"
    session.client.send(before + held + behind)
    session.server.expect(before)
    assert media.asked.wait(30)
    session.s2c("<message from='bob@localhost/x' to='alice@localhost'><body>meanwhile</body></message>")
    assert session.server.silent()
    serve.set()
    check_thumbnail(held, session.server.until(b'</message>'))
    session.server.expect(behind)


def test_several_held_messages_run_side_by_side_and_leave_in_order(session, media):
    gates = [media.gate(pictures.png(100 + n, 80)) for n in range(3)]
    media.forget()
    stanzas = [picture(url, f'm{n}') for n, (url, _) in enumerate(gates)]
    session.client.send(b''.join(stanzas))
    wait_for(lambda: len(media.requests) == 3, 'three fetches at a time')
    for _, serve in reversed(gates):    # the last one first
        serve.set()
    for stanza in stanzas:
        check_thumbnail(stanza, session.server.until(b'</message>'))


def test_stream_end_and_half_close_wait_for_the_held_message(inset, upstream, media):
    session = Session(inset.port, upstream)
    url, serve = media.gate(pictures.png(seed=8))
    media.forget()
    held = picture(url, 'last')
    session.client.send(held + b'</stream:stream>')
    session.client.half_close()
    assert media.asked.wait(30)
    session.s2c("<message from='bob@localhost/x'><body>still here</body></message>")
    assert session.server.silent()
    serve.set()
    check_thumbnail(held, session.server.until(b'</message>'))
    session.server.expect(b'</stream:stream>')
    session.s2c('</stream:stream>')
    session.close()


def test_s2c_only_when_configured(session, start, upstream, media):
    url = media.put(pictures.png(seed=9))
    stanza = picture(url, to='alice@localhost/raw', attrs='')
    media.forget()
    session.s2c(stanza)
    assert not media.connections
    both = start({'listen.main.directions': ['c2s', 's2c']})
    other = Session(both.port, upstream)
    other.server.send(stanza)
    check_thumbnail(stanza, other.client.until(b'</message>'))
    other.client.send(stanza)
    check_thumbnail(stanza, other.server.until(b'</message>'))
    other.close()


def test_default_action_pass(start, upstream, media):
    daemon = start({'default-action': 'pass'})
    session = Session(daemon.port, upstream)
    media.forget()
    session.c2s(picture(media.put(pictures.png())))
    assert not media.connections
    session.close()


def test_no_filters(start, upstream, media):
    daemon = start({'listen.main.filters': []})
    session = Session(daemon.port, upstream)
    media.forget()
    session.c2s(picture(media.put(pictures.png())))
    assert not media.connections
    session.close()


@pytest.mark.parametrize('kind', ['image/jpeg', 'image/png', 'image/webp'])
def test_profile_type_and_size(start, upstream, media, kind):
    daemon = start({'profiles.default.type': kind, 'profiles.default.width': 64, 'profiles.default.height': 48,
                    'profiles.default.max-bytes': '4KiB'})
    session = Session(daemon.port, upstream)
    stanza = picture(media.put(pictures.jpeg()))
    thumb = check_thumbnail(stanza, roundtrip(session, stanza), 64, 48, 4096)
    assert thumb.type == kind
    session.close()


def test_sender_rate(start, upstream, media):
    """Six thumbnails a minute, burst of three; what is above goes on as it came."""
    daemon = start({'limits.per-sender': '6/1m'})
    session = Session(daemon.port, upstream)
    done = 0
    for n in range(8):
        stanza = picture(media.put(pictures.png(64, 48, seed=n)), f'm{n}')
        received = roundtrip(session, stanza)
        done += received != stanza
    assert 1 <= done < 8
    session.close()
