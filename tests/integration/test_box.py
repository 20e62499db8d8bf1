# SPDX-License-Identifier: MIT
"""The box alone: uploads and downloads with curl and raw sockets, limits, lies, crashes."""
import concurrent.futures
import hashlib
import os
import re
import resource
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from harness import pictures
from harness.box import Box, curl, post
from harness.certs import Authority
from harness.insetd import BUILD, Insetd
from harness.processes import wait_for


SANITIZED = b'__asan_init' in (BUILD / 'insetd').read_bytes() if (BUILD / 'insetd').exists() else False


@pytest.fixture(scope='module')
def box():
    there = Box()
    yield there
    there.remove()


@pytest.fixture(scope='module')
def served(tmp_path_factory, upstream, box):
    daemon = Insetd(tmp_path_factory.mktemp('served'), upstream.address, box.options)
    wait_for(lambda: daemon.metric('inset_processes{role="box"}') == 1, 'the box is up', process=daemon.process)
    yield daemon
    daemon.stop()


@pytest.fixture
def run(tmp_path, upstream):
    """run(options): a box of the test's own: (Box, Insetd)."""
    made = []

    def make(options=None, box=None, **kwargs):
        there = box or Box(**kwargs)
        daemon = Insetd(tmp_path, upstream.address, there.options | (options or {}), name=f'box{len(made)}')
        wait_for(lambda: daemon.metric('inset_processes{role="box"}') == 1, 'the box is up', process=daemon.process)
        made.append((there, daemon))
        return there, daemon
    yield make
    for _, daemon in made:
        daemon.stop()
    for there, _ in made:
        there.remove()


def test_upload_and_download(box, served):
    data = pictures.png()
    status, headers, body = post(box.address(types='image/*'), data)
    assert (status, headers['content-type']) == (200, 'text/url')
    url = body.decode()
    assert url.startswith(box.url + '/f/') and url.endswith('.png'), url
    status, headers, body = curl(url)
    assert (status, body) == (200, data)
    assert headers['content-type'] == 'image/png'
    assert headers['content-length'] == str(len(data))
    assert headers['etag'] == f'"{hashlib.sha256(data).hexdigest()}"'
    assert headers['content-disposition'] == 'attachment'
    assert headers['x-content-type-options'] == 'nosniff'
    assert 'sandbox' in headers['content-security-policy']
    status, again, body = curl('-I', url)
    assert (status, body, again['content-length']) == (200, b'', str(len(data)))
    assert curl('-H', f'If-None-Match: {headers["etag"]}', url)[0] == 304


def test_ranges(box, served):
    data = secrets.token_bytes(10000)
    url = post(box.address(), data)[2].decode()
    for ask, want in (('0-0', data[:1]), ('5000-', data[5000:]), ('-7', data[-7:]), ('9990-20000', data[9990:]),
                      ('-20000', data)):
        status, headers, body = curl('-H', f'Range: bytes={ask}', url)
        assert (status, body) == (206, want), ask
        assert headers['content-range'].endswith('/10000')
    for ask in ('10000-', '-0'):
        status, headers, _ = curl('-H', f'Range: bytes={ask}', url)
        assert (status, headers['content-range']) == (416, 'bytes */10000')
    for ask in ('bytes=3-2', 'bytes=a-', 'bytes=0-1,4-5', 'lines=0-1', 'bytes=', 'bytes=99999999999999999999-'):
        assert curl('-H', f'Range: {ask}', url)[::2] == (200, data), ask
    assert curl('-H', 'Range: bytes=0-0', '-H', 'If-Range: "other"', url)[::2] == (200, data)
    # Ranges are GET's alone, RFC 9110 section 14.2.
    status, headers, _ = curl('-I', '-H', 'Range: bytes=0-3', url)
    assert (status, int(headers['content-length'])) == (200, len(data))


@pytest.mark.parametrize('size', [1, 2, 4095, 4096, 4097, 65536, 1 << 20, (10 << 20) - 1, 10 << 20])
def test_every_size_to_the_cap(box, served, size):
    data = secrets.token_bytes(size)
    method = 'PUT' if size % 2 else 'POST'
    status, _, url = post(box.address(), data, 'application/octet-stream', method=method)
    assert status == 200
    assert curl(url.decode())[::2] == (200, data)


