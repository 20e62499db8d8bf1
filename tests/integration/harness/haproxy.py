# SPDX-License-Identifier: MIT
"""A real HAProxy before inset: TCP, or TLS that ends there."""
from .processes import Process, free_port, listening, wait_for

CONF = '''
global
  nbthread 1
  maxconn 4000
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen front
  bind 127.0.0.1:{port} {bind}
  server inset 127.0.0.1:{to} {how}
'''


class HAProxy:
    """to: the port behind it. how: words of the `server` line, bind: of the `bind` line."""

    def __init__(self, folder, to, how='', bind=''):
        self.port = free_port()
        conf = folder / f'haproxy-{self.port}.cfg'
        conf.write_text(CONF.format(port=self.port, to=to, how=how, bind=bind))
        self.process = Process(['haproxy', '-db', '-f', conf], folder, f'haproxy-{self.port}')
        wait_for(lambda: listening(self.port), 'HAProxy listens', process=self.process)

    def stop(self):
        self.process.stop()
