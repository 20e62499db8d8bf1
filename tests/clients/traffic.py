# SPDX-License-Identifier: MIT
"""Messages that flow through insetd until they are told to stop, for pages that show it."""
import random
import threading

from harness import pictures
from harness.rawpeer import Session
from harness.stanzas import message, picture

RULES = [
    {'name': 'no thumbnails in the lobby', 'to': ['lobby@rooms.localhost'], 'action': 'pass'},
    {'name': 'photographs up to 5 MiB', 'to': ['bob@localhost'], 'media-bytes': '..5MiB', 'action': 'thumbnail'},
    {'name': 'strangers, tried out', 'from': ['*@elsewhere.example'], 'action': 'strip', 'mode': 'shadow'},
]
OPTIONS = {
    'rules': RULES, 'workers': 2, 'limits.breaker-failures': 3, 'limits.breaker-open': '5m',
    'listen.main.hold': '3s', 'fetch.connect-timeout': '2s', 'web.thumbnails': 12,
}


class Traffic:
    """Sessions that talk; every n-th message has a picture. Counts what has arrived."""

    def __init__(self, port, upstream, media, sessions=6, every=5, pause=0.03):
        self.media, self.every, self.pause = media, every, pause
        self.sessions = [Session(port, upstream, user=f'user{n}') for n in range(sessions)]
        self.random, self.sent = random.Random(7), 0
        self.photos = [pictures.jpeg(640, 480, seed) for seed in range(1, 7)]
        self.known = [media.put(photo) for photo in self.photos]
        self.gone = media.origin + '/missing/picture.jpg'
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.problem = None
        self.thread.start()

    def _stanza(self):
        what = self.random.random()
        if self.sent % self.every:
            return message(f'<body>{"lorem ipsum " * self.random.randint(1, 40)}</body>', mid=f'm{self.sent}')
        if what < 0.45:
            return picture(self.random.choice(self.known), mid=f'm{self.sent}')
        if what < 0.75:
            return picture(self.media.put(self.random.choice(self.photos)), mid=f'm{self.sent}')
        if what < 0.83:
            return picture(self.gone, mid=f'm{self.sent}')
        if what < 0.90:
            return picture(self.known[0], mid=f'm{self.sent}', to='lobby@rooms.localhost', kind='groupchat')
        if what < 0.95:
            return picture(f'http://127.0.0.2:9/{self.sent}.jpg', mid=f'm{self.sent}')
        return picture(self.media.put(b'no picture at all, but long enough to be sniffed'), mid=f'm{self.sent}')

    def _run(self):
        try:
            while not self.ended.wait(self.pause):
                session = self.sessions[self.sent % len(self.sessions)]
                session.client.send(self._stanza())
                session.server.until(b'</message>')
                session.s2c(message('<body>thank you</body>', mid=f'r{self.sent}', to='alice@localhost/raw'))
                self.sent += 1
        except Exception as problem:  # pylint: disable=broad-except
            self.problem = problem

    def stop(self):
        self.ended.set()
        self.thread.join(30)
        for session in self.sessions:
            session.close()
        assert not self.problem, self.problem
