# SPDX-License-Identifier: MIT
"""inset's box: its options, and tokens made here, independently of the program under test."""
import base64
import hashlib
import hmac
import os
import secrets
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from .processes import free_port

SECRET = b'sixteen bytes or more of secret'


class Box:
    """Where a box is: its folder, port and key. `options` go into an Insetd's."""

    def __init__(self, path='', certificate=None):
        # Not below pytest's folder, which only its owner may enter; the box is somebody else.
        self.folder = Path(tempfile.mkdtemp(prefix='inset-box-'))
        self.folder.chmod(0o755)
        self.state = self.folder / 'state'
        self.secret = self.folder / 'secret'
        self.secret.write_bytes(SECRET)
        self.port = free_port()
        self.url = f'https://localhost:{self.port}{path}' if certificate else f'http://127.0.0.1:{self.port}{path}'
        self.options = {
            'state-dir': str(self.state),
            'upload.bind': [f'127.0.0.1:{self.port}'],
            'upload.public-url': self.url,
            'upload.secret-file': str(self.secret),
            'upload.domains': ['localhost'],
            'upload.connections-per-address': 1024,
            'upload.connections': 1024,
        }
        if certificate:
            self.options['upload.certificate'] = str(certificate)

    def token(self, types='*/*', size=10 << 20, user='alice@localhost', life=600, slot=False, key=None, ident=None):
        key = (key or hashlib.sha256(SECRET).hexdigest()).encode()
        owner = hmac.new(key, b'u' + user.encode(), hashlib.sha256).digest()[:16]
        body = struct.pack('>BBQQ', 1, slot, int(time.time()) + life, size) + (ident or secrets.token_bytes(16)) + owner
        body += types.encode()
        mac = hmac.new(key, b't' + body, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(body + mac).decode().rstrip('=')

    def address(self, **kwargs):
        return f'{self.url}/up/{self.token(**kwargs)}'

    def store(self):
        """Names of all files in the store."""
        return sorted(os.listdir(self.state / 'box'))

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def curl(*args, timeout=60, data=None):
    """curl with these arguments: (status, headers, body)."""
    run = subprocess.run(['curl', '-sS', '-i', '--max-time', str(timeout), *map(str, args)], input=data, capture_output=True,
                         timeout=timeout + 10, check=False)
    head, body, status = b'', run.stdout, 0
    while body.startswith(b'HTTP/'):
        head, _, body = body.partition(b'\r\n\r\n')
        status = int(head.split()[1])
        if status != 100:
            break
    headers = {k.strip().lower(): v.strip() for k, _, v in
               (line.partition(':') for line in head.decode('latin-1').split('\r\n')[1:])}
    return status, headers, body


def post(url, data, kind='image/png', *more, method='POST'):
    return curl('-X', method, '--data-binary', '@-', '-H', f'Content-Type: {kind}', *more, url, data=data)
