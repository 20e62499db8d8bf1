# SPDX-License-Identifier: MIT
"""Several boxes, one bucket: a double that verifies signatures, two daemons, faults, crashes."""
import concurrent.futures
import hashlib
import os
import re
import secrets
import signal
import threading
import time

import pytest

from harness import pictures
from harness.box import Box, curl, post
from harness.certs import Authority
from harness.insetd import Insetd
from harness.processes import wait_for
from harness.rawpeer import Session
from harness.s3 import KEY_ID, KEY_SECRET, S3, signature
from harness.stanzas import check_thumbnail, picture


@pytest.fixture
def s3():
    there = S3()
    yield there
    there.stop()


@pytest.fixture
def run(tmp_path, upstream, s3):
    """run(): one more machine: (Box, Insetd)."""
    made = []

    def make(options=None, box=None, **kwargs):
        there = box or Box()
        daemon = Insetd(tmp_path, upstream.address, there.options | s3.options(there.folder, **kwargs) | (options or {}),
                        name=f's3{len(made)}')
        made.append((there, daemon))
        wait_for(lambda: daemon.metric('inset_processes{role="box"}') == 1, 'the box is up', process=daemon.process)
        return there, daemon
    yield make
    s3.released.set()
    for _, daemon in made:
        daemon.stop()
    for there in {there for there, _ in made}:
        there.remove()


def elsewhere(url, box):
    """The same file's address at another box."""
    return box.url + '/f/' + url.decode().split('/f/')[1]


def ident_of(url):
    return re.search(r'/f/([0-9a-f]{32})', url.decode())[1]


def names(box, kinds='bmtu'):
    return [name for name in box.store() if name[0] in kinds]


def test_the_double_signs_as_the_specification_does():
    """GET of an object from "Examples: signature calculations" of the S3 manual, without its parameters there."""
    empty = hashlib.sha256(b'').hexdigest()
    headers = {'host': 'examplebucket.s3.amazonaws.com', 'range': 'bytes=0-9', 'x-amz-content-sha256': empty,
               'x-amz-date': '20130524T000000Z'}
    assert signature('wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', 'GET', '/test.txt', headers, sorted(headers),
                     '20130524T000000Z', 'us-east-1') == 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41'


def test_uploaded_at_one_served_by_the_other(run, s3):
    one, first = run()
    two, second = run()
    for data in (b'x', secrets.token_bytes(70000), secrets.token_bytes(3 << 20), pictures.png()):
        status, _, url = post(one.address(), data, 'image/png')
        assert status == 200
        key = f'c-{ident_of(url)}-{hashlib.sha256(data).hexdigest()}'
        assert s3.objects[key] == data
        assert curl('-I', elsewhere(url, two))[0] == 200
        status, headers, body = curl(elsewhere(url, two))
        assert (status, body, headers['content-type']) == (200, data, 'image/png')
        before = len(s3.log)
        assert curl('-H', 'Range: bytes=0-0', elsewhere(url, two))[::2] == (206, data[:1])
        assert curl(url.decode())[2] == data
        assert len(s3.log) == before, 'what is here is not asked for'
    assert {wrong for _, _, wrong in s3.log} == {None}
    assert {method for method, _, _ in s3.log} == {'GET', 'PUT'}, 'no need to delete or list'
    assert curl(f'{two.url}/f/{"0" * 32}')[0] == 404
    assert first.metric('inset_box_s3_requests_total{result="ok"}') >= 12
    assert first.metric('inset_box_s3_requests_total{result="failed"}') == 0
    assert KEY_SECRET not in first.said() + second.said()


def test_one_token_one_file_on_all_machines(run, s3):
    one, _ = run()
    two, _ = run()
    ident = secrets.token_bytes(16)
    status, _, url = post(one.address(ident=ident), b'one')
    assert status == 200
    assert post(two.address(ident=ident), b'two')[0] == 409
    assert post(two.address(ident=ident), b'one')[::2] == (200, elsewhere(url, two).encode())
    assert post(one.address(ident=ident), b'two')[0] == 409
    assert curl(elsewhere(url, two))[2] == curl(url.decode())[2] == b'one'


