# SPDX-License-Identifier: MIT
"""An XMPP client that does stream management to the letter (XEP-0198) and nothing else.

Counts what it handles, keeps what is not acknowledged, and after a broken connection resumes
and sends that again. What it got is in `received`, in order. One thread reads.
"""
import base64
import collections
import socket
import threading
import time
import xml.etree.ElementTree as etree

SM = '{urn:xmpp:sm:3}'
SASL = '{urn:ietf:params:xml:ns:xmpp-sasl}'
CLIENT = '{jabber:client}'
BODY = CLIENT + 'body'
HEADER = ("<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
          "xmlns:stream='http://etherx.jabber.org/streams'>")


class Broken(Exception):
    """The connection is gone."""


class SmClient:
    def __init__(self, user, port, may_resume=lambda: True, timeout=60):
        """may_resume: True when a broken session may be resumed."""
        self.may_resume = may_resume
        self.user, self.port, self.timeout = user, port, timeout
        self.lock = threading.Lock()
        self.sent = collections.deque()         # not acknowledged
        self.acked = self.handled = 0
        self.received, self.resumptions, self.problem = [], 0, None
        self.session = None
        self.closing = False
        self.live = False                       # others may write
        self._connect()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    # --- the wire ---

    def _open(self):
        end = time.monotonic() + self.timeout
        while True:
            try:
                self.sock = socket.create_connection(('127.0.0.1', self.port), timeout=self.timeout)
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def _write(self, text):
        try:
            self.sock.sendall(text.encode())
        except OSError as problem:
            raise Broken from problem

    def _write_if_live(self, text):
        if self.live:
            try:
                self._write(text)
            except Broken:
                self.live = False       # the reading thread sees it, too

    def _restart(self):
        self.parser = etree.XMLPullParser(('start', 'end'))
        self.depth = 0
        self._write(HEADER)

    def _elements(self):
        """Whole children of the stream, as they come."""
        while True:
            for kind, element in self.parser.read_events():
                self.depth += 1 if kind == 'start' else -1
                if kind == 'end' and self.depth == 1:
                    yield element
            try:
                data = self.sock.recv(65536)
            except OSError as problem:
                raise Broken from problem
            if not data:
                raise Broken
            self.parser.feed(data)

    def _next(self, tag):
        for element in self._elements():
            if element.tag == tag:
                return element
            assert 'failed' not in element.tag and 'failure' not in element.tag, etree.tostring(element)
        raise Broken

    def _connect(self):
        self._open()
        self._restart()
        self._next('{http://etherx.jabber.org/streams}features')
        secret = base64.b64encode(f'\0{self.user}\0{self.user}pw'.encode()).decode()
        self._write(f"<auth xmlns='{SASL[1:-1]}' mechanism='PLAIN'>{secret}</auth>")
        self._next(SASL + 'success')
        self._restart()
        self._next('{http://etherx.jabber.org/streams}features')
        if self.session:
            self._write(f"<resume xmlns='{SM[1:-1]}' previd='{self.session}' h='{self.handled}'/>")
            resumed = self._next(SM + 'resumed')
            self.resumptions += 1
            with self.lock:
                self._acknowledge(int(resumed.get('h')))
                self._write(''.join(self.sent))
                self.live = True
            return
        self._write("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>sm</resource></bind></iq>")
        self._next(CLIENT + 'iq')
        self._write(f"<enable xmlns='{SM[1:-1]}' resume='true'/>")
        self.session = self._next(SM + 'enabled').get('id')
        self.live = True
        self.send('<presence/>')

    # --- counting ---

    def _acknowledge(self, h):
        for _ in range(h - self.acked):
            self.sent.popleft()
        self.acked = h

    def _handle(self, element):
        if element.tag == SM + 'r':
            with self.lock:
                self._write(f"<a xmlns='{SM[1:-1]}' h='{self.handled}'/>")
        elif element.tag == SM + 'a':
            with self.lock:
                self._acknowledge(int(element.get('h')))
        elif element.tag.startswith(CLIENT):
            self.handled += 1
            body = element.find(BODY)
            if element.tag == CLIENT + 'message' and body is not None:
                self.received.append(element)

    def _run(self):
        try:
            while not self.closing:
                try:
                    for element in self._elements():
                        self._handle(element)
                except Broken:
                    if self.closing:
                        return
                    with self.lock:
                        self.live = False
                        self.sock.close()
                    while not self.may_resume() and not self.closing:
                        time.sleep(0.05)
                    while True:
                        try:
                            self._connect()
                            break
                        except Broken:
                            time.sleep(0.05)
        except BaseException as problem:                        # pylint: disable=broad-except
            self.problem = problem

    def send(self, stanza):
        """Now, or after the next resumption."""
        with self.lock:
            self.sent.append(stanza)
            self._write_if_live(stanza)

    def ask(self):
        with self.lock:
            self._write_if_live(f"<r xmlns='{SM[1:-1]}'/>")

    def bodies(self):
        return [m.find(BODY).text for m in self.received]

    def close(self):
        self.closing = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join(10)
        self.sock.close()
