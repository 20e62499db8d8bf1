# SPDX-License-Identifier: MIT
"""Debian's redis-server on a free port or a unix socket, in a folder of its own, stopped by pid."""
import os
import signal
import socket

from .processes import Process, free_port, let_in, wait_for


class Redis:
    """options: more arguments for redis-server. start() begins it; it may end and start again."""

    def __init__(self, folder, options=(), password='', unix=False):
        self.folder, self.options, self.password = folder, list(options), password
        self.port = 0 if unix else free_port()
        self.path = folder / 'redis.sock' if unix else None
        self.process = None
        self.starts = 0

    @property
    def url(self):
        if self.path:
            return f'unix:{":" + self.password + "@" if self.password else ""}{self.path}'
        return f'redis://{":" + self.password + "@" if self.password else ""}127.0.0.1:{self.port}/0'

    def start(self):
        args = ['/usr/bin/redis-server', '--port', str(self.port), '--bind', '127.0.0.1', '--save', '',
                '--appendonly', 'no', '--dir', str(self.folder), '--daemonize', 'no']
        if self.path:
            let_in(self.folder)
            args += ['--unixsocket', str(self.path), '--unixsocketperm', '777']
        if self.password:
            args += ['--requirepass', self.password]
        self.starts += 1
        self.process = Process([*args, *self.options], self.folder, f'redis{self.starts}')
        wait_for(self._ready, 'redis-server is up', process=self.process)
        return self

    def _ready(self):
        try:
            return self.ask('PING') == b'PONG'
        except OSError:
            return False

    def ask(self, *words):
        """One command, its reply as bytes, a number, None or a list."""
        with socket.socket(socket.AF_UNIX if self.path else socket.AF_INET) as s:
            s.settimeout(20)
            s.connect(str(self.path) if self.path else ('127.0.0.1', self.port))
            f = s.makefile('rwb')
            for command in ([('AUTH', self.password)] if self.password else []) + [words]:
                command = [w if isinstance(w, bytes) else str(w).encode() for w in command]
                f.write(b'*%d\r\n' % len(command) + b''.join(b'$%d\r\n%s\r\n' % (len(w), w) for w in command))
                f.flush()
                reply = self._reply(f)
            return reply

    def _reply(self, f):
        line = f.readline().rstrip(b'\r\n')
        if not line:
            raise OSError('closed')
        kind, rest = line[:1], line[1:]
        if kind == b'$':
            return None if rest == b'-1' else f.read(int(rest) + 2)[:-2]
        if kind == b'*':
            return [self._reply(f) for _ in range(int(rest))]
        return int(rest) if kind == b':' else rest

    def keys(self):
        return sorted(self.ask('KEYS', '*'))

    def values(self):
        return [k for k in self.keys() if not k.endswith(b':lock')]

    def kill(self):
        self.process.stop(signal.SIGKILL)
        self.process = None

    def pause(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self):
        if self.process:
            self.go_on()
            self.process.stop(signal.SIGKILL)
            self.process = None
