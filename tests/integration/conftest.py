# SPDX-License-Identifier: MIT
"""Fixtures of the integration tests.

Everything runs on free loopback ports and in temporary folders and is stopped by pid. A test
that leaves a process behind fails, whoever left it.
"""
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import processes                                   # noqa: E402
from harness.ejabberd import Ejabberd                           # noqa: E402
from harness.insetd import BUILD, Insetd                        # noqa: E402
from harness.media import MediaHost                             # noqa: E402
from harness.prosody import Prosody                             # noqa: E402
from harness.rawpeer import Session, Upstream                   # noqa: E402

processes.adopt_orphans()
os.environ['builddir'] = str(BUILD)


@pytest.fixture(autouse=True, scope='session')
def nothing_left_at_the_end():
    yield
    left = processes.end_strays()
    assert not left, f'still running after all tests: {left}'


@pytest.fixture(autouse=True)
def nothing_left_behind():
    before = processes.children(os.getpid())    # what wider fixtures started
    yield
    left = processes.end_strays(before)
    assert not left, f'still running after the test: {left}'


@pytest.fixture(scope='module')
def upstream():
    """A scripted server's listening socket."""
    up = Upstream()
    yield up
    up.close()


@pytest.fixture(scope='module')
def media():
    """A web server whose origin the configuration exempts from the address guard."""
    host = MediaHost()
    yield host
    host.stop()


@pytest.fixture(scope='module')
def inset(tmp_path_factory, upstream, media):
    """insetd between raw peers; shared by a module's tests."""
    daemon = Insetd(tmp_path_factory.mktemp('inset'), upstream.address, {'fetch.allow-origin': [media.origin]})
    yield daemon
    daemon.stop()


@pytest.fixture
def session(inset, upstream):
    """A logged-in session between raw peers through the shared insetd."""
    pair = Session(inset.port, upstream)
    yield pair
    pair.close()


@pytest.fixture
def start(tmp_path, upstream, media):
    """start({...}): an insetd of the test's own, with these options, to the scripted server."""
    started = []

    def make(options=None, to=None, **kwargs):
        daemon = Insetd(tmp_path, to or upstream.address, {'fetch.allow-origin': [media.origin]} | (options or {}),
                        name=f'insetd{len(started)}', **kwargs)
        started.append(daemon)
        return daemon
    yield make
    for daemon in started:
        daemon.stop()


@pytest.fixture(scope='module')
def prosody(tmp_path_factory):
    """A real Prosody with a file share."""
    server = Prosody(tmp_path_factory.mktemp('prosody'))
    yield server
    server.stop()


@pytest.fixture(scope='module')
def ejabberd(tmp_path_factory):
    """A real ejabberd with a file share."""
    server = Ejabberd(tmp_path_factory.mktemp('ejabberd'))
    yield server
    server.stop()


@pytest.fixture(scope='module')
def front(tmp_path_factory, prosody, media):
    """insetd in front of the real Prosody."""
    daemon = Insetd(tmp_path_factory.mktemp('front'), prosody.upstream,
                    {'fetch.allow-origin': [prosody.origin, media.origin]})
    yield daemon
    daemon.stop()
