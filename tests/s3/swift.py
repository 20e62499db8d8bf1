# SPDX-License-Identifier: MIT
"""OpenStack Swift with its S3 interface (middleware s3api), on free ports, in a folder of its own, one replica."""
import getpass
import os
import subprocess
import sys

from harness.processes import Process, free_port, wait_for

from bucket import Bucket, answers

RINGS = '''
import sys
from swift.common.ring import RingBuilder
for name, port in zip(sys.argv[2::2], sys.argv[3::2]):
    builder = RingBuilder(4, 1, 0)
    builder.add_dev({'id': 0, 'region': 1, 'zone': 1, 'ip': '127.0.0.1', 'port': int(port), 'device': 'd1', 'weight': 1,
                     'replication_ip': '127.0.0.1', 'replication_port': int(port), 'meta': ''})
    builder.rebalance()
    builder.get_ring().save(f'{sys.argv[1]}/{name}.ring.gz')
'''

COMMON = '''[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {folder}
devices = {folder}/node
mount_check = false
workers = 0
log_address = {folder}/no-syslog
fallocate_reserve = 0
disable_fallocate = true
'''

BACKEND = COMMON + '''[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
'''

PROXY = COMMON + '''[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats s3api tempauth copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
user_test_reader = {secret}
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
'''


class Swift(Bucket):
    name, conditional = 'swift', False
    # Its ids have a colon.
    pair = 'test:tester\nsecret/of+swift'
    poor = 'test:reader\nsecret/of+swift'

    def __init__(self, folder):
        ports = {name: free_port() for name in ('account', 'container', 'object', 'proxy')}
        memcached = free_port()
        (folder / 'node' / 'd1').mkdir(parents=True)
        subprocess.run([sys.executable, '-c', RINGS, folder,
                        *(str(word) for name in ('account', 'container', 'object') for word in (name, ports[name]))],
                       check=True, timeout=60)
        self.processes = [Process(['/usr/bin/memcached', '-l', '127.0.0.1', '-p', str(memcached), '-U', '0', '-m', '16',
                                   *(['-u', 'nobody'] if os.getuid() == 0 else [])], folder, 'memcached')]
        for name, port in ports.items():
            text = PROXY if name == 'proxy' else BACKEND
            if name == 'proxy':
                for part in ('s3api', 'catch_errors', 'gatekeeper', 'listing_formats', 'copy', 'slo', 'dlo'):
                    text += f'[filter:{part}]\nuse = egg:swift#{part}\n'
            conf = folder / f'{name}-server.conf'
            conf.write_text(text.format(name=name, port=port, folder=folder, user=getpass.getuser(), memcached=memcached,
                                        secret=self.pair.split('\n')[1]))
            self.processes.append(Process([f'/usr/bin/swift-{name}-server', conf], folder, f'swift-{name}'))
        self.front = self.processes[-1]
        for name, port in ports.items():
            wait_for(lambda port=port: answers(port), f'{name}-server listens', 60, self.front)
        super().__init__(ports['proxy'])
