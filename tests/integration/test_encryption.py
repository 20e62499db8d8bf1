# SPDX-License-Identifier: MIT
"""What must never be fetched: every sign of end-to-end encryption, and every message that is
not eligible. Nothing reaches the media host, and the bytes leave as they came.

Each test sends the message in question and behind it a plain picture message, the fence: a
lane is a FIFO, so once the fence has its thumbnail, the first message was judged long ago.
"""
import pytest

from harness import pictures
from harness.stanzas import check_thumbnail, message, oob, picture

HEX88, HEX96 = 'ab' * 44, 'cd' * 48
THUMB = ("iVBORw0KGgoAAAANSUhEUgAAAAQAAAADCAIAAAA7ljmRAAAAMElEQVR42mNgqPgvUvFao+K6TcVhhoCK9SkVsysq2nsqihkWVMRvqfA+"
         "UWF+p0IZAFVYEZXDSuJzAAAAAElFTkSuQmCC")
OMEMO_BODY = '<body>I sent you an OMEMO encrypted message</body>'

# name: content with URL standing for a picture that is really there
ENCRYPTED = {
    'url-encrypted-true': oob('URL', " encrypted='true'"),
    'url-encrypted-TRUE': oob('URL', " encrypted='TRUE'"),
    'url-encrypted-1': oob('URL', " encrypted='1'"),
    'scheme-aesgcm': oob('aesgcm://HOSTPATH'),
    'scheme-xmpp': oob('xmpp:bob@localhost?message;body=http://HOSTPATH'),
    'scheme-cid': oob('cid:sha1+4a5eb7171b58e08a6881721e3b43d5a44419a2be@bob.xmpp.org'),
    'scheme-data': oob('data:image/png;base64,' + THUMB),
    'scheme-ftp': oob('ftp://HOSTPATH'),
    'scheme-file': oob('file:///etc/hostname'),
    'fragment-88': oob('URL#' + HEX88),
    'fragment-96': oob('URL#' + HEX96),
    'fragment-any': oob('URL#top'),
    'path-pgp': oob('URL.pgp'),
    'path-pgp-query': oob('URL.pgp?x=1'),
    'e2e': oob('URL') + "<e2e xmlns='urn:ietf:params:xml:ns:xmpp-e2e'>bWVzc2FnZQ==</e2e>",
    'x-encrypted': oob('URL') + "<x xmlns='jabber:x:encrypted'>hQEOA</x>",
    'openpgp': oob('URL') + "<openpgp xmlns='urn:xmpp:openpgp:0'>hQEOA</openpgp>",
    'omemo-axolotl': OMEMO_BODY + oob('URL') + "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/>"
                     "</encrypted>",
    'omemo-0': oob('URL') + "<encrypted xmlns='urn:xmpp:omemo:0'/>",
    'omemo-1': oob('URL') + "<encrypted xmlns='urn:xmpp:omemo:1'/>",
    'omemo-2': oob('URL') + "<encrypted xmlns='urn:xmpp:omemo:2'/>",
    'encrypted-any-namespace': oob('URL') + "<encrypted xmlns='urn:example:new-crypto:7'/>",
    'encrypted-prefixed': "<o:encrypted xmlns:o='urn:xmpp:omemo:2'/>" + oob('URL'),
    'eme': oob('URL') + "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:omemo:2' name='OMEMO'/>",
    'esfs': oob('URL') + "<file-sharing xmlns='urn:xmpp:sfs:0'><sources><encrypted xmlns='urn:xmpp:esfs:0' "
                         "cipher='urn:xmpp:ciphers:aes-256-gcm-nopadding:0'><key>SGVs</key></encrypted></sources>"
                         "</file-sharing>",
    'esfs-in-sources': oob('URL') + "<sources xmlns='urn:xmpp:sfs:0'><part xmlns='urn:xmpp:esfs:0'/></sources>",
    'otr-body': '<body>?OTRv23? URL</body>' + oob('URL'),
    'otr-data': '<body>?OTR:AAMDJ+MVmSfjFZcAAAAAAQAAAAIAAADA1g5IjD1ZGLDVQEyCgCyn9hb.</body>' + oob('URL'),
    'type-pgp': oob('URL', " type='application/pgp-encrypted'"),
    'type-octets': oob('URL', " type='application/octet-stream'"),
    'type-vcard': oob('URL', " type='text/x-vcard'"),
    'type-audio': oob('URL', " type='audio/ogg'"),
    'type-text': oob('URL', " type='text/plain'"),
    'type-video': oob('URL', " type='video/mp4'"),
}

CARBON = ("<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' "
          "to='bob@localhost' type='chat'><body>URL</body>%s</message></forwarded></sent>" % oob('URL'))

