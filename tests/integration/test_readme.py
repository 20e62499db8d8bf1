# SPDX-License-Identifier: MIT
"""The README's configurations, as they stand there: a real server with its lines, inset with its
ten, two real clients with STARTTLS and a picture. Only addresses and paths become the test's own.
"""
import asyncio
import base64
import io
import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from harness import pictures
from harness.certs import Authority
from harness.ejabberd import LISTENERS, Ejabberd
from harness.insetd import BUILD, TOP, environment, run
from harness.processes import Process, free_port, wait_for
from harness.prosody import Prosody
from harness.slix import Client, stanza_bytes

PROSODY_REST = '''
component_ports = { 15347 }
component_interfaces = { "127.0.0.1" }
http_ports = { 15280 }
http_interfaces = { "127.0.0.1" }
'''

# Time must not decide on a busy machine.
PATIENCE = ['listen.c2s.hold=10s', 'fetch.timeout=20s', 'fetch.low-speed-time=20s', 'scale.wall=20s', 'scale.cpu=20s',
            'log.level=debug', 'workers=1']


def blocks(heading):
    """{language: text} of the code below a heading."""
    found = re.search(rf'^### {heading}\n(.*?)^##', (TOP / 'README.md').read_text(), re.M | re.S)
    return dict(re.findall(r'^```(\w+)\n(.*?)^```$', found[1], re.M | re.S))


def with_own(text, replacements):
    for old, new in replacements.items():
        assert text.count(old) == 1, f'{old} in {text}'
        text = text.replace(old, new)
    return text


def prosody(folder, lines):
    return Prosody(folder, behind=lines + PROSODY_REST)


def ejabberd(folder, lines):
    http = re.search(r'^  -\n    port: 15280\n.*', LISTENERS.read_text(), re.M | re.S)[0]
    return Ejabberd(folder, listeners=lines + http)


SERVERS = {'Prosody': (prosody, 'lua', '127.0.0.1:15222', 'port', 'https://upload.example.org:5281'),
           'ejabberd': (ejabberd, 'yaml', '127.0.0.1:15224', 'proxy_port', 'https://upload.example.org:5443')}


@pytest.mark.parametrize('name', SERVERS)
def test_ten_lines_are_enough(name, tmp_path):
    make, language, upstream, port_of, upload = SERVERS[name]
    texts = blocks(name)
    assert len(texts['conf'].splitlines()) <= 11
    authority = Authority(tmp_path)
    (tmp_path / 'server').mkdir()
    server = make(tmp_path / 'server', texts[language])
    port, web = free_port(), free_port()
    conf = tmp_path / 'inset.conf'
    conf.write_text(with_own(texts['conf'], {
        '["0.0.0.0:5222", "[::]:5222"]': f'["127.0.0.1:{port}", "[::1]:{port}"]',
        upstream: f'127.0.0.1:{getattr(server, port_of)}',
        '/etc/inset/tls/example.org.pem': str(authority.issue('localhost')),
        upload: server.origin,
    } | ({'127.0.0.1:5290': f'127.0.0.1:{web}'} if '5290' in texts['conf'] else {})))
    checked = run('-t', '-c', conf)
    assert (checked.returncode, checked.stderr) == (0, '')
    options = [word for option in PATIENCE + [f'control={tmp_path}/control.sock'] for word in ('-o', option)]
    inset = Process([BUILD / 'insetd', '-c', conf, *options], tmp_path, 'insetd', env=environment())
    try:
        wait_for(lambda: 'ready for pictures' in inset.output() and ' up version=' in inset.output(), 'insetd is up', process=inset)
        asyncio.run(picture_passes(port, authority))
        answer = subprocess.run([BUILD / 'insetctl', '-s', tmp_path / 'control.sock', 'status'], capture_output=True, text=True,
                                timeout=30, check=True)
        assert re.search(r'^thumbnails +1$', answer.stdout, re.M), answer.stdout
    finally:
        status = inset.stop()
        server.stop()
    assert status == 0


async def picture_passes(port, authority):
    alice, bob = (Client(user, port, tls='starttls', ca=authority.file) for user in ('alice', 'bob'))
    await asyncio.gather(alice.start(), bob.start())
    assert (alice.tls_version(), bob.tls_version()) == ('TLSv1.3', 'TLSv1.3')
    url = await alice.upload(pictures.jpeg(640, 480))
    alice.picture_message(url, 'picture').send()
    await bob.next_message('picture')
    received = stanza_bytes(bob.raw, 'picture').decode()
    data = re.findall(r"<data [^>]*xmlns='urn:xmpp:bob'[^>]*>([^<]+)</data>", received)
    assert len(data) == 1, received
    assert max(Image.open(io.BytesIO(base64.b64decode(data[0]))).size) in (128, 256)
    for client in (alice, bob):
        await client.end()


def test_the_packages_configuration_disturbs_nobody(tmp_path):
    """It is right, on loopback only, and on no port of a server's; so is what it proposes."""
    conf = TOP / 'debian' / 'inset.conf'
    checked = run('-t', '-c', conf)
    assert (checked.returncode, checked.stderr) == (0, '')
    active = ''.join(line for line in conf.read_text().splitlines(True) if not line.lstrip().startswith('#'))
    binds = re.findall(r'bind += "([^"]+):(\d+)"', active)
    assert [host for host, _ in binds] == ['127.0.0.1'] * 2
    assert not {port for _, port in binds} & {'5222', '5223', '5269', '5280', '5281', '5347', '5443', '15222'}
    assert 'allow-origin' not in active

    proposed = re.sub(r'^\s*(bind|upstream) += .*\n', '', active, count=2, flags=re.M)
    comments = re.findall(r'^\s*#((?:bind|upstream|tls|certificates) += .*|fetch = .*)\n', conf.read_text(), re.M)
    assert len(comments) == 5
    fetch = comments.pop()
    certificate = Authority(tmp_path).issue('localhost')
    text = proposed.replace('c2s = {\n', 'c2s = {\n' + '\n'.join(comments) + '\n') + fetch
    (tmp_path / 'proposed.conf').write_text(text.replace('/etc/inset/tls/example.org.pem', str(certificate)))
    checked = run('-t', '-c', tmp_path / 'proposed.conf')
    assert (checked.returncode, checked.stderr) == (0, ''), text


def test_the_commands_exist():
    """What the README tells to type."""
    text = (TOP / 'README.md').read_text()
    quickstart = subprocess.run([TOP / 'quickstart', 'help'], capture_output=True, text=True, check=True).stdout
    for word in set(re.findall(r'\./quickstart ([a-z-]+)', text)):
        assert f'./quickstart {word}' in quickstart, word
    for page in set(re.findall(r'\b(inset[a-z.-]*)\((\d)\)', text)):
        assert Path(TOP / 'doc' / '.'.join(page)).is_file(), page
