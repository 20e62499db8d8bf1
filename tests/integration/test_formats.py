# SPDX-License-Identifier: MIT
"""The written forms, read by code that shares nothing with inset: lxml, hashlib, Pillow.

The golden files of the filter, then the same checks on what leaves a real insetd for raw peers
and, through Prosody, for slixmpp. What each form is left out for is in the filter's unit tests.
"""
import asyncio
import base64
import hashlib
import io
import re
import subprocess
from xml.etree import ElementTree

import pytest
from lxml import etree
from PIL import Image, ImageStat

from harness import pictures
from harness.insetd import BUILD, TOP, Insetd, conf_text
from harness.prosody import Prosody
from harness.rawpeer import Session
from harness.slix import Client, stanza_bytes
from harness.stanzas import message, oob, picture

GOLDEN = TOP / 'filters/thumbnail/golden'
ORIGINAL = base64.b64decode(
    'iVBORw0KGgoAAAANSUhEUgAAACgAAAAeCAIAAADRv8uKAAAApklEQVR42mNgqPjPVvGTp+KzUMVbiYrnchUPVSpua1VcNag4b1Zx0qbisFPFXo+K7X4VG0Mq'
    'VkdVLE2omJ9WMTOnYnJRRW9FRXtdRWNLRXVXRemEivxpFZlzKpIXVcSuqAhfVxG4pcJ7V4XrgQr7YxWWZyqML1Xo3qhQv1eh+KRC+lWFKMOoxaMWj1o8avGo'
    'xaMWj1o8avGoxaMWj1o8avGoxYPXYgAjzd4r1zb3jAAAAABJRU5ErkJggg==')
BASE64 = re.compile(r'(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?')
EVERY = ['ibb', 'bob', 'thumbs0', 'sims', 'sfs', 'ogp']
PROFILES = {
    'classic': ['ibb'],
    'kontalk': ['bob'],
    'modern': ['sfs'],
    'everyone': ['bob', 'thumbs0', 'sfs', 'ogp'],
}


def parse(data):
    """A message on its own, as a receiver's parser sees it."""
    if b'xmlns=' not in data.split(b'>')[0]:
        data = data.replace(b'<message', b"<message xmlns='jabber:client'", 1)
    return etree.fromstring(data, etree.XMLParser(resolve_entities=False))


def names(root):
    return [child.tag for child in root]


def bits(data):
    text = data.text
    assert BASE64.fullmatch(text), 'padded, no white space'
    return base64.b64decode(text, validate=True)


