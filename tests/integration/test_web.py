# SPDX-License-Identifier: MIT
"""The web process: figures, health by a real thumbnail, /status.json, the page's files, and who may see
them. Parts one by one: tests/unit/test_web.c; the page in a browser: tests/clients/test_status.py.
"""
import base64
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from harness import pictures
from harness.insetd import BUILD, TOP, conf_text, environment
from harness.processes import free_port, wait_for
from harness.rawpeer import Session
from harness.stanzas import check_thumbnail, picture

SMALL = pictures.jpeg(160, 120)
TOKEN = 'correct-horse-battery-staple'


def ask(daemon, path, method='GET', port=None, **headers):
    """(status, headers, body); headers with _ for -."""
    connection = http.client.HTTPConnection('127.0.0.1', port or daemon.web_port, timeout=30)
    try:
        connection.request(method, path, headers={k.replace('_', '-'): v for k, v in headers.items()})
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read()
    finally:
        connection.close()


def status(daemon, **headers):
    code, _, body = ask(daemon, '/status.json', **headers)
    assert code == 200
    return json.loads(body)


def health(daemon):
    code, _, body = ask(daemon, '/health')
    return code, body.decode().strip()


@pytest.fixture
def talk(upstream):
    """talk(daemon): a session through it."""
    sessions = []

    def make(daemon):
        sessions.append(Session(daemon.port, upstream))
        return sessions[-1]
    yield make
    for session in sessions:
        session.close()


def thumbnail(session, url):
    sent = picture(url)
    session.client.send(sent)
    return check_thumbnail(sent, session.server.until(b'</message>'))


# --- figures --------------------------------------------------------------------------------


def test_every_stage_and_listener_is_measured(start, talk, media):
    """Also by name, so that there is one to resolve; and kills lose nothing but gauges."""
    by_name = f'http://localhost:{media.port}'
    daemon = start({'fetch.allow-origin': [media.origin, by_name]})
    session = talk(daemon)
    thumbnail(session, media.put(SMALL).replace(media.origin, by_name))
    for stage in ('hold', 'queue', 'dns', 'connect', 'fetch', 'scale'):
        assert daemon.metric(f'inset_{stage}_milliseconds_count') >= 1, stage
        assert daemon.metric(f'inset_{stage}_milliseconds_bucket{{le="+Inf"}}') >= 1, stage
    bytes_c2s = daemon.metric('inset_listener_bytes_total{listener="main",direction="c2s"}')
    assert bytes_c2s == daemon.metric('inset_bytes_total{direction="c2s"}') > 0
    assert daemon.metric('inset_listener_sessions{listener="main"}') == 1
    for role in ('proxy', 'media', 'web'):
        before = daemon.role(role)
        os.kill(before[0], signal.SIGKILL)
        wait_for(lambda r=role, b=before: daemon.role(r) and daemon.role(r) != b and daemon.metrics(), f'{role} is back')
    wait_for(lambda: daemon.metrics().get('inset_listener_sessions{listener="main"}') == 0, 'the session has ended')
    assert daemon.metric('inset_listener_bytes_total{listener="main",direction="c2s"}') == bytes_c2s
    assert daemon.metric('inset_listener_connections_total{listener="main"}') == 1
    assert daemon.metric('inset_scale_milliseconds_count') >= 1


def test_a_listener_keeps_its_figures_over_a_reload(start, talk):
    daemon = start()
    session = talk(daemon)
    daemon.options |= {'listen.aaa.bind': [f'127.0.0.1:{free_port()}'], 'listen.aaa.upstream': '127.0.0.1:1'}
    daemon.conf.write_text(conf_text(daemon.options))
    assert daemon.ctl('reload').returncode == 0
    wait_for(lambda: daemon.metrics().get('inset_listener_connections_total{listener="aaa"}') == 0, 'the new one is there')
    assert daemon.metric('inset_listener_connections_total{listener="main"}') == 1
    session.c2s(b"<presence/>")
    session.close()
    wait_for(lambda: daemon.metrics().get('inset_listener_sessions{listener="main"}') == 0, 'the session has ended')
    assert daemon.metric('inset_listener_sessions{listener="aaa"}') == 0