@pytest.mark.parametrize('conditions', [True, False])
def test_the_faster_of_two_has_the_address(run, s3, conditions):
    """Between the look and the facts another machine puts its own; without conditions a later one sees them."""
    one, _ = run()
    two, _ = run()
    s3.conditions = conditions
    ident = secrets.token_bytes(16)
    assert post(one.address(ident=ident), b'first')[0] == 200
    facts = s3.objects['m-' + ident.hex()]
    assert post(two.address(ident=ident), b'other')[0] == 409
    if conditions:
        other = secrets.token_bytes(16)

        def race(method, key):
            if method == 'PUT' and key.startswith('c-'):
                s3.objects['m-' + other.hex()] = facts
        s3.fault = race
        assert post(two.address(ident=other), b'other')[0] == 409
        assert not names(two)
        assert not [key for key in s3.objects if key.startswith('c-' + other.hex())], 'the bytes of nobody go'
        s3.objects.pop('m-' + other.hex())
        assert post(two.address(ident=other), b'first')[0] == 200


def test_a_wrong_key_stores_nothing(run, s3):
    box, daemon = run(pair=f'{KEY_ID}:another')
    status, _, body = post(box.address(), b'data')
    assert status == 503 and body.count(b'\n') == 1
    assert s3.objects == {} and not names(box)
    assert {wrong for _, _, wrong in s3.log} == {'signature'}
    assert daemon.metric('inset_box_uploads_total{result="failed"}') == 1


@pytest.mark.parametrize('step', ['look', 'content', 'facts'])
def test_nothing_is_acknowledged_that_is_not_in_the_bucket(run, s3, step):
    """All statuses: tests/unit/test_s3.c."""
    box, daemon = run({'upload.s3-timeout': '1s'})
    kept = post(box.address(), b'kept')[2]
    want = {'look': ('GET', 'm'), 'content': ('PUT', 'c'), 'facts': ('PUT', 'm')}[step]
    for n, fault in enumerate((500, 301, 'close', 'stall'), 1):
        before = names(box)
        s3.fault = lambda method, key, fault=fault: fault if (method, key[0]) == want else None
        address = box.address()
        status, _, body = post(address, b'data')
        assert status == 503 and body.count(b'\n') == 1, fault
        assert names(box) == before, fault
        assert curl(kept.decode())[2] == b'kept', 'what is here is served'
        assert daemon.metric('inset_box_s3_requests_total{result="failed"}') == n
        s3.fault = None
        status, _, url = post(address, b'data')
        assert status == 200 and curl(url.decode())[2] == b'data', fault


@pytest.mark.parametrize('key', ['m', 'c'])
def test_what_the_bucket_does_not_give_whole_is_not_served(run, s3, key):
    one, _ = run()
    two, _ = run({'upload.s3-timeout': '1s'})
    for fault in (500, 404, 'close', 'stall', 'truncate', 'garble'):
        data = secrets.token_bytes(100000)
        before = names(two)
        url = elsewhere(post(one.address(), data)[2], two)
        s3.fault = lambda method, name, fault=fault: fault if name[0] == key else None
        assert curl(url)[0] == (404 if (key, fault) == ('m', 404) else 503), fault
        assert names(two) == before, fault
        s3.fault = None
        assert curl(url)[::2] == (200, data), fault


def test_expired_facts_are_not_served(run, s3):
    one, _ = run()
    two, _ = run()
    url = post(one.address(), b'old')[2]
    key = next(key for key in s3.objects if key[0] == 'm')
    lines = s3.objects[key].decode().split('\n')
    lines[4] = '1'
    s3.objects[key] = '\n'.join(lines).encode()
    assert curl(elsewhere(url, two))[0] == 404


