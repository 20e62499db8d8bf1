# SPDX-License-Identifier: MIT
"""A real server: Prosody 0.12 on loopback, without federation, with a file share and rooms.

All its state is in one folder. Accounts are files with a clear password, which Prosody hashes
at the first login; everybody has everybody in the roster.
"""
import os
from pathlib import Path

from .processes import Process, free_port, listening, wait_for

CONF = '''
run_as_root = true
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
plugin_paths = {{ }}
interfaces = {{ "127.0.0.1" }}
local_interfaces = {{ "127.0.0.1" }}
network_backend = "epoll"
network_settings = {{ nagle = false; tcp_backlog = 1024 }}
log = {{ debug = "{folder}/prosody.log" }}
storage = "internal"
smacks_max_queue_size = 10000
authentication = "internal_hashed"
modules_enabled = {{
	"roster"; "saslauth"; "disco"; "ping"; "posix"; "private"; "vcard4"; "pep"; "blocklist"; "carbons";
	"smacks"; "mam"; "csi"; "offline"; "time"; "version"; "stanza_debug";
}}
modules_disabled = {{ "s2s"; "s2s_auth_certs"; "dialback"; "tls" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
certificates = "{folder}/data"
component_ports = {{ {component_port} }}
component_interfaces = {{ "127.0.0.1" }}
http_ports = {{ {http_port} }}
https_ports = {{ }}
http_interfaces = {{ "127.0.0.1" }}
http_default_host = "localhost"

VirtualHost "localhost"
	http_host = "localhost"

Component "conference.localhost" "muc"
	modules_enabled = {{ "muc_mam" }}
	restrict_room_creation = false
	muc_room_locking = false

Component "upload.localhost" "http_file_share"
	http_host = "localhost"
	http_file_share_size_limit = 20 * 1024 * 1024
	http_file_share_safe_file_types = {{ "image/*" }}
	http_external_url = "http://{http_name}:{http_port}/"
'''

# Only where it is used: what asks an absent one for its features waits.
COMPONENT = '''
Component "robot.localhost"
	component_secret = "secret"
'''


class Prosody:
    def __init__(self, folder, users=('alice', 'bob', 'carol'), http_name='localhost', component=False):
        self.folder = Path(folder)
        self.port, self.http_port, self.component_port = free_port(), free_port(), free_port()
        self.origin = f'http://{http_name}:{self.http_port}'
        accounts = self.folder / 'data' / 'localhost' / 'accounts'
        rosters = self.folder / 'data' / 'localhost' / 'roster'
        accounts.mkdir(parents=True)
        rosters.mkdir(parents=True)
        for user in users:
            (accounts / f'{user}.dat').write_text(f'return {{ ["password"] = "{user}pw" }};\n')
            contacts = ''.join(f'["{u}@localhost"] = {{ ["subscription"] = "both"; ["groups"] = {{ }}; }};\n'
                               for u in users if u != user)
            (rosters / f'{user}.dat').write_text(f'return {{ [false] = {{ ["version"] = 1 }};\n{contacts} }};\n')
        conf = self.folder / 'prosody.cfg.lua'
        conf.write_text(CONF.format(folder=self.folder, port=self.port, http_port=self.http_port, component_port=self.component_port,
                                    http_name=http_name) + (COMPONENT if component else ''))
        self.process = Process(['prosody', '--config', conf, '-F'], self.folder, 'prosody-out',
                               env=dict(os.environ, HOME=str(self.folder)))
        wait_for(lambda: listening(self.port) and listening(self.http_port), 'Prosody accepts', process=self.process)

    @property
    def upstream(self):
        return f'127.0.0.1:{self.port}'

    def log_size(self):
        return (self.folder / 'prosody.log').stat().st_size

    def log(self):
        return (self.folder / 'prosody.log').read_text(errors='replace')

    def stop(self):
        self.process.stop()
