# SPDX-License-Identifier: MIT
"""Certificates for the tests: an authority of their own and what it signs, made by openssl."""
import subprocess
from pathlib import Path


def openssl(*args):
    subprocess.run(['openssl', *[str(a) for a in args]], check=True, capture_output=True, timeout=30)


class Authority:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.file = self.folder / 'ca.pem'
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30',
                '-subj', '/CN=test authority', '-keyout', self.folder / 'ca.key', '-out', self.file)

    def issue(self, name, *names, days='10', kind=('ec', '-pkeyopt', 'ec_paramgen_curve:P-256'), file=None):
        """A file with certificate, chain and key for these names."""
        base = self.folder / (file or name)
        key, request, cert, ext = (Path(f'{base}.{suffix}') for suffix in ('key', 'csr', 'crt', 'ext'))
        ext.write_text('subjectAltName=' + ','.join(f'DNS:{n}' for n in (name, *names)) + '\n')
        openssl('req', '-new', '-newkey', *kind, '-nodes', '-subj', f'/CN={name}', '-keyout', key, '-out', request)
        openssl('x509', '-req', '-in', request, '-CA', self.file, '-CAkey', self.folder / 'ca.key', '-CAcreateserial',
                '-days', days, '-extfile', ext, '-out', cert)
        whole = Path(f'{base}.pem')
        whole.write_text(cert.read_text() + self.file.read_text() + key.read_text())
        whole.chmod(0o600)
        return whole