class Forms:
    """The forms in one message, each checked; `original` is the media that they are of."""

    def __init__(self, root, url, original, max_age=None, name=None):
        self.name = name or url.rsplit('/', 1)[1]
        self.root, self.url, self.original = root, url, original
        self.picture = Image.open(io.BytesIO(original))
        self.found, self.thumbnails = set(), {}
        for data in root.findall('{urn:xmpp:bob}data'):
            self.bob(data, max_age)
        for child in root:
            local = etree.QName(child)
            check = {('http://jabber.org/protocol/ibb', 'data'): self.ibb, ('urn:xmpp:thumbs:0', 'thumbnail'): self.thumbs0,
                     ('urn:xmpp:reference:0', 'reference'): self.sims, ('urn:xmpp:sfs:0', 'file-sharing'): self.sfs,
                     ('http://www.w3.org/1999/02/22-rdf-syntax-ns#', 'Description'): self.ogp}.get((local.namespace, local.localname))
            if check:
                check(child)
        for element in root.iter():
            for value in element.attrib.values():
                assert len(value.encode()) <= 1024
        assert len(root.findall('.//{jabber:x:oob}x')) <= 1

    def image(self, data, kind):
        image = Image.open(io.BytesIO(data))
        image.load()
        assert Image.MIME[image.format] == kind
        return image

    def bob(self, data, max_age):
        assert set(data.attrib) == {'cid', 'type', 'max-age'}
        raw = bits(data)
        assert data.get('cid') == f'sha1+{hashlib.sha1(raw).hexdigest()}@bob.xmpp.org'
        assert len(raw) <= 8192, 'XEP-0231'
        age = int(data.get('max-age'))
        assert age == max_age if max_age is not None else 0 <= age <= 86400
        assert data.get('cid') not in self.thumbnails, 'one data for each thumbnail'
        self.thumbnails[data.get('cid')] = self.image(raw, data.get('type'))
        self.found.add('bob')

    def sized(self, thumbnail, cid, kind):
        image = self.thumbnails[cid]
        assert Image.MIME[image.format] == kind
        assert (thumbnail.get('width'), thumbnail.get('height')) == (str(image.width), str(image.height))

    def ibb(self, data):
        assert set(data.attrib) == {'seq', 'sid', 'type'} and data.get('seq') == '0'
        self.image(bits(data), data.get('type'))
        assert self.root[-1] is data, 'the last child'
        self.found.add('ibb')

    def thumbs0(self, thumbnail):
        self.sized(thumbnail, thumbnail.get('cid'), thumbnail.get('mime-type'))
        self.found.add('thumbs0')

    def file(self, file, ns, schema):
        text = {etree.QName(e).localname: e.text for e in file}
        assert text['media-type'] == Image.MIME[self.picture.format]
        assert text['size'] == str(len(self.original))
        assert (text['width'], text['height']) == tuple(str(n) for n in self.picture.size)
        assert file.find(f'{{{schema}}}width') is not None
        hashed = file.findall('{urn:xmpp:hashes:2}hash')
        assert [h.get('algo') for h in hashed] == ['sha-256']
        assert base64.b64decode(hashed[0].text) == hashlib.sha256(self.original).digest()
        assert text['name'] == self.name
        assert file.tag == f'{{{ns}}}file'
        thumbnail, = file.findall('{urn:xmpp:thumbs:1}thumbnail')
        return thumbnail

    def sims(self, reference):
        if reference.get('type') != 'data':
            return
        assert set(reference.attrib) == {'type', 'uri'} and reference.get('uri') == self.url
        sharing = reference.find('{urn:xmpp:sims:1}media-sharing')
        source, = sharing.find('{urn:xmpp:sims:1}sources')
        assert source.get('uri') == self.url and source.get('type') == 'data'
        thumbnail = self.file(sharing[0], 'urn:xmpp:jingle:apps:file-transfer:5', 'https://schema.org/')
        assert thumbnail.get('media-type') == 'image/thumbhash'
        assert (thumbnail.get('width'), thumbnail.get('height')) == tuple(str(n) for n in self.picture.size)
        head, text = thumbnail.get('uri').split(',')
        assert head == 'data:image/thumbhash;base64'
        self.thumbhash = base64.b64decode(text, validate=True)
        assert 5 <= len(self.thumbhash) <= 25
        self.found.add('sims')

    def sfs(self, sharing):
        ns = 'urn:xmpp:file:metadata:0'
        assert sharing.get('disposition') == 'inline'
        source, = sharing.find('{urn:xmpp:sfs:0}sources')
        assert source.tag == '{http://jabber.org/protocol/url-data}url-data' and source.get('target') == self.url
        thumbnail = self.file(sharing[0], ns, ns)
        assert thumbnail.get('uri').startswith('cid:')
        self.sized(thumbnail, thumbnail.get('uri')[4:], thumbnail.get('media-type'))
        body = self.root.findtext('{jabber:client}body')
        marks = [m for m in self.root.findall('{urn:xmpp:fallback:0}fallback') if m.get('for') == 'urn:xmpp:sfs:0']
        assert len(marks) == (0 if body is None else 1)
        for mark in marks:
            part, = mark
            whole = 'start' not in part.attrib
            assert body[int(part.get('start', 0)):int(part.get('end', len(body)))] == self.url
            assert whole == (body == self.url)
        self.found.add('sfs')

    def ogp(self, description):
        assert description.get('{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about') == self.url
        text = {etree.QName(e).localname: e.text for e in description}
        assert all(e.tag.startswith('{https://ogp.me/ns#}') for e in description)
        assert text['url'] == self.url and text['type'] == 'image' and text['title']
        head, data = text['image'].split(',')
        assert len(text['image']) <= 50000, 'Gajim'
        self.image(base64.b64decode(data, validate=True), re.fullmatch('data:(image/[a-z]+);base64', head)[1])
        self.found.add('ogp')


