# SPDX-License-Identifier: MIT
"""Rules in a whole insetd: who gets which thumbnail, what is fetched for it, shadow, figures,
reload, and insetctl explain. Conditions one by one: tests/unit/test_rule*.c and data/rules.
"""
import json
import os
import re
import signal
import subprocess

import pytest

from harness import pictures
from harness.insetd import BUILD, conf_text, environment, run
from harness.processes import wait_for
from harness.rawpeer import Session
from harness.stanzas import check_thumbnail, oob, picture

SMALL = pictures.jpeg(160, 120)
LARGE = pictures.jpeg(1000, 800)
IBB = "<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='s' type='image/png'>AAAA</data>"
THUMBS = "<thumbnail xmlns='urn:xmpp:thumbs:1' uri='cid:x' media-type='image/png' width='1' height='1'/>"
TINY = {'formats': ['ibb'], 'width': 16, 'height': 16}


def rule(name, action, **conditions):
    return {'name': name, 'action': action} | {k.replace('_', '-'): v for k, v in conditions.items()}


@pytest.fixture
def ruled(start, upstream):
    """ruled(rules, {...}): an insetd with these rules, and a session through it."""
    sessions = []

    def make(rules, options=None):
        daemon = start({'rules': rules} | (options or {}))
        sessions.append(Session(daemon.port, upstream))
        return daemon, sessions[-1]
    yield make
    for session in sessions:
        session.close()


def rewrite(daemon, **options):
    daemon.options.update({k.replace('_', '-'): v for k, v in options.items()})
    daemon.conf.write_text(conf_text(daemon.options))


def reload(daemon):
    answer = daemon.ctl('reload')
    assert answer.returncode == 0, answer.stderr


def roundtrip(session, stanza):
    session.client.send(stanza)
    return session.server.until(b'</message>')


def figures(daemon, name):
    answer = json.loads(daemon.ctl('--json', 'rules').stdout)
    return next(r for r in answer['rules'] if r['name'] == name)


def test_the_first_that_matches_decides(ruled, media):
    daemon, session = ruled([rule('lobby', 'pass', to='lobby@localhost'),
                             rule('alice', 'thumbnail', **{'from': 'alice@*'}, profile='tiny'),
                             rule('never', 'pass')], {'profiles.tiny': TINY})
    media.forget()
    session.c2s(picture(media.put(LARGE), to='Lobby@localhost/nick'))
    assert media.connections == 0
    stanza = picture(media.put(LARGE))
    check_thumbnail(stanza, roundtrip(session, stanza), 16, 16)
    assert figures(daemon, 'lobby')['matches'] == 1
    alice = figures(daemon, 'alice')
    assert (alice['matches'], alice['thumbnails'], alice['failures']) == (1, 1, 0) and alice['last'] > 1700000000
    assert figures(daemon, 'never')['matches'] == 0
    assert daemon.metric('inset_rule_matches_total{rule="lobby"}') == 1
    assert daemon.metric('inset_rule_thumbnails_total{rule="alice"}') == 1
    text = daemon.ctl('rules').stdout
    assert re.search(r'^ +1 +0 +1 +0 .* thumbnail +alice$', text, re.M) and 'default-action thumbnail' in text
    session.c2s(picture(media.origin + '/none'))
    assert figures(daemon, 'alice')['failures'] == 1


def test_nothing_is_fetched_where_no_rule_could_ask(ruled, media):
    _, session = ruled([rule('large', 'pass', media_bytes='1000..'),
                        rule('others', 'thumbnail', host='other.example', media='image/*'),
                        rule('shadow', 'thumbnail', media='image/*', mode='shadow')], {'default-action': 'pass'})
    media.forget()
    session.c2s(picture(media.put(SMALL)))
    session.c2s("<message to='x'><body>fence</body></message>")
    assert media.connections == 0


