# SPDX-License-Identifier: MIT
"""Connections: half-close, backpressure both ways with bounded memory, many idle sessions,
peers that vanish, the clean end.

Processes, reload and configuration: test_processes.py.
"""
import os
import socket
import struct
import tempfile
import threading
import time

import pytest

from harness import pictures
from harness.insetd import BUILD, environment
from harness.processes import Process, free_port, listening, wait_for
from harness.rawpeer import HEADER, Session, Upstream, connect
from harness.stanzas import check_thumbnail, message, picture

MIB = 1 << 20
SANITIZED = b'__asan_init' in (BUILD / 'insetd').read_bytes() if (BUILD / 'insetd').exists() else False


def test_half_close_both_ways(inset, upstream):
    session = Session(inset.port, upstream)
    session.c2s('</stream:stream>')
    session.client.half_close()
    assert session.server.rest() == b''
    session.s2c("<message><body>late</body></message></stream:stream>")
    session.server.close()
    assert session.client.rest() == b''
    session.close()


def test_server_closes_first(inset, upstream):
    session = Session(inset.port, upstream)
    session.server.send('<presence/></stream:stream>')
    session.server.half_close()
    assert session.client.rest() == b'<presence/></stream:stream>'
    session.c2s("<message><body>last words</body></message></stream:stream>")
    session.close()


@pytest.mark.parametrize('side', ['client', 'server'])
def test_reset_ends_the_session(inset, upstream, side):
    session = Session(inset.port, upstream)
    gone, other = session.client, session.server
    if side == 'server':
        gone, other = other, gone
    gone.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    gone.close()
    assert b'</stream:stream>' not in other.rest()
    session.close()


@pytest.mark.parametrize('sender', ['client', 'server'])
def test_peer_vanishes_while_its_message_is_held(start, upstream, media, sender):
    """What it had said goes on as it came: without inset the other one would have it."""
    daemon = start({'listen.main.directions': ['c2s', 's2c']})
    session = Session(daemon.port, upstream)
    gone, other = session.client, session.server
    if sender == 'server':
        gone, other = other, gone
    url, serve = media.gate(pictures.png(seed=31))
    media.forget()
    stanza = picture(url)
    gone.send(stanza + b'<presence/>')
    assert media.asked.wait(30)
    gone.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    gone.close()
    assert other.rest() == stanza + b'<presence/>'
    serve.set()
    session.close()
    again = Session(daemon.port, upstream)
    again.c2s('<presence/>')
    again.close()


def test_client_that_does_not_wait_for_an_answer(inset, upstream, media):
    """A script says what it has to say, ends the stream and is gone; the server's answer resets it."""
    session = Session(inset.port, upstream)
    url, serve = media.gate(pictures.png(seed=32))
    media.forget()
    stanza = picture(url)
    session.client.send(stanza + b'</stream:stream>')
    assert media.asked.wait(30)
    session.client.close()
    while True:                                 # until inset has heard of the reset
        try:
            session.server.send(b'<presence/>')
            if not session.server.silent():
                break
        except ConnectionError:
            break
        time.sleep(0.02)
    assert session.server.rest() == stanza + b'</stream:stream>'
    serve.set()
    session.close()


def proxy_memory(daemon):
    total = 0
    for pid in daemon.role('proxy'):
        with open(f'/proc/{pid}/status') as f:
            total += sum(int(line.split()[1]) * 1024 for line in f if line.startswith('RssAnon:'))
    return total