def test_the_bucket_down_and_back(run, s3):
    box, daemon = run()
    kept = post(box.address(), b'kept')[2].decode()
    s3.stop()
    address = box.address()
    assert post(address, b'data')[0] == 503
    assert curl(f'{box.url}/f/{"0" * 32}')[0] == 503
    assert curl(kept)[2] == b'kept'
    again = S3(s3.port)
    try:
        again.objects.update(s3.objects)
        assert post(address, b'data')[0] == 200
    finally:
        again.stop()


def test_others_are_served_while_the_bucket_stalls_and_a_reload_leaves_it_alone(run, s3):
    box, daemon = run({'upload.s3-timeout': '4s'})
    kept = post(box.address(), b'kept')[2].decode()
    stalled = hashlib.sha256(b'slow').hexdigest()
    s3.fault = lambda method, key: 'stall' if key.endswith(stalled) else None
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        job = pool.submit(post, box.address(), b'slow')
        wait_for(lambda: any(stalled in path for _, path, _ in s3.log), 'the bucket has it', process=daemon.process)
        assert curl(kept)[2] == b'kept'
        assert post(box.address(), b'quick')[0] == 200
        assert daemon.ctl('reload').returncode == 0
        assert post(box.address(), b'after')[0] == 200
        assert job.result()[0] == 503


def test_no_room_in_the_cache(run, s3):
    one, _ = run()
    two, _ = run({'upload.quota': '64KiB'})
    url = post(one.address(), secrets.token_bytes(200000))[2]
    assert curl(elsewhere(url, two))[0] == 507
    assert post(two.address(), secrets.token_bytes(200000))[0] == 507
    assert not names(two)


@pytest.mark.parametrize('step', ['look', 'content', 'facts'])
def test_killed_between(run, s3, step):
    """The same token goes on where it stopped, and no half of an upload is to be seen."""
    box, daemon = run()
    want = {'look': ('GET', 'm'), 'content': ('PUT', 'c'), 'facts': ('PUT', 'm')}[step]
    s3.fault = lambda method, key: 'stall' if (method, key[0]) == want else None
    ident = secrets.token_bytes(16)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        job = pool.submit(post, box.address(ident=ident), b'data')
        wait_for(lambda: any((method, path[8]) == want for method, path, _ in s3.log), 'it waits', process=daemon.process)
        for pid in daemon.role('box'):
            os.kill(pid, signal.SIGKILL)
        assert job.result()[0] != 200
    s3.fault = None
    wait_for(lambda: daemon.metric('inset_processes{role="box"}') == 0, 'the box is gone', process=daemon.process)
    wait_for(lambda: daemon.metric('inset_processes{role="box"}') == 1, 'the box is back', process=daemon.process)
    assert curl(f'{box.url}/f/{ident.hex()}')[0] == 404 and not names(box)
    assert post(box.address(ident=ident), b'data')[0] == 200
    assert curl(f'{box.url}/f/{ident.hex()}')[2] == b'data'


def test_stopped_with_jobs_under_way(run, s3):
    box, daemon = run()
    s3.fault = lambda method, key: 'stall'
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(post, box.address(), b'data') for _ in range(4)]
        jobs += [pool.submit(curl, f'{box.url}/f/{n:032x}') for n in range(4)]
        wait_for(lambda: len(s3.log) >= 8, 'all wait', process=daemon.process)
        daemon.stop()
        assert all(job.result()[0] != 200 for job in jobs)


def test_many_at_a_time(run, s3):
    one, _ = run()
    two, _ = run()

    def go(n):
        data = secrets.token_bytes(1000 + n * 500)
        status, _, url = post(one.address(user=f'u{n}@localhost'), data, 'application/octet-stream')
        return status == 200 and curl(elsewhere(url, two))[2] == data
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(go, range(64)))


@pytest.mark.parametrize('options, word', [
    ({'upload.s3': 'ftp://x/y'}, 'upload.s3'), ({'upload.s3-key-file': ''}, 'upload.s3-key-file'),
    ({'upload.s3-key-file': '/nowhere'}, 'upload.s3-key-file'), ({'upload.s3-region': 'a:b'}, 'upload.s3-region'),
])
def test_what_is_wrong_is_named(tmp_path, upstream, s3, options, word):
    box = Box()
    try:
        daemon = Insetd(tmp_path, upstream.address, box.options | s3.options(box.folder) | options, wait=False)
        assert daemon.process.wait() == 1
        assert word in daemon.log()
    finally:
        box.remove()


