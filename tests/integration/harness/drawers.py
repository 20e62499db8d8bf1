# SPDX-License-Identifier: MIT
"""What clients would draw for a message: each one's parsing rules, played.

`DRAWERS[name](message, web)` takes a message as the recipient gets it (an lxml element) and `web`,
a function from a URL to its bytes or None, and returns a Drawing. The rules are those of the
clients' sources, traps included: what they look for, in which order, what they insist on and what
ends them. No client runs here (tests/clients does that with the ones that Debian has).

Two pictures are told apart: the one that stands in the chat in the end, and the preview that stands
there before the original is downloaded, or where it is not.
"""
import base64
import binascii
import hashlib
import io
import re
from dataclasses import dataclass, field

from lxml import etree
from PIL import Image

OOB = 'jabber:x:oob'
BOB = 'urn:xmpp:bob'
SFS = 'urn:xmpp:sfs:0'
SIMS = 'urn:xmpp:sims:1'
META = 'urn:xmpp:file:metadata:0'
THUMBS = 'urn:xmpp:thumbs:1'
HASHES = 'urn:xmpp:hashes:2'
REFERENCE = 'urn:xmpp:reference:0'
FALLBACK = 'urn:xmpp:fallback:0'
URL_DATA = 'http://jabber.org/protocol/url-data'
JINGLE_FILE = 'urn:xmpp:jingle:apps:file-transfer:%d'
RDF = 'http://www.w3.org/1999/02/22-rdf-syntax-ns#'
OGP = 'https://ogp.me/ns#'
THUMBHASH = 'data:image/thumbhash;base64,'

RANK = {None: 0, 'link': 1, 'placeholder': 2, 'thumbnail': 3, 'original': 4}


@dataclass
class Drawing:
    """picture, preview: a key of RANK. bytes: the sha1 of what each of them is made from."""
    picture: str = None
    preview: str = None
    text: str = ''
    bytes: str = None
    preview_bytes: str = None
    crash: str = None
    more: list = field(default_factory=list)    # further pictures beside the first

    def worse_than(self, before):
        """Why this is less than before, or None."""
        if self.crash and not before.crash:
            return f'ends the client: {self.crash}'
        if RANK[self.picture] < RANK[before.picture]:
            return f'{self.picture} instead of {before.picture}'
        if self.picture == before.picture == 'original' and self.bytes != before.bytes:
            return 'another picture'
        if RANK[self.preview] < RANK[before.preview]:
            return f'preview {self.preview} instead of {before.preview}'
        if len(self.more) < len(before.more):
            return 'one of several pictures is gone'
        gone = [word for word in before.text.split() if word not in self.text.split()
                and not (word.startswith('http') and RANK[self.picture] > RANK['link'])]
        if gone:
            return f'text is gone: {gone}'
        if len(self.text) > len(before.text):
            return f'text more than before: {self.text!r}'
        return None

    def better_than(self, before):
        return not self.worse_than(before) and (RANK[self.picture] > RANK[before.picture]
                                                or RANK[self.preview] > RANK[before.preview])


# --- what the clients have in common ---------------------------------------------------------

def local(element):
    return etree.QName(element).localname


def space(element):
    return etree.QName(element).namespace


def children(element, name, ns):
    return [] if element is None else element.findall(f'{{{ns}}}{name}')


def child(element, name, ns):
    found = children(element, name, ns)
    return found[0] if found else None


def text_of(element):
    return '' if element is None or element.text is None else element.text


def body_of(message):
    return text_of(child(message, 'body', space(message)))


def oob_url(message):
    """The first direct one."""
    return text_of(child(child(message, 'x', OOB), 'url', OOB)) or None


def is_http(url):
    return bool(url) and re.match(r'https?://\S+$', url) is not None


def sha1(data):
    return hashlib.sha1(data).hexdigest()


def is_picture(data):
    try:
        Image.open(io.BytesIO(data)).load()
        return True
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def decode(text):
    """base64 as strict readers take it: no white space, padded; or None."""
    try:
        return base64.b64decode(text or '', validate=True) or None
    except (binascii.Error, ValueError):
        return None


