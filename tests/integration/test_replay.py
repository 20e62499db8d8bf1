# SPDX-License-Identifier: MIT
"""The record tap, and inset-replay: what is recorded, played, judged and reported.

The formats' hostile side is tests/unit/test_capture.c's, the redactor's test_redact.c's, each kind
of corruption test_checker.c's.
"""
import gzip
import json
import os
import signal
import socket
import struct
import subprocess
import threading

import pytest

from harness import pictures, processes, stanzas
from harness.certs import Authority
from harness.insetd import BUILD, TOP, environment
from harness.processes import let_in
from harness.rawpeer import Session

SAMPLES = sorted((TOP / 'data' / 'captures').glob('*.jsonl.gz'))
SECRET = 'Geheimnis7'


def replay(*args, timeout=120):
    return subprocess.run([BUILD / 'inset-replay', *map(str, args)], capture_output=True, text=True, timeout=timeout,
                          env=environment(), check=False)


def lines(path):
    """The lines of a capture, as far as they can be read."""
    found = []
    try:
        with gzip.open(path, 'rt') as f:
            for line in f:
                found.append(json.loads(line))
    except EOFError:
        pass
    return found


def text(path, direction, where=None):
    return ''.join(line.get('x', '') for line in lines(path)
                   if line.get('e') == 'data' and line['d'] == direction and line.get('w') == where)


@pytest.fixture
def tap(tmp_path):
    folder = tmp_path / 'tap'
    folder.mkdir()
    folder.chmod(0o777)
    let_in(tmp_path)
    return folder


def talk(session, count=20):
    for i in range(count):
        session.c2s(stanzas.message(f'<body>{SECRET} number {i} &amp; more</body>', f'm{i}'))
        session.s2c(f"<message from='bob@localhost/x' to='alice@localhost/raw' id='r{i}'><body>{SECRET} {i}</body></message>")


def ended(daemon, count=1):
    processes.wait_for(lambda: daemon.log().count('session closed') >= count, 'the session has ended', process=daemon.process)


def recorded(tap, daemon, upstream, media=None, count=20):
    """One session through this insetd, ended, and the capture of it."""
    session = Session(daemon.port, upstream)
    talk(session, count)
    if media:
        url = media.put(pictures.jpeg(300, 200), f'{SECRET}.jpg')
        sent = stanzas.picture(url)
        session.client.send(sent)
        session.client.send(stanzas.message('<body>behind</body>', 'behind'))
        got = b''
        while b"id='behind'" not in got:
            got += session.server.sock.recv(65536)
    session.close()
    ended(daemon)
    daemon.stop()
    found = sorted(tap.glob('*.jsonl.gz'))
    assert len(found) == 1
    return found[0]


@pytest.fixture
def capture(tap, start, upstream, media):
    """A capture of a session with a picture, from both sides of the filters."""
    daemon = start({'record.path': str(tap), 'record.at': 'both'})
    return recorded(tap, daemon, upstream, media)


