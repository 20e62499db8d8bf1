# SPDX-License-Identifier: MIT
"""Several boxes, one bucket: a double that verifies signatures, two daemons, faults, crashes."""
import concurrent.futures
import hashlib
import os
import re
import secrets
import signal

import pytest

from harness import pictures
from harness.box import Box, curl, post
from harness.insetd import Insetd
from harness.processes import wait_for
from harness.s3 import KEY_ID, KEY_SECRET, S3, signature


@pytest.fixture
def s3():
    there = S3()
    yield there
    there.stop()


@pytest.fixture
def run(tmp_path, upstream, s3):
    """run(): one more machine: (Box, Insetd)."""
    made = []

    def make(options=None, **kwargs):
        there = Box()
        daemon = Insetd(tmp_path, upstream.address, there.options | s3.options(there.folder, **kwargs) | (options or {}),
                        name=f's3{len(made)}')
        made.append((there, daemon))
        wait_for(lambda: daemon.metric('inset_processes{role="box"}') == 1, 'the box is up', process=daemon.process)
        return there, daemon
    yield make
    s3.released.set()
    for _, daemon in made:
        daemon.stop()
    for there, _ in made:
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
    assert KEY_SECRET not in first.log() + second.log()


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
@pytest.mark.parametrize('fault', [500, 503, 403, 301, 'close', 'stall'])
def test_nothing_is_acknowledged_that_is_not_in_the_bucket(run, s3, step, fault):
    box, daemon = run({'upload.s3-timeout': '1s'})
    kept = post(box.address(), b'kept')[2]
    before = names(box)
    want = {'look': ('GET', 'm'), 'content': ('PUT', 'c'), 'facts': ('PUT', 'm')}[step]
    s3.fault = lambda method, key: fault if (method, key[0]) == want else None
    address = box.address()
    status, _, body = post(address, b'data')
    assert status == 503 and body.count(b'\n') == 1
    assert names(box) == before
    assert curl(kept.decode())[2] == b'kept', 'what is here is served'
    assert daemon.metric('inset_box_s3_requests_total{result="failed"}') >= 1
    s3.fault = None
    status, _, url = post(address, b'data')
    assert status == 200 and curl(url.decode())[2] == b'data'


@pytest.mark.parametrize('key', ['m', 'c'])
@pytest.mark.parametrize('fault', [500, 404, 'close', 'stall', 'truncate', 'garble'])
def test_what_the_bucket_does_not_give_whole_is_not_served(run, s3, key, fault):
    one, _ = run()
    two, _ = run({'upload.s3-timeout': '1s'})
    data = secrets.token_bytes(100000)
    url = elsewhere(post(one.address(), data)[2], two)
    s3.fault = lambda method, name: fault if name[0] == key else None
    assert curl(url)[0] == (404 if (key, fault) == ('m', 404) else 503)
    assert not names(two)
    s3.fault = None
    assert curl(url)[::2] == (200, data)


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
    box, daemon = run({'upload.s3-timeout': '7s'})
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


@pytest.mark.parametrize('pair', ['', 'id', ':secret', 'id:', 'id:se cret', 'id:secret\nmore', 'id:' + 'x' * 600])
def test_a_key_that_is_none_is_named_but_not_shown(tmp_path, upstream, s3, pair):
    box = Box()
    try:
        daemon = Insetd(tmp_path, upstream.address, box.options | s3.options(box.folder, pair), wait=False)
        assert daemon.process.wait() == 1
        assert 'one line id:secret' in daemon.log() and 'id:se c' not in daemon.log()
    finally:
        box.remove()
