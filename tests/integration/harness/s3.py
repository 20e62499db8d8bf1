# SPDX-License-Identifier: MIT
"""A small S3: GET, HEAD, PUT and DELETE of whole objects, signatures (SigV4) verified by code of its own, faults on request."""
import email.utils
import hashlib
import hmac
import http.server
import ssl
import threading
import time

KEY_ID, KEY_SECRET, REGION = 'AKIDEXAMPLE', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', 'eu-test-1'


def _mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature(secret, method, path, headers, signed, date, region):
    """Of a request without a query, as the signature's version 4 wants it. headers: names in small letters."""
    canonical = '\n'.join([method, path, '', *(f'{name}:{" ".join(headers[name].split())}' for name in signed), '',
                           ';'.join(signed), headers['x-amz-content-sha256']])
    scope = f'{date[:8]}/{region}/s3/aws4_request'
    text = '\n'.join(['AWS4-HMAC-SHA256', date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = _mac(_mac(_mac(_mac(b'AWS4' + secret.encode(), date[:8]), region), 's3'), 'aws4_request')
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def _reply(self, status, body=b'', cut=0, modified=None):
        self.send_response(status)
        if status != 204:
            self.send_header('Content-Length', str(len(body)))
        if modified is not None:
            self.send_header('Last-Modified', email.utils.formatdate(modified, usegmt=True))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body[:len(body) - cut])
        if cut:
            self.close_connection = True

    def _verify(self, body):
        """None, or what is wrong with the request."""
        headers = {k.lower(): v.strip() for k, v in self.headers.items()}
        if '?' in self.path or '%' in self.path:
            return 'more than a path'
        kind, _, rest = headers.get('authorization', '').partition(' ')
        fields = dict(part.strip().split('=', 1) for part in rest.split(',') if '=' in part)
        signed = fields.get('SignedHeaders', '').split(';')
        date = headers.get('x-amz-date', '')
        if kind != 'AWS4-HMAC-SHA256' or not {'host', 'x-amz-date', 'x-amz-content-sha256'} <= set(signed):
            return 'not signed, or too little of it'
        if signed != sorted(signed) or not set(signed) <= set(headers):
            return 'signed headers'
        if abs(time.time() - time.mktime(time.strptime(date + 'UTC', '%Y%m%dT%H%M%SZ%Z')) + time.timezone) > 900:
            return 'date'
        if fields.get('Credential') != f'{KEY_ID}/{date[:8]}/{REGION}/s3/aws4_request':
            return 'credential'
        if headers['x-amz-content-sha256'] != hashlib.sha256(body).hexdigest():
            return 'hash of the body'
        want = signature(KEY_SECRET, self.command, self.path, headers, signed, date, REGION)
        return None if hmac.compare_digest(want, fields.get('Signature', '')) else 'signature'

    def _handle(self):
        s3 = self.server.s3
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        if s3.stopped:
            self.close_connection = True
            return None
        wrong = self._verify(body)
        s3.log.append((self.command, self.path, wrong))
        if wrong:
            return self._reply(403, wrong.encode())
        fault = s3.fault(self.command, self.path.removeprefix('/bucket/')) if s3.fault else None
        if isinstance(fault, threading.Event):
            fault.wait(120)
        if fault == 'stall':
            s3.released.wait(120)
            self.close_connection = True
            return None
        if fault == 'close':
            self.close_connection = True
            return None
        if isinstance(fault, int):
            return self._reply(fault, b'<Error/>')
        if not self.path.startswith('/bucket/'):
            return self._reply(404)
        if self.command == 'PUT':
            return self._put(body, s3)
        key = self.path.removeprefix('/bucket/')
        if self.command == 'DELETE':
            s3.objects.pop(key, None)
            return self._reply(204)
        data = s3.objects.get(key)
        if data is None:
            return self._reply(404)
        if fault == 'garble':
            data = bytes(b ^ 1 for b in data)
        return self._reply(200, data, cut=1 if fault == 'truncate' else 0, modified=s3.modified.get(key))

    def _put(self, body, s3):
        key = self.path.removeprefix('/bucket/')
        with s3.lock:
            condition = self.headers.get('If-None-Match')
            if condition and not s3.conditions:
                return self._reply(501)
            if condition == '*' and key in s3.objects:
                return self._reply(412)
            s3.objects[key] = body
            s3.modified[key] = time.time()
        return self._reply(200)

    def _counted(self):
        s3 = self.server.s3
        with s3.lock:
            s3.busy += 1
            s3.peak = max(s3.peak, s3.busy)
        try:
            return self._handle()
        finally:
            with s3.lock:
                s3.busy -= 1

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _counted


class S3:
    """objects: by key; modified: when they were put. fault(method, key): a status, 'stall', 'close', 'truncate', 'garble', an
    event to wait for, or None. peak: requests at a time."""

    def __init__(self, port=0, certificate=None):
        """certificate: a PEM file with its key; https then, as localhost."""
        self.objects, self.modified, self.log, self.fault, self.conditions = {}, {}, [], None, True
        self.busy = self.peak = 0
        self.stopped = False
        self.lock, self.released = threading.Lock(), threading.Event()
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', port), _Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None      # handshakes that fail are what a test wants
        self.server.s3 = self
        self.port = self.server.server_address[1]
        self.url = f'http://127.0.0.1:{self.port}/bucket'
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
            self.url = f'https://localhost:{self.port}/bucket'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def options(self, folder, pair=f'{KEY_ID}:{KEY_SECRET}'):
        """For an Insetd's; folder: for the key's file."""
        file = folder / 's3-key'
        file.write_text(pair + '\n')
        return {'upload.s3': self.url, 'upload.s3-key-file': str(file), 'upload.s3-region': REGION}

    def stop(self):
        self.stopped = True             # for connections that are open, too
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
