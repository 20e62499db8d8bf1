# SPDX-License-Identifier: MIT
"""A real Prosody and two real client implementations through insetd: slixmpp (libexpat) and
Profanity (libstrophe). Login, roster, presence, messages, rooms, uploads, stream management.
"""
import asyncio
import re

import pytest
import slixmpp

from harness import pictures
from harness.ejabberd import Ejabberd
from harness.insetd import Insetd
from harness.profanity import Profanity
from harness.prosody import Prosody
from harness.slix import Client, stanza_bytes
from harness.stanzas import read_thumbnail, thumbnails


def one_thumbnail(raw):
    found = thumbnails(raw)
    assert len(found) == 1, raw
    return read_thumbnail(*found[0])


async def pair(port, **kwargs):
    alice, bob = Client('alice', port, **kwargs), Client('bob', port, **kwargs)
    await asyncio.gather(alice.start(), bob.start())
    return alice, bob


async def end(*clients):
    for client in clients:
        await client.end()


def test_login_roster_presence_and_plain_messages(front):
    async def talk():
        alice, bob = await pair(front.port)
        assert 'bob@localhost' in alice.client_roster
        while (await asyncio.wait_for(alice.presences.get(), 30))['from'].bare != 'bob@localhost':
            pass
        for n in range(20):
            message = alice.make_message(mto='bob@localhost', mbody=f'Größe {n} 😀', mtype='chat')
            message['id'] = f'plain-{n}'
            message.send()
        for n in range(20):
            got = await bob.next_message(f'plain-{n}')
            assert got['body'] == f'Größe {n} 😀'
            assert b'<data' not in stanza_bytes(bob.raw, f'plain-{n}')
        await end(alice, bob)
    asyncio.run(talk())


def test_upload_and_picture_message(front, prosody):
    async def talk():
        alice, bob = await pair(front.port)
        url = await alice.upload(pictures.jpeg(1600, 1200))
        assert url.startswith(prosody.origin)
        alice.picture_message(url, 'uploaded').send()
        got = await bob.next_message('uploaded')
        assert got['oob']['url'] == url and got['body'] == url
        thumb = one_thumbnail(stanza_bytes(bob.raw, 'uploaded'))
        assert (thumb.type, thumb.width, thumb.height) == ('image/jpeg', 128, 96)
        await end(alice, bob)
    asyncio.run(talk())


def test_picture_in_a_room(front, media):
    async def talk():
        alice, bob = await pair(front.port)
        room = 'room@conference.localhost'
        for client in (alice, bob):
            await client['xep_0045'].join_muc_wait(room, client.boundjid.user, maxstanzas=0, timeout=30)
        url = media.put(pictures.png())
        alice.picture_message(url, 'in-room', room, 'groupchat').send()
        for client in (alice, bob):         # the sender's reflection, too
            await client.next_message('in-room')
            one_thumbnail(stanza_bytes(client.raw, 'in-room'))
        await end(alice, bob)
    asyncio.run(talk())


def test_stream_management_counts_stay_true(front, media):
    """Acks asked for and given across held messages: both ends count the same."""
    async def talk():
        alice, bob = await pair(front.port, resumption=True)
        await asyncio.wait_for(asyncio.gather(alice.sm.wait(), bob.sm.wait()), 30)
        for n in range(30):
            mid = f'sm-{n}'
            if n % 3 == 0:
                alice.picture_message(media.put(pictures.png(64, 48, seed=n)), mid).send()
            elif n % 3 == 1:
                alice.picture_message(media.put(b'no picture'), mid).send()
            else:
                message = alice.make_message(mto='bob@localhost', mbody='between', mtype='chat')
                message['id'] = mid
                message.send()
            alice['xep_0198'].request_ack()
        for n in range(30):                 # in order
            got = await asyncio.wait_for(bob.messages.get(), 30)
            assert got['id'] == f'sm-{n}'
        for client in (alice, bob):
            await client['xep_0199'].ping('localhost', timeout=30)
            client['xep_0198'].request_ack()
            sm = client['xep_0198']
            for _ in range(1000):
                if not sm.unacked_queue:
                    break
                await asyncio.sleep(0.01)
                sm.request_ack()
            assert not sm.unacked_queue, 'the server acknowledged everything that was sent'
            assert not client.problem, client.problem
        assert len(thumbnails(bob.raw)) == 10
        await end(alice, bob)
    asyncio.run(talk())


def test_offline_message_has_its_thumbnail(front, media):
    """Spliced on its way to the server, so that storage has it, too."""
    async def talk():
        alice = await Client('alice', front.port).start()
        alice.picture_message(media.put(pictures.png(seed=12)), 'offline', to='carol@localhost').send()
        await alice['xep_0199'].ping('localhost', timeout=30)
        carol = await Client('carol', front.port).start()
        await carol.next_message('offline')
        one_thumbnail(stanza_bytes(carol.raw, 'offline'))
        await end(alice, carol)
    asyncio.run(talk())