@pytest.mark.parametrize('killed', [None, ('media', 'web')])
def test_figures_add_up_with_a_verdict(start, tmp_path, killed):
    """inset-replay says what went in and came out; also where those who count die meanwhile."""
    server, files = free_port(), free_port()
    daemon = start({'fetch.allow-origin': [f'http://127.0.0.1:{files}'], 'log.level': 'notice', 'workers': 2},
                   to=f'127.0.0.1:{server}')
    play = subprocess.Popen([BUILD / 'inset-replay', 'play', '--connect', f'127.0.0.1:{daemon.port}', '--listen',
                             f'127.0.0.1:{server}', '--media', str(files), '--speed', 'max', '--sessions', '40', '--json',
                             tmp_path / 'report.json', *sorted((TOP / 'data/captures').glob('*.gz'))],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment())
    if killed:
        daemon.wait_metric('inset_candidates_total', 1)
        for role in killed:
            os.kill(daemon.role(role)[0], signal.SIGKILL)
    output, _ = play.communicate(timeout=120)
    report = json.loads((tmp_path / 'report.json').read_text())
    assert play.returncode == 0 and report['verdict'] == 'clean', output
    wait_for(lambda: daemon.metrics().get('inset_sessions') == 0, 'all sessions have ended')
    m = daemon.metrics()

    def total(name):
        return sum(v for k, v in m.items() if k.split('{')[0] == name)
    assert total('inset_connections_total') == total('inset_sessions_ended_total') == report['sessions']['started']
    assert total('inset_listener_connections_total') == report['sessions']['started']
    assert total('inset_bytes_total') == total('inset_listener_bytes_total') == report['bytes']['sent']
    assert total('inset_thumbnails_total') == report['thumbnails']['present']
    assert total('inset_candidates_total') == report['thumbnails']['expected']
    if not killed:
        jobs = total('inset_jobs_total')
        assert jobs == report['thumbnails']['expected'] == total('inset_hold_milliseconds_count')
        assert total('inset_cache_requests_total') == jobs
        assert total('inset_fetches_total') == sum(report['media'].values()) == total('inset_fetch_milliseconds_count')
        # The same bytes under several addresses are scaled once.
        assert 1 <= total('inset_scaled_total') == total('inset_scale_milliseconds_count') <= total('inset_fetches_total')


# --- health ---------------------------------------------------------------------------------


def test_health_is_a_thumbnail_for_many_who_ask(start):
    daemon = start()
    found = []
    threads = [threading.Thread(target=lambda: found.append(health(daemon))) for _ in range(150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {(200, 'ok')} and len(found) == 150
    made = daemon.metric('inset_health_checks_total{result="ok"}')
    assert 1 <= made < 30
    assert daemon.metric('inset_scaled_total{result="ok"}') == 0, 'these are no thumbnails of anybody'
    wait_for(lambda: health(daemon) and daemon.metric('inset_health_checks_total{result="ok"}') > made, 'it is asked again')


def test_health_ends_when_the_scaler_hangs(start):
    """Also for those who leave meanwhile, and for a reload in between."""
    daemon = start()
    assert health(daemon) == (200, 'ok')
    web = daemon.role('web')
    scaler, = daemon.role('scaler')
    os.kill(scaler, signal.SIGSTOP)
    try:
        wait_for(lambda: health(daemon)[0] == 503, 'the last answer is too old')
        assert 'no thumbnails: the scaler takes more than 3 s' in health(daemon)[1]
        waiting = []
        for _ in range(5):
            s = socket.create_connection(('127.0.0.1', daemon.web_port), timeout=30)
            s.sendall(b'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n')
            waiting.append(s)
        for s in waiting[:2]:
            s.close()
        assert daemon.ctl('reload').returncode == 0
        for s in waiting[2:]:
            with contextlib.suppress(ConnectionError):
                assert s.recv(4096)[:12] in (b'HTTP/1.1 503', b'')
            s.close()
    finally:
        os.kill(scaler, signal.SIGCONT)
    wait_for(lambda: health(daemon) == (200, 'ok'), 'healthy again')
    assert daemon.role('web') == web


def test_health_ends_when_media_hangs(start):
    daemon = start()
    pid, = daemon.role('media')
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: health(daemon) == (503, 'no thumbnails: the media process does not answer'), 'it says so')
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: health(daemon) == (200, 'ok'), 'healthy again')


