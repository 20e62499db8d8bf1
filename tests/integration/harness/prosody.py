# SPDX-License-Identifier: MIT
"""A real server: Prosody 0.12 on loopback, with a file share and rooms, without federation if not
asked for.

Behind inset it is configured by data/servers/prosody.cfg.lua. All its state is in one folder.
Accounts are files with a clear password, which Prosody hashes at the first login; everybody has
everybody in the roster. `modules` and `options` (text) are added to its configuration.
"""
import os
import re
from pathlib import Path

from .processes import Process, free_port, listening, wait_for

BEHIND_INSET = Path(__file__).resolve().parents[3] / 'data' / 'servers' / 'prosody.cfg.lua'

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
	"smacks"; "mam"; "csi"; "dialback"; "offline"; "time"; "version"; "stanza_debug"; {modules}
}}
{options}
certificates = "{folder}/data"
https_ports = {{ }}
http_default_host = "localhost"

VirtualHost "{domain}"
	http_host = "localhost"

Component "conference.{domain}" "muc"
	modules_enabled = {{ "muc_mam" }}
	restrict_room_creation = false
	muc_room_locking = false
'''

UPLOAD = '''
Component "upload.{domain}" "http_file_share"
	http_host = "localhost"
	http_file_share_size_limit = 20 * 1024 * 1024
	http_file_share_safe_file_types = {{ "image/*" }}
	http_external_url = "http://{http_name}:{http_port}/"
'''

ALONE = '''
modules_disabled = { "s2s"; "s2s_auth_certs"; "dialback"; "tls" }
'''

# Federation in the clear, by dialback (XEP-0220). A domain that is an address needs no name server.
FEDERATED = '''
modules_disabled = {{ "s2s_auth_certs"; "tls" }}
s2s_ports = {{ {s2s[1]} }}
s2s_interfaces = {{ "{s2s[0]}" }}
s2s_require_encryption = false
s2s_secure_auth = false
'''

# Only where it is used: what asks an absent one for its features waits.
COMPONENT = '''
Component "robot.localhost"
	component_secret = "secret"
'''


class Prosody:
    def __init__(self, folder, users=('alice', 'bob', 'carol'), http_name='localhost', component=False, domain='localhost',
                 s2s=None, modules=(), options='', behind=None, upload=True):
        """upload: a service of the server's own. s2s: address and port for other servers. behind: text in place of data/servers/prosody.cfg.lua."""
        self.folder, self.domain = Path(folder), domain
        self.port, self.http_port, self.component_port = free_port(), free_port(), free_port()
        self.origin = f'http://{http_name}:{self.http_port}'
        self._people(users)
        ports = {'15222': self.port, '15280': self.http_port, '15347': self.component_port}
        behind = re.sub(r'(?<=_ports = { )\d+', lambda found: str(ports[found[0]]),
                        behind or BEHIND_INSET.read_text())
        rest = (CONF + (UPLOAD if upload else '')).format(folder=self.folder, http_port=self.http_port, http_name=http_name, domain=domain,
                           options=options, modules=' '.join(f'"{name}";' for name in modules))
        conf = self.folder / 'prosody.cfg.lua'
        conf.write_text(behind + (FEDERATED.format(s2s=s2s) if s2s else ALONE) + rest + (COMPONENT if component else ''))
        self.process = Process(['prosody', '--config', conf, '-F'], self.folder, 'prosody-out',
                               env=dict(os.environ, HOME=str(self.folder)))
        wait_for(lambda: listening(self.port) and listening(self.http_port), 'Prosody accepts', process=self.process)

    def _people(self, users):
        stored = self.folder / 'data' / self.domain.replace('.', '%2e')
        (stored / 'accounts').mkdir(parents=True)
        (stored / 'roster').mkdir()
        for user in users:
            (stored / 'accounts' / f'{user}.dat').write_text(f'return {{ ["password"] = "{user}pw" }};\n')
            contacts = ''.join(f'["{u}@{self.domain}"] = {{ ["subscription"] = "both"; ["groups"] = {{ }}; }};\n'
                               for u in users if u != user)
            (stored / 'roster' / f'{user}.dat').write_text(f'return {{ [false] = {{ ["version"] = 1 }};\n{contacts} }};\n')

    @property
    def upstream(self):
        return f'127.0.0.1:{self.port}'

    def log_size(self):
        return (self.folder / 'prosody.log').stat().st_size

    def log(self):
        return (self.folder / 'prosody.log').read_text(errors='replace')

    def stop(self):
        self.process.stop()
