# SPDX-License-Identifier: MIT
"""What the real servers have in common: a bucket, asked by curl, which signs by itself."""
import hashlib
import re
import signal
import socket
import subprocess


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

    def ask(self, method, key, data=b'', query=''):
        """(status, body) of a request by the owner."""
        ident, secret = self.pair.split('\n') if '\n' in self.pair else self.pair.split(':')
        command = ['curl', '-sS', '--max-time', '30', '-w', '\n%{http_code}', '-X', method, '-H',
                   f'x-amz-content-sha256: {hashlib.sha256(data).hexdigest()}', '-K', '-',
                   self.url + ('/' if key or query else '') + key + query]
        conf = f'aws-sigv4 = "aws:amz:{self.region}:s3"\n'
        # An id with a colon cannot be given to curl's --user.
        if ':' in ident:
            return self._by_hand(method, key, data, query, ident, secret)
        conf += f'user = "{ident}:{secret}"\n'
        if data:
            command += ['--data-binary', data.decode()]
        out = subprocess.run(command, input=conf.encode(), capture_output=True, timeout=60, check=True).stdout
        body, _, status = out.rpartition(b'\n')
        return int(status), body

    def _by_hand(self, method, key, data, query, ident, secret):
        import http.client
        import time

        from harness.s3 import signature
        path = '/inset' + ('/' if key or query else '') + key
        date = time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())
        headers = {'host': f'127.0.0.1:{self.port}', 'x-amz-content-sha256': hashlib.sha256(data).hexdigest(), 'x-amz-date': date}
        mac = signature(secret, method, path, headers, sorted(headers), date, self.region)
        headers['authorization'] = (f'AWS4-HMAC-SHA256 Credential={ident}/{date[:8]}/{self.region}/s3/aws4_request, '
                                    f'SignedHeaders={";".join(sorted(headers))}, Signature={mac}')
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=30)
        connection.request(method, path, data or None, headers)
        reply = connection.getresponse()
        return reply.status, reply.read()

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