# --- /status.json ---------------------------------------------------------------------------


def test_status_says_all(start, talk, media):
    quoted = 'say "no" \\ </script><b>é'
    dead = f'http://127.0.0.2:{free_port()}'
    daemon = start({'rules': [{'name': quoted, 'to': ['nobody@localhost'], 'action': 'pass'},
                              {'name': 'all', 'action': 'thumbnail', 'mode': 'shadow'}],
                    'fetch.allow-origin': [media.origin, dead], 'limits.breaker-failures': 2, 'limits.breaker-open': '5m',
                    'cache.negative-ttl': '0s'})
    session = talk(daemon)
    thumbnail(session, media.put(SMALL))
    for n in range(3):
        sent = picture(f'{dead}/{n}.jpg')
        session.client.send(sent)
        session.server.expect(sent)
    assert health(daemon) == (200, 'ok')
    s = wait_for(lambda: (found := status(daemon))['hosts'] and found, 'media has told of its hosts')
    assert s['version'] and s['generation'] == 1
    assert s['figures']['sessions'] == 1
    assert s['figures']['jobs_total']['ok'] == 1
    assert s['figures']['jobs_total']['connect'] == 2 and s['figures']['jobs_total']['breaker'] == 1
    host, = s['hosts']
    assert (host['host'], host['failures'], host['breaker']) == ('127.0.0.2', 2, 'open')
    assert 0 < host['left_ms'] <= 300000 and s['hosts_all'] == 1
    assert [r['name'] for r in s['rules']] == [quoted, 'all'] and s['rules_all'] == 2
    assert s['rules'][1]['shadow'] == 4 and s['rules'][1]['mode'] == 'shadow'
    listener, = s['listeners']
    assert listener['name'] == 'main' and listener['sessions'] == 1 and listener['bytes_c2s'] > 0
    assert listener['bind'] == [f'127.0.0.1:{daemon.port}']
    pids = {(p['role'], p['pid']) for p in s['processes']}
    assert pids == {('master', daemon.pid)} | {(r, pid) for r in ('proxy', 'media', 'web', 'scaler')
                                               for pid in daemon.role(r)}
    assert {p['state'] for p in s['processes']} == {'up'}
    assert s['health']['ok'] is True
    assert s['thumbnails'] is None
    stages = {h['name']: h for h in s['stages']}
    assert sum(stages['scale_milliseconds']['all']) == sum(stages['scale_milliseconds']['recent']) == 1
    assert len(s['bounds']) + 1 == len(stages['hold_milliseconds']['all'])
    assert b'</script>' in ask(daemon, '/status.json')[2]       # as JSON, which nobody takes for a page
    assert ask(daemon, '/status.json')[1]['Content-Type'] == 'application/json'


def test_status_shows_who_died(start):
    daemon = start()
    pid, = daemon.role('media')
    os.kill(pid, signal.SIGKILL)

    def back():
        found = {p['role']: p for p in status(daemon)['processes']}
        return found['media']['pid'] not in (0, pid) and found['media']['state'] == 'up' and found['media']['restarts'] == 1
    wait_for(back, 'its row says so')
    wait_for(lambda: health(daemon) == (200, 'ok'), 'it is asked by the new channel')


def test_history_is_kept(start, talk):
    daemon = start()
    talk(daemon)

    def rows():
        h = json.loads(ask(daemon, '/history.json')[2])
        return h if len(h['at']) >= 2 and h['sessions'][-1] == 1 else None
    h = wait_for(rows, 'a second sample')
    assert h['step'] == 2 and h['at'] == sorted(h['at'])
    assert {len(v) for v in h.values() if isinstance(v, list)} == {len(h['at'])}
    assert {len(v) for v in h['hold']} == {15}
    day = json.loads(ask(daemon, '/history-day.json')[2])
    assert day['step'] == 60 and len(day['at']) == 1


