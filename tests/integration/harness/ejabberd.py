# SPDX-License-Identifier: MIT
"""A real server: ejabberd 23.01 on loopback, without federation, with a file share and rooms.

The listeners are those of data/servers/ejabberd.yml. All its state is in one folder. It runs as
the current user and without ejabberdctl and epmd, which would stay behind: what a test wants of it
goes by its HTTP interface. Everybody has everybody in the roster.
"""
import glob
import json
import os
import re
import urllib.request
from pathlib import Path

from .processes import Process, free_port, listening, wait_for

LISTENERS = Path(__file__).resolve().parents[3] / 'data' / 'servers' / 'ejabberd.yml'

REST = '''
hosts: [localhost]
loglevel: info
acme: {{auto: false}}
auth_method: [internal]
auth_password_format: scram
disable_sasl_mechanisms: ["X-OAUTH2"]
s2s_access: none
language: en
registration_timeout: infinity
acl:
  loopback: {{ip: ["127.0.0.0/8"]}}
access_rules:
  c2s: {{allow: all}}
api_permissions:
  "loopback": {{from: [mod_http_api], who: [{{access: {{allow: [{{acl: loopback}}]}}}}], what: "*"}}
shaper_rules:
  soft_upload_quota: {{400: all}}
  hard_upload_quota: {{500: all}}
modules:
  mod_admin_extra: {{}}
  mod_blocking: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_disco: {{}}
  mod_http_api: {{}}
  mod_http_upload:
    docroot: "{folder}/upload"
    put_url: "http://{http_name}:{http_port}/upload"
    get_url: "http://{http_name}:{http_port}/upload"
    max_size: 20000000
    access: all
  mod_last: {{}}
  mod_mam: {{default: {archive}, assume_mam_usage: true}}
  mod_muc: {{default_room_options: {{mam: true}}}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_pubsub: {{plugins: [flat, pep]}}
  mod_roster: {{versioning: true}}
  mod_stream_mgmt: {{resend_on_timeout: if_offline, max_ack_queue: 10000, queue_type: ram}}
  mod_vcard: {{}}
  mod_version: {{}}
'''

# Names from the host's file and loopback only; no resolver is asked.
INETRC = '''{lookup,["file","native"]}.
{host,{127,0,0,1},["localhost"]}.
{file,resolv,"/dev/null"}.
'''


class Ejabberd:
    """Ports: `port` in the clear, `zlib_port` with compression, `proxy_port` with the PROXY protocol.

    listeners: text in place of data/servers/ejabberd.yml; must have the one with 15280.
    archive: False for tests with thousands of messages. Each one is searched for among all that
    the archive has of its owner (a dets bag): 10 ms of CPU for a message when it has a thousand.
    """

    def __init__(self, folder, users=('alice', 'bob', 'carol'), http_name='localhost', archive=True, listeners=None):
        self.folder = Path(folder)
        (self.port, self.zlib_port, self.proxy_port, self.component_port,
         self.http_port) = (free_port() for _ in range(5))
        self.origin = f'http://{http_name}:{self.http_port}'
        ports = {'15222': self.port, '15223': self.zlib_port, '15224': self.proxy_port,
                 '15347': self.component_port, '15280': self.http_port}
        listeners = listeners or LISTENERS.read_text()
        ports = {example: port for example, port in ports.items() if f'port: {example}' in listeners}
        listeners = re.sub(r'(?<=port: )\d+', lambda found: str(ports[found[0]]), listeners)
        conf, inetrc = self.folder / 'ejabberd.yml', self.folder / 'inetrc'
        conf.write_text(listeners + REST.format(folder=self.folder, http_name=http_name, http_port=self.http_port,
                                                archive='always' if archive else 'never'))
        inetrc.write_text(INETRC)
        for below in ('log', 'spool', 'upload'):
            (self.folder / below).mkdir()
        env = dict(os.environ, HOME=str(self.folder), ERL_CRASH_DUMP='/dev/null', ERL_INETRC=str(inetrc),
                   ERL_LIBS=os.path.dirname(glob.glob('/usr/lib/*/ejabberd-[0-9]*')[0]),
                   EJABBERD_CONFIG_PATH=str(conf), EJABBERD_LOG_PATH=str(self.folder / 'log' / 'ejabberd.log'))
        # No name: no distribution, so neither a port of it nor epmd. +sbwt: threads that wait do not spin.
        self.process = Process(['erl', '-noinput', '+K', 'true', '+S', '2', '+sbwt', 'none', '+sbwtdcpu', 'none',
                                '+sbwtdio', 'none', '-mnesia', 'dir', f'"{self.folder}/spool"', '-s', 'ejabberd'],
                               self.folder, 'ejabberd-out', env=env)
        try:
            wait_for(lambda: all(listening(port) for port in ports.values()), 'ejabberd accepts', 60, self.process)
            self._people(users)
        except BaseException:
            self.stop()
            raise

    def _people(self, users):
        for user in users:
            self.api('register', user=user, host='localhost', password=user + 'pw')
        for user in users:
            for other in users:
                if other != user:
                    self.api('add_rosteritem', localuser=user, localhost='localhost', user=other, host='localhost',
                             nick=other, group='', subs='both')

    def api(self, command, **arguments):
        """What `ejabberdctl COMMAND` does; returns its answer."""
        request = urllib.request.Request(f'http://127.0.0.1:{self.http_port}/api/{command}', json.dumps(arguments).encode(),
                                         {'Content-Type': 'application/json'})
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)

    def connected(self):
        """Full address: what ejabberd knows of that session (`ip`, `port`, `connection`, ...)."""
        return {session['jid']: session for session in self.api('connected_users_info')}

    @property
    def upstream(self):
        return f'127.0.0.1:{self.port}'

    def log_size(self):
        return (self.folder / 'log' / 'ejabberd.log').stat().st_size

    def log(self):
        return (self.folder / 'log' / 'ejabberd.log').read_text(errors='replace')

    def stop(self):
        self.process.stop()
