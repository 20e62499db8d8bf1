# SPDX-License-Identifier: MIT
"""Byte-exact peers: a client and a scripted server, one on each side of insetd.

They parse nothing and send exactly what they are told, so a test can assert that bytes leave
as they came. Sockets block, with a time-out that only stops runs that hang.
"""
import base64
import select
import socket

from .processes import PATIENCE

HEADER = ("<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
          "xmlns:stream='http://etherx.jabber.org/streams'>").encode()
REPLY = ("<?xml version='1.0'?><stream:stream from='localhost' id='s%d' version='1.0' xmlns='jabber:client' "
         "xmlns:stream='http://etherx.jabber.org/streams' xml:lang='en'>")
FEATURES1 = ("<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>"
             "</mechanisms></stream:features>")
FEATURES2 = ("<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/>"
             "</stream:features>")
END = b'</stream:stream>'


class Peer:
    """One end of a TCP connection."""

    def __init__(self, sock):
        self.sock = sock
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(PATIENCE)
        self.buf = b''

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def _fill(self):
        data = self.sock.recv(262144)
        if not data:
            raise EOFError(f'closed; had {self.buf[-2000:]!r}')
        self.buf += data

    def take(self, count):
        """Exactly so many bytes."""
        while len(self.buf) < count:
            self._fill()
        out, self.buf = self.buf[:count], self.buf[count:]
        return out

    def until(self, mark):
        """Everything up to and including mark."""
        mark = mark.encode() if isinstance(mark, str) else mark
        start = 0
        while (at := self.buf.find(mark, start)) < 0:
            start = max(0, len(self.buf) - len(mark))
            self._fill()
        return self.take(at + len(mark))

    def expect(self, data):
        """The next bytes must be these."""
        data = data.encode() if isinstance(data, str) else data
        got = b''
        while len(got) < len(data):
            if not self.buf:
                self._fill()
            part = self.take(min(len(self.buf), len(data) - len(got)))
            at = len(got)
            got += part
            assert part == data[at:at + len(part)], \
                f'differs at or after byte {at}:\n got {part[:600]!r}\nwant {data[at:at + 600]!r}'

    def silent(self):
        """Nothing waits to be read now."""
        if self.buf:
            return False
        readable, _, _ = select.select([self.sock], [], [], 0)
        if not readable:
            return True
        return False

    def rest(self):
        """Everything up to the end of the connection; a reset is an end, too."""
        out, self.buf = self.buf, b''
        while True:
            try:
                data = self.sock.recv(262144)
            except ConnectionError:
                return out
            if not data:
                return out
            out += data

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()


class Upstream:
    """The scripted server's listening socket."""

    def __init__(self, host='127.0.0.1', path=None):
        if path:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.bind(str(path))
            self.sock.listen(512)
            self.address = f'unix:{path}'
        else:
            family = socket.AF_INET6 if ':' in host else socket.AF_INET
            self.sock = socket.create_server((host, 0), family=family, backlog=512)
            self.port = self.sock.getsockname()[1]
            self.address = f'[{host}]:{self.port}' if ':' in host else f'{host}:{self.port}'
        self.sock.settimeout(PATIENCE)

    def accept(self, first):
        """The connection on which these bytes come first.

        insetd connects when it has accepted a client, so clients that were turned away have left
        connections here that are closed already; they are passed over.
        """
        while True:
            peer = Peer(self.sock.accept()[0])
            try:
                peer.expect(first)
                return peer
            except (EOFError, ConnectionError):
                peer.close()

    def close(self):
        self.sock.close()


def connect(port, receive_buffer=0, host='127.0.0.1'):
    sock = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(PATIENCE)
    sock.connect((host, port))
    return Peer(sock)


class Session:
    """A client and a server that have said hello through insetd; every byte was compared on the way."""

    def __init__(self, port, upstream, login=True, user='alice', receive_buffer=0, host='127.0.0.1'):
        self.client = connect(port, receive_buffer, host)
        self.client.send(HEADER)
        self.server = upstream.accept(HEADER)
        self.user = user
        self.s2c((REPLY % 1) + FEATURES1)
        if login:
            self.login()

    def login(self):
        secret = base64.b64encode(f'\0{self.user}\0{self.user}pw'.encode()).decode()
        self.c2s(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>")
        self.s2c("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
        self.c2s(HEADER)
        self.s2c((REPLY % 2) + FEATURES2)
        self.c2s("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>raw</resource></bind></iq>")
        self.s2c("<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                 f"<jid>{self.user}@localhost/raw</jid></bind></iq>")

    def c2s(self, data):
        """From client to server, unchanged."""
        self.client.send(data)
        self.server.expect(data)

    def s2c(self, data):
        self.server.send(data)
        self.client.expect(data)

    def close(self):
        self.client.close()
        self.server.close()
