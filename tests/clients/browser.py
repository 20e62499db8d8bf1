# SPDX-License-Identifier: MIT
"""Chromium without a window, steered through its DevTools protocol over a pair of pipes.

No port, no driver, no Node: messages are JSON texts that end with a zero byte, on the browser's file
descriptors 3 (to it) and 4 (from it).
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
import time
from pathlib import Path

from PIL import Image

from harness.processes import Failure, Process, descendants, wait_for

# Nothing but loopback has a name, and nothing is asked for in the background.
OPTIONS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run',
           '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-extensions',
           '--hide-scrollbars', '--force-device-scale-factor=1', '--window-size=1000,720', '--remote-debugging-pipe',
           '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost']


class Browser:
    def __init__(self, folder):
        self.folder = Path(folder)
        profile, there, back = (self.folder / name for name in ('chromium', 'to-browser', 'from-browser'))
        os.mkfifo(there)
        os.mkfifo(back)
        # Opened for both ways: neither end waits for the other, and our write end is none of the browser's.
        self.output, self.input = os.open(there, os.O_RDWR | os.O_CLOEXEC), os.open(back, os.O_RDWR | os.O_CLOEXEC)
        command = shlex.join(['chromium', *OPTIONS, f'--user-data-dir={profile}', 'about:blank'])
        env = dict(os.environ, HOME=str(self.folder), LANG='C.UTF-8', XDG_CONFIG_HOME=str(self.folder / 'config'),
                   XDG_CACHE_HOME=str(self.folder / 'cache'), DBUS_SESSION_BUS_ADDRESS='disabled:')
        self.process = Process(['sh', '-c', f'exec {command} 3<{shlex.quote(str(there))} 4>{shlex.quote(str(back))}'],
                               folder, 'chromium-out', env=env)
        self.numbers, self.buffer, self.events, self.page = itertools.count(1), b'', [], None
        try:
            self._attach()
        except BaseException:
            self.stop()
            raise

    def _attach(self):
        target = next(t for t in self.call('Target.getTargets')['targetInfos'] if t['type'] == 'page')
        self.page = self.call('Target.attachToTarget', targetId=target['targetId'], flatten=True)['sessionId']
        for domain in ('Page', 'Runtime'):
            self.call(f'{domain}.enable')
        self.call('Emulation.setFocusEmulationEnabled', enabled=True)

    def _next(self, deadline):
        while b'\0' not in self.buffer:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failure(f'the browser does not answer\n{self.process.output()[-3000:]}')
            if select.select([self.input], [], [], 0.1)[0]:
                self.buffer += os.read(self.input, 1 << 20)
        text, self.buffer = self.buffer.split(b'\0', 1)
        return json.loads(text)

    def call(self, method, timeout=60, **params):
        number = next(self.numbers)
        message = {'id': number, 'method': method, 'params': params}
        if self.page:
            message['sessionId'] = self.page
        os.write(self.output, json.dumps(message).encode() + b'\0')
        deadline = time.monotonic() + timeout
        while True:
            answer = self._next(deadline)
            if answer.get('id') == number:
                if 'error' in answer:
                    raise Failure(f'{method}: {answer["error"]}')
                return answer['result']
            self.events.append(answer)

    def console(self):
        return [str(e['params'])[:400] for e in self.events
                if e.get('method') in ('Runtime.consoleAPICalled', 'Runtime.exceptionThrown')]

    def go(self, url):
        self.call('Page.navigate', url=url)

    def evaluate(self, script):
        result = self.call('Runtime.evaluate', expression=script, returnByValue=True, awaitPromise=True)
        if 'exceptionDetails' in result:
            raise Failure(str(result['exceptionDetails'])[:1000])
        return result['result'].get('value')

    def wait(self, script, what, timeout=60):
        """Until the expression is true in the page."""
        try:
            return wait_for(lambda: self.evaluate(script), what, timeout, self.process)
        except Failure as problem:
            raise Failure(f'{problem}\n' + '\n'.join(self.console()[-20:])) from problem

    def shot(self):
        png = base64.b64decode(self.call('Page.captureScreenshot', format='png')['data'])
        return Image.open(io.BytesIO(png)).convert('RGB')

    def stop(self):
        self.page = None
        below = descendants(self.process.pid)
        try:
            with contextlib.suppress(Failure):
                self.call('Browser.close', timeout=20)
            self.process.stop()
        finally:
            os.close(self.output)
            os.close(self.input)
            for pid in below:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