def bob_data(message, any_cid=False):
    """{cid: bytes} of the data among the message's children."""
    found = {}
    for data in children(message, 'data', BOB):
        raw = decode(text_of(data))
        if raw and (data.get('cid') or any_cid):
            found.setdefault(data.get('cid'), raw)
    return found


def downloaded(url, web, limit=None):
    """The original as a picture, or None."""
    data = web(url) if is_http(url) else None
    if data is None or (limit is not None and len(data) > limit) or not is_picture(data):
        return None
    return data


def original_or_link(url, web, text='', limit=None):
    data = downloaded(url, web, limit)
    if data is None:
        return Drawing('link', text=text or url)
    return Drawing('original', bytes=sha1(data), text=text)


def thumbnail_size(thumbnail):
    """(width, height) or None where one is missing or no number."""
    try:
        return int(thumbnail.get('width')), int(thumbnail.get('height'))
    except (TypeError, ValueError):
        return None


def hidden(body, url, marks):
    """The body without what fallback marks for one of these namespaces take out."""
    for start, end in sorted(marks, reverse=True):
        body = '' if start is None else body[:start] + body[end:]
    return body if body.strip() != url else ''


def fallback_ranges(message, *namespaces):
    ranges = []
    for mark in children(message, 'fallback', FALLBACK):
        if mark.get('for') in namespaces:
            for part in children(mark, 'body', FALLBACK):
                start, end = part.get('start'), part.get('end')
                ranges.append((int(start), int(end)) if start and end else (None, None))
    return ranges


def only_whole_body(message, web, limit=None):
    """The rule of most clients: a picture if the body is the out-of-band URL and nothing else."""
    body, url = body_of(message), oob_url(message)
    if url and body == url and is_http(url):
        return original_or_link(url, web, limit=limit)
    return Drawing('link' if 'http' in body else None, text=body)


# --- the clients -----------------------------------------------------------------------------

def conversations(message, web):
    """Also Quicksy, Snikket. Reads nothing but oob and body; no url with a fragment."""
    return only_whole_body(message, web)


def monal(message, web):
    """Also Siskin, Beagle, Snikket on iOS."""
    return only_whole_body(message, web)


def profanity(message, _web):
    """Also poezio and biboumi: text."""
    body = body_of(message)
    return Drawing('link' if 'http' in body else None, text=body)


def _sims_of(message):
    """(outer reference, media-sharing, file, first source) of each SIMS reference."""
    for outer in children(message, 'reference', REFERENCE):
        sharing = child(outer, 'media-sharing', SIMS)
        if sharing is None:
            continue
        files = [f for f in sharing if isinstance(f.tag, str) and local(f) == 'file']
        sources = [r.get('uri') for r in children(child(sharing, 'sources', SIMS), 'reference', REFERENCE)]
        yield outer, sharing, files[0] if files else None, sources[0] if sources else None


def _cheogram_thumbnail(file):
    """(kind, bytes) of the thumbnail that is shown; raises what the UI thread would die of."""
    best = None
    for thumbnail in children(file, 'thumbnail', THUMBS):
        uri = thumbnail.get('uri')
        if uri is None:
            raise ValueError('Uri.parse of a thumbnail without uri')
        if ':' not in uri:
            raise ValueError('getScheme of a thumbnail uri without one')
        for side in ('width', 'height'):
            if thumbnail.get(side) is not None and not re.fullmatch(r'\d{1,9}', thumbnail.get(side)):
                raise ValueError(f'parseInt of thumbnail {side}')
        if uri.startswith('data:'):
            kind, comma, rest = uri[5:].partition(',')
            if not comma:
                raise ValueError('parts[1] of a data uri without comma')
            data = decode(rest) or b''
            if kind.startswith(('image/thumbhash', 'image/blurhash')):
                best = best or ('placeholder', data)
            elif is_picture(data):
                return 'thumbnail', data
    return best or (None, b'')