class Corruptor:
    """A relay that does something to the bytes from clients, once it has seen enough of them."""

    def __init__(self, upstream_port, change):
        self.upstream_port, self.change = upstream_port, change
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.threads, self.socks, self.closing = [], [], False
        self.run(self.accept)

    def run(self, what, *args):
        thread = threading.Thread(target=what, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
                server = socket.create_connection(('127.0.0.1', self.upstream_port))
            except OSError:
                return
            self.socks += [client, server]
            self.run(self.pipe, client, server, self.change)
            self.run(self.pipe, server, client, lambda data: data)

    def pipe(self, source, sink, change):
        try:
            while data := source.recv(65536):
                sink.sendall(change(data))
        except OSError:
            pass
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self.socks:
            sock.close()
        for thread in self.threads:
            thread.join(5)


# --- the tap ------------------------------------------------------------------------------------

def test_recording_is_off_by_default(start, upstream, tap):
    daemon = start({})
    session = Session(daemon.port, upstream)
    talk(session, 2)
    session.close()
    assert not list(tap.iterdir())


def test_capture_holds_both_directions_and_no_secret(capture):
    raw = gzip.open(capture, 'rt').read()
    for secret in (SECRET, SECRET.lower(), 'alice', 'AGFsaWNl', 'number'):
        assert secret not in raw
    head = lines(capture)[0]
    assert head['format'] == 'inset-capture' and head['redaction'] == 'default' and head['at'] == 'both'
    c2s = text(capture, 'c2s')
    assert c2s.count('<message') == 22 and "mechanism='PLAIN'" in c2s and "<url>http://127.0.0.1:" in c2s
    assert "<data xmlns='http://jabber.org/protocol/ibb'" in text(capture, 'c2s', 'after')
    assert '<data' not in c2s
    assert text(capture, 's2c').count('<message') == 20
    assert [line['e'] for line in lines(capture)[1:] if line['e'] != 'data'] == ['open', 'close']


def test_nothing_is_redacted_when_that_is_asked_for(tap, start, upstream):
    daemon = start({'record.path': str(tap), 'record.redact': 'none'})
    capture = recorded(tap, daemon, upstream)
    assert text(capture, 'c2s').count(SECRET) == 20 and 'AGFsaWNl' in text(capture, 'c2s')
    assert lines(capture)[0]['redaction'] == 'none'


def test_opaque_bytes_are_counted_not_kept(tap, start, upstream):
    daemon = start({'record.path': str(tap)})
    with socket.create_connection(('127.0.0.1', daemon.port)) as client:
        client.sendall(b'\x16\x03\x01' + SECRET.encode())
        server = upstream.accept(b'\x16\x03\x01' + SECRET.encode())
        server.close()
        assert client.recv(1) == b''
    ended(daemon)
    daemon.stop()
    found = lines(sorted(tap.iterdir())[0])
    assert [line['n'] for line in found if 'n' in line] == [3 + len(SECRET)]
    assert not any('x' in line or 'b' in line for line in found)


def test_a_killed_proxy_leaves_what_was_flushed(tap, start, upstream):
    daemon = start({'record.path': str(tap)})
    session = Session(daemon.port, upstream)
    talk(session)
    capture = sorted(tap.iterdir())[0]
    processes.wait_for(lambda: text(capture, 's2c').count('<message') == 20, 'the capture was flushed')
    os.kill(daemon.role('proxy')[0], signal.SIGKILL)
    session.close()
    daemon.wait_metric('inset_restarts_total', 1)
    daemon.stop()
    assert text(capture, 'c2s').count('<message') == 20
    assert replay('check', capture).returncode == 1             # says that it is cut off
    assert replay('info', capture).returncode == 0


def test_a_folder_that_is_not_there_stops_nothing(start, upstream, tmp_path):
    daemon = start({'record.path': str(tmp_path / 'nowhere')})
    session = Session(daemon.port, upstream)
    talk(session, 3)
    session.close()
    assert daemon.metric('inset_record_failures_total') == 1
    assert 'nothing is recorded' in daemon.said()


def test_recording_begins_and_ends_with_a_reload(tap, start, upstream):
    daemon = start({'record.path': str(tap)})
    first = Session(daemon.port, upstream)
    daemon.conf.write_text(daemon.conf.read_text().replace(f'"{tap}"', '""'))
    assert daemon.ctl('reload').returncode == 0
    second = Session(daemon.port, upstream)
    talk(first, 1)
    talk(second, 1)
    first.close()
    second.close()
    ended(daemon, 2)
    daemon.stop()
    assert len({line['s'] for found in tap.iterdir() for line in lines(found)[1:]}) == 1


# --- info, check ----------------------------------------------------------------------------------

def test_info_and_check(capture, tmp_path):
    found = json.loads(replay('info', '--json', capture).stdout)
    assert found['sessions'] == 1 and found['candidates'] == 1 and found['messages'] == 42
    assert replay('check', capture).returncode == 0
    # A byte changed behind the filters is no edit that a filter makes.
    rows = lines(capture)
    for row in rows:
        if row.get('w') == 'after' and '<body>' in row.get('x', ''):
            row['x'] = row['x'].replace('<body>', '<body>!', 1)
            break
    changed = tmp_path / 'changed.jsonl.gz'
    with gzip.open(changed, 'wt') as f:
        f.writelines(json.dumps(row) + '\n' for row in rows)
    result = replay('check', changed)
    assert result.returncode == 1 and 'changed' in result.stdout and '<body>!' in result.stdout


def test_files_that_are_none(tmp_path):
    bad = tmp_path / 'bad.gz'
    bad.write_bytes(b'nothing')
    for command in ('info', 'check'):
        assert replay(command, bad).returncode == 1
        assert replay(command, tmp_path / 'missing').returncode == 1
        assert replay(command).returncode == 2
    assert replay('burn').returncode == 2
    assert replay('play', '--connect', 'x', bad).returncode == 2
    # A forgotten file name: the report is not written over the first capture.
    for option in ('--json', '--html'):
        answer = replay('play', '--connect', '127.0.0.1:9', '--listen', '127.0.0.1:9', option, bad, bad)
        assert answer.returncode == 2 and option in answer.stderr and bad.read_bytes() == b'nothing'


def test_samples_are_sound():
    assert len(SAMPLES) >= 2
    found = json.loads(replay('info', '--json', *SAMPLES).stdout)
    assert found['stanzas'] >= 1000 and found['candidates'] >= 20 and found['unreadable'] == 0
    result = replay('check', *SAMPLES)
    assert result.returncode == 0, result.stdout
    everything = ''.join(gzip.open(path, 'rt').read() for path in SAMPLES).lower()
    for secret in ('juliet', 'yonder', 'alice', 'carol', 'profanity', 'slixmpp', 'sendxmpp'):
        assert secret not in everything, secret
    for kept in ('urn:xmpp:mam:2', 'urn:xmpp:carbons:2', 'urn:xmpp:sm:3', 'protocol/muc', 'jabber:x:oob', 'resumed'):
        assert kept in everything, kept


def pcap(path, segments, port=5222):
    """A packet capture of one connection: [(seconds, from server, sequence number, bytes)]."""
    with open(path, 'wb') as f:
        f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
        for t, s2c, seq, data in segments:
            ports = (port, 40000) if s2c else (40000, port)
            tcp = struct.pack('>HHIIBBHHH', *ports, seq, 1, 0x50, 0x18, 65535, 0, 0) + data
            ip = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, b'\x7f\0\0\1', b'\x7f\0\0\1')
            f.write(struct.pack('<IIII', int(t), int(t % 1 * 1e6), len(ip + tcp), len(ip + tcp)) + ip + tcp)


