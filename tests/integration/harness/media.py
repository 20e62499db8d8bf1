# SPDX-License-Identifier: MIT
"""A counting web server that can be told to misbehave.

Every accepted connection and every request is counted, so "nothing reached the media host" can
be asserted. A path answers with what was put there: bytes, or a function that gets the handler
and does anything it likes on the raw socket.
"""
import http.server
import itertools
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        host = self.server.host
        with host.lock:
            host.requests.append(self.path)
        host.asked.set()
        answer = host.answers.get(self.path)
        try:
            if callable(answer):
                self.close_connection = True
                answer(self)
            elif answer is None:
                self.reply(404, b'')
            else:
                self.reply(200, answer)
        except OSError:
            self.close_connection = True

    do_HEAD = do_GET

    def reply(self, status, body, kind='application/octet-stream', length=None, headers=()):
        self.send_response(status)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body) if length is None else length))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def get_request(self):
        conn = super().get_request()
        with self.host.lock:
            self.host.connections += 1
        return conn

    def handle_error(self, request, client_address):
        """A peer that goes away is what many tests are about."""


class MediaHost:
    """`put()` a picture and get its URL. `requests` and `connections` count from the start or `forget()`."""

    def __init__(self):
        self.lock = threading.Lock()
        self.answers, self.requests, self.connections = {}, [], 0
        self.asked = threading.Event()      # some request has come
        self.closing = threading.Event()    # misbehaving handlers end when this is set
        self.numbers = itertools.count(1)
        self.server = Server(('127.0.0.1', 0), Handler)
        self.server.host = self
        self.port = self.server.server_address[1]
        self.origin = f'http://127.0.0.1:{self.port}'
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True)
        self.thread.start()

    def put(self, answer, name='picture'):
        """Every URL is new, so that no cache has it."""
        path = f'/{next(self.numbers)}/{name}'
        self.answers[path] = answer
        return self.origin + path

    def gate(self, body, name='gated'):
        """A picture that is served when the returned event is set, and not before."""
        event = threading.Event()

        def answer(handler):
            while not event.wait(0.05):
                if self.closing.is_set():
                    return
            handler.reply(200, body)
        return self.put(answer, name), event

    def forget(self):
        with self.lock:
            self.requests, self.connections = [], 0
        self.asked.clear()

    def stop(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
