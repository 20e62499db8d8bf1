# SPDX-License-Identifier: MIT
"""A page of another origin uploads to the box as Converse.js does, and reads from it; Chromium decides
what it may (Fetch 3.2: preflight, then the request).
"""
import contextlib

import pytest

from browser import Browser
from harness import pictures
from harness.box import Box
from harness.insetd import Insetd
from harness.processes import wait_for

PAGE = b'<!DOCTYPE html><title>a page</title><p>of another origin'

# As Converse.js: XMLHttpRequest, PUT, the file's own type, progress watched.
PUT = '''new Promise((done) => {
  const xhr = new XMLHttpRequest(), file = new File([new Uint8Array(%d).fill(120)], "x.png", {type: "image/png"});
  let seen = 0;
  xhr.upload.addEventListener("progress", (e) => { seen = e.loaded; });
  xhr.onload = () => done([xhr.status, xhr.responseText, seen]);
  xhr.onerror = () => done([0, "", seen]);
  xhr.open("PUT", "%s", true);
  xhr.setRequestHeader("Content-type", file.type);
  xhr.send(file);
})'''

GET = '''(async () => {
  const all = await fetch("%s"), part = await fetch("%s", {headers: {Range: "bytes=1-3"}});
  return [all.status, (await all.arrayBuffer()).byteLength, part.status, part.headers.get("Content-Range")];
})()'''

SHOW = '''new Promise((done) => {
  const image = new Image();
  image.onload = () => done([image.naturalWidth, image.naturalHeight]);
  image.onerror = () => done(null);
  image.src = "%s";
})'''


@pytest.fixture
def page(tmp_path, media):
    """page(options): (browser at a page of another origin, box)."""
    with contextlib.ExitStack() as stack:
        def make(options=None):
            box = Box()
            stack.callback(box.remove)
            daemon = Insetd(tmp_path, '127.0.0.1:9', box.options | {'upload.http-upload': True} | (options or {}))
            stack.callback(daemon.stop)
            wait_for(lambda: daemon.metric('inset_processes{role="box"}') == 1, 'the box is up', process=daemon.process)
            browser = Browser(tmp_path)
            stack.callback(browser.stop)
            media.answers['/other.html'] = lambda handler: handler.reply(200, PAGE, 'text/html')
            browser.go(media.origin + '/other.html')
            browser.wait('document.title === "a page"', 'the page is there')
            return browser, box
        yield make


@pytest.mark.parametrize('size', [5, 3 << 20])
def test_a_page_uploads_and_reads(page, size):
    browser, box = page()
    address = f'{box.url}/up/{box.token(slot=True, size=size)}/x.png'
    status, url, seen = browser.evaluate(PUT % (size, address))
    assert (status, seen) == (201, size) and url.startswith(box.url + '/f/')
    assert browser.evaluate(GET % (url, url)) == [200, size, 206, f'bytes 1-3/{size}']


def test_why_it_was_refused_can_be_read(page):
    browser, box = page()
    status, text, _ = browser.evaluate(PUT % (5, f'{box.url}/up/{box.token(slot=True, size=5, life=-1)}/x.png'))
    assert (status, text) == (403, 'this upload address has expired\n')


def test_a_picture_is_shown(page):
    browser, box = page()
    data = pictures.png(320, 160)
    script = PUT.replace('new Uint8Array(%d).fill(120)', f'new Uint8Array({list(data)})')
    status, url, _ = browser.evaluate(script % f'{box.url}/up/{box.token(slot=True, size=len(data))}/x.png')
    assert status == 201
    assert browser.evaluate(SHOW % url) == [320, 160]


def test_pages_of_other_origins_than_those_named_may_not(page):
    browser, box = page({'upload.cors': ['https://chat.example']})
    assert browser.evaluate(PUT % (5, f'{box.url}/up/{box.token(slot=True, size=5)}/x.png'))[0] == 0
    assert not [name for name in box.store() if name[0] in 'mu']