def test_conditions_on_the_media(ruled, media):
    daemon, session = ruled([rule('no gifs', 'pass', media='image/gif'),
                             rule('small', 'thumbnail', media_pixels="..20000", profile='tiny'),
                             rule('heavy', 'pass', media_bytes=f'{len(LARGE)}..')],
                            {'profiles.tiny': TINY})
    media.forget()
    session.c2s(picture(media.put(pictures.gif())))
    session.c2s(picture(media.put(LARGE)))
    assert len(media.requests) == 2
    stanza = picture(media.put(SMALL))
    check_thumbnail(stanza, roundtrip(session, stanza), 16, 16)
    stanza = picture(media.put(pictures.jpeg(400, 300)))
    check_thumbnail(stanza, roundtrip(session, stanza))         # default-action
    assert [figures(daemon, n)['matches'] for n in ('no gifs', 'small', 'heavy')] == [1, 1, 1]


def test_shadow_counts_and_does_nothing(ruled, media):
    daemon, session = ruled([rule('tried', 'pass', mode='shadow'),
                             rule('tried "later"', 'strip', media='image/jpeg', mode='shadow')])
    stanza = picture(media.put(SMALL))
    check_thumbnail(stanza, roundtrip(session, stanza))
    assert figures(daemon, 'tried')['shadow'] == 1 and figures(daemon, 'tried')['matches'] == 0
    assert figures(daemon, 'tried "later"')['shadow'] == 1
    assert daemon.metrics()['inset_rule_shadow_matches_total{rule="tried"}'] == 1
    assert 'a rule in shadow would have decided rule="tried" action=pass direction=c2s' in daemon.said()
    assert media.origin not in daemon.log()


@pytest.mark.parametrize('inner', [IBB, THUMBS, IBB + '<y xmlns="z"/>' + THUMBS,
                                   f'<f xmlns="q">{THUMBS} </f>' + IBB])
@pytest.mark.parametrize('address', [True, False])
def test_strip(ruled, media, inner, address):
    daemon, session = ruled([rule('out', 'strip', to='bob@*')])
    url = oob(media.put(SMALL)) if address else ''
    media.forget()
    whole = f"<message to='bob@localhost'><body>a &amp; b</body>{url}{inner}</message>"
    received = roundtrip(session, whole)
    assert received == whole.replace(IBB, '').replace(THUMBS, '').encode()
    session.c2s(whole.replace('bob@', 'eve@'))
    session.c2s(f"<message to='bob@localhost'><encrypted xmlns='urn:xmpp:omemo:2'/>{inner}</message>")
    assert media.connections == 0
    assert daemon.metric('inset_thumbnails_stripped_total') == inner.count(IBB) + inner.count(THUMBS)


def test_a_reload_reaches_sessions_in_flight(ruled, media, tmp_path):
    (tmp_path / 'list.txt').write_text('# none\n')
    rules = [rule('list', 'pass', **{'from': 'file:list.txt'}), rule('once', 'thumbnail', rate='1/1h per from'),
             rule('rest', 'pass')]
    daemon, session = ruled(rules)
    stanza = picture(media.put(SMALL))
    check_thumbnail(stanza, roundtrip(session, stanza))
    session.c2s(picture(media.put(SMALL)))              # the rate is used up
    reload(daemon)
    session.c2s(picture(media.put(SMALL)))              # and a reload does not give it back
    assert figures(daemon, 'rest')['matches'] == 2 and figures(daemon, 'once')['matches'] == 1
    rewrite(daemon, rules=[rules[0], rule('new', 'thumbnail', profile='default')])
    reload(daemon)
    stanza = picture(media.put(SMALL))
    check_thumbnail(stanza, roundtrip(session, stanza))
    (tmp_path / 'list.txt').write_text('x@y\n\nALICE@localhost\n')
    stanza = picture(media.put(SMALL))
    check_thumbnail(stanza, roundtrip(session, stanza))  # not read yet
    reload(daemon)
    session.c2s(picture(media.put(SMALL)))
    assert figures(daemon, 'list')['matches'] == 1 and figures(daemon, 'new')['matches'] == 2
    # What is wrong changes nothing.
    for bad in ('*' * 17 + 'a\n', 'a\0b\n'):
        (tmp_path / 'list.txt').write_text(bad)
        answer = daemon.ctl('reload')
        assert answer.returncode == 1 and 'rules[0].from' in answer.stderr
    (tmp_path / 'list.txt').unlink()
    answer = daemon.ctl('reload')
    assert answer.returncode == 1 and 'cannot be read' in answer.stderr
    session.c2s(picture(media.put(SMALL)))
    assert figures(daemon, 'list')['matches'] == 2


