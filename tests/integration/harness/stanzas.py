# SPDX-License-Identifier: MIT
"""Messages with pictures as bytes, and what a thumbnail must look like on the wire."""
import base64
import binascii
import io
import re
from dataclasses import dataclass

from PIL import Image

IBB = 'http://jabber.org/protocol/ibb'


def message(content, mid='m1', kind='chat', to='bob@localhost', attrs=''):
    """A message with this content, as bytes. kind None: no type attribute."""
    kind = f" type='{kind}'" if kind else ''
    return f"<message to='{to}' id='{mid}'{kind}{attrs}>{content}</message>".encode()


def oob(url, attrs=''):
    return f"<x xmlns='jabber:x:oob'><url{attrs}>{url}</url></x>"


def picture(url, mid='m1', kind='chat', to='bob@localhost', attrs='', extra=''):
    """What clients send after an upload: body and jabber:x:oob say the same."""
    return message(f'<body>{url}</body>{oob(url, attrs)}{extra}', mid, kind, to)


@dataclass
class Thumbnail:
    type: str
    sid: str
    data: bytes
    width: int
    height: int
    image: Image.Image


def thumbnails(received):
    """The start tags and texts of all IBB data elements in these bytes."""
    return re.findall(rb"<data(\s[^>]*http://jabber\.org/protocol/ibb[^>]*)>([^<]*)</data>", received)


def read_thumbnail(tag, text):
    """One thumbnail, all wire rules checked: see protocol requirements of format `ibb`."""
    attrs = dict(re.findall(r"([\w:-]+)\s*=\s*['\"]([^'\"]*)['\"]", tag.decode()))
    assert attrs['xmlns'] == IBB
    assert attrs['seq'] == '0'
    assert set(attrs) == {'xmlns', 'seq', 'sid', 'type'}
    assert len(attrs['sid']) >= 16, 'sid must be unguessable'
    assert re.fullmatch(rb'[A-Za-z0-9+/]+={0,2}', text), 'base64 without white space'
    data = base64.b64decode(text, validate=True)
    image = Image.open(io.BytesIO(data))
    image.load()
    assert Image.MIME[image.format] == attrs['type'], 'type is true'
    return Thumbnail(attrs['type'], attrs['sid'], data, image.width, image.height, image)


def check_thumbnail(original, received, width=128, height=128, max_bytes=8192):
    """received must be original with exactly one thumbnail spliced in as the last child."""
    end = b'</message>'
    assert original.endswith(end) and received.endswith(end)
    head = original[:-len(end)]
    assert received.startswith(head), f'changed before the thumbnail: {received[:400]!r}'
    spliced = received[len(head):-len(end)]
    assert spliced, 'no thumbnail'
    found = thumbnails(spliced)
    assert len(found) == 1, spliced[:300]
    whole = re.fullmatch(rb'<data\s[^>]*>[^<]*</data>', spliced)
    assert whole, 'exactly one element is added'
    thumb = read_thumbnail(*found[0])
    assert thumb.width <= width and thumb.height <= height
    assert len(thumb.data) <= max_bytes
    return thumb


def without_thumbnails(received):
    """The bytes with every spliced thumbnail taken out again."""
    return re.sub(rb"<data\s[^>]*http://jabber\.org/protocol/ibb[^>]*>[^<]*</data>", b'', received)


def is_base64(text):
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    return True