def cheogram(message, web):
    """Also monocles. Attachments by URL, SIMS first, then oob: one is kept. A thumbnail that is a
    picture is drawn in place of the downloaded file."""
    body, oob = body_of(message), oob_url(message)
    attachments = {}
    for _, _, file, source in _sims_of(message):
        if file is not None and space(file) in [JINGLE_FILE % n for n in (3, 4, 5)] and source:
            attachments.setdefault(source, file)
    if oob:
        attachments.setdefault(oob, None)
    if not attachments:
        return Drawing('link' if 'http' in body else None, text=body)
    url, file = next(iter(attachments.items()))
    text = hidden(body, url, fallback_ranges(message, OOB, SFS, SIMS))
    drawing = original_or_link(url, web, text.strip())
    if len(attachments) > 1:
        # The second of two that should have been one is lost, and its address is text.
        drawing.text = body
    try:
        drawing.preview, data = _cheogram_thumbnail(file)
    except ValueError as problem:
        return Drawing(crash=str(problem))
    if drawing.preview:
        drawing.preview_bytes = sha1(data)
    if drawing.preview == 'thumbnail' and drawing.picture == 'original':
        drawing.picture, drawing.bytes = 'thumbnail', sha1(data)
    return drawing


def movim(message, web):
    """The first reference of all is the one that counts, and so is its first thumbnail."""
    body, oob = body_of(message), oob_url(message)
    drawing = original_or_link(oob, web, '' if body == oob else body) if is_http(oob) else \
        Drawing('link' if 'http' in body else None, text=body)
    references = children(message, 'reference', REFERENCE)
    sims = next((s for s in _sims_of(message) if references and s[0] is references[0]), None)
    if not sims or sims[2] is None:
        return drawing
    file, source, ns = sims[2], sims[3], space(sims[2])
    name, kind, size = (text_of(child(file, n, ns)) for n in ('name', 'media-type', 'size'))
    if not (name and kind and size.isdigit() and is_http(source)):
        return drawing
    if len(name) > 255 or len(source) > 255:
        return Drawing(crash='value too long for a column of 255')
    thumbnails = children(file, 'thumbnail', THUMBS)
    uri = thumbnails[0].get('uri') if thumbnails else None
    if is_http(uri) and len(uri) > 255:
        return Drawing(crash='value too long for a column of 255')
    if uri and uri.startswith(THUMBHASH) and decode(uri[len(THUMBHASH):]):
        drawing.preview, drawing.preview_bytes = 'placeholder', sha1(decode(uri[len(THUMBHASH):]))
    return drawing


def _shares(message):
    """(file, sources, file-sharing) of each."""
    for sharing in children(message, 'file-sharing', SFS):
        sources = [u.get('target') for u in children(child(sharing, 'sources', SFS), 'url-data', URL_DATA)]
        yield child(sharing, 'file', META), [s for s in sources if s], sharing


def kaidan(message, web):
    """Shares first, else every oob; of a share the first thumbnail only, by cid, from data of the same
    message."""
    body, oobs = body_of(message), [text_of(child(x, 'url', OOB)) for x in children(message, 'x', OOB)]
    text = '' if oobs and body == oobs[0] else body
    shares = list(_shares(message))
    if not shares:
        if any(mark.get('for') == SFS for mark in children(message, 'fallback', FALLBACK)):
            return Drawing(text='')     # a message for others
        files = [(None, [url]) for url in oobs if is_http(url)]
    else:
        files = [(file, sources) for file, sources, _ in shares if file is not None]
        if fallback_ranges(message, SFS):
            text = hidden(body, oobs[0] if oobs else None, fallback_ranges(message, SFS)).strip()
    drawings = [_kaidan_file(file, sources, bob_data(message), web) for file, sources in files]
    if not drawings:
        return Drawing('link' if 'http' in body else None, text=body)
    drawings[0].text, drawings[0].more = text, drawings[1:]
    return drawings[0]


def _kaidan_file(file, sources, bits, web):
    drawing = original_or_link(sources[0], web) if sources else Drawing()
    drawing.text = ''
    first = child(file, 'thumbnail', THUMBS)
    if first is not None and (first.get('width') is None or thumbnail_size(first)):
        uri = first.get('uri') or ''
        data = re.match(r'cid:sha1\+', uri) and bits.get(uri[4:])
        if data and is_picture(data):
            drawing.preview, drawing.preview_bytes = 'thumbnail', sha1(data)
            if RANK[drawing.picture] < RANK['thumbnail']:
                drawing.picture, drawing.bytes = 'thumbnail', sha1(data)
    return drawing