def test_figures_and_rates_outlive_a_worker(ruled, media, upstream):
    daemon, session = ruled([rule('once', 'thumbnail', rate='1/1h'), rule('rest', 'pass')])
    stanza = picture(media.put(SMALL))
    check_thumbnail(stanza, roundtrip(session, stanza))
    worker = daemon.role('proxy')[0]
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: [p for p in daemon.role('proxy') if p != worker], 'a new worker')
    wait_for(lambda: daemon.metric('inset_processes{role="proxy"}') == 1, 'it is up')
    again = Session(daemon.port, upstream)
    again.c2s(picture(media.put(SMALL)))
    again.close()
    assert figures(daemon, 'once')['matches'] == 1 and figures(daemon, 'rest')['matches'] == 1


def test_a_message_that_takes_too_many_steps_passes(ruled, media):
    daemon, session = ruled([rule('bomb', 'thumbnail', xpath='count(//*[count(//*[count(//*) > 1]) > 1]) > 0')])
    media.forget()
    session.c2s(f"<message to='bob@localhost'>{'<a/>' * 500}{oob(media.put(SMALL))}</message>")
    assert media.connections == 0 and daemon.metric('inset_rules_stuck_total') == 1


# --- explain -------------------------------------------------------------------------------

def explain(conf, stanza, *args):
    return subprocess.run([BUILD / 'insetctl', 'explain', '-c', str(conf), *args], input=stanza, capture_output=True,
                          timeout=60, env=environment(), check=False)


@pytest.fixture
def conf(tmp_path, media):
    def make(rules, options=None):
        path = tmp_path / 'explain.conf'
        path.write_text(conf_text({'listen.main.bind': '127.0.0.1:1', 'listen.main.upstream': '127.0.0.1:2',
                                   'fetch.allow-origin': [media.origin], 'profiles.default.formats': ['ibb'],
                                   'rules': rules} | (options or {})))
        return path
    return make


def test_explain(conf, media):
    path = conf([rule('lobby', 'pass', to='lobby@localhost'), rule('s', 'pass', mode='shadow'),
                 rule('large', 'pass', media_bytes='1MiB..')])
    media.forget()
    answer = explain(path, picture(media.put(SMALL)), '--from', 'alice@localhost/x')
    text = answer.stdout.decode()
    assert (answer.returncode, answer.stderr) == (0, b''), answer
    assert re.search(r'failed +pass +\d+ us +lobby: to saw "bob@localhost"', text)
    assert re.search(r'shadow +pass +\d+ us +s\n', text)
    assert re.search(r'open +pass +\d+ us +large: media-bytes saw "not fetched"', text)
    assert f'would fetch {media.origin}' in text and 'leaves: with a thumbnail, if the media allow' in text
    assert media.connections == 0
    root = json.loads(explain(path, picture(media.put(SMALL), to='lobby@localhost'), '--json').stdout)
    assert root['leaves'] == 'as it came' and root['fetches'] == []
    assert [(r['rule'], r['outcome']) for r in root['rules']] == [('lobby', 'decided')]
    assert root['rules'][0]['microseconds'] >= 0


def test_explain_fetches_when_told(conf, media):
    path = conf([rule('large', 'pass', media_bytes='1MiB..')])
    stanza = picture(media.put(SMALL))
    answer = explain(path, stanza, '--from', 'alice@localhost/x', '--fetch', '--json')
    assert answer.returncode == 0, answer.stderr
    root = json.loads(answer.stdout)
    assert root['leaves'] == 'changed'
    check_thumbnail(stanza, root['stanza'].encode())
    assert root['fetches'][0]['status'] == 'ok' and root['fetches'][0]['media-bytes'] == len(SMALL)
    assert [(r['rule'], r['outcome'], r['phase']) for r in root['rules']] == \
        [('large', 'open', 'before'), ('large', 'failed', 'after'), (None, 'decided', 'after')]
    assert root['rules'][1]['seen'] == str(len(SMALL))
    answer = explain(path, picture(media.origin + '/none'), '--fetch')
    assert answer.returncode == 0 and b'leaves: as it came' in answer.stdout


