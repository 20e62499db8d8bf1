# SPDX-License-Identifier: MIT
"""A killed proxy process is a reconnect: with stream management (XEP-0198) no message is lost and
none comes twice, whatever was held or half sent when it died.

Messages go out in rounds that the server reads at once. Prosody 0.12 reads on in the old parser
after a resumption: a connection that breaks in the middle of a stanza ends the resumed session,
too (not-well-formed), with inset or without.
"""
import os
import signal
import time

import pytest

from harness import pictures
from harness.processes import wait_for
from harness.smclient import SmClient

COUNT = 2400
KILLS = (1200, 2399)      # at the first 1200 are not acknowledged, each way
ROUND = 20
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


@pytest.mark.parametrize('pictured', [False, True])
def test_killed_proxy_loses_and_doubles_nothing(front, prosody, media, pictured):
    slow = media.put(lambda handler: (time.sleep(0.3), handler.reply(200, pictures.png())))
    clients = [SmClient(user, front.port, quiet(prosody)) for user in ('alice', 'bob')]
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
            if n % ROUND == 0:
                wait_for(lambda n=n: all(len(c.received) > n - ROUND for c in clients), 'the last round is there', 60)

        def done():
            for client in clients:
                client.ask()
                if client.problem:
                    raise client.problem
            return all(len(c.received) >= COUNT and not c.sent for c in clients)
        wait_for(done, 'all is there and acknowledged', 120, front.process)
        for client in clients:
            assert client.bodies() == [str(n) for n in range(COUNT)]
            assert client.resumptions == 2
        if pictured:
            assert any(m.find(IBB) is not None for c in clients for m in c.received)
    finally:
        for client in clients:
            client.close()