def test_thumbnails_are_shown_where_that_is_on(start, talk, media):
    daemon = start({'web.thumbnails': 2})
    assert status(daemon)['thumbnails'] == []
    session = talk(daemon)
    made = [thumbnail(session, media.put(pictures.jpeg(160 + n, 120, n))) for n in range(3)]

    def secret(handler):
        handler.reply(200, SMALL, 'image/jpeg', headers=[('Cache-Control', 'no-store')])
    thumbnail(session, media.put(secret))
    # Each stays for some time: a page that was told of it has to fetch it.
    shown = wait_for(lambda: (t := status(daemon)['thumbnails']) and t[0]['id'] == 2 and t, 'the second one is there')
    assert [t['id'] for t in shown] == [2, 1]
    for t, thumb in zip(shown, reversed(made[:2])):
        code, headers, body = ask(daemon, f"/thumbnail/{t['id']}")
        assert code == 200 and body == thumb.data and headers['Content-Type'] == thumb.type == t['type']
        assert (t['width'], t['height']) == (thumb.width, thumb.height)
    for path in ('3', '4', '0', '', 'x', '-1', '3x', '03e', '99999999999999999999999999'):
        assert ask(daemon, f'/thumbnail/{path}')[0] == 404, path
    daemon.options['web.thumbnails'] = 0
    daemon.conf.write_text(conf_text(daemon.options))
    assert daemon.ctl('reload').returncode == 0
    wait_for(lambda: ask(daemon, '/thumbnail/2')[0] == 404, 'off')
    assert status(daemon)['thumbnails'] is None


# --- the page -------------------------------------------------------------------------------


def test_the_page_needs_nothing_from_elsewhere(start):
    daemon = start()
    code, headers, body = ask(daemon, '/')
    page = body.decode()
    assert code == 200 and headers['Content-Type'] == 'text/html; charset=utf-8'
    policy = headers['Content-Security-Policy']
    assert "default-src 'none'" in policy and 'unsafe' not in policy and "frame-ancestors 'none'" in policy
    assert headers['X-Content-Type-Options'] == 'nosniff' and headers['Cache-Control'] == 'no-store'
    files = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert {'status.css', 'status.js', 'icon.svg', 'metrics'} <= set(files)
    assert not re.search(r'\son\w+=|style="|<script[^>]*>[^<]', page)
    for name in files:
        assert ':' not in name and not name.startswith('/')
        code, headers, text = ask(daemon, '/' + name)
        assert code == 200 and text, name
        if name.endswith(('.js', '.css')):
            assert text == (TOP / 'src/web/page' / name).read_bytes()
            assert not re.search(rb'https?://(?!www\.w3\.org/2000/svg)', text)
            assert b'import ' not in text.replace(b"import {Plot} from './plot.js'", b'')
    assert ask(daemon, '/plot.js')[0] == 200
    assert ask(daemon, '/', 'HEAD')[2] == b''
    assert ask(daemon, '/', 'POST')[0] == 405
    for path in ('/status.html', '/../etc/passwd', '//', '/%2e%2e/', '/page-data.inc'):
        assert ask(daemon, path)[0] == 404, path


def test_a_body_that_nobody_wants_ends_the_connection(start):
    """Also without a token, where there is one: it comes before that."""
    daemon = start()
    for head in (b'Content-Length: 100000000000', b'Transfer-Encoding: chunked'):
        with socket.create_connection(('127.0.0.1', daemon.web_port), timeout=30) as sock:
            sock.sendall(b'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n' + head + b'\r\n\r\n')
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                for _ in range(4096):
                    sock.sendall(b'10000\r\n' + b'x' * 65536 + b'\r\n')
    assert ask(daemon, '/metrics')[0] == 200


# --- who may see it -------------------------------------------------------------------------


def test_other_names_lead_nowhere(start):
    """A page of somebody else's whose name leads to this machine gets nothing (DNS rebinding)."""
    daemon = start()
    port = daemon.web_port
    for name in ('localhost', 'LOCALHOST', f'localhost:{port}', '127.0.0.1', f'127.0.0.1:{port}', '127.1.2.3', '[::1]',
                 f'[::1]:{port}'):
        assert ask(daemon, '/metrics', Host=name)[0] == 200, name
    for name in ('evil.example', f'evil.example:{port}', 'localhost.evil.example', '127.0.0.1.evil.example', '192.0.2.1',
                 '[2001:db8::1]', '[::1', '::1', '0.0.0.0', 'x' * 300, '127.0.0.1:80:80', 'localhost:80@evil.example'):
        for path in ('/', '/metrics', '/status.json', '/health'):
            code, _, body = ask(daemon, path, Host=name)
            assert code in (400, 403) and b'inset_' not in body, (name, path)
    with socket.create_connection(('127.0.0.1', port), timeout=30) as s:
        s.sendall(b'GET /health HTTP/1.0\r\n\r\n')              # no browser
        assert b' 200 ' in s.recv(4096)


