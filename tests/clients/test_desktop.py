# SPDX-License-Identifier: MIT
"""Dino and Gajim on a screen of their own, as bob: the chat with alice looks as it does without inset.

bob's Dino reaches the server through an inset with STARTTLS, his Gajim directly.
"""
import contextlib
import shutil
import tempfile
import time

import pytest

import desktop
from harness.processes import Failure, wait_for
from scene import COLOURS, NOISE, PROFILES, Scene, differing, found, keep, stable

# Where the chat stands; Gajim's row for alice, and where the avatars in it and above the chat are not white.
CHAT = {'Dino': (352, 218, 948, 496), 'Gajim': (422, 108, 985, 470)}
ROW = (240, 187)
AVATAR, HEADER = (104, 200), (451, 57)
SHOWN = 1000    # pixels of each colour of the picture


@pytest.fixture(scope='module')
def home():
    with desktop.open_home() as folder:
        yield folder


@pytest.fixture(scope='module', params=['Dino', 'Gajim'])
def template(request, tmp_path_factory, home):
    """(name, class, folder with what the client makes at its first start)"""
    kind = getattr(desktop, request.param)
    screen = desktop.Screen(tmp_path_factory.mktemp('first'))
    try:
        client = kind(screen, home / request.param)
        client.first_run()
    finally:
        screen.stop()
    return request.param, kind, client.home


def open_chat(screen):
    """Clicks on alice in Gajim's list until her chat is there: a click on a list that is being made is lost."""
    shot = screen.shot()
    if max(shot.getpixel(HEADER)[1:]) < 200:
        return True
    if min(shot.getpixel(AVATAR)) < 100:
        screen.click(*ROW)
        time.sleep(0.5)
    return False


def lines(shot):
    """Rows of black text."""
    dark = shot.convert('L').point(lambda v: 255 if v < 90 else 0)
    rows = [dark.crop((0, y, dark.width, y + 1)).getbbox() is not None for y in range(dark.height)]
    return sum(1 for above, here in zip([False] + rows, rows) if here and not above)


def wait_until_shown(screen, name, picture):
    if name == 'Gajim':
        wait_for(lambda: open_chat(screen), 'the chat is open', 60)
    box = CHAT[name]
    if picture:
        stable(lambda: screen.shot().crop(box), 'the picture stands in the chat', lambda shot: found(shot) > SHOWN)
    else:
        stable(lambda: screen.shot().crop(box), 'both lines stand in the chat', lambda shot: lines(shot) >= 2)


def show(folder, media, home, authority, template, profile, picture=True, shown=True):
    """What bob has on his screen in the end."""
    name, kind, made = template
    label = f'{name.lower()}-{profile or ("before" if picture else "text-alone")}'
    with contextlib.ExitStack() as stack:
        scene = Scene(folder, media, picture)
        stack.callback(scene.stop)
        scene.connect_alice(profile)
        if kind is desktop.Dino:
            scene.daemon('bob', {'listen.main.bind': ['127.0.0.1:5222'], 'listen.main.tls': 'starttls',
                                 'listen.main.certificates': [str(authority.issue('localhost'))]})
        screen = desktop.Screen(folder)
        stack.callback(screen.stop)
        fresh = tempfile.mkdtemp(dir=home)
        shutil.copytree(made, fresh, dirs_exist_ok=True)
        client = kind(screen, fresh)
        client.seed(scene.server.port)
        client.start()
        stack.callback(client.stop)
        scene.send(profile)
        try:
            wait_until_shown(screen, name, picture and shown)
        except Failure:
            keep(screen.shot(), label + '-failed')
            raise
        shot = screen.shot()
        keep(shot, label)
        return shot


@pytest.fixture(scope='module')
def before(tmp_path_factory, media, home, authority, template):
    return show(tmp_path_factory.mktemp('before'), media, home, authority, template, None)


def test_without_inset(tmp_path, media, home, authority, template, before):
    """The measure itself: the same twice is the same, and a missing picture is seen."""
    box = CHAT[template[0]]
    again = show(tmp_path / 'again', media, home, authority, template, None)
    assert differing(before, again, box) < NOISE
    nothing = show(tmp_path / 'nothing', media, home, authority, template, None, picture=False)
    assert differing(before, nothing, box) > 10 * NOISE
    assert found(nothing) < SHOWN and len(COLOURS) == 4


@pytest.mark.parametrize('profile', PROFILES)
def test_same_as_without(tmp_path, media, home, authority, template, before, profile):
    if (template[0], profile) == ('Gajim', 'classic'):
        # Gajim leaves messages with a bytestream's namespace to other parts of it, and none shows them.
        shot = show(tmp_path / profile, media, home, authority, template, profile, shown=False)
        nothing = show(tmp_path / 'nothing', media, home, authority, template, None, picture=False)
        assert differing(nothing, shot, CHAT['Gajim']) < NOISE
        return
    shot = show(tmp_path / profile, media, home, authority, template, profile)
    assert differing(before, shot, CHAT[template[0]]) < NOISE
