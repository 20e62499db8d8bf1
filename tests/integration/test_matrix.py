# SPDX-License-Identifier: MIT
"""Every server with every client in every kind of connection: {Prosody, ejabberd} by {slixmpp,
Profanity} by {in the clear, STARTTLS, direct TLS}, and the same with a real HAProxy in front.

What a single one of them does in detail is in test_clients.py and test_tls.py.
"""
import asyncio
import re

import pytest

from harness import pictures
from harness.certs import Authority
from harness.haproxy import HAProxy
from harness.insetd import Insetd
from harness.processes import wait_for
from harness.profanity import Profanity
from harness.slix import Client, stanza_bytes
from harness.stanzas import read_thumbnail, thumbnails

MODES = ['off', 'starttls', 'direct']
PROFANITY = {'off': 'disable', 'starttls': 'force', 'direct': 'legacy'}
SECURED = 'leg=client version=TLSv1.3'


@pytest.fixture(scope='module')
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp('ca'))


@pytest.fixture(scope='module')
def certificate(authority):
    return authority.issue('localhost')


@pytest.fixture(scope='module', params=['prosody', 'ejabberd'])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope='module')
def front_in(tmp_path_factory, server, media, certificate):
    """front_in(mode): insetd before that server."""
    made = {}

    def make(mode):
        if mode not in made:
            tls = {'listen.main.tls': mode, 'listen.main.certificates': [str(certificate)]} if mode != 'off' else {}
            made[mode] = Insetd(tmp_path_factory.mktemp(f'front-{mode}'), server.upstream,
                                {'fetch.allow-origin': [server.origin, media.origin]} | tls)
        return made[mode]
    yield make
    for daemon in made.values():
        daemon.stop()


def one_thumbnail(raw):
    found = thumbnails(raw)
    assert len(found) == 1, raw
    return read_thumbnail(*found[0])


async def slix_pair(port, mode, authority):
    """alice and bob, logged in with stream management, their TLS looked at."""
    clients = [Client(user, port, resumption=True, tls=mode, ca=authority.file) for user in ('alice', 'bob')]
    await asyncio.gather(*(client.start() for client in clients))
    await asyncio.wait_for(asyncio.gather(*(client.sm.wait() for client in clients)), 30)
    for client in clients:
        assert client.tls_version() == (None if mode == 'off' else 'TLSv1.3')
    return clients


async def all_acknowledged(client):
    """The server has counted as many stanzas as the client sent, and the other way round."""
    sm = client['xep_0198']
    for _ in range(3000):
        sm.request_ack()
        if not sm.unacked_queue:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f'not acknowledged: {sm.unacked_queue}')


async def converse(alice, bob, media):
    """Roster, presence, a message without and one with a picture, all of it acknowledged."""
    assert 'bob@localhost' in alice.client_roster and 'alice@localhost' in bob.client_roster
    for client in (alice, bob):         # both are known: sessions of earlier tests may still wait for their resumption
        while (await asyncio.wait_for(client.presences.get(), 30))['from'] != bob.boundjid:
            pass
    message = alice.make_message(mto='bob@localhost', mbody='Größe ]]&gt; 😀', mtype='chat')
    message['id'] = 'plain'
    message.send()
    await bob.next_message('plain')
    got = stanza_bytes(bob.raw, 'plain')
    assert '<body>Größe ]]&amp;gt; 😀</body>'.encode() in got and not thumbnails(got)
    url = media.put(pictures.jpeg(1600, 1200))
    alice.picture_message(url, 'pictured').send()
    got = await bob.next_message('pictured')
    assert got['oob']['url'] == url and got['body'] == url
    thumb = one_thumbnail(stanza_bytes(bob.raw, 'pictured'))
    assert (thumb.type, thumb.width, thumb.height) == ('image/jpeg', 128, 96)
    for client in (alice, bob):
        await all_acknowledged(client)
        assert not client.problem, client.problem


@pytest.mark.parametrize('mode', MODES)
def test_slixmpp(server, front_in, mode, authority, media):
    daemon = front_in(mode)
    secured = daemon.said().count(SECURED)

    async def talk():
        alice, bob = await slix_pair(daemon.port, mode, authority)
        await converse(alice, bob, media)
        url = await alice.upload(pictures.jpeg(800, 600, seed=3))
        assert url.startswith(server.origin)
        alice.picture_message(url, 'uploaded').send()
        await bob.next_message('uploaded')
        one_thumbnail(stanza_bytes(bob.raw, 'uploaded'))
        await alice.end()
        await bob.end()
    asyncio.run(talk())
    assert daemon.said().count(SECURED) - secured == (0 if mode == 'off' else 2)


