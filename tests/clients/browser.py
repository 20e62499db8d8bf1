# SPDX-License-Identifier: MIT
"""Chromium without a window, steered by Playwright.

Playwright's client is for Node: browser.js holds it, and gets lines of JSON over a pair of pipes.
playwright-core comes from the npm registry (package-lock.json beside this file, `./quickstart
check-clients` puts it into build/clients); the browser is Debian's.
"""
import base64
import contextlib
import io
import itertools
import json
import os
import select
import shlex
import signal
import subprocess
import time
from pathlib import Path

from PIL import Image

from harness.insetd import BUILD
from harness.processes import Failure, Process, descendants, wait_for

PLAYWRIGHT = BUILD / 'clients' / 'node_modules' / 'playwright-core'
SCRIPT = Path(__file__).with_name('browser.js')


class Browser:
    def __init__(self, folder):
        self.folder = Path(folder)
        there, back, own = (self.folder / name for name in ('to-browser', 'from-browser', 'playwright'))
        os.mkfifo(there)
        os.mkfifo(back)
        own.mkdir()
        # Opened for both ways: neither end waits for the other, and our write end is none of the browser's.
        self.output, self.input = os.open(there, os.O_RDWR | os.O_CLOEXEC), os.open(back, os.O_RDWR | os.O_CLOEXEC)
        command = shlex.join(map(str, ['node', SCRIPT, PLAYWRIGHT, self.folder / 'chromium']))
        env = dict(os.environ, HOME=str(self.folder), LANG='C.UTF-8', TMPDIR=str(own), XDG_CONFIG_HOME=str(self.folder / 'config'),
                   XDG_CACHE_HOME=str(self.folder / 'cache'), DBUS_SESSION_BUS_ADDRESS='disabled:')
        self.process = Process(['sh', '-c', f'exec {command} <{shlex.quote(str(there))} >{shlex.quote(str(back))}'],
                               folder, 'browser-out', env=env)
        self.numbers, self.buffer, self.events = itertools.count(1), b'', []
        try:
            while not self.told('ready'):
                self.events.append(self._next(time.monotonic() + 60))
        except BaseException:
            self.stop()
            raise

    def _next(self, deadline):
        while b'\n' not in self.buffer:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failure(f'the browser does not answer\n{self.process.output()[-3000:]}')
            if select.select([self.input], [], [], 0.1)[0]:
                self.buffer += os.read(self.input, 1 << 20)
        text, self.buffer = self.buffer.split(b'\n', 1)
        return json.loads(text)

    def call(self, method, *args, timeout=60):
        """A method of Playwright's `page` or `context`, as 'page.keyboard.press'."""
        number = next(self.numbers)
        os.write(self.output, json.dumps({'id': number, 'method': method, 'args': args}).encode() + b'\n')
        deadline = time.monotonic() + timeout
        while True:
            answer = self._next(deadline)
            if answer.get('id') == number:
                if 'error' in answer:
                    raise Failure(f'{method}: {answer["error"]}')
                return answer['result']
            self.events.append(answer)

    def told(self, event):
        return [e['text'] for e in self.events if e['event'] == event]

    def console(self):
        """What the page wrote, what was uncaught in it, and what the browser complained of."""
        return [text[:400] for text in self.told('console')]

    def go(self, url):
        self.call('page.goto', url)

    def evaluate(self, script):
        return self.call('page.evaluate', script)

    def wait(self, script, what, timeout=60):
        """Until the expression is true in the page."""
        try:
            return wait_for(lambda: self.evaluate(script), what, timeout, self.process)
        except Failure as problem:
            raise Failure(f'{problem}\n' + '\n'.join(self.console()[-20:])) from problem

    def press(self, *keys):
        for key in keys:
            self.call('page.keyboard.press', key)

    def shot(self, whole=False):
        """A picture of what is in the window; whole: of the page down to its end."""
        png = base64.b64decode(self.call('page.screenshot', {'fullPage': whole}))
        return Image.open(io.BytesIO(png)).convert('RGB')

    def stop(self):
        below = descendants(self.process.pid)
        try:
            os.close(self.output)       # the end of its input
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
            self.process.stop()
        finally:
            os.close(self.input)
            for pid in below:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