def test_import_of_a_packet_capture(tmp_path):
    head = b"<stream:stream to='x.org' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    said = f"<message to='alice@x.org'><body>{SECRET}</body></message>".encode()
    n = len(head)
    pcap(tmp_path / 'a.pcap', [(1000.0, False, 1, head), (1000.1, True, 1, head), (1000.2, False, 1 + n, said[:20]),
                               (1000.3, False, 1 + n, said[:20]), (1000.4, False, 1 + n + 10, said[10:]),
                               (1000.5, False, 9999, b'<never/>')])
    result = replay('import', tmp_path / 'a.pcap', tmp_path)
    assert result.returncode == 0 and 'streams 1, cut off where segments are missing 1' in result.stdout, result.stderr
    made = tmp_path / 'import.000001.jsonl.gz'
    assert len(text(made, 'c2s')) == len(head + said) and SECRET not in text(made, 'c2s')
    assert text(made, 'c2s').startswith(head.decode()) and text(made, 's2c') == head.decode()
    assert 0.39 < lines(made)[-1]['t'] < 0.45
    assert replay('check', made).returncode == 0
    assert replay('import', tmp_path / 'missing', tmp_path).returncode == 1


# --- play -----------------------------------------------------------------------------------------

@pytest.fixture
def play(start, tmp_path):
    """play(captures, option, ...): through an insetd of its own; (status, report, output)."""
    def run(captures, *args, options=None, through=None, expect_media=True):
        port, media_port = processes.free_port(), processes.free_port()
        daemon = start({'fetch.allow-origin': [f'http://127.0.0.1:{media_port}'], 'log.level': 'notice'} | (options or {}),
                       to=f'127.0.0.1:{port}')
        report = tmp_path / 'report.json'
        report.unlink(missing_ok=True)
        result = replay('play', '--connect', f'127.0.0.1:{through(daemon.port) if through else daemon.port}',
                        '--listen', f'127.0.0.1:{port}', *(['--media', media_port] if expect_media else []),
                        '--json', report, *args, *captures)
        assert report.exists(), result.stdout + result.stderr
        return result.returncode, json.loads(report.read_text()), result.stdout + result.stderr
    return run


