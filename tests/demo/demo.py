#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The main job, end to end, with real programs only.

Starts a private Prosody with its file share and insetd in front of it, on free loopback ports.
Profanity (C, libstrophe) logs in as alice, slixmpp (Python, libexpat) as bob, both through
insetd. alice uploads a picture with Profanity's own /sendfile (XEP-0363), which then sends the
address as jabber:x:oob. Shown: the message as Profanity sent it, as bob got it, and the
thumbnail, which is written to a file. Exit status 0 only when bob got a thumbnail.

    demo.py [OUTPUT]       where the thumbnail goes, without its suffix [inset-demo-thumbnail]
"""
import asyncio
import base64
import hashlib
import io
import re
import sys
import tempfile
import textwrap
import xml.etree.ElementTree as ET
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'integration'))

from PIL import Image                                           # noqa: E402
from harness import pictures, processes                         # noqa: E402
from harness.insetd import Insetd                               # noqa: E402
from harness.profanity import Profanity                         # noqa: E402
from harness.prosody import Prosody                             # noqa: E402
from harness.slix import Client, stanza_bytes                   # noqa: E402

BOLD, DIM, GREEN, PLAIN = ('\033[1m', '\033[2m', '\033[32m', '\033[0m') if sys.stdout.isatty() else ('',) * 4


def step(text):
    print(f'{BOLD}==>{PLAIN} {text}', flush=True)


def show(title, stanza, new=b''):
    """A stanza as it stood on the wire, base64 shortened; `new` is what was not there before."""
    text = re.sub(rb'(<data[^>]*>[A-Za-z0-9+/]{60})[A-Za-z0-9+/=]+', rb'\1...', stanza).decode(errors='replace')
    print(f'\n{BOLD}{title}{PLAIN} ({len(stanza)} bytes{new and f", {len(new)} of them new" or ""})')
    ours = ('data ', 'file-sharing ', 'file ', 'media-type', 'width', 'hash ', 'thumbnail ', 'sources', 'fallback ')
    for child in re.sub(fr'(<(?:/message|body>|x |active|request|stanza-id|{"|".join(ours)}))', r'\n\1', text).split('\n'):
        colour = GREEN if child.startswith(tuple(f'<{name}' for name in ours)) else DIM
        print('\n'.join(f'    {colour}{line}{PLAIN}' for line in textwrap.wrap(child, 110, break_on_hyphens=False)))


async def send_and_receive(port, folder, photo):
    """(as Profanity sent it, as bob got it)"""
    step(f'bob logs in with slixmpp through insetd (port {port})')
    bob = await Client('bob', port).start()
    step(f'alice logs in with Profanity through insetd (port {port})')
    profanity = await asyncio.to_thread(Profanity, folder / 'profanity', 'alice', port)
    try:
        await asyncio.to_thread(profanity.type, '/msg bob@localhost Look at this:')
        step(f'alice types: /sendfile {photo.name}  ({photo.stat().st_size} bytes)')
        await asyncio.to_thread(profanity.type, f'/sendfile {photo}')
        before = await asyncio.to_thread(profanity.wait_stanza, 'SENT', b'jabber:x:oob')
        mid = re.search(rb'\bid="([^"]+)"', before)[1].decode()
        await bob.next_message(mid)
        after = stanza_bytes(bob.raw, mid)
    finally:
        await asyncio.to_thread(profanity.stop)
        await bob.end()
    return before, after


def report(before, after, output):
    """The data under their cid, as the default profile writes them (formats bob and sfs)."""
    new = re.findall(rb'<(data|file-sharing|fallback)(?=[ >])(.*?)</\1>', after, re.S)
    found = ET.fromstring(after).findall('{urn:xmpp:bob}data')
    show('The message as Profanity sent it', before)
    show('The message as bob got it', after, b''.join(b'<%s%s</%s>' % (name, rest, name) for name, rest in new))
    if len(found) != 1:
        print(f'\nNo thumbnail arrived ({len(found)} found).', file=sys.stderr)
        return 1
    data, media_type = base64.b64decode(found[0].text, validate=True), found[0].get('type')
    image = Image.open(io.BytesIO(data))
    cid = f'sha1+{hashlib.sha1(data).hexdigest()}@bob.xmpp.org'
    if (found[0].get('cid'), media_type) != (cid, Image.MIME[image.format]):
        print('\nThe thumbnail is not what its cid and type say.', file=sys.stderr)
        return 1
    path = Path(f'{output}.{image.format.lower()}').resolve()
    path.write_bytes(data)
    print(f'\n{GREEN}{BOLD}The thumbnail:{PLAIN} {media_type}, {len(data)} bytes, '
          f'{image.width} x {image.height} pixels, written to {path}')
    return 0


def main():
    output = sys.argv[1] if len(sys.argv) > 1 else 'inset-demo-thumbnail'
    processes.adopt_orphans()
    started = []
    with tempfile.TemporaryDirectory(prefix='inset-demo-') as name:
        folder = Path(name)
        folder.chmod(0o755)
        photo = folder / 'photo.jpg'
        photo.write_bytes(pictures.jpeg(3000, 2000))
        try:
            prosody = Prosody(folder / 'prosody')
            started.append(prosody)
            step(f'Prosody listens on 127.0.0.1:{prosody.port}, its file share is {prosody.origin}')
            daemon = Insetd(folder, prosody.upstream, {'fetch.allow-origin': [prosody.origin], 'log.level': 'info',
                                                        'profiles.default.formats': None})
            started.append(daemon)
            step(f'insetd listens on 127.0.0.1:{daemon.port}, its upstream is Prosody')
            before, after = asyncio.run(send_and_receive(daemon.port, folder, photo))
            status = report(before, after, output)
            if status:
                print(daemon.log(), file=sys.stderr)
            return status
        except processes.Failure as problem:
            print(f'The demo failed: {problem}', file=sys.stderr)
            return 1
        finally:
            for program in reversed(started):
                program.stop()
            processes.end_strays()


if __name__ == '__main__':
    sys.exit(main())