def test_a_key_on_two_lines(run, s3):
    box, _ = run(pair=f'{KEY_ID}\n{KEY_SECRET}')
    assert post(box.address(), b'data')[0] == 200


@pytest.mark.parametrize('pair', ['', 'id', ':secret', 'id:', 'id:se cret', 'id\nse cret', 'id\nsecret\nmore', 'i d\nsecret',
                                  'id:' + 'x' * 600, 'id\0:secret', '\nsecret'])
def test_a_key_that_is_none_is_named_but_not_shown(tmp_path, upstream, s3, pair):
    box = Box()
    try:
        daemon = Insetd(tmp_path, upstream.address, box.options | s3.options(box.folder, pair), wait=False)
        assert daemon.process.wait() == 1
        assert 'one line id:secret' in daemon.log() and 'se c' not in daemon.log()
    finally:
        box.remove()


# --- expiry -------------------------------------------------------------------------------------

def backdate(box, seconds):
    """All uploads and thumbnails here ended so long ago."""
    folder = box.state / 'box'
    for name in names(box, 'm'):
        lines = (folder / name).read_text().split('\n')
        lines[4] = str(int(time.time()) - seconds)
        (folder / name).write_text('\n'.join(lines))
    for name in names(box, 'p'):
        os.utime(folder / name, (0, time.time() - seconds))


def restarted(run, machine, seconds, options=None):
    box, daemon = machine
    daemon.stop()
    backdate(box, seconds)
    return run(options, box=box)


def test_what_is_over_is_deleted_by_any_machine_that_had_it(run, s3):
    """Two days after the end; content before facts; by both, and what others have put stays."""
    one, two = run(), run()
    urls = [post(one[0].address(), b'same')[2], post(one[0].address(), b'same')[2], post(one[0].address(), b'other')[2]]
    for url in urls[:2]:
        assert curl(elsewhere(url, two[0]))[2] == b'same'
    third = post(two[0].address(), b'same')[2]
    assert len(s3.objects) == 8
    s3.log.clear()
    for machine in (one, two):
        backdate_only = [name for name in names(machine[0], 'm') if name[2:] != ident_of(third)]
        machine[1].stop()
        for name in backdate_only:
            path = machine[0].state / 'box' / name
            lines = path.read_text().split('\n')
            lines[4] = str(int(time.time()) - 2 * 86400)
            path.write_text('\n'.join(lines))
        run(box=machine[0])
    wait_for(lambda: not names(one[0], 'gmub') and not names(two[0], 'g'), 'all is deleted')
    key = 'm-' + ident_of(third)
    assert sorted(s3.objects) == sorted([key, f'c-{key[2:]}-{hashlib.sha256(b"same").hexdigest()}'])
    deleted = [path.removeprefix('/bucket/') for method, path, _ in s3.log if method == 'DELETE']
    for url in urls:
        parts = [name[0] for name in deleted if ident_of(url) in name]
        assert parts[:2] == ['c', 'm']
    assert curl(third.decode())[2] == b'same'
    for url in urls:
        assert curl(url.decode())[0] == 404 and curl(elsewhere(url, two[0]))[0] == 404


def test_a_day_passes_before(run, s3):
    """A token that is out still must find that its upload was there."""
    machine = run()
    ident = secrets.token_bytes(16)
    url = post(machine[0].address(ident=ident), b'data')[2]
    box, daemon = restarted(run, machine, 86400 - 600)
    wait_for(lambda: names(box, 'bmug') == ['g-' + ident.hex()], 'it is over', process=daemon.process)
    assert len(s3.objects) == 2
    s3.objects['m-' + ident.hex()] = (box.state / 'box' / ('g-' + ident.hex())).read_bytes().replace(b'elsewhere\n', b'')
    assert curl(url.decode())[0] == 404
    assert post(box.address(ident=ident), b'data')[0] == 409
    assert len(s3.objects) == 2 and not names(box, 'mub')


