# SPDX-License-Identifier: MIT
"""Nothing that is somebody's secret gets into a log or an answer of insetctl: words of bodies, paths
and queries of addresses, SASL data, upload tokens, passwords and keys, at level debug, on the ways
that succeed and those that fail.
"""
import base64
import json
import os
import re
import signal
import subprocess

from harness import pictures
from harness.box import Box, curl, post
from harness.insetd import BUILD, Insetd, conf_text, environment
from harness.processes import wait_for
from harness.rawpeer import END, HEADER, Session, connect
from harness.redis import Redis
from harness.s3 import KEY_SECRET, S3
from harness.stanzas import check_thumbnail, message, oob, picture

WORD = 'Rhabarberkuchen'                 # of bodies
PATH, QUERY, FRAGMENT = 'Pfadgeheimnis', 'Fragegeheimnis', 'aesgcmgeheimnis'
SASL = 'Passwortgeheimnis'
REDIS = 'Redisgeheimnis'
SECRETS = [WORD, PATH, QUERY, FRAGMENT, SASL, REDIS, KEY_SECRET]


def in_all_forms(secret):
    """As it is, in hexadecimal, and in base64 at each of the three places where it may begin."""
    raw = secret.encode()
    shifted = [base64.b64encode(b'\0' * n + raw).decode()[n + 2:-4] for n in range(3)]
    return [secret, raw.hex(), *shifted]


def leaks(text, more=()):
    folded = text.lower()
    found = [form for secret in [*SECRETS, *more] for form in in_all_forms(secret)
             if (form in text if form != secret else form.lower() in folded)]
    return found


def test_the_check_itself():
    assert leaks('x rhabarberkuchen') and leaks(base64.b64encode(b'ab' + SASL.encode() + b'xyz').decode())
    assert not leaks('harmless')


class Tracer:
    def __init__(self, daemon, *args):
        self.process = subprocess.Popen([BUILD / 'insetctl', '-s', daemon.control, *args, 'trace', '*'],
                                        stdout=subprocess.PIPE, text=True, env=environment())
        self.text = self.process.stdout.readline()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.text += self.process.communicate(timeout=30)[0]
        return self.text


def talk(session, media):
    """Messages that get a thumbnail, and many that do not, for every reason."""
    def url(answer):
        return media.put(answer, name=f'{PATH}?{QUERY}={QUERY}')

    good = picture(url(pictures.jpeg(300, 200)), extra=f'<subject>{WORD}</subject>')
    session.client.send(good)
    check_thumbnail(good, session.server.until(b'</message>'))
    session.client.send(good)                                            # from the cache
    check_thumbnail(good, session.server.until(b'</message>'))
    bad = [url(b'no picture ' + WORD.encode()), f'{media.origin}/{PATH}?{QUERY}', url(pictures.jpeg(300, 200)[:500]),
           url(lambda h: h.connection.close()), url(lambda h: h.reply(500, WORD.encode())),
           url(lambda h: h.reply(302, b'', headers=[('Location', f'http://10.1.2.3/{PATH}?{QUERY}')])),
           f'http://127.0.0.1:1/{PATH}', f'http://10.0.0.1/{PATH}?{QUERY}', f'https://user:{SASL}@localhost/{PATH}',
           f'http://nowhere.invalid/{PATH}', f'ftp://localhost/{PATH}', f'http://[::1/{PATH}', f'aesgcm://h/{PATH}#{FRAGMENT}']
    for address in bad:
        session.c2s(picture(address))
    for content in (f'<body>{WORD}</body>', f'<body>{WORD}</body><x xmlns="jabber:x:oob"><url>{PATH}</url></x>',
                    f'<body>{WORD}</body><encrypted xmlns="eu.siacs.conversations.axolotl">{WORD}</encrypted>{oob("http://h/" + PATH)}',
                    f'<body a:b="1">{WORD}</body>{oob("http://h/" + PATH)}', f'<body>{WORD * 30000}</body>'):
        session.c2s(message(content))
    return [good, *bad]


def refused_logins(daemon, upstream):
    """A login that fails, a stream that breaks in its middle, one in a body, and a client that only connects."""
    session = Session(daemon.port, upstream, login=False)
    secret = base64.b64encode(f'\0mallory\0{SASL}'.encode()).decode()
    session.c2s(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>")
    session.s2c(f"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/><text>{SASL}</text></failure>")
    session.close()
    session = Session(daemon.port, upstream, login=False)
    session.client.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}<")
    session.client.send(f'!-- {SASL} -->')
    session.client.until(END)
    session.close()
    session = Session(daemon.port, upstream)
    session.client.send(f'<message><body>{WORD}</message>')
    session.client.until(END)
    session.close()
    lonely = connect(daemon.port)
    lonely.send(HEADER[:40] + SASL.encode())
    lonely.close()
    upstream.accept(HEADER[:40] + SASL.encode()).close()