def test_refusals(box, served):
    good = box.token()
    forged = good[:40] + ('A' if good[40] != 'A' else 'B') + good[41:]
    data = b'x' * 100
    for what, url, kind, more, want in (
            ('forged', f'{box.url}/up/{forged}', 'image/png', (), 403),
            ('cut', f'{box.url}/up/{good[:-1]}', 'image/png', (), 403),
            ('none', f'{box.url}/up/', 'image/png', (), 403),
            ('other key', box.address(key='0' * 64), 'image/png', (), 403),
            ('expired', box.address(life=-1), 'image/png', (), 403),
            ('other type', box.address(types='image/png'), 'image/gif', (), 406),
            ('odd type', box.address(), 'image/png/x', (), 406),
            ('too large for it', box.address(size=99), 'image/png', (), 413),
            ('slot of another size', box.address(size=101, slot=True), 'image/png', (), 403),
            ('no length', box.address(), 'image/png', ('-H', 'Transfer-Encoding: chunked'), 411),
            ('elsewhere', f'{box.url}/elsewhere', 'image/png', (), 404)):
        status, headers, body = post(url, data, kind, *more)
        assert status == want, (what, status, body)
        assert headers['content-type'].startswith('text/plain') and body.count(b'\n') == 1, what
    assert post(box.address(), b'x' * ((10 << 20) + 1))[0] == 413
    assert post(box.address(), b'')[0] == 400
    assert curl('-X', 'DELETE', box.address())[0] == 405
    assert post(box.address(types='image/jpeg'), data, 'image/JPG; q=1')[0] == 200
    assert not [name for name in box.store() if name.startswith('t-')]


def test_expect_100_continue(box, served):
    """The refusal comes before the body; the leave is waited for."""
    for address, want in ((box.address(), b'HTTP/1.1 100'), (box.address(size=1), b'HTTP/1.1 413')):
        sock = socket.create_connection(('127.0.0.1', box.port), timeout=30)
        path = address[len(box.url):]
        sock.sendall(f'POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n'.encode())
        assert sock.recv(1000).startswith(want)
        sock.close()


def exchange(port, data):
    """What comes back for these bytes until the end of the connection."""
    said = b''
    with socket.create_connection(('127.0.0.1', port), timeout=30) as sock:
        sock.sendall(data)
        while part := sock.recv(65536):
            said += part
    return said


def test_requests_that_two_would_read_in_two_ways(box, served):
    """A balancer in front may see another end, or another host: such a request is none, nor is what follows it."""
    path = box.address()[len(box.url):]
    behind = b'abcGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
    for method in ('GET', 'POST', 'PUT'):
        for head in ('Content-Length: 3\r\nContent-Length: 43', 'Content-Length: 3\r\nContent-Length: 3',
                     'Content-Length: 3\r\nTransfer-Encoding: chunked', 'Transfer-Encoding: chunked\r\ntransfer-encoding: x',
                     'Content-Length: 3\r\nHost: y', 'Content-Length : 3'):
            said = exchange(box.port, f'{method} {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n'.encode() + behind)
            assert said.startswith(b'HTTP/1.1 400 ') and said.count(b'HTTP/1.1 ') == 1, (method, head, said)
    assert exchange(box.port, f'GET {path} HTTP/1.1\r\n\r\n'.encode()).startswith(b'HTTP/1.1 400 ')
    for head in ('Content-Range: bytes 0-2/10', 'Content-Encoding: gzip'):
        assert post(box.address(), b'abc', 'image/png', '-H', head)[0] in (400, 415), head
    assert post(box.address(), b'abc', 'image/png', '-H', 'Content-Encoding: identity')[0] == 200


def test_bodies_that_nobody_wants(box, served):
    """Some bytes are read so that the answer arrives; who goes on sending is cut off."""
    piece = b'x' * 65536
    for head, answered in ((b'PUT /up/forged HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000', True),
                           (b'PUT /up/forged HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked', False),
                           (b'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000', False)):
        with socket.create_connection(('127.0.0.1', box.port), timeout=30) as sock:
            sock.sendall(head + b'\r\n\r\n')
            if answered:
                assert sock.recv(65536).startswith(b'HTTP/1.1 403 ')
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                for _ in range(4096):
                    sock.sendall(b'10000\r\n' + piece + b'\r\n')
    for head, want in ((b'PUT /up/forged', b'403'), (b'GET /', b'404')):
        said = exchange(box.port, head + b' HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 65536\r\n\r\n' + piece)
        assert said.startswith(b'HTTP/1.1 ' + want), said