@pytest.mark.parametrize('options', [{}, {'profiles.default.formats': None}, {'listen.main.profile': 'everyone'},
                                     {'profiles.default.formats': ['sims', 'ibb', 'thumbs0', 'bob']}],
                         ids=['ibb', 'default', 'everyone', 'mixed'])
def test_through_insetd_nothing_but_thumbnails_changes(play, options):
    status, report, output = play(SAMPLES, '--speed', 'max', '--expect', 'all', options=options)
    assert status == 0 and report['verdict'] == 'clean', output
    assert report['units']['sent'] == report['units']['arrived'] == report['units']['same'] + report['units']['edited']
    assert report['thumbnails']['present'] == report['thumbnails']['expected'] >= 20
    made = {(edit['filter'], edit['kind']): edit['count'] for edit in report['edits']}
    assert made['thumbnail', 'insert'] == report['thumbnails']['present'] and made['thumbnail', 'cut'] == 0


def test_thousand_sessions_under_their_own_names(play, capture):
    status, report, output = play([capture], '--speed', 'max', '--sessions', 1000, '--expect', 'all')
    assert status == 0, output
    assert report['sessions']['finished'] == 1000 and report['thumbnails']['present'] == 1000
    assert report['latency']['count'] + report['held']['count'] == report['units']['arrived']


@pytest.mark.parametrize('how', ['direct', 'starttls'])
def test_clients_with_tls(play, tmp_path, capture, how):
    authority = Authority(tmp_path)
    certificate = str(authority.issue('localhost'))
    options = {'listen.main.tls': how, 'listen.main.certificates': [certificate]}
    for trust in ([], ['--ca', authority.file]):
        status, report, output = play([capture], '--speed', 'max', '--sessions', 20, '--expect', 'all', '--tls', how, *trust,
                                      options=options)
        assert status == 0 and report['verdict'] == 'clean', output
        assert report['sessions']['finished'] == 20 and report['thumbnails']['present'] == 20
    strangers = tmp_path / 'strangers'
    strangers.mkdir()
    status, report, output = play([capture], '--tls', how, '--ca', Authority(strangers).file, options=options)
    assert status == 1 and report['sessions']['failed'] == 1 and 'TLS: ' in output and 'certificate' in output


def test_tls_that_is_not_to_be_had(play, capture):
    status, report, output = play([capture], '--tls', 'direct', options={'listen.main.opaque': 'close'})
    assert status == 1 and report['sessions']['failed'] == 1 and 'TLS: ' in output, output
    where = ['play', '--connect', '127.0.0.1:1', '--listen', f'127.0.0.1:{processes.free_port()}']
    assert replay(*where, '--ca', 'x', capture).returncode == 2
    assert replay(*where, '--tls', 'maybe', capture).returncode == 2
    missing = replay(*where, '--tls', 'direct', '--ca', '/missing', capture)
    assert missing.returncode == 1 and 'no authorities' in missing.stderr


