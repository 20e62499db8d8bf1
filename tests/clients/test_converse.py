# SPDX-License-Identifier: MIT
"""Converse.js in Chromium: bob by websocket from the server, alice through inset."""
import contextlib
import mimetypes
from pathlib import Path

import pytest

from browser import Browser
from harness.insetd import BUILD
from scene import FIRST, LAST, NOISE, PROFILES, SIZE, Scene, differing, found, keep, stable

CHAT = (250, 68, 1000, 476)
CONVERSE = BUILD / 'clients' / 'package' / 'dist'

# Clicks on the contact until there is a chat: early clicks are lost.
OPEN = '''(() => {
  if (document.querySelector(".chat-textarea")) return true;
  [...document.querySelectorAll("a")].find((e) => e.innerText.includes("alice@localhost"))?.click();
  return false;
})()'''

FACTS = '''({
  pictures: [...document.querySelectorAll("converse-chat-message img, .chat-msg img")]
    .filter((i) => !i.closest("converse-avatar, .chat-msg__avatar"))
    .map((i) => [i.currentSrc, i.naturalWidth, i.naturalHeight, i.complete, i.clientWidth > 0]),
  texts: [...document.querySelectorAll("converse-chat-message-body")].map((e) => e.innerText.trim()),
})'''


@pytest.fixture(scope='module')
def site(media):
    """The page and the program, from the same web server as the picture."""
    def serve(path):
        kind = mimetypes.guess_type(path)[0] or 'application/octet-stream'
        return lambda handler: handler.reply(200, Path(path).read_bytes(), kind)
    for path in CONVERSE.rglob('*'):
        if path.is_file():
            media.answers[f'/dist/{path.relative_to(CONVERSE)}'] = serve(path)
    media.answers['/page.html'] = serve(Path(__file__).with_name('page.html'))
    return media.origin + '/page.html'


def show(folder, media, site, profile):
    """(facts of the page with the address cut out, picture of it)"""
    with contextlib.ExitStack() as stack:
        scene = Scene(folder, media)
        stack.callback(scene.stop)
        scene.connect_alice(profile)
        browser = Browser(folder)
        stack.callback(browser.stop)
        browser.go(f'{site}#ws://127.0.0.1:{scene.server.http_port}/xmpp-websocket')
        scene.wait_for_bob()
        browser.wait(OPEN, 'the chat is open')
        url = scene.send(profile)
        browser.wait(f'document.body.innerText.includes("{LAST}")', 'the last line is there')
        browser.wait('[...document.images].some((i) => i.currentSrc.endsWith("summit.png") && i.complete && i.naturalWidth)'
                     ' || document.body.innerText.includes("summit.png")', 'the picture or its address is there')
        shot = stable(browser.shot, 'the page is at rest')
        facts = browser.evaluate(FACTS)
        return repr(facts).replace(url, 'URL'), shot


@pytest.fixture(scope='module')
def before(tmp_path_factory, media, site):
    text, shot = show(tmp_path_factory.mktemp('before'), media, site, None)
    keep(shot, 'converse-before')
    return text, shot


def test_without_inset(before):
    """The measure itself: a picture of its full size, no address, both lines."""
    text, shot = before
    assert f"['URL', {SIZE[0]}, {SIZE[1]}, True, True]" in text
    assert FIRST in text and LAST in text
    assert found(shot) > 1000


@pytest.mark.parametrize('profile', PROFILES)
def test_same_as_without(tmp_path, media, site, before, profile):
    text, shot = show(tmp_path, media, site, profile)
    keep(shot, f'converse-{profile}')
    assert found(shot) > 1000
    assert text == before[0]
    assert differing(shot, before[1], CHAT) < NOISE


def test_form_sims_leaves_the_address_as_text(tmp_path, media, site, before):
    """Why no built-in profile has it: beside any reference the address stays under the picture. Shows,
    too, that a difference is seen."""
    text, shot = show(tmp_path, media, site, 'sims')
    keep(shot, 'converse-sims')
    assert found(shot) > 1000
    assert text == before[0].replace("'', ", "'URL', ")
    assert differing(shot, before[1], CHAT) > NOISE