@pytest.mark.parametrize('fault, stays', [(403, False), (500, True)])
def test_what_cannot_be_deleted(run, s3, fault, stays):
    """Not allowed: the bucket's own rules have to. Not now: tried again."""
    machine = run()
    assert post(machine[0].address(), b'data')[0] == 200
    s3.log.clear()
    s3.fault = lambda method, key: fault if method == 'DELETE' else None
    box, daemon = restarted(run, machine, 2 * 86400)
    wait_for(lambda: len([1 for method, _, _ in s3.log if method == 'DELETE']) >= (1 if stays else 2), 'it is tried',
             process=daemon.process)
    if stays:
        wait_for(lambda: daemon.metric('inset_box_s3_requests_total{result="failed"}') == 1, 'it failed', process=daemon.process)
        assert len(names(box, 'g')) == 1
        s3.fault = None
        daemon.stop()
        run(box=box)
        wait_for(lambda: s3.objects == {}, 'it goes')
    else:
        wait_for(lambda: not names(box, 'g'), 'it is left to the bucket', process=daemon.process)
        assert len(s3.objects) == 2


# --- the local store is a cache -----------------------------------------------------------------

BIG = 100 << 10


def test_the_least_recently_used_make_room(run, s3):
    """Never a 507 while there are copies of what the bucket has; each is loaded again."""
    box, daemon = run({'upload.quota': '440KiB'})
    data = [secrets.token_bytes(BIG) for _ in range(8)]
    urls = [post(box.address(), d)[2].decode() for d in data[:4]]
    assert len(names(box, 'u')) == 4
    assert curl('-H', 'Range: bytes=0-0', urls[0])[0] == 206        # used: the second is the oldest now
    urls.append(post(box.address(), data[4])[2].decode())
    here = [name[2:] for name in names(box, 'u')]
    assert here == sorted(re.search('/f/([0-9a-f]+)', url)[1] for n, url in enumerate(urls) if n != 1)
    assert len(names(box, 'm')) == 5, 'facts stay'
    assert daemon.metric('inset_box_evicted_total') == 1
    s3.log.clear()
    assert curl(urls[1])[::2] == (200, data[1])
    assert [path[8] for _, path, _ in s3.log] == ['c'], 'the facts are known'
    for d in data[5:]:
        urls.append(post(box.address(), d)[2].decode())
    for url, d in zip(urls, data):
        assert curl(url)[::2] == (200, d)
    assert daemon.metric('inset_box_bytes') <= 440 << 10
    assert daemon.metric('inset_box_files') == 8
    assert daemon.metric('inset_box_uploads_total{result="full"}') == 0
    assert post(box.address(), secrets.token_bytes(500 << 10))[0] == 507, 'larger than all of it'
    # The same after a restart: what is counted is what is there.
    daemon.stop()
    box, daemon = run({'upload.quota': '440KiB'}, box=box)
    for url, d in zip(urls, data):
        assert curl(url)[::2] == (200, d)
    assert daemon.metric('inset_box_bytes') <= 440 << 10


def test_a_users_quota_counts_what_made_room(run, s3):
    box, daemon = run({'upload.quota': '240KiB', 'upload.quota-user': '320KiB'})
    other = run()
    urls = [post(box.address(), secrets.token_bytes(BIG))[2] for _ in range(3)]
    assert len(names(box, 'u')) == 2
    assert post(box.address(), secrets.token_bytes(BIG))[0] == 507
    theirs = post(other[0].address(), secrets.token_bytes(BIG))[2]
    assert curl(elsewhere(theirs, box))[0] == 200, 'a copy is served, whatever its user has here'
    assert curl(urls[0].decode())[0] == 200


