# SPDX-License-Identifier: MIT
"""Random streams at random splits leave byte-identical and in order in both lanes, while
messages are held; with thumbnails taken out again, also where there were some.

Seeds are fixed; INSET_SEED=N adds one more.
"""
import os
import random
import threading

import pytest

from harness import pictures
from harness.stanzas import oob, thumbnails, without_thumbnails

SEEDS = [1, 2, 3, 4, 5, 6] + [int(s) for s in os.environ.get('INSET_SEED', '').split()]
TEXT = ['hello', 'Größe – 漢字 😀', '&amp;&lt;&gt;&quot;&apos;', '&#x1F600;&#9;', ' ' * 30, '<![CDATA[ <&> ]] ]>]]>',
        'a' * 300, 'jabber:x:oob', "'\"", '\n\t', '>']
NAMES = ['a', 'b', 'x', 'body', 'message', 'stream', 'näme', 'a.b-c_d', 'x1']


def element(rng, depth=0):
    name = rng.choice(NAMES)
    attrs = ''
    if rng.random() < 0.4:
        attrs += rng.choice([" xmlns='urn:a'", ' xmlns="urn:b"', " xmlns = 'jabber:x:oob'"])
    for n in range(rng.randrange(4)):
        quote = rng.choice('\'"')
        value = rng.choice(['', 'v', '>', '/>', '&amp;', 'ö' * 20, '&#60;', 'x' * rng.randrange(200)])
        attrs += rng.choice([' ', '\n ', '\t']) + f'k{n}={quote}{value}{quote}'
    if rng.random() < 0.25:
        return f'<{name}{attrs}{rng.choice(["", " "])}/>'
    inner = ''
    for _ in range(rng.randrange(4)):
        inner += rng.choice(TEXT) if depth > 4 or rng.random() < 0.5 else element(rng, depth + 1)
    return f'<{name}{attrs}>{inner}</{name}{rng.choice(["", " "])}>'


def unit(rng, urls):
    kind = rng.random()
    if kind < 0.12:
        return rng.choice([' ', '\n', '   \r\n\t'])
    if kind < 0.24:
        return rng.choice(["<r xmlns='urn:xmpp:sm:3'/>", "<a xmlns='urn:xmpp:sm:3' h='7'/>",
                           "<inactive xmlns='urn:xmpp:csi:0'/>"])
    if kind < 0.34 and urls:
        return f"<message to='bob@localhost' id='p{rng.randrange(10 ** 6)}'>{element(rng)}{oob(rng.choice(urls))}</message>"
    if kind < 0.6:
        return f"<message type='chat' to='bob@localhost'>{''.join(element(rng) for _ in range(rng.randrange(4)))}</message>"
    if kind < 0.75:
        return f"<presence>{element(rng) if rng.random() < 0.5 else ''}</presence>"
    if kind < 0.97:
        return f"<iq type='{rng.choice(['get', 'set', 'result'])}' id='q'>{element(rng)}</iq>"
    return f"<message to='bob@localhost'><body>{'long ' * rng.randrange(20000)}</body></message>"


def stream(rng, urls, count):
    return ''.join(unit(rng, urls) for _ in range(count)).encode()


def dribble(peer, data, seed):
    """Sends data in random pieces: single bytes, a few, many."""
    rng = random.Random(seed)
    at = 0
    while at < len(data):
        size = rng.choice([1, 2, 3, 7, 40, 300, 1400, 9000, 60000])
        peer.send(data[at:at + size])
        at += size


def exchange(session, c2s, s2c, seed, received_c2s=None):
    """Both lanes at once; returns what the server got when it is not to be compared here."""
    result = {}

    def receive(key, peer, want):
        try:
            if want is None:
                result[key] = peer.until(b"<message id='the-end'/>")
            else:
                peer.expect(want)
                result[key] = b''
        except BaseException as problem:       # handed to the main thread
            result[key] = problem
    jobs = [threading.Thread(target=receive, args=('c2s', session.server, received_c2s)),
            threading.Thread(target=receive, args=('s2c', session.client, s2c)),
            threading.Thread(target=dribble, args=(session.client, c2s, seed)),
            threading.Thread(target=dribble, args=(session.server, s2c, seed + 1))]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    for key in ('c2s', 's2c'):
        if isinstance(result[key], BaseException):
            raise result[key]
    return result['c2s']


@pytest.mark.parametrize('seed', SEEDS)
def test_random_streams_leave_as_they_came(session, media, seed):
    """Pictures that cannot be had: held for their fetch, then the original."""
    rng = random.Random(seed)
    late = threading.Event()
    threading.Timer(0.2, late.set).start()

    def missing(handler):
        late.wait(5)
        handler.reply(404, b'')
    urls = [media.put(missing), media.put(b'no picture'), 'http://10.0.0.1/x.png', 'aesgcm://x/y']
    c2s, s2c = stream(rng, urls, 250), stream(rng, urls, 250)
    exchange(session, c2s, s2c, seed, c2s)


@pytest.mark.parametrize('seed', SEEDS)
def test_random_streams_with_thumbnails(session, media, seed):
    rng = random.Random(seed * 1000)
    urls = [media.put(pictures.png(60 + n, 50)) for n in range(4)]
    c2s, s2c = stream(rng, urls, 250) + b"<message id='the-end'/>", stream(rng, [], 250)
    received = exchange(session, c2s, s2c, seed)
    assert without_thumbnails(received) == c2s
    wanted = sum(c2s.count(url.encode() + b'</url></x></message>') for url in urls)
    assert len(thumbnails(received)) == wanted
    assert received.count(b'</data></message>') == wanted