def expected(formats):
    return set(formats) | ({'bob'} if 'sfs' in formats else set())


# --- golden files ---------------------------------------------------------------------------


def golden(name):
    return re.sub(r'\n\s*', '', (GOLDEN / f'{name}.xml').read_text()).encode()


@pytest.mark.parametrize('name', ['ibb', 'bob', 'thumbs0', 'sims', 'sfs', 'ogp', 'everyone'])
def test_golden_file(name):
    before, after = golden('before'), golden(name)
    end = b'</message>'
    assert after.startswith(before[:-len(end)]) and after.endswith(end)
    root = parse(after)
    forms = Forms(root, 'https://up.montague.lit/a1/summit.png', ORIGINAL, 86400)
    asked = PROFILES.get(name) or (['thumbs0', 'bob'] if name == 'thumbs0' else [name])
    assert forms.found == expected(asked)
    for thumbnail in forms.thumbnails.values():
        assert thumbnail.size == (4, 3)


# --- raw peers ------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def daemons(tmp_path_factory, upstream, media):
    """One insetd for each set of options, kept for the module."""
    kept = {}

    def get(**options):
        key = repr(sorted(options.items()))
        if key not in kept:
            kept[key] = Insetd(tmp_path_factory.mktemp('forms'), upstream.address,
                               {'fetch.allow-origin': [media.origin]} | {k.replace('__', '.').replace('_', '-'): v for k, v in options.items()})
        return kept[key]
    yield get
    for daemon in kept.values():
        daemon.stop()


@pytest.fixture
def through(daemons, upstream):
    """through(stanza, **options): what the server receives of it."""
    def send(stanza, end=b'</message>', **options):
        pair = Session(daemons(**options).port, upstream)
        try:
            pair.client.send(stanza)
            return pair.server.until(end)
        finally:
            pair.close()
    return send


PICTURES = {'jpeg': lambda: pictures.jpeg(640, 480), 'png': lambda: pictures.png(160, 200), 'alpha': pictures.flat_png,
            'gif': pictures.gif, 'webp': pictures.webp}


@pytest.mark.parametrize('kind', PICTURES)
@pytest.mark.parametrize('profile', PROFILES)
def test_built_in_profile(through, media, profile, kind):
    original = PICTURES[kind]()
    url = media.put(original, f'a-{kind}')
    stanza = picture(url)
    received = through(stanza, listen__main__profile=profile)
    assert received.startswith(stanza[:-len(b'</message>')])
    forms = Forms(parse(received), url, original)
    assert forms.found == expected(PROFILES[profile])
    side = 128 if profile == 'classic' else 256
    for thumbnail in forms.thumbnails.values():
        assert max(thumbnail.size) <= side
        assert max(thumbnail.size) > 96 or max(thumbnail.size) == max(forms.picture.size), 'not cut to a third'


def average(thumbhash):
    """The mean colour in the header of a thumbhash, by the published layout."""
    head = int.from_bytes(thumbhash[:3], 'little')
    l, p, q = (head & 63) / 63, (head >> 6 & 63) / 31.5 - 1, (head >> 12 & 63) / 31.5 - 1
    blue = l - 2 / 3 * p
    red = (3 * l - blue + q) / 2
    return [max(0, min(255, round(255 * c))) for c in (red, red - q, blue)], bool(head >> 23)