HASH_NAMES = {'sha-1': 'sha1', 'sha-256': 'sha256', 'sha-384': 'sha384', 'sha-512': 'sha512'}
DINO_LIMIT = 5000000


def _dino_preview(file, bits):
    """Bytes of the one thumbnail that is tried."""
    first = child(file, 'thumbnail', THUMBS)
    uri = first.get('uri') if first is not None else None
    if not uri:
        return None
    if uri.endswith('@bob.xmpp.org'):
        data = bits.get(uri.removeprefix('cid:'))
    elif uri.startswith('data:image/png;base64,'):
        data = decode(uri[len('data:image/png;base64,'):])
    else:
        return None
    return data if data and is_picture(data) else None


def _dino_share(file, sources, bits, web):
    drawing = Drawing('link')
    preview = _dino_preview(file, bits)
    if preview:
        drawing.preview, drawing.preview_bytes = 'thumbnail', sha1(preview)
        drawing.picture, drawing.bytes = 'thumbnail', sha1(preview)
    size = text_of(child(file, 'size', META))
    if not size.isdigit() or int(size) >= DINO_LIMIT or not sources:
        return drawing          # a file to be downloaded by hand
    data = downloaded(sources[0], web, int(size))
    good = data is not None and all(
        decode(text_of(h)) == hashlib.new(HASH_NAMES[h.get('algo')], data).digest()
        for h in children(file, 'hash', HASHES) if h.get('algo') in HASH_NAMES)
    if good:
        drawing.picture, drawing.bytes = 'original', sha1(data)
    return drawing


def dino(message, web):
    """Shares take the message, its text included; one without a hash that Dino knows stops both the
    share and the oob listener."""
    shares = [(file, sources) for file, sources, _ in _shares(message) if file is not None]
    if shares:
        body = body_of(message)
        if not all(any(h.get('algo') in HASH_NAMES for h in children(file, 'hash', HASHES)) for file, _ in shares):
            return Drawing('link' if 'http' in body else None, text=body)
        drawings = [_dino_share(file, sources, bob_data(message), web) for file, sources in shares]
        drawings[0].more = drawings[1:]
        return drawings[0]
    if children(message, 'sources', SFS):
        return Drawing(text='')     # belongs to an earlier message
    url = oob_url(message)
    if url and '#' in url:
        return Drawing('link', text=body_of(message))
    return only_whole_body(message, web, DINO_LIMIT)


def kontalk(message, web):
    """Bits of binary next to oob; a cid is not asked for. The original is downloaded by hand."""
    url = oob_url(message)
    body = body_of(message)
    if not url:
        return Drawing('link' if 'http' in body else None, text=body)
    bits = bob_data(message, any_cid=True)
    data = next(iter(bits.values()), None)
    if data and is_picture(data):
        return Drawing('thumbnail', 'thumbnail', bytes=sha1(data), preview_bytes=sha1(data))
    return Drawing('placeholder') if downloaded(url, web) else Drawing('link', text=url)


def fluux(message, web):
    """A thumbnail inside the oob element, with all of its attributes, and file metadata as a child."""
    body, x = body_of(message), child(message, 'x', OOB)
    url = text_of(child(x, 'url', OOB))
    if not is_http(url):
        return Drawing('link' if 'http' in body else None, text=body)
    drawing = original_or_link(url, web, hidden(body, url, fallback_ranges(message, OOB)).strip())
    thumbnail = child(x, 'thumbnail', THUMBS)
    if thumbnail is not None and all(thumbnail.get(a) for a in ('uri', 'media-type', 'width', 'height')):
        data = downloaded(thumbnail.get('uri'), web)
        if data:
            drawing.preview, drawing.preview_bytes = 'thumbnail', sha1(data)
    return drawing


GAJIM_OGP = 50000
GAJIM_NOT_MESSAGES = ('http://jabber.org/protocol/ibb', 'http://jabber.org/protocol/rosterx')


