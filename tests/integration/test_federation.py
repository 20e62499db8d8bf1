# SPDX-License-Identifier: MIT
"""Servers as peers: two real Prosodies that talk to each other in the clear, by dialback
(XEP-0220), with insetd before one of them.

Each domain is an address of its own in 127.0.0.0/8, where the port for servers is free: no name
server is needed. A stream between servers goes one way, so inset sees what the first server sends,
and the second one's dialback question goes past it or through another insetd.
"""
import asyncio
import random

import pytest

from harness import pictures
from harness.insetd import Insetd
from harness.prosody import Prosody
from harness.processes import free_port, wait_for
from harness.slix import Client, stanza_bytes
from harness.stanzas import read_thumbnail, thumbnails

S2S_PORT = 5269


def addresses(count):
    """Loopback addresses that nobody else uses."""
    second, third = (random.SystemRandom().randrange(2, 250) for _ in range(2))
    return [f'127.{second}.{third}.{n + 1}' for n in range(count)]


@pytest.mark.parametrize('both_ways', [False, True])
def test_two_servers(tmp_path, media, both_ways):
    """alice@here sends to bob@there through inset; bob answers past it, or through another one."""
    here, there = addresses(2)
    homes = [tmp_path / name for name in ('here', 'there', 'inset', 'back')]
    for home in homes:
        home.mkdir()
        home.chmod(0o755)
    back_port = free_port()
    started = []
    try:
        first = Prosody(homes[0], domain=here, s2s=('127.0.0.1', back_port) if both_ways else (here, S2S_PORT))
        started.append(first)
        port = free_port()
        second = Prosody(homes[1], domain=there, s2s=('127.0.0.1', port))
        started.append(second)
        options = {'fetch.allow-origin': [media.origin]}
        daemon = Insetd(homes[2], f'127.0.0.1:{port}', options | {'listen.main.bind': [f'{there}:{S2S_PORT}']})
        started.append(daemon)
        if both_ways:
            started.append(Insetd(homes[3], f'127.0.0.1:{back_port}',
                                  options | {'listen.main.bind': [f'{here}:{S2S_PORT}']}))

        async def talk():
            alice = await Client('alice', first.port, domain=here).start()
            bob = await Client('bob', second.port, domain=there).start()
            for n in range(20):
                message = alice.make_message(mto=f'bob@{there}', mbody=f'Größe {n}', mtype='chat')
                message['id'] = f'plain-{n}'
                message.send()
            for n in range(20):
                assert (await bob.next_message(f'plain-{n}'))['body'] == f'Größe {n}'
                assert not thumbnails(stanza_bytes(bob.raw, f'plain-{n}'))
            alice.picture_message(media.put(pictures.jpeg(1600, 1200)), 'pictured', f'bob@{there}').send()
            await bob.next_message('pictured')
            found = thumbnails(stanza_bytes(bob.raw, 'pictured'))
            assert len(found) == 1
            thumb = read_thumbnail(*found[0])
            assert (thumb.type, thumb.width, thumb.height) == ('image/jpeg', 128, 96)
            bob.picture_message(media.put(pictures.jpeg()), 'answer', f'alice@{here}').send()
            await alice.next_message('answer')
            assert len(thumbnails(stanza_bytes(alice.raw, 'answer'))) == both_ways
            await alice['xep_0199'].ping(there, timeout=30)
            await alice.end()
            await bob.end()
        asyncio.run(talk())
        wait_for(lambda: "type='valid'" in first.log() and 'dialback' in first.log(), 'dialback in the log')
        assert daemon.metric('inset_sessions') >= 1
    finally:
        for thing in reversed(started):
            thing.stop()
