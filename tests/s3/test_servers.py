# SPDX-License-Identifier: MIT
"""Two boxes and one bucket of a real S3 server: Swift's s3api, which knows no conditional PUT, and Ceph's
radosgw, which does.
"""
import concurrent.futures
import hashlib
import secrets
import time

import pytest

from harness import pictures
from harness.box import Box, curl, post
from harness.insetd import Insetd
from harness.processes import wait_for
from harness.rawpeer import Session
from harness.stanzas import check_thumbnail, picture


@pytest.fixture
def run(tmp_path, upstream, bucket):
    """run(): one more machine: (Box, Insetd)."""
    made = []

    def make(options=None, box=None, pair=None):
        there = box or Box()
        daemon = Insetd(tmp_path, upstream.address, there.options | bucket.options(there.folder, pair) | (options or {}),
                        name=f'real{len(made)}')
        made.append((there, daemon))
        wait_for(lambda: daemon.metric('inset_processes{role="box"}') == 1, 'the box is up', process=daemon.process)
        return there, daemon
    yield make
    for _, daemon in made:
        daemon.stop()
    for there in {there for there, _ in made}:
        there.remove()


def elsewhere(url, box):
    return box.url + '/f/' + url.decode().split('/f/')[1]


def ours(bucket, url):
    ident = url.decode().split('/f/')[1].split('.')[0].split('/')[0]
    return [key for key in bucket.keys() if ident in key]


@pytest.mark.parametrize('size', [1, 4095, 65536, 1 << 20, (5 << 20) + 1, 10 << 20])
def test_put_get_and_ranges(run, bucket, size):
    (one, _), (two, daemon) = run(), run()
    data = secrets.token_bytes(size)
    status, _, url = post(one.address(), data)
    assert status == 200
    keys = ours(bucket, url)
    assert [key[0] for key in keys] == ['c', 'm'] and keys[0].endswith(hashlib.sha256(data).hexdigest())
    assert bucket.ask('GET', keys[0]) == (200, data)
    assert curl(elsewhere(url, two))[::2] == (200, data)
    assert curl('-H', 'Range: bytes=-1', elsewhere(url, two))[::2] == (206, data[-1:])
    assert daemon.metric('inset_box_s3_requests_total{result="failed"}') == 0
    assert curl(f'{two.url}/f/{"0" * 32}')[0] == 404


def test_one_token_one_file(run):
    (one, _), (two, _) = run(), run()
    ident = secrets.token_bytes(16)
    status, _, url = post(one.address(ident=ident), b'one')
    assert status == 200
    assert post(two.address(ident=ident), b'two')[0] == 409
    assert post(two.address(ident=ident), b'one')[0] == 200
    assert curl(elsewhere(url, two))[2] == b'one'


def test_two_at_the_same_time(run, bucket):
    """With conditions one of them has the address, on both machines; without, each machine keeps to what it said."""
    (one, _), (two, _) = run(), run()
    for _ in range(12):
        ident = secrets.token_bytes(16)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(post, box.address(ident=ident), data) for box, data in ((one, b'one'), (two, b'two'))]
            codes = [job.result()[0] for job in jobs]
        assert set(codes) <= {200, 409, 503} and 200 in codes
        served = [curl(f'{box.url}/f/{ident.hex()}')[2] for box in (one, two)]
        if bucket.conditional:
            assert codes.count(200) == 1 and served[0] == served[1] == (b'one', b'two')[codes.index(200)]
        else:
            assert all(text == want for code, text, want in zip(codes, served, (b'one', b'two')) if code == 200)


def test_the_answer_to_a_condition(bucket):
    """What the code relies on; a release that answers otherwise is to be noticed."""
    statuses = [bucket.ask('PUT', 'condition', b'x', {'if-none-match': '*'})[0] for _ in range(2)]
    assert statuses == ([200, 412] if bucket.conditional else [501, 501])


@pytest.mark.parametrize('who', ['wrong secret', 'wrong id', 'poor'])
def test_keys_that_may_not(run, bucket, who):
    good = bucket.pair
    pair = {'wrong secret': good[:-1] + 'X', 'wrong id': 'X' + good, 'poor': bucket.poor}[who]
    before = bucket.keys()
    box, daemon = run(pair=pair)
    status, _, body = post(box.address(), b'data')
    assert status == 503 and body.count(b'\n') == 1
    assert bucket.keys() == before
    assert not [name for name in box.store() if name[0] in 'mub']
    assert good[-8:] not in daemon.log()


def test_a_bucket_that_is_not_there(run, bucket):
    box, _ = run({'upload.s3': bucket.url + '-none'})
    assert post(box.address(), b'data')[0] == 503
    assert curl(f'{box.url}/f/{"0" * 32}')[0] in (404, 503)


def test_the_server_away_and_back(run, bucket):
    box, _ = run({'upload.s3-timeout': '2s'})
    kept = post(box.address(), b'kept')[2].decode()
    address = box.address()
    bucket.pause()
    try:
        assert post(address, b'data')[0] == 503
        assert curl(kept)[2] == b'kept'
        assert curl(f'{box.url}/f/{"0" * 32}')[0] == 503
    finally:
        bucket.go_on()
    wait_for(lambda: post(address, b'data')[0] == 200, 'it goes on')


def test_what_is_over_is_deleted(run, bucket):
    box, daemon = run()
    url = post(box.address(), b'data')[2]
    stays = post(box.address(), b'stays')[2]
    assert len(ours(bucket, url)) == 2
    daemon.stop()
    path = box.state / 'box' / ours(bucket, url)[1]
    lines = path.read_text().split('\n')
    lines[4] = str(int(time.time()) - 2 * 86400)
    path.write_text('\n'.join(lines))
    run(box=box)
    wait_for(lambda: not ours(bucket, url) and not [name for name in box.store() if name[0] == 'g'], 'it is deleted')
    assert len(ours(bucket, stays)) == 2


def test_what_made_room_is_loaded_again(run):
    box, daemon = run({'upload.quota': '2MiB'})
    data = [secrets.token_bytes(500 << 10) for _ in range(8)]
    urls = [post(box.address(), d)[2].decode() for d in data]
    assert daemon.metric('inset_box_evicted_total') >= 4
    for url, want in zip(urls, data):
        assert curl(url)[::2] == (200, want)


def test_many_at_a_time(run):
    (one, _), (two, _) = run(), run()

    def go(n):
        data = secrets.token_bytes(1000 + n * 5000)
        status, _, url = post(one.address(user=f'u{n}@localhost'), data, 'application/octet-stream')
        return status == 200 and curl(elsewhere(url, two))[2] == data
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(go, range(64)))


def test_another_machines_picture_has_its_thumbnail(run, upstream):
    one, _ = run()
    _, daemon = run({'upload.public-url': one.url})
    url = post(one.address(), pictures.png())[2].decode()
    session = Session(daemon.port, upstream)
    try:
        sent = picture(url)
        session.client.send(sent)
        check_thumbnail(sent, session.server.until(b'</message>'))
    finally:
        session.close()
    assert daemon.metric('inset_fetches_total') == 0
