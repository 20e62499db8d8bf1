#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""CPU and memory of insetd beside HAProxy in TCP mode: the same machine, the same run, the same load.

HAProxy runs with nbthread 1 and without splice, insetd with one proxy process; what counts for
insetd's CPU is that process. Rounds alternate between the two; figures are medians over the rounds.
Memory is the anonymous memory of all processes of a relay for each idle session, in the clear and
with TLS 1.3 that ends there.

    relay.py BUILD-FOLDER [ROUNDS=5] [SECONDS=2]

Prints one JSON line a measurement, then the table. Judges nothing.
"""
import json
import os
import resource
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD = Path(sys.argv[1] if len(sys.argv) > 1 else 'build').resolve()
os.environ['INSET_BUILD'] = str(BUILD)
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'integration'))

from harness import processes                                   # noqa: E402
from harness.certs import Authority                             # noqa: E402
from harness.insetd import Insetd                               # noqa: E402

# name: connections, bytes a message
LOADS = {'small': (50, 300), 'bulk': (400, 16384)}
IDLE = 2000

STREAMS = (b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
           b"xmlns:stream='http://etherx.jabber.org/streams'>")
SASL, BIND = (b" xmlns='urn:ietf:params:xml:ns:xmpp-" + name + b"'" for name in (b'sasl', b'bind'))
# By the client and the server in turn, as bench_relay.c says it.
HELLO = (
    STREAMS,
    STREAMS + b'<stream:features><mechanisms' + SASL + b'><mechanism>PLAIN</mechanism></mechanisms></stream:features>',
    b'<auth' + SASL + b" mechanism='PLAIN'>AGEAYQ==</auth>",
    b'<success' + SASL + b'/>',
    STREAMS,
    STREAMS + b'<stream:features><bind' + BIND + b'/></stream:features>',
    b"<iq type='set' id='b'><bind" + BIND + b'/></iq>',
    b"<iq type='result' id='b'><bind" + BIND + b'><jid>a@localhost/b</jid></bind></iq>',
)

HAPROXY = '''
global
  nbthread 1
  maxconn 4000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen relay
  bind 127.0.0.1:{port} {tls}
  server s 127.0.0.1:{upstream}
'''


class HAProxy:
    def __init__(self, folder, upstream, certificate=None):
        self.port = processes.free_port()
        conf = folder / 'haproxy.cfg'
        conf.write_text(HAPROXY.format(port=self.port, upstream=upstream, tls=f'ssl crt {certificate}' if certificate else ''))
        self.process = processes.Process(['haproxy', '-db', '-f', conf], folder, 'haproxy')
        processes.wait_for(lambda: processes.listening(self.port), 'HAProxy listens', process=self.process)

    def pids(self):
        return [self.process.pid]

    def stop(self):
        self.process.stop()


class Inset(Insetd):
    def __init__(self, folder, upstream, certificate=None):
        tls = {'listen.main.tls': 'direct', 'listen.main.certificates': [str(certificate)]} if certificate else {}
        super().__init__(folder, f'127.0.0.1:{upstream}', {'log.level': 'notice'} | tls)

    def pids(self):
        return self.role('proxy')


RELAYS = {'insetd': Inset, 'haproxy': HAProxy}


def measure(relay, upstream, connections, size, seconds):
    reply = subprocess.run([BUILD / 'bench_relay', str(relay.port), str(upstream), str(connections), str(size), str(seconds),
                            *map(str, relay.pids())], capture_output=True, text=True, timeout=300, check=False)
    if reply.returncode:
        raise processes.Failure(reply.stderr)
    return json.loads(reply.stdout)


def fresh(name, folder, upstream, certificate=None):
    below = folder / f'{name}-{processes.free_port()}'
    below.mkdir()
    below.chmod(0o755)
    return RELAYS[name](below, upstream, certificate)


def busy(folder, rounds, seconds):
    """{load: {relay: [cpu seconds per message or per GB, one a round]}}"""
    figures = {load: {name: [] for name in RELAYS} for load in LOADS}
    upstream = processes.free_port()
    running = {}
    try:
        for name in RELAYS:
            running[name] = fresh(name, folder, upstream)
        for turn in range(rounds):
            for load, (connections, size) in LOADS.items():
                for name in sorted(RELAYS, reverse=turn % 2 == 1):
                    result = measure(running[name], upstream, connections, size, seconds)
                    print(json.dumps({'round': turn, 'load': load, 'relay': name} | result), flush=True)
                    unit = result['messages'] if load == 'small' else result['messages'] * size / 1e9
                    figures[load][name].append(result['cpu_seconds'] / unit)
    finally:
        for relay in running.values():
            relay.stop()
    return figures


def say(fro, to, data):
    fro.sendall(data)
    while data:
        got = to.recv(len(data))
        if not got:
            raise processes.Failure('the relay closed a connection during the hello')
        data = data[len(got):]


def logged_in(port, listener, context):
    """Both ends of a session that has said what clients and servers say up to the resource."""
    client, server = socket.create_connection(('127.0.0.1', port)), None
    if context:
        client = context.wrap_socket(client, server_hostname='localhost')
    for turn, data in enumerate(HELLO):
        if server is None:
            client.sendall(data)
            server = listener.accept()[0]
            server.recv(len(data), socket.MSG_WAITALL)
        elif turn % 2:
            say(server, client, data)
        else:
            say(client, server, data)
    return client, server


def idle(folder):
    """{"clear" or "TLS": {relay: bytes per logged-in session}}, each in fresh processes."""
    authority = Authority(folder)
    certificate = authority.issue('localhost')
    found = {'clear': {}, 'TLS': {}}
    for how, by in found.items():
        context = ssl.create_default_context(cafile=authority.file) if how == 'TLS' else None
        for name in RELAYS:
            with socket.create_server(('127.0.0.1', 0), backlog=1024) as listener:
                relay = fresh(name, folder, listener.getsockname()[1], certificate if how == 'TLS' else None)
                pairs = []
                try:
                    pairs += [logged_in(relay.port, listener, context) for _ in range(50)]      # what is made once only
                    before = relay.process.memory()
                    pairs += [logged_in(relay.port, listener, context) for _ in range(IDLE)]
                    by[name] = (relay.process.memory() - before) / IDLE
                    print(json.dumps({'load': 'idle', 'how': how, 'relay': name, 'sessions': IDLE,
                                      'memory_per_session': round(by[name])}), flush=True)
                finally:
                    for pair in pairs:
                        for sock in pair:
                            sock.close()
                    relay.stop()
    return found


def row(title, unit, inset, haproxy, form):
    print(f'{title:<34} {form % inset:>10} {form % haproxy:>10} {unit:<12} {inset / haproxy if haproxy else 0:>6.2f}')


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 2
    processes.adopt_orphans()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory(prefix='inset-bench-') as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            figures, sessions = busy(folder, rounds, seconds), idle(folder)
        finally:
            processes.end_strays()
    median = {load: {relay: statistics.median(values) for relay, values in by.items()} for load, by in figures.items()}
    print(f'\n{"median of " + str(rounds):<34} {"insetd":>10} {"haproxy":>10} {"":<12} {"ratio":>6}')
    row('300-byte stanzas, 50 connections', 'us CPU each', median['small']['insetd'] * 1e6,
        median['small']['haproxy'] * 1e6, '%.2f')
    row('16 KiB stanzas, 400 connections', 's CPU per GB', median['bulk']['insetd'], median['bulk']['haproxy'], '%.2f')
    for how, by in sessions.items():
        row(f'idle session, {how}, of {IDLE}', 'bytes', by['insetd'], by['haproxy'], '%.0f')


if __name__ == '__main__':
    main()