def test_descriptors_are_counted_before_anything_starts(capture):
    # Root could raise the hard limit again.
    few = subprocess.run(['prlimit', '--nofile=100:100', *(['setpriv', '--bounding-set=-sys_resource'] if os.geteuid() == 0 else []),
                          BUILD / 'inset-replay', 'play', '--connect', '127.0.0.1:1', '--listen',
                          f'127.0.0.1:{processes.free_port()}', '--sessions', '50', capture],
                         capture_output=True, text=True, timeout=60, env=environment(), check=False)
    assert few.returncode == 1 and 'need 132 descriptors' in few.stderr and 'enough for 34 sessions' in few.stderr


def test_speed_rate_and_loops(play, capture):
    times = [line['t'] for line in lines(capture) if line.get('e') == 'data' and 'w' not in line]
    status, report, output = play([capture], '--speed', 0.1)
    assert status == 0 and report['seconds'] >= 9 * (times[-1] - times[0]), output
    status, report, output = play([capture], '--speed', 'max', '--rate', 100, '--loop', 3, '--ramp-up', 0.1, '--sessions', 2)
    assert status == 0 and report['sessions']['finished'] == 6, output
    units = report['units']['sent']
    assert report['seconds'] >= (units - 6 * 8 * 2) / 100 * 0.8


@pytest.mark.parametrize('name, change, kind', [
    ('flipped', lambda data: data.replace(b'</body>', b'?/body>', 1).replace(b'?/body>', b'.</body>'), 'changed'),
    ('lost', lambda data: data.replace(b'<presence/>', b''), 'lost'),
    ('doubled', lambda data: data.replace(b'<presence/>', b'<presence/><presence/>'), 'doubled'),
    ('foreign', lambda data: data.replace(b'<presence/>', b'<presence/><advertisement/>'), 'foreign'),
    ('edited', lambda data: data.replace(b"<body>", b"<body xml:lang='xx'>"), 'changed'),
])
def test_a_corrupting_relay_is_found(tmp_path, name, change, kind):
    capture = tmp_path / 'made.jsonl.gz'
    rows = [{'format': 'inset-capture', 'version': 1, 'start': '2026-01-01T00:00:00.000Z'}]
    said = [('c2s', "<stream:stream to='x' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"),
            ('s2c', "<stream:stream from='x' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"),
            ('c2s', "<message to='a@x'><body>one</body></message>"), ('c2s', '<presence/>'),
            ('c2s', "<message to='b@x'><body>two</body></message>"), ('s2c', '<presence/>'),
            ('c2s', "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>"), ('s2c', "<iq type='result' id='1'/>")]
    rows += [{'t': i / 1000, 's': 1, 'd': way, 'e': 'data', 'x': x} for i, (way, x) in enumerate(said)]
    with gzip.open(capture, 'wt') as f:
        f.writelines(json.dumps(row) + '\n' for row in rows)
    port = processes.free_port()
    relay = Corruptor(port, change)
    report = tmp_path / 'report.json'
    try:
        result = replay('play', '--connect', f'127.0.0.1:{relay.port}', '--listen', f'127.0.0.1:{port}', '--timeout', 2,
                        '--json', report, capture)
    finally:
        relay.close()
    assert result.returncode == 1, result.stdout
    found = json.loads(report.read_text())
    assert found['verdict'] == 'different' and found['units'][kind] >= 1, (name, found['units'])
    assert found['first_difference'] in result.stdout and 'session 0 c2s: unit' in result.stdout


