# SPDX-License-Identifier: MIT
"""inset-replay as load: runs beside a test and gives its verdict in the end."""
import functools
import gzip
import json
import subprocess

from .insetd import BUILD, TOP, environment
from .processes import free_port

SAMPLES = sorted((TOP / 'data' / 'captures').glob('*.jsonl.gz'))


@functools.lru_cache
def captured():
    """Sessions in the samples: with a multiple of it every one is played equally often."""
    info = subprocess.run([BUILD / 'inset-replay', 'info', '--json', *SAMPLES], capture_output=True, check=True)
    return json.loads(info.stdout)['sessions']


def frames(captures=()):
    """Stream headers and stream ends in the captures: what the player counts as units, and inset does not."""
    count = 0
    for path in captures or SAMPLES:
        said = {}
        with gzip.open(path, 'rt') as f:
            for line in map(json.loads, f):
                if line.get('e') == 'data' and line.get('w') is None:
                    key = line['s'], line['d']
                    said[key] = said.get(key, '') + line.get('x', '')
        count += sum(text.count('<stream:stream') + text.count('</stream:stream>') for text in said.values())
    return count


class Replay:
    """A load: Replay(folder) first, for its ports; then begin() with an insetd in front of it."""

    def __init__(self, folder):
        self.port, self.media_port = free_port(), free_port()
        self.upstream = f'127.0.0.1:{self.port}'
        self.options = {'fetch.allow-origin': [f'http://127.0.0.1:{self.media_port}'], 'log.level': 'notice'}
        self.report = folder / 'report.json'
        self.popen = None

    def begin(self, port, *args, captures=()):
        self.report.unlink(missing_ok=True)
        self.popen = subprocess.Popen(
            [str(a) for a in (BUILD / 'inset-replay', 'play', '--connect', f'127.0.0.1:{port}', '--listen', self.upstream,
                              '--media', self.media_port, '--quiet', '--json', self.report, *args,
                              *(captures or SAMPLES))],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())

    def runs(self):
        return self.popen.poll() is None

    def end(self, timeout=120):
        """Waits for it; (exit status, report, output)."""
        try:
            output = self.popen.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            self.popen.kill()
            output = self.popen.communicate()[0]
            raise AssertionError('the replay does not end\n' + output[-3000:]) from None
        assert self.report.exists(), output[-3000:]
        return self.popen.returncode, json.loads(self.report.read_text()), output[-3000:]