def test_one_token_one_file(box, served):
    address = box.address()
    first = post(address, b'one')
    assert first[0] == 200
    assert post(address, b'one')[::2] == first[::2]
    assert post(address, b'two')[0] == 409
    assert curl(first[2].decode())[2] == b'one'


def test_a_file_lives_as_long_as_its_address(run):
    """Else what came in its place would be under the same URL."""
    box, _ = run({'upload.expire': '60s'})
    url = post(box.address(life=5000), b'one')[2].decode()
    assert int(re.search(r'max-age=(\d+)', curl('-I', url)[1]['cache-control'])[1]) > 4000


def test_slot_answers_201_under_the_name_it_gave(box, served):
    ident = secrets.token_bytes(16)
    token = box.token(slot=True, size=3, ident=ident)
    status, _, url = post(f'{box.url}/up/{token}/cat%20%3Cb%3E.png', b'abc', method='PUT')
    assert (status, url.decode()) == (201, f'{box.url}/f/{ident.hex()}/cat--b-.png')
    assert curl(f'{box.url}/f/{ident.hex()}/any/thing')[2] == b'abc'


def test_the_same_bytes_are_stored_once(run):
    box, _ = run()
    data = secrets.token_bytes(50000)
    urls = {post(box.address(user=f'u{n}@localhost'), data)[2].decode() for n in range(5)}
    assert len(urls) == 5
    contents = [name for name in box.store() if name.startswith('b-')]
    assert contents == ['b-' + hashlib.sha256(data).hexdigest()]
    assert len({os.stat(box.state / 'box' / name).st_ino for name in box.store() if name[0] in 'bu'}) == 1
    for url in urls:
        assert curl(url)[2] == data


def preflight(box, origin, path='/up/x', method='PUT'):
    return curl('-X', 'OPTIONS', '-H', f'Origin: {origin}', '-H', f'Access-Control-Request-Method: {method}',
                '-H', 'Access-Control-Request-Headers: content-type', box.url + path)


def test_pages_of_any_origin_may_upload_and_read(box, served):
    status, headers, body = preflight(box, 'https://chat.example')
    assert (status, body) == (204, b'')
    assert headers['access-control-allow-origin'] == '*' and 'vary' not in headers
    assert {'PUT', 'GET', 'HEAD', 'POST'} <= set(headers['access-control-allow-methods'].split(', '))
    assert {'Content-Type', 'Range'} <= set(headers['access-control-allow-headers'].split(', '))
    assert 'access-control-allow-credentials' not in headers
    status, headers, url = post(box.address(), b'data')
    assert (status, headers['access-control-allow-origin']) == (200, '*')
    for ask, want in ((['-H', 'Range: bytes=1-2'], 206), (['-I'], 200), (['-H', 'Range: bytes=9-'], 416), ([], 200)):
        status, headers, _ = curl('-H', 'Origin: https://chat.example', *ask, url.decode())
        assert (status, headers['access-control-allow-origin']) == (want, '*')
        assert 'Content-Range' in headers['access-control-expose-headers']
    # A script is to see why it was refused.
    for status, headers, _ in (post(box.address(life=-1), b'x'), curl(f'{box.url}/f/{"0" * 32}')):
        assert status in (403, 404) and headers['access-control-allow-origin'] == '*'


def test_pages_of_some_origins_alone_or_none(run):
    box, daemon = run({'upload.cors': ['https://a.example', 'http://b.example:8080']})
    for origin, want in (('https://a.example', True), ('http://b.example:8080', True), ('https://a.example:444', False),
                         ('http://a.example', False), ('null', False)):
        status, headers, _ = preflight(box, origin)
        assert (status, headers['vary']) == (204, 'Origin')
        assert headers.get('access-control-allow-origin') == (origin if want else None)
        assert ('access-control-allow-methods' in headers) == want
    text, changes = re.subn(r'cors = .*;', 'cors = [];', daemon.conf.read_text())
    daemon.conf.write_text(text)
    assert changes == 1 and daemon.ctl('reload').returncode == 0
    wait_for(lambda: preflight(box, 'https://a.example')[0] == 405, 'OPTIONS is refused', process=daemon.process)
    assert not [name for name in post(box.address(), b'x')[1] if name.startswith('access-control')]


