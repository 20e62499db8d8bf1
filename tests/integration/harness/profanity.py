# SPDX-License-Identifier: MIT
"""Profanity (C, libstrophe) in a detached tmux of its own, told what to do by typing.

What it sent and received stands as raw stanzas in its debug log.
"""
import os
import re
import subprocess
from pathlib import Path

from .processes import Failure, PATIENCE, wait_for

PREFERENCES = '''[ui]
titlebar.show=false
splash=false
[notifications]
message=false
[connection]
autoping=0
'''


class Profanity:
    def __init__(self, folder, user, port, tls='disable', ca=None):
        self.home = Path(folder)
        self.log = self.home / 'profanity.log'
        self.user = user
        config = self.home / 'config' / 'profanity'
        config.mkdir(parents=True)
        (config / 'profrc').write_text(PREFERENCES)
        self.env = dict(os.environ, HOME=str(self.home), XDG_CONFIG_HOME=str(self.home / 'config'),
                        XDG_DATA_HOME=str(self.home / 'data'), LC_ALL='C.UTF-8', TERM='screen')
        self.env.pop('TMUX', None)
        if ca:
            self.env['SSL_CERT_FILE'] = str(ca)
        self._tmux('new-session', '-d', '-x', '200', '-y', '30', f"profanity -l DEBUG -f '{self.log}'")
        try:
            wait_for(lambda: self.log.exists() and 'Starting Profanity' in self._text(), 'Profanity is up')
            self.type(f'/connect {user}@localhost/prof server 127.0.0.1 port {port} tls {tls}')
            wait_for(lambda: 'password' in self.screen().lower(), 'Profanity asks for the password')
            self.type(user + 'pw', secret=True)
            wait_for(lambda: 'features_received upload.localhost' in self._text(), 'Profanity has found the file share')
        except BaseException as problem:
            text = self.screen() + self._text()[-3000:]
            self.stop()
            raise Failure(f'{problem}\n{text}') from problem

    def _tmux(self, *args):
        return subprocess.run(['tmux', '-f', '/dev/null', '-S', str(self.home / 'tmux'), *args], env=self.env,
                              capture_output=True, text=True, check=False, timeout=PATIENCE).stdout

    def _text(self):
        return self.log.read_text(errors='replace')

    def screen(self):
        return self._tmux('capture-pane', '-p')

    def type(self, text, secret=False):
        """A line of input. Enter is pressed when the text stands on the screen: earlier it may get lost."""
        self._tmux('send-keys', '-l', text)
        if not secret:
            wait_for(lambda: text[-40:] in self.screen(), f'Profanity shows what was typed: {text}')
        self._tmux('send-keys', 'Enter')
        if not secret:
            wait_for(lambda: text[-40:] not in self.screen().rstrip().rsplit('\n', 1)[-1], 'the input line is empty')

    def stanzas(self, way):
        """Raw stanzas of the debug log, way SENT or RECV, as bytes."""
        return [found.encode() for found in re.findall(rf'{way}: (<.*?>)\s*$', self._text(), re.M)]

    def wait_stanza(self, way, mark, timeout=PATIENCE):
        """The first such message that holds mark."""
        def look():
            return next((s for s in self.stanzas(way) if s.startswith(b'<message') and mark in s), None)
        return wait_for(look, f'Profanity: {way} message with {mark!r}', timeout)

    def stop(self):
        """Ends the tmux server; what it ran goes with it or is found by the next look for strays."""
        self._tmux('kill-server')
