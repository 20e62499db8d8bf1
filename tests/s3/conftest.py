# SPDX-License-Identifier: MIT
"""Fixtures of the tests with real S3 servers: `./quickstart check-s3`."""
import os
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / 'integration')]

from harness import processes                                   # noqa: E402
from harness.rawpeer import Upstream                            # noqa: E402

from ceph import Ceph                                           # noqa: E402
from swift import Swift                                         # noqa: E402

processes.adopt_orphans()


@pytest.fixture(autouse=True, scope='session')
def nothing_left_at_the_end():
    yield
    left = processes.end_strays()
    assert not left, f'still running after all tests: {left}'


@pytest.fixture(scope='session', params=[Swift, Ceph], ids=['swift', 'ceph'])
def bucket(request, tmp_path_factory):
    there = request.param(tmp_path_factory.mktemp(request.param.name))
    yield there
    there.stop()


@pytest.fixture(scope='session')
def upstream():
    server = Upstream()
    yield server
    server.close()