@pytest.mark.parametrize('stanza', [b'', b'<', b'hello', b'<a></b>', b'\xff\xfe\0', b'<a/><b/>', b'<!DOCTYPE a><a/>',
                                    b'<message>' * 100, b'x' * 1000000], ids=range(9))
def test_explain_of_what_is_no_stanza(conf, stanza):
    answer = explain(conf([rule('a', 'pass')]), stanza)
    assert answer.returncode == 1 and answer.stdout == b'' and answer.stderr.count(b'\n') == 1


@pytest.mark.parametrize('stanza, why', [
    (b"<iq type='get' id='1'><q xmlns='x'/></iq>", 'it has nothing that a filter looks for'),
    (b"<message><x xmlns='jabber:x:oob'><url>http://h/a</url></x><encrypted xmlns='urn:xmpp:omemo:2'/></message>",
     'it has a sign of encryption'),
    (b"<message type='error'><x xmlns='jabber:x:oob'><url>http://h/a</url></x></message>", 'no message with an address'),
])
def test_explain_of_what_is_not_judged(conf, stanza, why):
    answer = explain(conf([rule('a', 'pass')]), stanza)
    assert answer.returncode == 0 and why in answer.stdout.decode() and b'leaves: as it came' in answer.stdout


def test_explain_usage(conf):
    path = conf([rule('a', 'nonsense')])
    assert explain(path, b'<message/>').returncode == 1
    assert explain(path, b'<message/>', '-d', 'up').returncode == 2
    assert explain(path, b'<message/>', '--nonsense').returncode == 2
    assert subprocess.run([BUILD / 'insetctl', '--fetch', 'status'], capture_output=True, check=False).returncode == 2


# --- large and wrong files -----------------------------------------------------------------

def test_a_million_entries(ruled, media, tmp_path):
    with open(tmp_path / 'big.txt', 'w', encoding='ascii') as f:
        f.writelines(f'user{i}@somewhere.example\n' for i in range(1000000))
        f.write('alice@localhost\n')
    daemon, session = ruled([rule('big', 'pass', **{'from': 'file:big.txt'})])
    session.c2s(picture(media.put(SMALL)))
    assert figures(daemon, 'big')['matches'] == 1
    reload(daemon)
    session.c2s(picture(media.put(SMALL)))
    assert figures(daemon, 'big')['matches'] == 2


def test_ten_mebibytes_of_rules(conf, tmp_path):
    path = conf([rule('a', 'pass')])
    with open(tmp_path / 'rules.inc', 'w', encoding='ascii') as f:
        f.write('rules = (\n')
        f.writelines(f'{{ name = "rule number {i}"  to = "user{i}@somewhere.example"  action = "pass" }},\n'
                     for i in range(150000))
        f.write('{ name = "last"  action = "pass" } )\n')
    assert (tmp_path / 'rules.inc').stat().st_size > 10 << 20
    path.write_text('@include "rules.inc"\nlisten = { main = { bind = "127.0.0.1:1"  upstream = "127.0.0.1:2" } }\n')
    answer = run('-t', '-c', path, timeout=60)
    assert answer.returncode == 1 and 'more than 4096 rules' in answer.stderr


def test_check_says_where_and_warns(conf):
    path = conf([rule('all', 'pass'), rule('below', 'pass', xpath='//body')])
    answer = run('-t', '-c', path)
    assert answer.returncode == 0
    lines = answer.stderr.splitlines()
    assert len(lines) == 2 and all(re.match(re.escape(str(path)) + r':\d+: rules\[1\].*: warning: ', x) for x in lines)
    answer = run('-t', '-c', conf([rule('a', 'pass', **{'from': 'file:missing.txt'}), rule('a', 'pass', profile='no')]))
    assert answer.returncode == 1
    for text in ('missing.txt" cannot be read', 'there is a rule of that name already', '"no": no such profile'):
        assert text in answer.stderr