@pytest.mark.parametrize('lane', ['c2s', 's2c'])
def test_backpressure(start, upstream, lane):
    """The reader stops, the sender floods: the sender is stopped, memory stays bounded, all arrives."""
    daemon = start()
    session = Session(daemon.port, upstream)
    sender, reader = session.client, session.server
    if lane == 's2c':
        sender, reader = reader, sender
    stanza = b"<message to='bob@localhost'><body>" + b'flood ' * 600 + b'</body></message>'
    flood = stanza * (64 * MIB // len(stanza))
    before = proxy_memory(daemon)
    sent = [0]

    def send():
        while sent[0] < len(flood):
            sent[0] += sender.sock.send(flood[sent[0]:sent[0] + 65536])
    thread = threading.Thread(target=send)
    thread.start()
    last = -1
    while sent[0] != last:                  # until it gets no further; when it still does, all the worse for it
        last = sent[0]
        time.sleep(0.5)
    assert sent[0] < len(flood), 'the sender was never stopped'
    grown = proxy_memory(daemon) - before
    assert grown < (64 if SANITIZED else 4) * MIB, f'{grown} bytes more'
    # The other lane is not held up by that.
    (session.s2c if lane == 'c2s' else session.c2s)("<message><body>other way</body></message>")
    reader.expect(flood)
    thread.join()
    session.close()


def test_backpressure_behind_a_held_message(start, upstream, media):
    """A lane with a held message reads on only up to held-bytes."""
    daemon = start({'limits.held-bytes': '64KiB'})
    session = Session(daemon.port, upstream)
    url, serve = media.gate(pictures.png(seed=32))
    media.forget()
    held = picture(url)
    stanza = b"<message to='bob@localhost'><body>" + b'behind ' * 500 + b'</body></message>'
    flood = stanza * (16 * MIB // len(stanza))
    session.client.send(held)
    assert media.asked.wait(30)
    before = proxy_memory(daemon)
    thread = threading.Thread(target=session.client.send, args=(flood,))
    thread.start()
    thread.join(1)
    assert proxy_memory(daemon) - before < (64 if SANITIZED else 4) * MIB
    assert session.server.silent()
    serve.set()
    check_thumbnail(held, session.server.until(b'</message>'))
    session.server.expect(flood)
    thread.join()
    session.close()


def test_200_idle_sessions(start, upstream):
    """They hold no buffers; each still works afterwards, and the figures return to nothing."""
    daemon = start()
    first = [Session(daemon.port, upstream) for _ in range(10)]
    before = proxy_memory(daemon)
    sessions = first + [Session(daemon.port, upstream) for _ in range(200)]
    assert daemon.metric('inset_sessions') == 210
    if not SANITIZED:
        assert (proxy_memory(daemon) - before) / 200 < 16384
    for session in sessions:
        session.c2s("<presence/>")
        session.s2c("<presence from='bob@localhost/x'/>")
    for session in sessions:
        session.close()
    wait_for(lambda: daemon.metric('inset_sessions') == 0, 'all sessions are gone', process=daemon.process)


def test_white_space_keepalive(session):
    session.c2s(' ')
    session.s2c(' ')
    session.c2s('\n')


def test_client_that_says_nothing(start):
    daemon = start({'limits.header-timeout': '500ms'})
    client = connect(daemon.port)
    client.rest()
    client.close()


def test_client_that_never_logs_in(start, upstream):
    daemon = start({'limits.auth-timeout': '1s'})
    session = Session(daemon.port, upstream, login=False)
    assert b'<policy-violation' in session.client.rest()
    session.close()


def test_reader_that_takes_nothing_for_long(start, upstream):
    daemon = start({'limits.drain-peer': '1s', 'limits.write-high': '64KiB', 'limits.write-low': '16KiB'})
    session = Session(daemon.port, upstream)

    def flood():
        try:
            while True:
                session.client.send(b"<message><body>" + b'x' * 60000 + b"</body></message>")
        except OSError:
            pass
    thread = threading.Thread(target=flood)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    session.close()


def test_term_ends_sessions_and_leaves_nothing(start, upstream):
    daemon = start()
    session = Session(daemon.port, upstream)
    daemon.stop()
    session.client.rest()
    session.server.rest()
    session.close()


def test_listen_and_upstream_without_a_file(tmp_path, upstream):
    port = free_port()
    process = Process([BUILD / 'insetd', '--listen', f'127.0.0.1:{port}', '--upstream', upstream.address,
                       '-o', f'control={tmp_path}/c.sock', '-o', 'workers=1'], tmp_path, 'insetd', env=environment())
    wait_for(lambda: listening(port), 'insetd listens', process=process)
    session = Session(port, upstream)
    session.c2s("<message><body>no file needed</body></message>")
    session.close()
    assert process.stop() == 0


def test_header_first_seen_by_the_server_is_the_clients(inset, upstream):
    client = connect(inset.port)
    odd = HEADER.replace(b"to='localhost'", b"xml:lang = \"de\"  to='localhost'\n")
    client.send(odd)
    server = upstream.accept(odd)
    client.close()
    server.close()


# --- other kinds of addresses, and too few descriptors ----------------------------------------

def one_session(port, upstream, host='127.0.0.1'):
    """Client and server of one session through insetd, logged in, bytes compared."""
    session = Session(port, upstream, host=host)
    session.c2s(b'<presence/>' + message('<body>over there</body>'))
    session.s2c(message('<body>and back</body>'))
    session.close()


def test_ipv6_on_both_sides(start):
    upstream = Upstream(host='::1')
    port = free_port()
    daemon = start({'listen.main.bind': [f'[::1]:{port}']}, to=upstream.address)
    one_session(port, upstream, host='::1')
    assert daemon.metric('inset_connections_total') == 1
    upstream.close()


def test_upstream_by_unix_socket(start):
    with tempfile.TemporaryDirectory(prefix='inset-') as folder:
        os.chmod(folder, 0o755)                 # the proxy is not root
        path = folder + '/server.sock'
        upstream = Upstream(path=path)
        os.chmod(path, 0o666)
        daemon = start(to=f'unix:{path}')
        one_session(daemon.port, upstream)
        upstream.close()
        os.unlink(path)
        client = connect(daemon.port)
        client.send(HEADER)
        assert b'<remote-connection-failed ' in client.rest()
        client.close()


def test_out_of_descriptors_accepting_pauses(start, upstream):
    """What is there lives on; the process neither spins nor ends, and goes on when there is room."""
    daemon = start(prefix=['prlimit', '--nofile=64:64'])
    proxy = daemon.role('proxy')[0]
    first = Session(daemon.port, upstream)
    crowd = [connect(daemon.port) for _ in range(60)]
    daemon.wait_metric('inset_accept_pauses_total', 2)
    used = cpu_seconds(proxy)
    pauses = daemon.metric('inset_accept_pauses_total')
    daemon.wait_metric('inset_accept_pauses_total', pauses + 5)     # a second, at five pauses a second
    assert cpu_seconds(proxy) - used < 0.5
    first.c2s(b'<presence/>')
    for peer in crowd:
        peer.close()
    first.c2s(b'<presence/>')
    wait_for(lambda: daemon.metric('inset_sessions') == 1, 'the crowd is gone')
    one_session(daemon.port, upstream)
    first.close()


def cpu_seconds(pid):
    fields = open(f'/proc/{pid}/stat', encoding='ascii').read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')
