# SPDX-License-Identifier: MIT
"""insetctl preview: the thumbnail of a file or an address through the real pipeline, without a daemon."""
import hashlib
import io
import json
import socket
import subprocess

import pytest
from PIL import Image

from harness import heif, pictures
from harness.insetd import BUILD, conf_text, environment

PHOTO = pictures.jpeg(900, 600, seed=3)


@pytest.fixture
def preview(tmp_path, media):
    path = tmp_path / 'preview.conf'
    path.write_text(conf_text({'listen.main.bind': '127.0.0.1:1', 'listen.main.upstream': '127.0.0.1:2',
                               'fetch.allow-origin': [media.origin], 'profiles.tiny.width': 32, 'profiles.tiny.height': 24,
                               'profiles.tiny.type': 'image/png', 'profiles.tiny.max-bytes': 4096,
                               'fetch.max-bytes': 2000000}))

    def run(*args, code=0):
        answer = subprocess.run([BUILD / 'insetctl', 'preview', '-c', str(path), *map(str, args)], capture_output=True,
                                timeout=60, env=environment(), check=False)
        assert answer.returncode == code, answer
        return answer.stdout, answer.stderr.decode()
    return run


def check_facts(facts, data, picture, size, kind='image/jpeg'):
    assert facts['why'] is None
    assert facts['media'] == {'type': kind, 'bytes': len(data), 'width': size[0], 'height': size[1],
                              'sha-256': hashlib.sha256(data).hexdigest()}
    im = Image.open(io.BytesIO(picture))
    thumbnail = facts['thumbnail']
    assert (thumbnail['type'], thumbnail['bytes']) == (Image.MIME[im.format], len(picture))
    assert (thumbnail['width'], thumbnail['height']) == im.size
    assert thumbnail['sha-256'] == hashlib.sha256(picture).hexdigest()
    assert thumbnail['step'] >= 0 and 10 <= len(thumbnail['thumbhash']) <= 50
    times = facts['microseconds']
    assert 0 < times['decoder'] <= times['scale'] <= times['total']


def test_file_and_address_give_the_same(preview, media, tmp_path):
    source, out = tmp_path / 'photo.jpg', tmp_path / 'thumbnail'
    source.write_bytes(PHOTO)
    stdout, stderr = preview('--json', '-o', out, source)
    facts = json.loads(stdout)
    check_facts(facts, PHOTO, out.read_bytes(), (900, 600))
    assert stderr == '' and 'fetch' not in facts['microseconds']
    of_file = out.read_bytes()
    out.unlink()
    media.forget()
    facts = json.loads(preview('--json', '-o', out, media.put(PHOTO))[0])
    check_facts(facts, PHOTO, out.read_bytes(), (900, 600))
    assert out.read_bytes() == of_file and media.connections == 1
    assert 0 < facts['microseconds']['fetch'] < facts['microseconds']['total']


HAS_HEIF = '#define HAVE_HEIF 1' in (BUILD / 'config.h').read_text()


@pytest.mark.parametrize('kind', ['heic', 'avif'] if HAS_HEIF else [])
def test_pictures_of_phones(preview, media, tmp_path, kind):
    """Pillow reads neither, but what comes out."""
    data, out = heif.encode(Image.open(io.BytesIO(PHOTO)), kind), tmp_path / 'thumbnail'
    facts = json.loads(preview('--json', '-o', out, media.put(data, f'IMG_1.{kind}'))[0])
    check_facts(facts, data, out.read_bytes(), (900, 600), f'image/{kind}')


def test_profile_and_standard_output(preview, tmp_path):
    source = tmp_path / 'photo.jpg'
    source.write_bytes(PHOTO)
    stdout, stderr = preview('-p', 'tiny', '-o', '-', source)
    im = Image.open(io.BytesIO(stdout))
    assert im.format == 'PNG' and im.size == (32, 21)
    assert 'image/jpeg, 900 x 600' in stderr and 'image/png, 32 x 21' in stderr and 'decoder' in stderr
    text = preview(source)[0].decode()
    assert text.startswith('media      image/jpeg, 900 x 600, ') and 'step       0 of the ladder' in text


def test_what_it_refuses(preview, media, tmp_path):
    def refused(source, *args):
        out = tmp_path / 'never'
        stdout, stderr = preview('-o', out, *args, source, code=1)
        assert not out.exists() and stderr.startswith('insetctl: ') and stderr.count('\n') == 1, stderr
        return stderr

    def file(data):
        (tmp_path / 'source').write_bytes(data)
        return tmp_path / 'source'
    assert 'No such file' in refused(tmp_path / 'nobody')
    assert 'neither a file' in refused(tmp_path)
    assert 'only http and https' in refused('ftp://127.0.0.1/x.png')
    assert 'no picture' in refused(file(b'')) and 'no picture' in refused(file(b'<svg/>' + b' ' * 99))
    assert 'fetch.max-bytes' in refused(file(PHOTO + bytes(2000000)))
    assert 'cannot be decoded' in refused(file(PHOTO[:3000]))
    assert 'no profile "x"; there are default' in refused(file(PHOTO), '-p', 'x')
    assert 'the address' in refused('http://127.0.0.1:22/x.png')
    assert 'no status 200' in refused(media.origin + '/nowhere')
    assert 'no picture' in refused(media.put(b'text, and no picture at all'))
    assert 'cannot be decoded' in refused(media.put(PHOTO[:3000]))
    assert 'longer than 2048' in refused(media.origin + '/' + 'x' * 2048)
    facts = json.loads(preview('--json', media.origin + '/nowhere', code=1)[0])
    assert 'status 200' in facts['why'] and 'thumbnail' not in facts


def test_guard_decides_as_for_messages(preview):
    trap = socket.create_server(('127.0.0.1', 0))
    trap.setblocking(False)
    assert 'address' in preview('http://127.0.0.1:%d/x.png' % trap.getsockname()[1], code=1)[1]
    with pytest.raises(BlockingIOError):
        trap.accept()
    trap.close()


def test_usage(preview):
    for args in ([], ['a', 'b'], ['-x', 'a']):
        assert 'Try' in preview(*args, code=2)[1]
    assert preview('--help')[0].startswith(b'usage: insetctl')