def uploads(box, s3):
    """Uploads that succeed, and some that do not: their tokens are secrets, too."""
    tokens = [box.token(), box.token(life=-5), box.token(size=3), box.token()[:-8] + 'AAAAAAAA', box.token()]
    codes = []
    for number, token in enumerate(tokens):
        s3.fault = (lambda method, key: 500) if number == 4 else None
        codes.append(post(f'{box.url}/up/{token}', (WORD + str(number)).encode() * 100)[0])
    s3.fault = None
    assert codes[0] == 200 and all(code >= 400 for code in codes[1:]), codes
    assert curl(f'{box.url}/f/{PATH}')[0] == 404 and curl(f'{box.url}/{PATH}?{QUERY}')[0] == 404
    return [part for token in tokens for part in (token[:40], token[-40:])]


def ask_all(daemon, urls):
    text = ''
    for args in (['status'], ['sessions'], ['sessions', 'alice@localhost'], ['cache'], ['rules'], ['log', 'debug'],
                 ['cache', 'purge', re.search(rb'<url>([^<]*)', urls[0])[1].decode()], ['cache', 'purge', urls[3]],
                 ['cache', 'flush'], ['reload']):
        for options in ([], ['--json']):
            done = daemon.ctl(*options, *args)
            text += done.stdout + done.stderr
    return text


def broken_configurations(daemon, redis):
    """Reloads that are refused for the very values that are secret."""
    text, whole = '', dict(daemon.options)
    for change in ({'cache.redis': f'redis://:{REDIS}@nowhere.invalid:x/0'}, {'cache.redis': f'rediss://u:{REDIS}@/'},
                   {'cache.redis': f'redis://:{REDIS}@127.0.0.1:{redis.port}/{REDIS}'}):
        daemon.conf.write_text(conf_text(whole | change))
        done = daemon.ctl('reload')
        assert done.returncode == 1 and done.stderr
        text += done.stderr
    daemon.conf.write_text(conf_text(whole))
    return text


def test_secrets_stay_secret(tmp_path, upstream, media):
    box, s3 = Box(), S3()
    redis = Redis(tmp_path, password=REDIS).start()
    daemon = Insetd(tmp_path, upstream.address, box.options | s3.options(box.folder) | {
        'fetch.allow-origin': [media.origin, 'http://127.0.0.1:1'], 'cache.redis': redis.url, 'log.level': 'debug',
        'log.format': 'json', 'listen.main.filters': ['trace', 'thumbnail', 'bob', 'upload'],
        'rules': [{'name': 'r', 'url': '*nowhere*', 'action': 'pass', 'mode': 'shadow'},
                  {'name': 'x', 'xpath': f"contains(/c:message/c:body, '{WORD}x')", 'action': 'pass'}]})
    try:
        tracers = [Tracer(daemon), Tracer(daemon, '--json')]
        session = Session(daemon.port, upstream)
        urls = talk(session, media)
        refused_logins(daemon, upstream)
        tokens = uploads(box, s3)
        said = ask_all(daemon, urls)
        said += broken_configurations(daemon, redis)
        redis.stop()
        session.c2s(picture(media.origin + '/' + PATH))
        pid, = daemon.role('media')
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: daemon.role('media') not in ([], [pid]), 'media is back')
        session.close()
        wait_for(lambda: 'sess' in daemon.log() and daemon.ctl('sessions').stdout.endswith('0 sessions in all\n'), 'all ended')
        traced = [t.stop() for t in tracers]
    finally:
        daemon.stop()
        redis.stop()
        s3.stop()
        box.remove()
    log = daemon.log()
    assert traced[0].count(' leaves ') >= 20 and traced[1].count('"leaves"') >= 20
    for way in ('the shared cache fails', 'the bucket failed', 'session failed', 'reload refused', 'refused http',
                'an upload was not stored', 'trace unit'):
        assert way in log, f'{way}: nothing has been tried'
    for text in (log, said, *traced):
        assert leaks(text, tokens) == []
    for line in log.splitlines():
        row = json.loads(line)
        assert {'time', 'level', 'process', 'text'} <= set(row) <= {'time', 'level', 'process', 'text', 'with'}
    ends = [json.loads(line)['with'] for line in log.splitlines() if '"session closed"' in line]
    assert len(ends) >= 4 and all({'reason', 'age', 'in', 'out', 'listener', 'sess'} <= set(e) for e in ends)
    up = next(json.loads(line)['with'] for line in log.splitlines() if '"text":"up"' in line)
    assert up['version'] and 'curl' in up['media'] and 'openssl=3' in up['proxy'] and up['scaler'] and int(up['descriptors']) > 0