@pytest.mark.parametrize('value', ['a.example', 'https://a.example/', 'https://A.example', '*", "https://a.example'])
def test_an_origin_that_is_none_is_named(tmp_path, upstream, value):
    box = Box()
    try:
        daemon = Insetd(tmp_path, upstream.address, box.options | {'upload.cors': value.split('", "')}, wait=False)
        assert daemon.process.wait() == 1 and 'upload.cors' in daemon.log()
    finally:
        box.remove()


def test_path_tricks(box, served):
    for path in ('/f/../../etc/passwd', '/f/' + 'a' * 31, '/f/' + 'a' * 33, '/f/' + 'A' * 32, '/f/%2e%2e%2fm-', '/f/',
                 '/f/' + 'a' * 32 + '%00', '/f/b-' + 'a' * 64, '//f/x', '/f/' + '0' * 32, '/' + 'x' * 3000, '/%ff', '/f'):
        assert curl('--path-as-is', box.url + path)[0] == 404, path
        assert post(box.url + path.replace('/f/', '/up/', 1), b'x', 'a/b', '--path-as-is')[0] in (403, 404), path


def test_quotas(run):
    box, daemon = run({'upload.quota': '1MiB', 'upload.quota-user': '512KiB'})
    for n in range(2):
        assert post(box.address(), secrets.token_bytes(200 << 10))[0] == 200
    status, _, reason = post(box.address(), secrets.token_bytes(200 << 10))
    assert status == 507 and b'room' in reason
    assert post(box.address(user='bob@localhost'), secrets.token_bytes(400 << 10))[0] == 200
    assert post(box.address(user='carol@localhost'), secrets.token_bytes(400 << 10))[0] == 507
    # Small files count as blocks: nobody fills the folder with names.
    assert [post(box.address(user='dave@localhost'), b'%d' % n)[0] for n in range(60)].count(507) > 0
    assert daemon.metric('inset_box_uploads_total{result="full"}') >= 3


def test_files_expire_and_the_room_is_free_again(run):
    box, daemon = run({'upload.quota-user': '512KiB', 'upload.quota': '512KiB'})
    data = secrets.token_bytes(400 << 10)
    url = post(box.address(), data)[2].decode()
    assert post(box.address(), data[1:])[0] == 507
    daemon.stop()
    facts = box.state / 'box' / ('m-' + url.split('/f/')[1].split('.')[0])
    lines = facts.read_text().split('\n')
    lines[4] = str(int(time.time()) - 1)
    facts.write_text('\n'.join(lines))
    _, daemon = run({'upload.quota-user': '512KiB', 'upload.quota': '512KiB'}, box=box)
    assert box.store() == []
    assert curl(url)[0] == 404
    assert post(box.address(), data[1:])[0] == 200


def test_200_uploads_at_a_time(box, served):
    def one(n):
        data = secrets.token_bytes(1000 + n * 500)
        status, _, url = post(box.address(user=f'u{n}@localhost'), data, 'application/octet-stream')
        return status == 200 and curl(url.decode())[2] == data
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        assert all(pool.map(one, range(200)))


def test_killed_in_the_middle(run):
    """Every acknowledged file is whole, no other is visible, nothing half-written stays."""
    box, daemon = run({'upload.quota': '1GiB'})
    done = {}
    stop = False

    def one(n):
        while not stop:
            data = secrets.token_bytes(300 << 10)
            try:
                status, _, url = post(box.address(user=f'u{n}@localhost'), data, 'application/octet-stream')
            except Exception:               # noqa: BLE001, curl's own time-out
                continue
            if status == 200:
                done[url.decode()] = data
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for n in range(8):
            pool.submit(one, n)
        for kill in range(4):
            before = len(done)
            wait_for(lambda before=before: len(done) > before + 10, 'uploads go on', 60, daemon.process)
            for pid in daemon.role('box'):
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: daemon.metric('inset_processes{role="box"}') == 0, 'the box is gone', process=daemon.process)
            wait_for(lambda: daemon.metric('inset_processes{role="box"}') == 1, 'the box is back', process=daemon.process)
        stop = True
    daemon.stop()
    box, daemon = run({'upload.quota': '1GiB'}, box=box)
    for url, data in done.items():
        assert curl(url)[2] == data
    names = box.store()
    assert not [name for name in names if name.startswith('t-')]
    for name in names:
        if name.startswith('m-'):
            sha, size = (box.state / 'box' / name).read_text().split('\n')[1:4:2]
            data = (box.state / 'box' / ('u-' + name[2:])).read_bytes()
            assert (hashlib.sha256(data).hexdigest(), str(len(data))) == (sha, size)