@pytest.mark.parametrize('kind', PICTURES)
def test_sims_with_a_thumbhash(through, media, kind):
    """Its mean colour, shape and alpha are the picture's."""
    original = PICTURES[kind]()
    url = media.put(original, 'a')
    received = through(picture(url), profiles__default__formats=['sims'])
    forms = Forms(parse(received), url, original)
    assert forms.found == {'sims'}
    shown = forms.picture.convert('RGBA')
    color, alpha = average(forms.thumbhash)
    assert alpha == (shown.getextrema()[3][0] < 255)
    assert bool(forms.thumbhash[4] & 0x80) == (shown.width > shown.height)
    weights = shown.getchannel('A')
    mean = ImageStat.Stat(shown.convert('RGB'), weights.point(lambda a: 255 if a > 127 else 0)).mean
    assert all(abs(a - b) < 16 for a, b in zip(color, mean)), (color, mean)


def test_all_forms_at_once_and_a_second_inset(through, media, daemons, upstream):
    original = pictures.jpeg()
    url = media.put(original, 'p.jpg')
    stanza = message(f"<body>😀 see {url} &amp; tell</body>{oob(url)}"
                     "<reference xmlns='urn:xmpp:reference:0' type='mention' begin='0' end='1' uri='xmpp:bob@localhost'/>")
    received = through(stanza, profiles__default__formats=EVERY, profiles__default__captions=True)
    root = parse(received)
    forms = Forms(root, url, original)
    assert forms.found == set(EVERY)
    assert root.find('{urn:xmpp:reference:0}reference').get('type') == 'data', 'SIMS stands before the mention'
    again = Session(daemons(profiles__default__formats=EVERY, profiles__default__captions=True).port, upstream)
    again.c2s(received)
    again.close()


def test_age_of_the_data(through, media):
    url = media.put(pictures.png(), 'p.png')
    received = through(picture(url), listen__main__profile='kontalk')
    assert 3590 <= int(re.search(rb"max-age='(\d+)'", received)[1]) <= 3600, 'cache.ttl is an hour'
    short = media.put(lambda handler: handler.reply(200, pictures.png(), headers=[('Cache-Control', 'max-age=77')]))
    assert 0 < int(re.search(rb"max-age='(\d+)'", through(picture(short), listen__main__profile='kontalk'))[1]) <= 77
    received = through(picture(url, extra="<no-store xmlns='urn:xmpp:hints'/>"), listen__main__profile='kontalk')
    assert b"max-age='0'" in received


def test_no_sum_of_a_body_whose_end_was_not_announced(through, media):
    """It could have been cut; a chunked one could not."""
    body = pictures.png()
    head = b'HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nConnection: close\r\n'

    def raw(data):
        return lambda handler: handler.wfile.write(data)
    received = through(picture(media.put(raw(head + b'\r\n' + body), 'p.png')), profiles__default__formats=EVERY)
    assert b'<hash' not in received and b'<size' not in received and b'urn:xmpp:bob' in received
    url = media.put(raw(head + b'Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n' % (len(body), body)), 'p.png')
    received = through(picture(url), profiles__default__formats=EVERY)
    assert Forms(parse(received), url, body).found == set(EVERY)


