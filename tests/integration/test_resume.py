# SPDX-License-Identifier: MIT
"""A killed proxy process is a reconnect: with stream management (XEP-0198) no message is lost and
none comes twice, whatever was held or half sent when it died.

With Prosody messages go out in rounds that the server reads at once. Prosody 0.12 reads on in the
old parser after a resumption: a connection that breaks in the middle of a stanza ends the resumed
session, too (not-well-formed), with inset or without. With ejabberd they go out as fast as they
can, and the proxy dies in the middle; ejabberd 23.01 itself then sends some messages in another
order when both ends resume at once, with inset or without.
"""
import asyncio
import os
import signal
import time

import pytest

from harness import pictures
from harness.ejabberd import Ejabberd
from harness.insetd import Insetd
from harness.processes import wait_for
from harness.prosody import Prosody
from harness.slix import ResumingClient
from harness.smclient import SmClient

COUNT = 2400
KILLS = (1200, 2399)      # at the first 1200 are not acknowledged, each way
ROUND = {'prosody': 20, 'ejabberd': COUNT}
IBB = '{http://jabber.org/protocol/ibb}data'


def numbered(to, n, url=None):
    oob = f"<x xmlns='jabber:x:oob'><url>{url}</url></x>" if url else ''
    return f"<message to='{to}' type='chat' id='n{n}'><body>{n}</body>{oob}</message>"


def quiet(server):
    """Nothing new in the server's log for a second: what came by the broken connections is done with.
    Clients wait before they connect again, too."""
    size, since = 0, time.monotonic()

    def check():
        nonlocal size, since
        now = server.log_size()
        if now != size:
            size, since = now, time.monotonic()
        return time.monotonic() - since > 1
    return check


@pytest.fixture(name='server', params=ROUND)
def server_fixture(request, tmp_path):
    """A fresh one for each test: an archive with thousands of messages makes servers slow."""
    folder = tmp_path / request.param
    folder.mkdir()
    server = Prosody(folder) if request.param == 'prosody' else Ejabberd(folder, archive=False)
    server.round = ROUND[request.param]
    server.in_order = list if request.param == 'prosody' else lambda texts: sorted(texts, key=lambda t: int(t.lstrip('n')))
    yield server
    server.stop()


@pytest.fixture
def front(tmp_path, server, media):
    daemon = Insetd(tmp_path, server.upstream, {'fetch.allow-origin': [media.origin]})
    yield daemon
    daemon.stop()


@pytest.mark.parametrize('pictured', [False, True])
def test_killed_proxy_loses_and_doubles_nothing(front, server, media, pictured):
    slow = media.put(lambda handler: (time.sleep(0.3), handler.reply(200, pictures.png())))
    clients = [SmClient(user, front.port, quiet(server)) for user in ('alice', 'bob')]
    try:
        for n in range(COUNT):
            for client, to in zip(clients, ('bob@localhost/sm', 'alice@localhost/sm')):
                url = slow + f'?{n}' if pictured and n % 50 == 10 else None
                if url:
                    media.answers[url[len(media.origin):]] = media.answers[slow[len(media.origin):]]
                client.send(numbered(to, n, url))
            if n in KILLS:
                assert n != KILLS[0] or all(len(c.sent) > 1000 for c in clients)
                os.kill(front.role('proxy')[0], signal.SIGKILL)
                wait_for(lambda times=KILLS.index(n) + 1: all(c.resumptions == times for c in clients), 'resumed', 60)
            if n % server.round == 0:
                wait_for(lambda n=n: all(len(c.received) > n - server.round for c in clients), 'the last round is there', 60)

        def done():
            for client in clients:
                client.ask()
                if client.problem:
                    raise client.problem
            return all(len(c.received) >= COUNT and not c.sent for c in clients)
        wait_for(done, 'all is there and acknowledged', 120, front.process)
        for client in clients:
            assert server.in_order(client.bodies()) == [str(n) for n in range(COUNT)]
            assert client.resumptions == 2
        if pictured:
            assert any(m.find(IBB) is not None for c in clients for m in c.received)
    finally:
        for client in clients:
            client.close()


# --- a client of its own -----------------------------------------------------------------------

IN_FLIGHT = 1200


async def until(condition, what, timeout=60):
    for _ in range(timeout * 100):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f'did not happen within {timeout} s: {what}')


def test_slixmpp_resumes(front, server, media):
    """Over a thousand each way, none of them acknowledged to its sender when the proxy dies, twice."""
    async def talk():
        still = quiet(server)
        clients = [ResumingClient(user, front.port, still) for user in ('alice', 'bob')]
        await asyncio.gather(*(client.start() for client in clients))
        await asyncio.wait_for(asyncio.gather(*(client.sm.wait() for client in clients)), 30)
        for kill in (1, 2):
            first = (kill - 1) * IN_FLIGHT
            for n in range(first, first + IN_FLIGHT):
                for client, to in zip(clients, ('bob@localhost/slix', 'alice@localhost/slix')):
                    if n % 100 == 10:
                        client.picture_message(media.put(pictures.png(64, 48, seed=n)), f'n{n}', to).send()
                    else:
                        message = client.make_message(mto=to, mbody=str(n), mtype='chat')
                        message['id'] = f'n{n}'
                        message.send()
                if n % server.round == 0:
                    await until(lambda n=n: all(len(c.numbered) > n - server.round for c in clients), 'the last round is there')
                elif n % 20 == 0:
                    await asyncio.sleep(0)
            for client in clients:
                assert len(client['xep_0198'].unacked_queue) > 1000
            os.kill(front.role('proxy')[0], signal.SIGKILL)
            await until(lambda kill=kill: all(c.resumptions == kill for c in clients), 'resumed')
            await until(lambda first=first: all(len(c.numbered) >= first + IN_FLIGHT for c in clients), 'all is there', 120)
        for client in clients:
            await client['xep_0199'].ping('localhost', timeout=30)      # what came twice would be before this
            assert server.in_order(client.numbered) == [f'n{n}' for n in range(2 * IN_FLIGHT)]
            await client.acknowledged()
            assert not client.problem, client.problem
            await client.end()
    asyncio.run(talk())
