# SPDX-License-Identifier: MIT
"""Fixtures of the tests with real clients that draw: `./quickstart check-clients`.

alice sends a line, a picture and another line; bob's client shows them. Once alice talks to the server
without inset, and once through it with each profile: what stands on the screen must be the same.
Pictures of the screen are kept in build/clients/shots/.
"""
import os
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / 'integration')]

import namespace                                                # noqa: E402

namespace.enter()                                               # before anything is started

from harness import processes                                   # noqa: E402
from harness.certs import Authority                             # noqa: E402
from harness.media import MediaHost                             # noqa: E402

processes.adopt_orphans()


@pytest.fixture(autouse=True, scope='session')
def nothing_left_at_the_end():
    yield
    left = processes.end_strays()
    assert not left, f'still running after all tests: {left}'


@pytest.fixture(autouse=True)
def nothing_left_behind():
    before = processes.children(os.getpid())
    yield
    left = processes.end_strays(before)
    assert not left, f'still running after the test: {left}'


@pytest.fixture(scope='session')
def authority(tmp_path_factory):
    """One that every program in here trusts."""
    folder = tmp_path_factory.mktemp('authority')
    made = Authority(folder)
    namespace.trust(str(folder), str(made.file))
    return made


@pytest.fixture(scope='module')
def media():
    host = MediaHost()
    yield host
    host.stop()
