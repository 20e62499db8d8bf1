# SPDX-License-Identifier: MIT
"""Ceph's radosgw with one monitor and one store in memory, on free ports, in a folder of its own."""
import json
import os
import subprocess
import uuid

from harness.processes import Process, free_port, wait_for

from bucket import Bucket, answers

CONF = '''[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{monitor}
public network = 127.0.0.0/8
public addr = 127.0.0.1
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd crush chooseleaf type = 0
mon max pg per osd = 1000
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
run dir = {folder}/run
admin socket = {folder}/run/$name.$pid.asok
log file = {folder}/$name.log
pid file =
ms bind port min = 20000
ms bind port max = 32000
mon data avail crit = 1
mon data avail warn = 1
keyring = {folder}/keyring
[mon.a]
mon data = {folder}/mon
[osd.0]
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd class load list = *
osd class default list = *
[client]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {folder}/rgw
rgw run sync thread = false
rgw enable gc threads = false
rgw enable lc threads = false
rgw dynamic resharding = false
'''


class Ceph(Bucket):
    name, conditional = 'ceph', True
    pair, poor = 'AKIDEXAMPLE:secret/of+ceph', 'AKIDPOOR:secret/of+ceph'

    def __init__(self, folder):
        self.conf, port, monitor, fsid = folder / 'ceph.conf', free_port(), free_port(), str(uuid.uuid4())
        self.folder = folder
        for name in ('mon', 'osd', 'rgw', 'run'):
            (folder / name).mkdir()
        self.conf.write_text(CONF.format(fsid=fsid, monitor=monitor, port=port, folder=folder))
        self.processes = []
        self.call('ceph-authtool', '--create-keyring', folder / 'keyring', '--gen-key', '-n', 'mon.', '--cap', 'mon', 'allow *')
        self.call('ceph-authtool', folder / 'keyring', '--gen-key', '-n', 'client.admin', '--cap', 'mon', 'allow *',
                  '--cap', 'osd', 'allow *')
        self.call('ceph-authtool', folder / 'keyring', '--gen-key', '-n', 'osd.0', '--cap', 'mon', 'allow profile osd', '--cap', 'osd',
                  'allow *')
        self.call('monmaptool', '--create', '--fsid', fsid, '--addv', 'a', f'[v2:127.0.0.1:{monitor}]', folder / 'monmap')
        self.call('ceph-mon', '--mkfs', '-i', 'a', '--monmap', folder / 'monmap', '--keyring', folder / 'keyring')
        self.run('mon', 'ceph-mon', '-i', 'a', '-f')
        osd = str(uuid.uuid4())
        self.call('ceph', '--connect-timeout', '30', 'osd', 'new', osd)
        self.call('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', osd)
        self.run('osd', 'ceph-osd', '-i', '0', '-f')
        wait_for(lambda: json.loads(self.call('ceph', 'osd', 'stat', '-f', 'json'))['num_up_osds'] == 1, 'the store is up', 60)
        for pair in (self.pair, self.poor):
            ident, secret = pair.split(':')
            self.call('radosgw-admin', 'user', 'create', f'--uid={ident}', '--display-name=x', f'--access-key={ident}',
                      f'--secret={secret}')
        self.front = self.run('rgw', 'radosgw', '-n', 'client.admin', '-f')
        wait_for(lambda: answers(port), 'radosgw listens', 60, self.front)
        super().__init__(port)

    def call(self, program, *args):
        done = subprocess.run([program, *(['-c', self.conf] if 'tool' not in program else []), *args], capture_output=True,
                              timeout=90, check=False, cwd=self.folder, env=dict(os.environ, CEPH_CONF=str(self.conf)))
        assert done.returncode == 0, (program, args, done.stderr[-2000:])
        return done.stdout

    def run(self, name, program, *args):
        self.processes.append(Process([program, '-c', self.conf, *args], self.folder, f'ceph-{name}'))
        return self.processes[-1]