def test_what_the_bucket_does_not_have_stays(run, s3):
    """Uploads from the time before the bucket never leave."""
    there = Box()
    box, daemon = run({'upload.s3': '', 'upload.quota': '440KiB'}, box=there)
    data = [secrets.token_bytes(BIG) for _ in range(3)]
    kept = [post(box.address(), d)[2].decode() for d in data]
    daemon.stop()
    box, daemon = run({'upload.quota': '440KiB'}, box=there)
    for n in range(3):
        assert post(box.address(), secrets.token_bytes(BIG))[0] == 200
        assert [curl(url)[2] for url in kept] == data
    assert daemon.metric('inset_box_evicted_total') == 2
    assert post(box.address(), secrets.token_bytes(2 * BIG))[0] == 507
    assert [curl(url)[2] for url in kept] == data
    assert post(box.address(), data[0])[0] == 200       # the same bytes, with the bucket now
    for n in range(2):
        assert post(box.address(), secrets.token_bytes(BIG))[0] in (200, 507)
    assert [curl(url)[2] for url in kept] == data


# --- many at a time -----------------------------------------------------------------------------

def test_one_download_for_all_who_want_it(run, s3):
    one, _ = run()
    two, daemon = run()
    data = secrets.token_bytes(1 << 20)
    url = elsewhere(post(one.address(), data)[2], two)
    gate = threading.Event()
    s3.log.clear()
    s3.fault = lambda method, key: gate if key[0] == 'c' else None
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        jobs = [pool.submit(curl, url) for _ in range(16)]
        wait_for(lambda: len(s3.log) == 2, 'the bucket is asked', process=daemon.process)
        gate.set()
        assert {job.result()[::2] for job in jobs} == {(200, data)}
    assert [path[8] for _, path, _ in s3.log] == ['m', 'c']
    # And when it fails, for all.
    url = elsewhere(post(one.address(), data)[2], two)
    gate.clear()
    s3.fault = lambda method, key: (gate.wait(60), 500)[1] if key[0] == 'c' else None
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(curl, url) for _ in range(4)]
        wait_for(lambda: s3.log[-1][1][8] == 'c', 'the bucket is asked', process=daemon.process)
        gate.set()
        assert {job.result()[0] for job in jobs} == {503}


def test_no_more_requests_than_allowed(run, s3):
    box, daemon = run({'upload.s3-concurrent': 3})
    gate = threading.Event()
    s3.fault = lambda method, key: gate if method == 'PUT' and key[0] == 'c' else None
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        jobs = [pool.submit(post, box.address(), b'%d' % n) for n in range(12)]
        wait_for(lambda: len([1 for method, path, _ in s3.log if method == 'PUT']) == 3, 'three are under way',
                 process=daemon.process)
        wait_for(lambda: len([name for name in names(box) if name[0] == 't']) == 12, 'all have arrived', process=daemon.process)
        gate.set()
        assert {job.result()[0] for job in jobs} == {200}
    assert s3.peak == 3


# --- https --------------------------------------------------------------------------------------

@pytest.fixture
def secure(tmp_path):
    authority = Authority(tmp_path)
    there = S3(certificate=authority.issue('localhost'))
    yield there, authority
    there.stop()


def test_a_bucket_behind_an_authority_of_our_own(run, s3, secure):
    safe, authority = secure
    options = {'upload.s3': safe.url, 'upload.s3-ca-file': str(authority.file)}
    one, _ = run(options)
    two, _ = run(options)
    data = secrets.token_bytes(300000)
    status, _, url = post(one.address(), data)
    assert status == 200 and curl(elsewhere(url, two))[2] == data
    assert len(safe.objects) == 2 and s3.log == []


@pytest.mark.parametrize('what', ['none', 'other', 'name'])
def test_a_bucket_that_is_not_who_it_should_be_gets_nothing(run, tmp_path, secure, what):
    safe, authority = secure
    (tmp_path / 'other').mkdir()
    other = Authority(tmp_path / 'other')
    options = {'upload.s3': safe.url, 'upload.s3-timeout': '7s'}
    if what == 'other':
        options['upload.s3-ca-file'] = str(other.file)
    if what == 'name':
        options |= {'upload.s3-ca-file': str(authority.file), 'upload.s3': safe.url.replace('localhost', '127.0.0.1')}
    box, daemon = run(options)
    status, _, body = post(box.address(), b'data')
    assert status == 503 and body.count(b'\n') == 1
    assert safe.log == [] and not names(box)


