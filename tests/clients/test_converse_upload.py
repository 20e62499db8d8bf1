# SPDX-License-Identifier: MIT
"""Converse.js behind insetd sends a picture: discovery, slot, upload to the box from a page of another origin, the
message with its thumbnail, and alice, who gets it.
"""
import asyncio
import contextlib

import pytest

from bridge import Bridge
from browser import Browser
from harness.box import Box, curl
from harness.slix import Client as Slix
from harness.stanzas import thumbnails
from scene import SIZE, Scene, found, keep, stable, summit
from test_converse import site                                  # noqa: F401, a fixture

SEND = '''(async () => {
  const chat = await window.converse_of_the_test.api.chats.open("alice@localhost");
  await chat.sendFiles([new File([new Uint8Array(%s)], "summit.png", {type: "image/png"})]);
  return true;
})()'''


@pytest.fixture
def scene(tmp_path, media):
    with contextlib.ExitStack() as stack:
        there = Scene(tmp_path, media, upload=False)
        stack.callback(there.stop)
        box = Box()
        stack.callback(box.remove)
        there.box = box
        there.inset = there.daemon('bob', box.options | {'upload.http-upload': True, 'listen.main.filters': ['thumbnail', 'upload']})
        there.bridge = Bridge(there.inset.port)
        stack.callback(there.bridge.stop)
        yield there


def test_a_picture_from_converse(tmp_path, media, site, scene):     # noqa: F811
    with contextlib.ExitStack() as stack:
        browser = Browser(tmp_path)
        stack.callback(browser.stop)
        browser.go(f'{site}#{scene.bridge.url}')
        scene.wait_for_bob()
        data = summit()

        async def talk():
            alice = await Slix('alice', scene.server.port).start()
            await asyncio.to_thread(browser.wait, 'window.converse_of_the_test?.api.connection.connected()', 'bob is there')
            await asyncio.to_thread(browser.evaluate, SEND % list(data))
            while b'jabber:x:oob' not in alice.raw:
                await asyncio.sleep(0.05)
            message = next(m for m in alice.raw.split(b'<message')[1:] if b'jabber:x:oob' in m)
            await alice.end()
            return b'<message' + message.partition(b'</message>')[0] + b'</message>'
        received = asyncio.run(asyncio.wait_for(talk(), 90))
        url = received.partition(b'<url>')[2].partition(b'</url>')[0].decode()
        assert url.startswith(scene.box.url + '/f/') and url.endswith('.png')
        assert curl(url)[2] == data
        assert len(thumbnails(received)) == 1
        assert scene.inset.metric('inset_box_uploads_total{result="ok"}') == 1
        assert scene.inset.metric('inset_fetches_total') == 0
        browser.wait(f'[...document.images].some((i) => i.currentSrc === "{url}" && i.naturalWidth === {SIZE[0]})',
                     'bob sees what he sent')
        shot = stable(browser.shot, 'the page is at rest')
        keep(shot, 'converse-upload')
        assert found(shot) > 1000