def test_a_server_that_is_away_is_a_failure(tmp_path, capture):
    result = replay('play', '--connect', f'127.0.0.1:{processes.free_port()}', '--listen', f'127.0.0.1:{processes.free_port()}',
                    '--json', tmp_path / 'r.json', capture)
    assert result.returncode == 1
    assert json.loads((tmp_path / 'r.json').read_text())['sessions']['failed'] == 1


def test_interrupted_it_reports(tmp_path, start, capture):
    port = processes.free_port()
    daemon = start({}, to=f'127.0.0.1:{port}')
    report = tmp_path / 'report.json'
    player = processes.Process([BUILD / 'inset-replay', 'play', '--connect', f'127.0.0.1:{daemon.port}', '--listen',
                                f'127.0.0.1:{port}', '--loop', 0, '--progress', '--json', report, '--html', tmp_path / 'r.html',
                                capture], tmp_path, 'player', env=environment())
    daemon.wait_metric('inset_units_total{direction="c2s"}', 50)
    processes.wait_for(lambda: 'units/s' in player.output(), 'progress is shown', process=player)
    assert player.stop(signal.SIGINT) == 0
    found = json.loads(report.read_text())
    assert found['interrupted'] and found['verdict'] == 'clean' and found['units']['arrived'] >= 50
    assert '<svg' in (tmp_path / 'r.html').read_text()


# --- the media server -----------------------------------------------------------------------------

def test_faults_of_the_media_server(play, capture):
    for fault in ('slow', 'endless', 'truncated', '404', 'redirect', 'type'):
        status, report, output = play([capture], '--speed', 'max', '--expect', 'all', '--faults', f'{fault}=100',
                                      options={'fetch.timeout': '2s', 'fetch.connect-timeout': '1s', 'listen.main.hold': '3s', 'fetch.max-bytes': '1MiB'})
        assert status == 0, (fault, output)
        assert report['media'][fault] >= 1 and report['media']['picture'] == 0, fault
        expected = 1 if fault == 'slow' and report['thumbnails']['present'] else 0
        assert report['thumbnails'] == {'expected': 0, 'present': expected}, fault
    status, _, output = play([capture], '--speed', 'max', '--expect', 'none')
    assert status == 1, output


def test_a_thumbnail_that_is_missing_is_a_difference(play, capture):
    status, report, _ = play([capture], '--speed', 'max', '--expect', 'all', options={'listen.main.filters': []})
    assert status == 1 and report['thumbnails'] == {'expected': 1, 'present': 0}
    status, report, _ = play([capture], '--speed', 'max', '--expect', 'none', options={'listen.main.filters': []})
    assert status == 0


def test_given_pictures_are_served(play, capture, tmp_path):
    folder = tmp_path / 'pictures'
    folder.mkdir()
    (folder / 'a.jpg').write_bytes(pictures.jpeg(900, 700))
    status, report, output = play([capture], '--speed', 'max', '--expect', 'all', '--pictures', folder)
    assert status == 0 and report['media']['picture'] == 1, output


# --- reports --------------------------------------------------------------------------------------

def test_two_reports_on_one_page(play, capture, tmp_path):
    reports = []
    for filters in (['thumbnail'], []):
        _, report, _ = play([capture], '--speed', 'max', '--sessions', 20, options={'listen.main.filters': filters})
        path = tmp_path / f'<{len(reports)}>.json'
        path.write_text(json.dumps(report))
        reports.append(path)
    page = tmp_path / 'page.html'
    assert replay('report', '-o', page, *reports).returncode == 0
    html = page.read_text()
    assert html.count('<polyline') >= 4 and html.count('<th>') == 3 and '<0>' not in html and '&lt;0&gt;' in html
    for outside in ('http', 'src=', '<script', '<link', 'url('):
        assert outside not in html, outside
    (tmp_path / 'no.json').write_text('{}')
    assert replay('report', '-o', page, tmp_path / 'no.json').returncode == 1
    assert replay('report').returncode == 2