def test_refused_upload_host_is_named_once(tmp_path, prosody):
    """Without allow-origin the server's own file share is private and refused; the log says once what would allow it."""
    daemon = Insetd(tmp_path, prosody.upstream)

    async def talk():
        alice, bob = await pair(daemon.port)
        for n in range(3):
            url = await alice.upload(pictures.jpeg(seed=n))
            alice.picture_message(url, f'refused-{n}').send()
            await bob.next_message(f'refused-{n}')
            assert b'<data' not in stanza_bytes(bob.raw, f'refused-{n}')
        await end(alice, bob)
    try:
        asyncio.run(talk())
        hints = [line for line in daemon.log().splitlines() if 'allow-origin' in line]
        assert len(hints) == 1 and prosody.origin in hints[0], hints
    finally:
        daemon.stop()


def test_wrong_password(front):
    async def talk():
        client = Client('alice', front.port)
        client.credentials['password'] = client.password = 'wrong'
        with pytest.raises(AssertionError, match='failed_all_auth'):
            await client.start()
        await client.end()
    asyncio.run(talk())


def test_profanity_sends_a_file_and_slixmpp_gets_the_thumbnail(front, prosody, tmp_path):
    photo = tmp_path / 'photo.jpg'
    photo.write_bytes(pictures.jpeg(1600, 1200, seed=4))

    async def talk():
        bob = await Client('bob', front.port).start()
        profanity = await asyncio.to_thread(Profanity, tmp_path / 'alice', 'alice', front.port)
        try:
            profanity.type('/msg bob@localhost hello')
            await asyncio.to_thread(profanity.wait_stanza, 'SENT', b'hello')
            profanity.type(f'/sendfile {photo}')
            sent = await asyncio.to_thread(profanity.wait_stanza, 'SENT', b'jabber:x:oob')
            mid = re.search(rb'\bid="([^"]+)"', sent)[1].decode()
            assert prosody.origin.encode() in sent
            await bob.next_message(mid)
            thumb = one_thumbnail(stanza_bytes(bob.raw, mid))
            assert (thumb.type, thumb.width, thumb.height) == ('image/jpeg', 128, 96)
        finally:
            profanity.stop()
        await bob.end()
    asyncio.run(talk())


def test_slixmpp_sends_and_profanity_gets_the_thumbnail(front, media, tmp_path):
    async def talk():
        alice = await Client('alice', front.port).start()
        profanity = await asyncio.to_thread(Profanity, tmp_path / 'bob', 'bob', front.port)
        try:
            alice.picture_message(media.put(pictures.jpeg()), 'to-profanity').send()
            got = await asyncio.to_thread(profanity.wait_stanza, 'RECV', b'to-profanity')
            one_thumbnail(got)
            profanity.type('/msg alice@localhost thanks')
            while (await asyncio.wait_for(alice.messages.get(), 30))['body'] != 'thanks':
                pass
        finally:
            profanity.stop()
        await alice.end()
    asyncio.run(talk())


# --- components (XEP-0114) -------------------------------------------------------------------

@pytest.fixture(name='bridged', scope='module', params=['prosody', 'ejabberd'])
def bridged_fixture(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('bridged')
    server = Ejabberd(folder) if request.param == 'ejabberd' else Prosody(folder, component=True)
    yield server
    server.stop()


def test_component_sends_a_picture(tmp_path, bridged, media):
    """A bridge's stream: no features, stanzas with `from`, thumbnails for what it sends."""
    daemon = Insetd(tmp_path, f'127.0.0.1:{bridged.component_port}', {'fetch.allow-origin': [media.origin]})

    async def talk():
        bob = await Client('bob', bridged.port).start()
        robot = slixmpp.ComponentXMPP('robot.localhost', 'secret', '127.0.0.1', daemon.port)
        robot.register_plugin('xep_0066')
        started, answers = asyncio.Event(), asyncio.Queue()
        robot.add_event_handler('session_start', lambda _: started.set())
        robot.add_event_handler('message', answers.put_nowait)
        robot.connect()
        await asyncio.wait_for(started.wait(), 30)
        message = robot.make_message(mto='bob@localhost/slix', mfrom='carol@robot.localhost', mtype='chat',
                                     mbody='look')
        message['id'] = 'from-robot'
        message['oob']['url'] = media.put(pictures.jpeg())
        message.send()
        await bob.next_message('from-robot')
        one_thumbnail(stanza_bytes(bob.raw, 'from-robot'))
        bob.make_message(mto='carol@robot.localhost', mbody='nice', mtype='chat').send()
        answer = await asyncio.wait_for(answers.get(), 30)
        assert (answer['body'], answer['to'].bare) == ('nice', 'carol@robot.localhost')
        robot.disconnect()
        await end(bob)
    asyncio.run(talk())
    daemon.stop()


def test_component_with_a_wrong_secret(tmp_path, bridged):
    daemon = Insetd(tmp_path, f'127.0.0.1:{bridged.component_port}')

    async def talk():
        robot = slixmpp.ComponentXMPP('robot.localhost', 'wrong', '127.0.0.1', daemon.port)
        ended = asyncio.Event()
        robot.add_event_handler('stream_error', lambda _: ended.set())
        robot.connect()
        await asyncio.wait_for(ended.wait(), 30)
        robot.abort()
    asyncio.run(talk())
    daemon.stop()
