# SPDX-License-Identifier: MIT
"""slixmpp clients (Python, libexpat), in the clear unless told otherwise.

Used inside asyncio.run(); `raw` keeps the bytes as they came from the socket.
"""
import asyncio
import urllib.request

import slixmpp
from slixmpp.plugins.xep_0198.stanza import Resume

from .processes import PATIENCE

PLUGINS = ('xep_0030', 'xep_0045', 'xep_0066', 'xep_0199', 'xep_0363')


class Client(slixmpp.ClientXMPP):
    def __init__(self, user, port, resumption=False, tls='off', ca=None, domain='localhost'):
        super().__init__(f'{user}@{domain}/slix', user + 'pw')
        for plugin in PLUGINS + (('xep_0198',) if resumption else ()):
            self.register_plugin(plugin)
        self['feature_mechanisms'].unencrypted_plain = tls == 'off'
        self.tls, self.ca_certs = tls, ca
        self.port, self.raw, self.problem = port, b'', None
        self.messages = asyncio.Queue()
        self.presences = asyncio.Queue()
        self.ready, self.sm = asyncio.Event(), asyncio.Event()
        self.add_event_handler('session_start', self._on_start)
        self.add_event_handler('sm_enabled', lambda _: self.sm.set())
        self.add_event_handler('message', self.messages.put_nowait)
        self.add_event_handler('groupchat_message', self.messages.put_nowait)
        self.add_event_handler('presence_available', self.presences.put_nowait)
        for event in ('failed_all_auth', 'connection_failed', 'stream_error'):
            self.add_event_handler(event, lambda data, event=event: self._on_problem(event, data))

    def data_received(self, data):
        self.raw += data
        super().data_received(data)

    def _on_problem(self, event, data):
        self.problem = f'{event}: {data}'
        self.ready.set()

    async def _on_start(self, _):
        await self.get_roster()
        self.send_presence()
        self.ready.set()

    async def start(self, timeout=PATIENCE):
        """Connected, logged in, roster there, presence sent."""
        self.connect(('127.0.0.1', self.port), use_ssl=self.tls == 'direct', force_starttls=self.tls == 'starttls',
                     disable_starttls=self.tls != 'starttls')
        await asyncio.wait_for(self.ready.wait(), timeout)
        assert not self.problem, self.problem
        return self

    def tls_version(self):
        """force_starttls of slixmpp 1.8.3 does not force: look."""
        found = self.transport.get_extra_info('ssl_object')
        return found and found.version()

    async def next_message(self, mid, timeout=PATIENCE):
        """The message with this id; others (archived, offline) are passed over."""
        while True:
            message = await asyncio.wait_for(self.messages.get(), timeout)
            if message['id'] == mid:
                return message

    def picture_message(self, url, mid, to='bob@localhost', kind='chat'):
        message = self.make_message(mto=to, mbody=url, mtype=kind)
        message['id'] = mid
        message['oob']['url'] = url
        return message

    async def upload(self, data, name='photo.jpg', kind='image/jpeg', service='upload.localhost'):
        """XEP-0363: slot through the stream, PUT by HTTP; returns the address for others.

        (upload_file() of slixmpp 1.8.3 looks for the service in a way that Python 3.11 refuses.)
        """
        reply = await self['xep_0363'].request_slot(slixmpp.JID(service), name, len(data), kind)
        slot = reply['http_upload_slot']
        headers = {header['name']: header['value'] for header in slot['put']['headers']} | {'Content-Type': kind}
        put = urllib.request.Request(slot['put']['url'], data, headers, method='PUT')
        status = await asyncio.to_thread(lambda: urllib.request.urlopen(put, timeout=PATIENCE).status)
        assert status == 201, status
        return slot['get']['url']

    async def end(self):
        self.disconnect(wait=2)
        await asyncio.wait_for(self.disconnected, 10)


class ResumingClient(Client):
    """Connects again by itself when the connection breaks, and resumes (XEP-0198).

    slixmpp 1.8.3 forgets what is not acknowledged at the very moment it resumes, and what it was
    asked to send between the break and the moment it noticed. Both are put right here; all the
    rest is its own. It asks for no acknowledgements: the application does.
    """

    def __init__(self, user, port, may_resume=lambda: True):
        """may_resume: True when a broken session may be resumed."""
        super().__init__(user, port, resumption=True)
        self.may_resume = may_resume
        self.numbered, self.resumptions, self.closing = [], 0, False
        plugin = self['xep_0198']
        plugin.window = plugin.window_counter = 1 << 30
        self.del_filter('out_sync', plugin._handle_outgoing)    # pylint: disable=protected-access
        self.add_filter('out_sync', self._remember)
        self.add_event_handler('message', self._on_numbered)
        self.add_event_handler('disconnected', self._on_break)
        self.add_event_handler('session_resumed', self._on_resumed)

    def _remember(self, stanza):
        if isinstance(stanza, Resume):
            return stanza
        return self['xep_0198']._handle_outgoing(stanza)        # pylint: disable=protected-access

    def _on_numbered(self, message):
        if message['id'].startswith('n'):
            self.numbered.append(message['id'])

    async def _on_break(self, _):
        self['xep_0198'].enabled_out = bool(self['xep_0198'].sm_id)
        if self.closing:
            return
        while not self.may_resume():
            await asyncio.sleep(0.05)
        self.connect(('127.0.0.1', self.port), disable_starttls=True)

    def _on_resumed(self, _):
        self.resumptions += 1

    async def acknowledged(self):
        """Everything sent has been acknowledged."""
        sm = self['xep_0198']
        for _ in range(3000):
            sm.request_ack()
            if not sm.unacked_queue:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f'{len(sm.unacked_queue)} stanzas are not acknowledged')

    async def end(self):
        self.closing = True
        await super().end()


def stanza_bytes(raw, mid):
    """The one message with this id among raw received bytes, or None."""
    for quote in ("'", '"'):
        mark = f'id={quote}{mid}{quote}'.encode()
        at = raw.find(mark)
        if at >= 0:
            begin = raw.rfind(b'<message', 0, at)
            end = raw.find(b'</message>', at)
            if begin >= 0 and end >= 0:
                return raw[begin:end + len(b'</message>')]
    return None
