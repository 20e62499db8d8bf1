# SPDX-License-Identifier: MIT
"""A server, a picture and alice, who sends it; and what stands on a screen, compared.

Every run has a server of its own, so that nothing but inset is different.
"""
import asyncio
import re
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw

from harness import pictures, processes
from harness.insetd import BUILD, Insetd
from harness.prosody import Prosody
from harness.slix import Client as Slix

SHOTS = BUILD / 'clients' / 'shots'
COLOURS = [(230, 0, 160), (0, 170, 230), (250, 200, 0), (20, 160, 60)]
SIZE = (320, 160)
FIRST, LAST = 'Look at this', 'What do you think of it'
NOISE = 300     # pixels: a clock that is a minute on; a line of text is more
PROFILES = ['default', 'classic', 'kontalk', 'modern', 'everyone']    # the built-in ones
MORE = {'default': {'profiles.default.formats': None}, 'sims': {'profiles.sims.formats': ['sims']}}


def summit():
    """Four fields with stripes: easy to find on a screen, and a thumbnail blown up is not the same."""
    image = Image.new('RGB', SIZE)
    draw = ImageDraw.Draw(image)
    for n, colour in enumerate(COLOURS):
        x, y = (n % 2) * SIZE[0] // 2, (n // 2) * SIZE[1] // 2
        draw.rectangle([x, y, x + SIZE[0] // 2, y + SIZE[1] // 2], fill=colour)
        for line in range(x + 8, x + SIZE[0] // 2 - 60, 6):
            draw.rectangle([line, y + 8, line + 1, y + SIZE[1] // 2 - 8], fill=(255, 255, 255))
    return pictures.encode(image, 'PNG')


def found(shot, tolerance=12):
    """Pixels of each colour of the picture on the screen; the least of them."""
    def near(colour):
        bands = ImageChops.difference(shot, Image.new('RGB', shot.size, colour)).split()
        worst = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2])
        return sum(worst.histogram()[:tolerance])
    return min(near(colour) for colour in COLOURS)


def differing(one, other, box, tolerance=40):
    """Pixels in the box that are not the same, small differences of shade apart."""
    assert one.size == other.size
    bands = ImageChops.difference(one.crop(box), other.crop(box)).split()
    worst = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2])
    return sum(worst.histogram()[tolerance:])


def stable(shoot, what, ready=lambda shot: True, timeout=60):
    """A picture of the screen that is ready and the same as the three before it."""
    last = []

    def look():
        shot = shoot()
        if last and (not ready(shot) or ImageChops.difference(shot, last[-1]).getbbox()):
            last.clear()
        last.append(shot)
        return ready(shot) and len(last) > 3
    processes.wait_for(look, what, timeout)
    return last[-1]


def keep(shot, name):
    SHOTS.mkdir(parents=True, exist_ok=True)
    shot.save(SHOTS / f'{name}.png')


class Scene:
    """A server, a picture, and alice, who reaches the server directly or through insetd."""

    def __init__(self, folder, media, picture=True, upload=True):
        self.folder = Path(folder)
        (self.folder / 'prosody').mkdir(parents=True)
        self.media, self.picture = media, picture
        self.server = Prosody(self.folder / 'prosody', modules=('websocket',), options='consider_websocket_secure = true',
                              upload=upload)
        self.daemons = []
        self.port = self.server.port

    def connect_alice(self, profile):
        """Through an insetd with this profile, or None: to the server."""
        if profile:
            self.port = self.daemon('alice', {'listen.main.profile': profile, 'fetch.allow-origin': [self.media.origin],
                                              **MORE.get(profile, {})}).port

    def daemon(self, name, options):
        one = Insetd(self.folder, self.server.upstream, options, name=name)
        self.daemons.append(one)
        return one

    def wait_for_bob(self):
        """Until bob's client has sent its presence."""
        processes.wait_for(lambda: re.search(r'RECV: <presence(?![^>]*type=)[^>]*>', self.server.log()),
                           "bob's client is logged in", 90)

    def send(self, profile):
        """What alice sends; with a profile, the picture's message was changed. Returns its address."""
        self.wait_for_bob()
        url = self.media.put(summit(), 'summit.png')

        async def pause():
            """Dino orders what comes within a second as it likes."""
            await asyncio.sleep(1.1)

        async def talk():
            alice = await Slix('alice', self.port).start()
            alice.send_message(mto='bob@localhost', mbody=FIRST, mtype='chat')
            await pause()
            if self.picture:
                alice.picture_message(url, 'picture', 'bob@localhost').send()
                await pause()
            alice.send_message(mto='bob@localhost', mbody=LAST, mtype='chat')
            await alice['xep_0199'].ping('localhost', timeout=30)
            await alice.end()
        asyncio.run(talk())
        if profile:
            assert self.daemons[0].metric('inset_thumbnails_total') == 1
        return url

    def stop(self):
        for daemon in self.daemons:
            daemon.stop()
        self.server.stop()