def test_an_upload_that_ends_early_leaves_nothing(box, served):
    before = box.store()
    path = box.address()[len(box.url):]
    sock = socket.create_connection(('127.0.0.1', box.port), timeout=30)
    sock.sendall(f'POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n'.encode() + b'x' * 1000)
    wait_for(lambda: len(box.store()) == len(before) + 1, 'a draft', process=served.process)
    sock.close()
    wait_for(lambda: box.store() == before, 'the draft goes', process=served.process)


def test_a_reload_leaves_uploads_under_way_alone(run):
    box, daemon = run()
    path = box.address()[len(box.url):]
    sock = socket.create_connection(('127.0.0.1', box.port), timeout=30)
    sock.sendall(f'POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc'.encode())
    wait_for(lambda: any(n.startswith('t-') for n in box.store()), 'a draft', process=daemon.process)
    assert daemon.ctl('reload').returncode == 0
    assert post(box.address(), b'after')[0] == 200
    sock.sendall(b'def')
    assert sock.recv(1000).startswith(b'HTTP/1.1 200')
    sock.close()


def test_slow_peers_are_cut(run):
    """Those who send nothing, and those who drip; others are served meanwhile. The same at the status page."""
    box, daemon = run({'upload.low-speed': '1MiB'})
    path = box.address()[len(box.url):]
    slow = []
    for port, head in ((box.port, b''), (box.port, b'GET / HT'),
                       (box.port, f'POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\nx'.encode()),
                       (daemon.web_port, b'GET / HT'),
                       (daemon.web_port, b'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50000\r\n\r\nx')):
        sock = socket.create_connection(('127.0.0.1', port), timeout=120)
        sock.sendall(head)
        slow.append(sock)
    deadline = time.monotonic() + 100
    while len(slow) and time.monotonic() < deadline:
        for sock in list(slow):
            try:
                sock.settimeout(0.5)
                if not sock.recv(100):
                    raise ConnectionError
            except TimeoutError:
                try:
                    sock.sendall(b'x')
                except OSError:
                    slow.remove(sock)
            except OSError:
                slow.remove(sock)
        assert post(box.address(), b'meanwhile')[0] == 200
    assert not slow
    assert daemon.metric('inset_box_late_total') >= 1


def test_out_of_descriptors_accepting_pauses(run):
    """Box, status page and control socket: nobody spins over who waits, and all go on when there is room."""
    box, daemon = run({'user': ''})
    roles = {'box': (daemon.role('box')[0], lambda: socket.create_connection(('127.0.0.1', box.port), timeout=30)),
             'web': (daemon.role('web')[0], lambda: socket.create_connection(('127.0.0.1', daemon.web_port), timeout=30)),
             'master': (daemon.pid, lambda: control(daemon))}
    for role, (pid, connect) in roles.items():
        before = daemon.metric('inset_accept_pauses_total')
        # Where our last question still has its descriptor, there would be one to end.
        wait_for(lambda: not connections(box.port) and not connections(daemon.web_port), 'no connection')
        used = {int(fd) for fd in os.listdir(f'/proc/{pid}/fd')}
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(set(range(len(used) + 1)) - used), hard))
        with connect():
            if role == 'web':
                wait_for(lambda: daemon.log().count('web: accepting pauses') >= 3, 'it pauses')
            else:
                daemon.wait_metric('inset_accept_pauses_total', before + 3)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        wait_for(lambda: daemon.metric('inset_accept_pauses_total') >= before + 3, role)
    assert post(box.address(), b'again')[0] == 200
    assert daemon.ctl('status').returncode == 0


def connections(port):
    """Those that the server on this port has not closed: established, or ended by the client."""
    rows = [line.split() for line in Path('/proc/net/tcp').read_text().splitlines()[1:]]
    return [row for row in rows if row[1].endswith(f':{port:04X}') and row[3] in ('01', '08')]


def control(daemon):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(daemon.control))
    return sock