def _gajim_ogp(message):
    """Bytes of the picture of a link's metadata."""
    description = child(message, 'Description', RDF)
    if description is None:
        return None
    about = description.get(f'{{{RDF}}}about') or description.get('about')
    image = next((text_of(i) for i in children(description, 'image', OGP)
                  if text_of(i).startswith('data:image')), None)
    if not about or not text_of(child(description, 'title', OGP)) or not image or len(image) > GAJIM_OGP:
        return None
    head, comma, rest = image.partition(',')
    data = decode(rest) if comma and head.endswith(';base64') else None
    return data if data and is_picture(data) else None


def gajim(message, web, public=False):
    """Downloads itself, but not in public rooms; the metadata's picture stands under that. A message with a
    child of an in-band bytestream or roster exchange is left to others, and nobody shows it."""
    if any(space(c) in GAJIM_NOT_MESSAGES for c in message if isinstance(c.tag, str)):
        return Drawing()
    url, body = oob_url(message), body_of(message)
    if url and url == body and is_http(url) and not public:
        drawing = original_or_link(url, web, limit=10 * 1024 * 1024)
    else:
        drawing = Drawing('link' if 'http' in body else None, text=body)
    data = _gajim_ogp(message)
    if data:
        drawing.preview, drawing.preview_bytes = 'thumbnail', sha1(data)
        if RANK[drawing.picture] < RANK['thumbnail']:
            drawing.picture, drawing.bytes = 'thumbnail', sha1(data)
    return drawing


def gajim_in_a_room(message, web):
    return gajim(message, web, public=True)


def psi(message, web):
    """A reference needs type, uri, a file of version 5 and its hash, or it is not there."""
    body = body_of(message)
    for outer, _, file, _ in _sims_of(message):
        if not outer.get('type') or not outer.get('uri') or file is None or space(file) != JINGLE_FILE % 5:
            continue
        if not any(decode(text_of(h)) for h in children(file, 'hash', HASHES)):
            continue
        drawing = original_or_link(outer.get('uri'), web)
        drawing.text = body
        return drawing
    return Drawing('link' if 'http' in body else None, text=body)


def converse(message, web):
    """The last oob of all descendants; a reference with begin and end is a mention and costs the picture.
    Beside any other reference the URL stays as text (seen in version 14)."""
    body = body_of(message)
    oobs = [x for x in message.iter(f'{{{OOB}}}x')]
    url = text_of(child(oobs[-1], 'url', OOB)) if oobs else None
    references = list(message.iter(f'{{{REFERENCE}}}reference'))
    if any(r.get('begin') and r.get('end') for r in references):
        return Drawing('link', text=body)
    if not is_http(url):
        return Drawing('link' if 'http' in body else None, text=body)
    text = body if references or body != url else ''
    return original_or_link(url, web, text)


def bifrost(message, web):
    """matrix-bifrost: the first x of any namespace."""
    body = body_of(message)
    first = next((c for c in message if isinstance(c.tag, str) and local(c) == 'x'), None)
    url = text_of(child(first, 'url', OOB)) if first is not None and space(first) == OOB else None
    if not is_http(url):
        return Drawing('link' if 'http' in body else None, text=body)
    return original_or_link(url, web, '' if body == url else body)


def other_ibb(message, web):
    """Kontalk's media note of 2013, which no client followed: one chunk of a bytestream next to oob."""
    drawing = only_whole_body(message, web)
    data = child(message, 'data', 'http://jabber.org/protocol/ibb')
    raw = decode(text_of(data)) if data is not None and data.get('seq') == '0' and data.get('sid') else None
    if raw and is_picture(raw):
        drawing.preview, drawing.preview_bytes = 'thumbnail', sha1(raw)
    return drawing


DRAWERS = {
    'bifrost': bifrost, 'cheogram': cheogram, 'conversations': conversations, 'converse': converse, 'dino': dino,
    'fluux': fluux, 'gajim': gajim, 'gajim-in-a-room': gajim_in_a_room, 'kaidan': kaidan, 'kontalk': kontalk,
    'monal': monal, 'movim': movim, 'note-of-2013': other_ibb, 'profanity': profanity, 'psi': psi,
}


def parse(data):
    """A message's bytes, as they stand in a stream, as an element; never touches the network."""
    data = data.encode() if isinstance(data, str) else data
    whole = (b"<s xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>" + data + b'</s>')
    return etree.fromstring(whole, etree.XMLParser(resolve_entities=False, no_network=True))[0]
