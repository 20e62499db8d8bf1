# SPDX-License-Identifier: MIT
"""An HTTP proxy that knows CONNECT and nothing else, and leads where a test says.

`put(address, port, to_port)`: a CONNECT to that address gets a port on loopback; others are
refused with 403. `asked` has the targets as they came, `heads` the whole requests.
"""
import selectors
import socket
import threading


class EgressProxy:
    def __init__(self):
        self.ways, self.asked, self.heads = {}, [], []
        self.connections = 0
        self.server = socket.create_server(('127.0.0.1', 0), backlog=64)
        self.port = self.server.getsockname()[1]
        self.url = f'http://127.0.0.1:{self.port}'
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def put(self, address, port, to_port):
        self.ways[f'[{address}]:{port}' if ':' in address else f'{address}:{port}'] = to_port

    def _serve(self):
        while True:
            try:
                conn = self.server.accept()[0]
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._handle, args=(conn,), daemon=True).start()

    def _handle(self, conn):
        with conn:
            head = b''
            while not head.endswith(b'\r\n\r\n'):
                part = conn.recv(1)
                if not part:
                    return
                head += part
            self.heads.append(head.decode('latin-1'))
            method, target = self.heads[-1].split()[:2]
            self.asked.append(f'{method} {target}')
            if method != 'CONNECT' or target not in self.ways:
                conn.sendall(b'HTTP/1.1 403 Forbidden\r\nRetry-After: 9999\r\nContent-Length: 2\r\n\r\nno')
                return
            with socket.create_connection(('127.0.0.1', self.ways[target])) as far:
                conn.sendall(b'HTTP/1.1 200 Connected\r\nCache-Control: no-store\r\nX-Proxy: yes\r\n\r\n')
                self._pump(conn, far)

    @staticmethod
    def _pump(a, b):
        with selectors.DefaultSelector() as selector:
            selector.register(a, selectors.EVENT_READ, b)
            selector.register(b, selectors.EVENT_READ, a)
            while True:
                for key, _ in selector.select():
                    try:
                        data = key.fileobj.recv(65536)
                        key.data.sendall(data)
                    except OSError:
                        data = b''
                    if not data:
                        return

    def stop(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join()