def test_tls_with_a_certificate_and_a_path(run, tmp_path):
    authority = Authority(tmp_path)
    box, _ = run(path='/box', certificate=authority.issue('localhost'))
    tls = ('--cacert', authority.file)
    data = secrets.token_bytes(3 << 20)
    status, _, url = post(box.address(), data, 'application/octet-stream', *tls)
    assert status == 200 and url.decode().startswith(f'https://localhost:{box.port}/box/f/')
    assert curl(*tls, url.decode())[::2] == (200, data)
    assert curl(*tls, url.decode().replace('/box/f/', '/f/'))[::2] == (200, data), 'a web server may cut the path'
    assert curl('-k', url.decode().replace('https', 'http'))[0] != 200
    for version, good in (('-tls1', False), ('-tls1_1', False), ('-tls1_2', True), ('-tls1_3', True)):
        said = subprocess.run(['openssl', 's_client', '-connect', f'127.0.0.1:{box.port}', version, '-cipher', 'ALL:@SECLEVEL=0',
                               '-CAfile', authority.file], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        assert (said.returncode == 0) == good, (version, said.stderr)


def test_a_certificate_that_cannot_be_used_is_named(tmp_path, upstream):
    box = Box()
    try:
        (tmp_path / 'bad.pem').write_text('nothing')
        daemon = Insetd(tmp_path, upstream.address, box.options | {'upload.certificate': str(tmp_path / 'bad.pem')}, wait=False)
        assert daemon.process.wait() == 1
        assert 'upload.certificate' in daemon.log() and 'no certificate' in daemon.log()
    finally:
        box.remove()


def test_uploads_go_on_while_media_is_away(run):
    """Killed and killed again while pictures arrive: every upload is answered."""
    box, daemon = run()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for n in range(3):
            jobs = [pool.submit(post, box.address(user=f'u{n}{k}@localhost'), pictures.png(seed=n * 100 + k)) for k in range(8)]
            for pid in daemon.role('media'):
                os.kill(pid, signal.SIGKILL)
            assert all(job.result()[0] == 200 for job in jobs)
            wait_for(lambda: daemon.metric('inset_processes{role="media"}') == 1, 'media is back', process=daemon.process)


def test_the_box_is_confined(served, box):
    """Another user, no privileges, no file but its own."""
    pid = served.role('box')[0]
    with open(f'/proc/{pid}/status') as f:
        status = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
    assert status['NoNewPrivs'] == '1'
    if os.geteuid() == 0:
        assert '0' not in status['Uid'].split() and status['CapEff'].strip('0') == ''
    assert served.metric('inset_box_files') == len([name for name in box.store() if name.startswith('m-')])


def test_switched_on_and_off_by_a_reload(run):
    box, daemon = run()
    url = post(box.address(), b'there')[2].decode()
    text = daemon.conf.read_text()
    daemon.conf.write_text(text.replace('bind = [ "127.0.0.1:%d" ]' % box.port, 'bind = [ ]'))
    assert daemon.ctl('reload').returncode == 0
    wait_for(lambda: not daemon.role('box'), 'the box has ended', process=daemon.process)
    daemon.conf.write_text(text)
    assert daemon.ctl('reload').returncode == 0
    wait_for(lambda: daemon.metric('inset_processes{role="box"}') == 1, 'the box is back', process=daemon.process)
    assert curl(url)[2] == b'there'


def test_the_key_is_made_once(run):
    box, daemon = run({'upload.secret-file': ''})
    key = (box.state / 'upload.key').read_bytes()
    assert len(key) == 32 and (box.state / 'upload.key').stat().st_mode & 0o777 == 0o600
    url = f'{box.url}/up/{box.token(key=hashlib.sha256(key).hexdigest())}'
    assert post(url, b'x')[0] == 200
    daemon.stop()
    run({'upload.secret-file': ''}, box=box)
    assert (box.state / 'upload.key').read_bytes() == key


def test_memory_stays_flat_over_a_gibibyte(run):
    box, daemon = run({'upload.quota': '64MiB', 'upload.quota-user': '64MiB'})
    data = secrets.token_bytes(10 << 20)

    def memory():
        pid = daemon.role('box')[0]
        with open(f'/proc/{pid}/status') as f:
            return next(int(line.split()[1]) for line in f if line.startswith('RssAnon:'))
    ident = [secrets.token_bytes(16) for _ in range(4)]
    for n in range(4):
        assert post(box.address(ident=ident[n]), data, 'application/octet-stream')[0] == 200
    before = memory()
    for n in range(104):
        assert post(box.address(ident=ident[n % 4]), data, 'application/octet-stream')[0] == 200
    assert memory() < before + (64 if SANITIZED else 4) * 1024, 'KiB'