# name: the whole stanza
NOT_ELIGIBLE = {
    'type-error': message('<body>URL</body>' + oob('URL') + "<error type='cancel'><item-not-found "
                          "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>", kind='error'),
    'carbon': message(CARBON),
    'forwarded': message("<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>%s</message></forwarded>"
                         % oob('URL')),
    'mam-result': message("<result xmlns='urn:xmpp:mam:2' queryid='q' id='1'><forwarded xmlns='urn:xmpp:forward:0'><message "
                          "xmlns='jabber:client' type='chat'>%s</message></forwarded></result>" % oob('URL')),
    'pubsub-event': message("<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='n'><item>%s</item></items>"
                            "</event>" % oob('URL'), kind='headline'),
    'delayed': message(oob('URL') + "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='2026-01-01T00:00:00Z'/>"),
    'oob-without-url': message("<body>jabber:x:oob</body><x xmlns='jabber:x:oob'><desc>URL</desc></x>"),
    'oob-empty-url': message(oob('')),
    'oob-other-namespace-url': message("<x xmlns='jabber:x:oob'><url xmlns='urn:example:x'>URL</url></x>"),
    'oob-in-body': message('<body>&lt;x xmlns=&apos;jabber:x:oob&apos;&gt;&lt;url&gt;URL&lt;/url&gt;&lt;/x&gt; '
                           'jabber:x:oob</body>'),
    'oob-in-other-element': message("<note xmlns='urn:example:note'>%s</note>" % oob('URL')),
    'x-other-namespace': message("<body>jabber:x:oob</body><x xmlns='jabber:x:oob2'><url>URL</url></x>"),
    'presence': ("<presence>%s</presence>" % oob('URL')).encode(),
    'iq-oob': b"<iq type='set' to='bob@localhost/x' id='o1'><query xmlns='jabber:iq:oob'><url>URL</url></query></iq>",
    'iq-register': ("<iq type='set' id='r1'><query xmlns='jabber:iq:register'>%s</query></iq>" % oob('URL')).encode(),
    'length-above-cap': message(oob('URL', " length='99999999'")),
    'no-host': message(oob('http:///x.png')),
    'user-info': message(oob('http://user:secret@HOSTPATH')),
}

THERE = {
    'ibb': "<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='abc' type='image/png'>%s</data>" % THUMB,
    'bob-image': "<data xmlns='urn:xmpp:bob' cid='sha1+2f7d4ab1c137df0b0fe181399fb84725e0212767@bob.xmpp.org' "
                 "type='image/png'>%s</data>" % THUMB,
    'bob-no-type': "<data xmlns='urn:xmpp:bob'>%s</data>" % THUMB,
    'thumbs-0': "<thumbnail xmlns='urn:xmpp:thumbs:0' cid='sha1+2f7d4ab1c137df0b0fe181399fb84725e0212767@bob.xmpp.org' "
                "mime-type='image/png' width='4' height='3'/>",
    'thumbs-1-in-sims': "<reference xmlns='urn:xmpp:reference:0' type='data'><media-sharing xmlns='urn:xmpp:sims:1'><file "
                        "xmlns='urn:xmpp:jingle:apps:file-transfer:5'><thumbnail xmlns='urn:xmpp:thumbs:1' uri='cid:x' "
                        "media-type='image/png'/></file></media-sharing></reference>",
}


def untouched_then_fence(session, media, stanza):
    """stanza with URL replaced leaves as it came, unfetched; the fence behind it gets its thumbnail."""
    url = media.put(pictures.png())
    stanza = stanza.replace(b'HOSTPATH', url.removeprefix('http://').encode()).replace(b'URL', url.encode())
    fence_url = media.put(pictures.png(seed=2), 'fence')
    fence = picture(fence_url, 'fence')
    media.forget()
    session.client.send(stanza + fence)
    session.server.expect(stanza)
    check_thumbnail(fence, session.server.until(b'</message>'))
    assert media.requests == ['/' + fence_url.split('/', 3)[3]], 'only the fence was fetched'
    assert media.connections == 1


@pytest.mark.parametrize('name', ENCRYPTED)
def test_encrypted_message_is_not_fetched(session, media, name):
    untouched_then_fence(session, media, message(ENCRYPTED[name]))


@pytest.mark.parametrize('name', NOT_ELIGIBLE)
def test_message_that_is_not_eligible_is_not_fetched(session, media, name):
    untouched_then_fence(session, media, NOT_ELIGIBLE[name])


@pytest.mark.parametrize('name', THERE)
def test_thumbnail_that_is_there_stays_alone(session, media, name):
    untouched_then_fence(session, media, message('<body>URL</body>' + oob('URL') + THERE[name]))


def test_declared_type_that_hides_an_encrypted_file(session, media):
    """Ciphertext behind a picture's URL is fetched, is no picture, and the message goes on as it came."""
    url = media.put(bytes(range(256)) * 64)
    stanza = picture(url)
    session.c2s(stanza)
    assert media.requests


NOT_ENCRYPTION = {
    'signed': "<x xmlns='jabber:x:signed'>iEYEAB</x>",
    'receipt': "<request xmlns='urn:xmpp:receipts'/>",
    'hints': "<store xmlns='urn:xmpp:hints'/>",
    'markers': "<markable xmlns='urn:xmpp:chat-markers:0'/><origin-id xmlns='urn:xmpp:sid:0' id='o'/>",
    'bob-audio': "<data xmlns='urn:xmpp:bob' type='audio/ogg'>AAAA</data>",
}


@pytest.mark.parametrize('name', NOT_ENCRYPTION)
def test_what_is_no_encryption_gets_a_thumbnail(session, media, name):
    stanza = message('<body>(encrypted)</body>' + oob(media.put(pictures.png())) + NOT_ENCRYPTION[name])
    session.client.send(stanza)
    check_thumbnail(stanza, session.server.until(b'</message>'))