@pytest.mark.parametrize('mode', MODES)
def test_profanity(server, front_in, mode, authority, media, tmp_path):
    """With slixmpp on the other side, both ways, a file among it."""
    daemon = front_in(mode)
    secured = daemon.said().count(SECURED)
    photo = tmp_path / 'photo.jpg'
    photo.write_bytes(pictures.jpeg(1600, 1200, seed=4))

    async def talk():
        alice = await Client('alice', daemon.port, tls=mode, ca=authority.file).start()
        profanity = await asyncio.to_thread(Profanity, tmp_path / 'bob', 'bob', daemon.port, PROFANITY[mode],
                                            authority.file if mode != 'off' else None)
        try:
            await asyncio.to_thread(wait_for, lambda: daemon.said().count(SECURED) - secured == (0 if mode == 'off' else 2),
                                    'both sessions are secured')
            alice.picture_message(media.put(pictures.jpeg()), 'to-profanity').send()
            one_thumbnail(await asyncio.to_thread(profanity.wait_stanza, 'RECV', b'to-profanity'))
            profanity.type('/roster')
            await asyncio.to_thread(wait_for, lambda: 'alice@localhost' in profanity.screen(), 'the roster is shown')
            profanity.type('/msg alice@localhost thanks')
            while (await asyncio.wait_for(alice.messages.get(), 30))['body'] != 'thanks':
                pass
            profanity.type(f'/sendfile {photo}')
            sent = await asyncio.to_thread(profanity.wait_stanza, 'SENT', b'jabber:x:oob')
            assert server.origin.encode() in sent
            mid = re.search(rb'\bid="([^"]+)"', sent)[1].decode()
            await alice.next_message(mid)
            one_thumbnail(stanza_bytes(alice.raw, mid))
        finally:
            profanity.stop()
        await alice.end()
    asyncio.run(talk())


# --- with a balancer in front ----------------------------------------------------------------

# Where TLS ends, and what HAProxy tells inset.
BALANCED = {
    'off': ('off', 'nowhere', 'send-proxy-v2'),
    'starttls': ('starttls', 'inset', 'send-proxy-v2 proxy-v2-options crc32c,unique-id'),
    'direct': ('direct', 'inset', 'send-proxy-v2'),
    'direct, ends before inset': ('direct', 'balancer', 'send-proxy-v2-ssl-cn proxy-v2-options authority,ssl,cert-cn'),
}


@pytest.fixture(name='balanced', params=BALANCED)
def balanced_fixture(request, tmp_path, server, media, certificate):
    """HAProxy -> insetd -> server. ejabberd is told the client's address, Prosody 0.12 cannot be."""
    mode, ends, how = BALANCED[request.param]
    told = hasattr(server, 'proxy_port')
    options = {'fetch.allow-origin': [server.origin, media.origin], 'listen.main.proxy-accept': 'v2',
               'listen.main.proxy-from': ['127.0.0.1/32']}
    if told:
        options['listen.main.proxy-send'] = 'v2'
    if ends == 'inset':
        options |= {'listen.main.tls': mode, 'listen.main.certificates': [str(certificate)]}
    daemon = Insetd(tmp_path, f'127.0.0.1:{server.proxy_port}' if told else server.upstream, options)
    haproxy = HAProxy(tmp_path, daemon.port, how, f'ssl crt {certificate} alpn xmpp-client' if ends == 'balancer' else '')
    daemon.mode, daemon.ends, daemon.front_port = mode, ends, haproxy.port
    yield daemon
    haproxy.stop()
    daemon.stop()


def test_slixmpp_through_haproxy(server, balanced, authority, media):
    async def talk():
        clients = await slix_pair(balanced.front_port, balanced.mode, authority)
        if hasattr(server, 'connected'):
            known = server.connected()
            for client in clients:
                found = known[str(client.boundjid)]
                ip, port = client.transport.get_extra_info('sockname')
                assert (found['ip'].removeprefix('::ffff:'), found['port']) == (ip, port)
        await converse(*clients, media)
        for client in clients:
            await client.end()
    asyncio.run(talk())
    assert balanced.said().count(SECURED) == (2 if balanced.ends == 'inset' else 0)


def test_profanity_through_haproxy(server, balanced, authority, media, tmp_path):
    mode = balanced.mode
    profanity = Profanity(tmp_path / 'bob', 'bob', balanced.front_port, PROFANITY[mode],
                          authority.file if mode != 'off' else None)

    async def talk():
        alice = await Client('alice', balanced.front_port, tls=mode, ca=authority.file).start()
        alice.picture_message(media.put(pictures.jpeg()), 'to-profanity').send()
        one_thumbnail(await asyncio.to_thread(profanity.wait_stanza, 'RECV', b'to-profanity'))
        await alice.end()
    try:
        asyncio.run(talk())
    finally:
        profanity.stop()
    assert balanced.said().count(SECURED) == (2 if balanced.ends == 'inset' else 0)