def test_with_a_token_nothing_goes_without(start):
    daemon = start({'web.token': TOKEN}, wait=False)
    wait_for(lambda: ' up version=' in daemon.log(), 'up', process=daemon.process)

    def basic(text):
        return 'Basic ' + base64.b64encode(text.encode()).decode()
    good = [f'Bearer {TOKEN}', f'bearer  {TOKEN}', basic(f'anybody:{TOKEN}'), basic(f':{TOKEN}')]
    bad = [None, '', 'Bearer', 'Bearer ', f'Bearer {TOKEN[:-1]}', f'Bearer {TOKEN}x', f'Bearer {TOKEN} ', TOKEN,
           f'Basic {TOKEN}', basic(TOKEN), basic('x:'), basic(f'x:{TOKEN}x'), basic(f'{TOKEN}:x'), 'Basic ====', 'Basic \xff',
           'Basic ' + 'QQ' * 5000, f'Digest {TOKEN}']
    paths = ('/', '/status.js', '/metrics', '/status.json', '/history.json', '/health', '/thumbnail/1', '/nothing')
    for path in paths:
        code, headers, body = ask(daemon, path)
        assert code == 401 and headers['WWW-Authenticate'].startswith('Basic realm='), path
        assert b'inset_' not in body
    for value in bad[1:]:
        assert ask(daemon, '/metrics', Authorization=value)[0] in (401, 431), value
    for value in good:
        assert ask(daemon, '/metrics', Authorization=value)[0] == 200, value
        assert ask(daemon, '/status.json', Authorization=value, Host='page.example')[0] == 200, value
    wait_for(lambda: ask(daemon, '/health', Authorization=good[0])[0] == 200, 'healthy')
    assert TOKEN not in daemon.log()


def test_elsewhere_a_token_is_needed(tmp_path):
    """By -t, with file and line."""
    conf = tmp_path / 'inset.conf'
    text = conf_text({'listen.main.bind': ['127.0.0.1:1'], 'listen.main.upstream': '127.0.0.1:2'})
    lines = text.count('\n')

    def check(web):
        conf.write_text(text + web)
        return subprocess.run([BUILD / 'insetd', '-t', '-c', conf], capture_output=True, text=True, timeout=30,
                              env=environment(), check=False)
    refused = check('web = {\n\tbind = "0.0.0.0:5290";\n};\n')
    assert refused.returncode == 1
    assert f'{conf}:{lines + 2}: web.bind: "0.0.0.0:5290" is not a loopback address' in refused.stdout + refused.stderr
    assert check(f'web = {{\n\tbind = "0.0.0.0:5290";\n\ttoken = "{TOKEN}";\n}};\n').returncode == 0
    short = check('web = {\n\tbind = "127.0.0.1:5290";\n\ttoken = "hunter2";\n};\n')
    assert short.returncode == 1 and f'{conf}:{lines + 3}: web.token:' in short.stdout + short.stderr
    assert 'hunter2' not in short.stdout + short.stderr


# --- what is made of the figures ------------------------------------------------------------


def test_alerts_and_dashboard_name_what_is_there(start):
    daemon = start()
    there = set()
    for line in ask(daemon, '/metrics')[2].decode().splitlines():
        if match := re.match(r'(inset_\w+)', line):
            there.add(match[1])
    there |= {f'inset_rule_{x}' for x in ('matches_total', 'thumbnails_total', 'failures_total')}   # there are none here
    for name in ('data/prometheus/inset-alerts.yml', 'data/grafana/inset-dashboard.json'):
        named = set(re.findall(r'\binset_[a-z0-9_]+', Path(TOP / name).read_text()))
        assert len(named) >= 10 and named <= there, (name, named - there)
