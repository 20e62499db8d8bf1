# SPDX-License-Identifier: MIT
"""What the real servers have in common: a bucket, asked by code of our own."""
import hashlib
import http.client
import re
import signal
import socket
import time

from harness.s3 import signature


def answers(port):
    try:
        socket.create_connection(('127.0.0.1', port), timeout=5).close()
        return True
    except OSError:
        return False


class Bucket:
    """pair: who owns it; poor: somebody without rights; conditional: If-None-Match works with PUT."""

    region = 'us-east-1'

    def __init__(self, port):
        self.port = port
        self.url = f'http://127.0.0.1:{port}/inset'
        status, body = self.ask('PUT', '')
        assert status == 200, (status, body)

    def ask(self, method, key, data=b'', more=None):
        """(status, body) of a request by the owner; more: headers that are not signed."""
        ident, secret = re.split('[\n:]' if '\n' not in self.pair else '\n', self.pair)
        path = f'/inset/{key}'.rstrip('/')
        date = time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())
        headers = {'host': f'127.0.0.1:{self.port}', 'x-amz-content-sha256': hashlib.sha256(data).hexdigest(), 'x-amz-date': date}
        mac = signature(secret, method, path, headers, sorted(headers), date, self.region)
        headers['authorization'] = (f'AWS4-HMAC-SHA256 Credential={ident}/{date[:8]}/{self.region}/s3/aws4_request, '
                                    f'SignedHeaders={";".join(sorted(headers))}, Signature={mac}')
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=60)
        try:
            connection.request(method, path, data or None, headers | (more or {}))
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def keys(self):
        """All keys in the bucket."""
        status, body = self.ask('GET', '')
        assert status == 200, body
        return sorted(key.decode() for key in re.findall(rb'<Key>([^<]*)</Key>', body))

    def options(self, folder, pair=None):
        file = folder / 's3-key'
        file.write_text((pair or self.pair) + '\n')
        return {'upload.s3': self.url, 'upload.s3-key-file': str(file), 'upload.s3-region': self.region}

    def pause(self):
        """Takes no more connections and answers nothing, until go_on()."""
        for process in self.processes:
            process.popen.send_signal(signal.SIGSTOP)

    def go_on(self):
        for process in self.processes:
            process.popen.send_signal(signal.SIGCONT)

    def stop(self):
        for process in reversed(self.processes):
            process.stop()