@pytest.mark.parametrize('cut', ['length', 'chunk', 'too-large'])
def test_nothing_of_a_body_that_was_cut(daemons, upstream, media, cut):
    body = pictures.jpeg()
    answers = {'length': lambda handler: handler.reply(200, body[:-10], length=len(body)),
               'chunk': lambda handler: handler.wfile.write(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n' + body[:9000]),
               'too-large': lambda handler: handler.reply(200, body + bytes(11 << 20))}
    pair = Session(daemons(profiles__default__formats=EVERY).port, upstream)
    pair.c2s(picture(media.put(answers[cut])))
    pair.close()


def test_links(daemons, upstream, media):
    original = pictures.png()
    url = media.put(original, 'p.png')
    options = {'profiles__default__links': True, 'profiles__default__formats': ['sfs']}
    pair = Session(daemons(**options).port, upstream)
    pair.client.send(message(f'<body>{url}</body>'))
    assert Forms(parse(pair.server.until(b'</message>')), url, original).found == {'sfs', 'bob'}
    pair.c2s(message(f'<body>see {url}</body>'))
    pair.close()
    pair = Session(daemons(profiles__default__formats=['sfs']).port, upstream)     # not by default
    pair.c2s(message(f'<body>{url}</body>'))
    pair.close()


def test_file_that_is_shared_already(through, media):
    original = pictures.png()
    url = media.put(original, 'p.png')
    sharing = ("<file-sharing xmlns='urn:xmpp:sfs:0' disposition='inline'><file xmlns='urn:xmpp:file:metadata:0'>"
               "<name>theirs</name></file><sources><url-data xmlns='http://jabber.org/protocol/url-data' "
               f"target='{url}'/></sources></file-sharing>")
    received = through(message(sharing), listen__main__profile='modern')
    root = parse(received)
    thumbnail, = root.findall('.//{urn:xmpp:file:metadata:0}file/{urn:xmpp:thumbs:1}thumbnail')
    data, = root.findall('{urn:xmpp:bob}data')
    assert thumbnail.get('uri') == 'cid:' + data.get('cid')
    assert len(root.findall('{urn:xmpp:sfs:0}file-sharing')) == 1
    assert received.replace(etree.tostring(data), b'').count(b'theirs') == 1


# --- messages inside others -----------------------------------------------------------------


def carbon(inner):
    return ("<message from='alice@localhost' to='alice@localhost/raw'><received xmlns='urn:xmpp:carbons:2'>"
            f"<forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded></received></message>").encode()


def test_carbons_and_archives(daemons, upstream, media):
    original = pictures.png()
    url = media.put(original, 'p.png')
    inner = f"<message xmlns='jabber:client' from='bob@localhost/x' to='alice@localhost'><body>{url}</body>{oob(url)}</message>"
    delay = "<delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/>"
    archived = carbon(delay + inner).replace(b"received xmlns='urn:xmpp:carbons:2'", b"result xmlns='urn:xmpp:mam:2' id='1'") \
        .replace(b'</received>', b'</result>')
    pair = Session(daemons(listen__main__profile='modern').port, upstream)
    pair.s2c(carbon(inner))                 # by default they stay
    pair.s2c(archived)
    pair.close()
    pair = Session(daemons(listen__main__profile='modern', listen__main__forwarded=True).port, upstream)
    media.forget()
    pair.s2c(archived)                      # old, and not in the cache
    assert not media.requests
    pair.server.send(carbon(inner))
    received = pair.client.until(b'</received></message>')
    inside = parse(received).find('.//{jabber:client}message')
    assert Forms(inside, url, original).found == {'sfs', 'bob'}
    assert len(parse(received)) == 1, 'nothing beside the carbon'
    pair.server.send(archived)              # now the cache has it
    assert b'<file-sharing' in pair.client.until(b'</result></message>')
    pair.s2c(picture(url))                  # forwarded is not "s2c"
    pair.close()


# --- size -----------------------------------------------------------------------------------


def test_forms_leave_then_the_thumbnail_shrinks(through, media):
    """limits.final-stanza is 4 KiB; the thumbnail of a photograph has nearly 8."""
    options = {'limits__final_stanza': '4096', 'listen__main__profile': 'everyone', 'profiles__everyone__type': 'image/jpeg'}
    original = pictures.jpeg(800, 800, seed=5)
    url = media.put(original, 'p.jpg')
    received = through(picture(url), **options)
    assert len(received) <= 4096
    forms = Forms(parse(received), url, original)
    assert forms.found and forms.found <= set(EVERY)


# --- real peers -----------------------------------------------------------------------------


def strip(data):
    """Without what the server's archive adds behind ours."""
    root = parse(data)
    for foreign in root.findall('{urn:xmpp:sid:0}stanza-id'):
        root.remove(foreign)
    return root


def test_through_prosody_to_slixmpp(tmp_path, media):
    server = Prosody(tmp_path)
    daemon = Insetd(tmp_path, server.upstream, {'fetch.allow-origin': [media.origin, server.origin],
                                                'profiles.default.formats': EVERY})

    async def talk():
        alice, bob = Client('alice', daemon.port), Client('bob', daemon.port)
        await asyncio.gather(alice.start(), bob.start())
        original = pictures.jpeg(1200, 900)
        for n, (name, shown) in enumerate([('photo.jpg', 'photo.jpg'), ('holiday in ö.jpg', 'holiday in ö.jpg')]):
            url = await alice.upload(original, name)
            alice.picture_message(url, f'forms-{n}').send()
            got = await bob.next_message(f'forms-{n}')
            assert got['body'] == url and got['oob']['url'] == url
            root = strip(stanza_bytes(bob.raw, f'forms-{n}'))
            assert Forms(root, url, original, name=shown).found == set(EVERY)
        for client in (alice, bob):
            await client.end()
    try:
        asyncio.run(talk())
    finally:
        daemon.stop()
        server.stop()


def test_carbons_through_prosody(tmp_path, media):
    """Only what comes in is asked for, so the sender's other client depends on `forwarded`."""
    server = Prosody(tmp_path)
    daemon = Insetd(tmp_path, server.upstream, {'fetch.allow-origin': [media.origin], 'listen.main.directions': ['s2c'],
                                                'listen.main.forwarded': True, 'listen.main.profile': 'modern'})

    async def talk():
        alice, bob, second = Client('alice', daemon.port), Client('bob', daemon.port), Client('alice', daemon.port)
        second.requested_jid.resource = 'second'
        second.register_plugin('xep_0280')
        carbons = asyncio.Queue()
        second.add_event_handler('carbon_sent', carbons.put_nowait)
        await asyncio.gather(alice.start(), bob.start(), second.start())
        await second['xep_0280'].enable()
        original = pictures.png()
        url = media.put(original, 'p.png')
        alice.picture_message(url, 'copied').send()
        got = await bob.next_message('copied')
        assert got['body'] == url
        assert Forms(strip(stanza_bytes(bob.raw, 'copied')), url, original).found == {'sfs', 'bob'}
        copy = await asyncio.wait_for(carbons.get(), 30)
        inner = ElementTree.tostring(copy['carbon_sent'].xml)
        assert Forms(strip(inner), url, original).found == {'sfs', 'bob'}
        for client in (alice, bob, second):
            await client.end()
    try:
        asyncio.run(talk())
    finally:
        daemon.stop()
        server.stop()


# --- configuration --------------------------------------------------------------------------


@pytest.mark.parametrize('formats, good', [(['thumbs0'], False), (['thumbs0', 'ibb'], False), (['thumbs0', 'bob'], True),
                                           (['thumbs0', 'sfs'], True), (EVERY, True)])
def test_thumbs0_is_refused_without_its_data(tmp_path, formats, good):
    conf = tmp_path / 'inset.conf'
    conf.write_text(conf_text({'listen.main.bind': ['127.0.0.1:5222'], 'listen.main.upstream': '127.0.0.1:15222',
                               'profiles.default.formats': formats}))
    run = subprocess.run([BUILD / 'insetd', '-t', '-c', conf], capture_output=True, text=True, timeout=60)
    assert run.returncode == (0 if good else 1), run.stderr
    if not good:
        assert 'thumbs0' in run.stderr + run.stdout and 'bob' in run.stderr + run.stdout
