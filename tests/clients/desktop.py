# SPDX-License-Identifier: MIT
"""A screen of its own (Xvfb) and the desktop clients of Debian on it: Dino and Gajim, as bob.

A client is run once to make its files, then gets its account, and every run has a fresh copy of
them. What stands on the screen is waited for, by its colours.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from harness.processes import Failure, Process, cmdline, descendants, wait_for

WIDTH, HEIGHT = 1000, 720


class Screen:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.server = Process(['Xvfb', '-displayfd', '1', '-screen', '0', f'{WIDTH}x{HEIGHT}x24', '-nolisten', 'tcp',
                               '-noreset'], folder, 'xvfb')
        try:
            number = wait_for(lambda: re.search(r'^(\d+)$', self.server.output(), re.M), 'Xvfb is up', process=self.server)[1]
        except Failure:
            self.server.stop()
            raise
        self.name = f':{number}'
        self.env = dict(os.environ, DISPLAY=self.name, LANG='C.UTF-8', HOME=str(folder))
        self.manager = Process(['openbox'], folder, 'openbox', env=self.env)

    def tool(self, *args):
        return subprocess.run([str(a) for a in args], env=self.env, capture_output=True, text=True, timeout=30, check=False)

    def click(self, x, y):
        self.tool('xdotool', 'mousemove', x, y, 'click', 1)

    def shot(self):
        """What stands on the screen now."""
        path = self.folder / 'now.png'
        path.unlink(missing_ok=True)
        self.tool('scrot', '-o', path)
        with Image.open(path) as image:
            return image.convert('RGB')

    def stop(self):
        self.manager.stop()
        self.server.stop()


class Client:
    """A program on the screen. Subclasses know how it is started and given an account."""
    program = None

    def __init__(self, screen, home):
        self.screen, self.home = screen, Path(home)
        self.process = None

    def environment(self):
        h = self.home
        for name in ('share', 'config', 'cache', 'run'):
            (h / name).mkdir(parents=True, exist_ok=True)
        (h / 'run').chmod(0o700)
        return {'PATH': '/usr/bin:/bin', 'LANG': 'C.UTF-8', 'DISPLAY': self.screen.name, 'HOME': str(h),
                'XDG_DATA_HOME': str(h / 'share'), 'XDG_CONFIG_HOME': str(h / 'config'),
                'XDG_CACHE_HOME': str(h / 'cache'), 'XDG_RUNTIME_DIR': str(h / 'run'), 'GDK_BACKEND': 'x11',
                'GSK_RENDERER': 'cairo', 'GSETTINGS_BACKEND': 'memory', 'GTK_A11Y': 'none', 'NO_AT_BRIDGE': '1'}

    def command(self):
        return ['dbus-run-session', '--', self.program]

    def start(self):
        env = self.environment()
        self.process = Process(self.command(), self.screen.folder, self.program, env=env)

    def stop(self):
        """Ends the program; its message bus ends by that, and what that had started is ended here."""
        below = descendants(self.process.pid)
        mine = [pid for pid in below if f'bin/{self.program}' in cmdline(pid) or cmdline(pid) == self.program]
        for pid in mine:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            for pid in mine:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait(10)
        for pid in below:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def first_run(self):
        """The program makes its files."""
        self.start()
        try:
            wait_for(self.has_files, f'{self.program} has made its files', 60, self.process)
        finally:
            self.stop()


class Dino(Client):
    """Connects to localhost:5222 with STARTTLS and a certificate that the system trusts."""
    program = 'dino-im'

    @property
    def database(self):
        return self.home / 'share' / 'dino' / 'dino.db'

    def has_files(self):
        if not self.database.exists():
            return False
        with contextlib.closing(sqlite3.connect(self.database)) as db, contextlib.suppress(sqlite3.Error):
            tables = {row[0] for row in db.execute('select name from sqlite_master')}
            return {'account', 'settings', 'conversation', 'message', 'file_transfer'} <= tables
        return False

    def seed(self, _port):
        with contextlib.closing(sqlite3.connect(self.database)) as db:
            db.execute('insert into account(bare_jid, resourcepart, password, enabled, mam_earliest_synced) '
                       "values('bob@localhost', 'dino', 'bobpw', 1, 0)")
            db.commit()


class Gajim(Client):
    """Takes any host and port; refuses to be root, and is nobody then."""
    program = 'gajim'

    def environment(self):
        env = super().environment()
        for name in ('XDG_DATA_HOME', 'XDG_CONFIG_HOME', 'XDG_CACHE_HOME'):
            del env[name]
        if os.getuid() == 0:
            subprocess.run(['chown', '-R', 'nobody:nogroup', self.home], check=True, timeout=30)
        return env

    def command(self):
        drop = ['setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups'] if os.getuid() == 0 else []
        return [*drop, *super().command(), '--separate']

    @property
    def database(self):
        return self.home / '.config' / 'gajim' / 'settings.sqlite'

    def has_files(self):
        if not self.database.exists():
            return False
        with contextlib.closing(sqlite3.connect(self.database)) as db, contextlib.suppress(sqlite3.Error):
            return db.execute("select count(*) from settings where name = 'app'").fetchone()[0] == 1
        return False

    def seed(self, port):
        account = {
            'name': 'bob', 'account_label': 'bob', 'address': 'bob@localhost', 'hostname': 'localhost', 'resource': 'gajim',
            'password': 'bobpw', 'savepass': True, 'active': True, 'autoconnect': True, 'autoconnect_as': 'online',
            'use_custom_host': True, 'custom_host': '127.0.0.1', 'custom_port': port, 'custom_type': 'PLAIN',
            'confirm_unencrypted_connection': False,
        }
        with contextlib.closing(sqlite3.connect(self.database)) as db:
            db.execute('delete from account_settings')
            db.execute('insert into account_settings values(?, ?)',
                       ('bob', json.dumps({'account': account, 'contact': {}, 'group_chat': {}})))
            app = json.loads(db.execute("select settings from settings where name = 'app'").fetchone()[0])
            app.update(use_keyring=False, preview_allow_all_images=True, check_for_update=False, preview_verify_https=False)
            db.execute("update settings set settings = ? where name = 'app'", (json.dumps(app),))
            db.commit()


@contextlib.contextmanager
def open_home():
    """A folder that nobody can reach into, too."""
    home = tempfile.mkdtemp(prefix='inset-clients-')
    os.chmod(home, 0o755)
    try:
        yield Path(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
