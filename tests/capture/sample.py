#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Records the sample captures below data/captures/: real servers, real clients, everything redacted.

For each server: insetd with its record tap, behind it slixmpp (login, roster, rooms with their
history, archive queries, carbons, stream management, uploads, pictures), Profanity and go-sendxmpp
(over TLS, which insetd ends), and a client that writes its own XML over a plain socket
(tests/integration/harness/smclient.py: stream management with resumption).

    sample.py BUILD-FOLDER OUT-FOLDER [SERVER...]
"""
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD, OUT = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
os.environ['INSET_BUILD'] = str(BUILD)
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'integration'))

from harness import pictures, processes                        # noqa: E402
from harness.certs import Authority                             # noqa: E402
from harness.ejabberd import Ejabberd                           # noqa: E402
from harness.insetd import Insetd                               # noqa: E402
from harness.media import MediaHost                             # noqa: E402
from harness.profanity import Profanity                         # noqa: E402
from harness.prosody import Prosody                             # noqa: E402
from harness.smclient import SmClient                           # noqa: E402
from harness.slix import Client                                 # noqa: E402

SERVERS = {'prosody': Prosody, 'ejabberd': Ejabberd}
WORDS = 'What light through yonder window breaks? It is the east, and Juliet is the sun.'.split()
ROOM = 'verona@conference.localhost'


class Person(Client):
    """A client with the extensions that fill a stream."""

    def __init__(self, user, port, resource='slix'):
        super().__init__(user, port, resumption=True)
        self.requested_jid.resource = resource
        for plugin in ('xep_0280', 'xep_0313', 'xep_0085', 'xep_0184', 'xep_0352'):
            self.register_plugin(plugin)


async def talk(people, media):
    alice, bob, carol = people
    for person in people:
        await person['xep_0280'].enable()
        await person['xep_0045'].join_muc_wait(ROOM, person.boundjid.user, timeout=30)
    for i in range(120):
        one, other = (alice, bob) if i % 2 else (bob, alice)
        one.send_message(mto=other.boundjid.bare, mbody=' '.join(WORDS[:1 + i % len(WORDS)]), mtype='chat')
        if i % 3 == 0:
            carol.send_message(mto=ROOM, mbody=' '.join(reversed(WORDS[:2 + i % 9])), mtype='groupchat')
        if i % 10 == 0:
            one.send_presence(pstatus=WORDS[i % len(WORDS)], pshow='away' if i % 20 else None)
            await asyncio.sleep(0.05)
    for i in range(12):
        url = media.put(pictures.jpeg(800, 600, seed=i) if i % 2 else pictures.png(320, 240, seed=i), f'photo{i}.jpg')
        alice.picture_message(url, f'picture{i}', kind='chat').send()
        carol.picture_message(url, f'room{i}', to=ROOM, kind='groupchat').send()
        await bob.next_message(f'picture{i}')
    slot = await alice.upload(pictures.jpeg(640, 480), service='upload.localhost')
    alice.picture_message(slot, 'uploaded').send()
    await bob.next_message('uploaded')
    for person in people:
        async for _ in person['xep_0313'].iterate(rsm={'max': '20'}, total=40):
            pass
        await person['xep_0199'].ping(jid='localhost')


async def session(port, media):
    people = [Person(user, port) for user in ('alice', 'bob', 'carol')]
    second = Person('alice', port, 'second')
    for person in [*people, second]:
        await person.start()
    await second['xep_0280'].enable()
    await talk(people, media)
    for person in [*people, second]:
        await person.end()


def profanity(folder, port, media):
    home = folder / 'profanity'
    home.mkdir()
    prof = Profanity(home, 'bob', port)
    try:
        url = media.put(pictures.jpeg(500, 400), 'typed.jpg')
        for line in WORDS:
            prof.type(f'/msg alice@localhost {line}')
        prof.type(f'/msg alice@localhost {url}')
        prof.type(f'/join {ROOM}')
        processes.wait_for(lambda: ROOM.encode() in b''.join(prof.stanzas('RECV')), 'Profanity is in the room')
    finally:
        prof.stop()


def go_sendxmpp(folder, port):
    """A Go client: one that listens, others that send lines, to a room, and a file."""
    def run(user, *args, said='', check=True):
        return subprocess.run(['go-sendxmpp', '-t', '-n', '-u', f'{user}@localhost', '-p', user + 'pw', '-j', f'127.0.0.1:{port}',
                               *map(str, args)], input=said, text=True, timeout=60, capture_output=True, check=check)

    hears = processes.Process(['go-sendxmpp', '-l', '-t', '-n', '-u', 'carol@localhost', '-p', 'carolpw', '-j', f'127.0.0.1:{port}',
                               '-r', 'go'], folder, 'go-sendxmpp')
    try:
        for i in range(4):
            run('bob', 'carol@localhost', 'alice@localhost', said=' '.join(WORDS[i:]))
        run('bob', '-i', 'carol@localhost', said='\n'.join(WORDS) + '\n', check=False)     # 1 at the end of its input
        run('alice', '-c', ROOM, said=' '.join(WORDS))
        for seed in (1, 2):
            picture = folder / f'picture{seed}.jpg'
            picture.write_bytes(pictures.jpeg(600, 400, seed=seed))
            run('alice', '-h', picture, 'carol@localhost')
        processes.wait_for(lambda: hears.output().count('alice@localhost') >= 2, 'both pictures have come', process=hears)
    finally:
        hears.stop()


def stream_management(port):
    """Resumes once, so that a session that begins in the middle is there as well."""
    client = SmClient('carol', port)
    try:
        processes.wait_for(lambda: client.live, 'the third client is in')
        for i, word in enumerate(WORDS):
            client.send(f"<message to='bob@localhost' id='sm{i}' type='chat'><body>{word}</body></message>")
            client.ask()
        processes.wait_for(lambda: not client.sent, 'everything is acknowledged')
        client.sock.shutdown(socket.SHUT_RDWR)
        processes.wait_for(lambda: client.resumptions, 'the session is resumed')
        client.send("<message to='bob@localhost' id='sm' type='chat'><body>again</body></message>")
        client.ask()
        processes.wait_for(lambda: not client.sent, 'everything is acknowledged')
    finally:
        client.close()


def record(name, folder):
    media = MediaHost()
    server = SERVERS[name](folder)
    tap = folder / 'tap'
    tap.mkdir()
    tap.chmod(0o777)
    front = None
    secure = processes.free_port()
    try:
        front = Insetd(folder, server.upstream, {
            'fetch.allow-origin': [media.origin, server.origin], 'record.path': str(tap), 'record.at': 'both',
            'listen.secure.bind': [f'127.0.0.1:{secure}'], 'listen.secure.upstream': server.upstream, 'listen.secure.tls': 'direct',
            'listen.secure.certificates': [str(Authority(folder).issue('localhost'))]})
        asyncio.run(session(front.port, media))
        stream_management(front.port)
        profanity(folder, front.port, media)
        go_sendxmpp(folder, secure)
    finally:
        if front:
            front.stop()
        server.stop()
        media.stop()
    for found in sorted(tap.glob('*.jsonl.gz')):
        shutil.copy(found, OUT / f'{name}.{found.name.split(".", 1)[1]}')


def main():
    processes.adopt_orphans()
    OUT.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[3:] or SERVERS:
        with tempfile.TemporaryDirectory(prefix='inset-sample-') as folder:
            Path(folder).chmod(0o755)
            record(name, Path(folder))
        processes.end_strays()


if __name__ == '__main__':
    main()