# --- media and thumbnails -----------------------------------------------------------------------

def behind_a_balancer(run, options=None):
    """Two machines under one address; each still answers at its own port."""
    one = run(options)
    return one, run({'upload.public-url': one[0].url} | (options or {}))


def through(daemon, upstream, url):
    """What the server gets of a message with this address."""
    session = Session(daemon.port, upstream)
    try:
        sent = picture(url)
        session.client.send(sent)
        return sent, session.server.until(b'</message>')
    finally:
        session.close()


def test_another_machines_picture_has_its_thumbnail(run, upstream, s3):
    """Never over HTTP from a box."""
    (one, _), (two, daemon) = behind_a_balancer(run)
    url = post(one.address(), pictures.png())[2].decode()
    check_thumbnail(*through(daemon, upstream, url))
    assert daemon.metric('inset_fetches_total') == daemon.metric('inset_box_downloads_total') == 0
    assert names(two, 'u'), 'and it is here now'
    # What has made room is loaded again as well.
    (two.state / 'box' / names(two, 'u')[0]).unlink()
    daemon.ctl('cache', 'clear')
    url = post(one.address(), pictures.png(seed=5))[2].decode()
    check_thumbnail(*through(daemon, upstream, url))


def test_thumbnails_by_their_address_on_all_machines(run, upstream, s3):
    (one, first), (two, second) = behind_a_balancer(run, {'profiles.default.formats': ['http']})
    url = post(one.address(), pictures.png())[2].decode()
    _, received = through(first, upstream, url)
    where = re.search(rb"<thumbnail[^>]*?uri=['\"][^'\"]*(/t/([0-9a-f]+)[^'\"]*)", received)
    path, key = where[1].decode(), 'p-' + where[2].decode()
    wait_for(lambda: key in s3.objects, 'the bucket has it', process=first.process)
    there = f'http://127.0.0.1:{two.port}'
    s3.fault = lambda method, name: 'garble' if name == key else None
    assert curl(there + path)[0] == 503 and not names(two, 'p')
    s3.fault = None
    status, headers, body = curl(there + path)
    assert status == 200 and hashlib.sha256(body).hexdigest() == key[2:] and headers['content-type'].startswith('image/')
    s3.log.clear()
    assert curl(there + path)[2] == body and s3.log == []
    assert curl(f'{there}/t/{"0" * 64}.jpg')[0] == 404
    # Its life counts from when it was put.
    s3.modified[key] = time.time() - 31 * 86400
    (two.state / 'box' / key).unlink()
    assert curl(there + path)[0] == 404


def test_thumbnails_that_are_over_are_deleted_by_who_put_them_last(run, upstream, s3):
    one, _ = behind_a_balancer(run, {'profiles.default.formats': ['http']})
    keys = []
    for seed in range(2):
        url = post(one[0].address(), pictures.png(seed=seed))[2].decode()
        received = through(one[1], upstream, url)[1]
        keys.append('p-' + re.search(rb"<thumbnail[^>]*?uri=['\"][^'\"]*/t/([0-9a-f]+)", received)[1].decode())
    wait_for(lambda: set(keys) <= set(s3.objects), 'the bucket has both', process=one[1].process)
    s3.modified[keys[0]] = time.time() - 40 * 86400
    one[1].stop()
    for name in keys:
        os.utime(one[0].state / 'box' / name, (0, time.time() - 2 * 86400))
    box, daemon = run(box=one[0])
    wait_for(lambda: keys[0] not in s3.objects and not names(box, 'pq'), 'it is deleted', process=daemon.process)
    assert keys[1] in s3.objects, 'another machine has put it anew'
