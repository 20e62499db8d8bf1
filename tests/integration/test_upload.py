# SPDX-License-Identifier: MIT
"""The sending half of Kontalk's media note through insetd, in front of real servers that know nothing
of it: discovery, instructions, upload, the message with its thumbnail; stream management; HTTP File
Upload by the same box.
"""
import asyncio
import hashlib
import re
from xml.etree import ElementTree as ET

import pytest
import slixmpp
from slixmpp.exceptions import IqError

from harness import pictures
from harness.box import Box, curl, post
from harness.insetd import Insetd
from harness.processes import wait_for
from harness.rawpeer import Session
from harness.slix import Client, stanza_bytes
from harness.stanzas import read_thumbnail, thumbnails

OLD = 'http://www.kontalk.org/extensions/message#upload'
NEW = 'http://kontalk.org/extensions/message#upload'
INFO, ITEMS = 'http://jabber.org/protocol/disco#info', 'http://jabber.org/protocol/disco#items'
STANZAS = 'urn:ietf:params:xml:ns:xmpp-stanzas'

@pytest.fixture(scope='module', params=['prosody', 'ejabberd'])
def server(request):
    return request.getfixturevalue(request.param)


class Front:
    """insetd with filter upload and a box, in front of a server."""

    def __init__(self, folder, server, options=None):
        self.box = Box()
        self.daemon = Insetd(folder, server.upstream, self.box.options | {
            'listen.main.filters': ['thumbnail', 'upload'],
            'upload.services': [
                {'node': 'kontalkbox', 'name': 'Kontalk dropbox service', 'accept': ['image/*']},
                {'node': 'dropbox', 'name': 'Dropbox service', 'uri': 'https://drop.example/put?a=1&b=2'}],
        } | (options or {}))
        self.port = self.daemon.port
        wait_for(lambda: self.daemon.metric('inset_processes{role="box"}') == 1, 'the box is up', process=self.daemon.process)

    def stop(self):
        try:
            self.daemon.stop()
        finally:
            self.box.remove()


@pytest.fixture(scope='module')
def front(tmp_path_factory, server):
    made = Front(tmp_path_factory.mktemp('front'), server)
    yield made
    made.stop()


async def ask(client, to, kind, element):
    iq = client.make_iq(id=client.new_id(), ito=to, itype=kind)
    iq.append(element)
    reply = await iq.send(timeout=30)
    return reply.xml


async def features(client):
    info = await ask(client, 'localhost', 'get', ET.Element(f'{{{INFO}}}query'))
    return [f.get('var') for f in info.iter(f'{{{INFO}}}feature')]


def upload_request(ns=OLD, node='kontalkbox', media='image/png'):
    upload = ET.Element(f'{{{ns}}}upload')
    if node is not None:
        upload.set('node', node)
    if media:
        ET.SubElement(upload, f'{{{ns}}}media', type=media)
    return upload


async def address(client, to='localhost', kind='set', **kwargs):
    reply = await ask(client, to, kind, upload_request(**kwargs))
    ns = kwargs.get('ns', OLD)
    upload = reply.find(f'{{{ns}}}upload')
    assert upload.get('node') == kwargs.get('node', 'kontalkbox')
    assert reply.get('from') == to and reply.get('to').startswith('alice@localhost/')
    return upload.find(f'{{{ns}}}uri').text


def test_the_seeds_exchange(front):
    """Stanza for stanza: H_1, H_2, H_3, the upload, the message."""
    async def talk():
        alice, bob = Client('alice', front.port), Client('bob', front.port)
        await asyncio.gather(alice.start(), bob.start())
        for ns in (OLD, NEW):
            found = await features(alice)
            assert found.count(OLD) == found.count(NEW) == 1 and len(found) > 5
            items = await ask(alice, 'localhost', 'get', ET.Element(f'{{{ITEMS}}}query', node=ns))
            query = items.find(f'{{{ITEMS}}}query')
            assert query.get('node') == ns
            assert [dict(item.attrib) for item in query] == [
                {'node': 'kontalkbox', 'jid': 'localhost', 'name': 'Kontalk dropbox service'},
                {'node': 'dropbox', 'jid': 'localhost', 'name': 'Dropbox service'}]
            for kind in ('set', 'get'):
                for to in ('localhost', 'upload@localhost'):
                    url = await address(alice, to, kind, ns=ns)
                    assert url.startswith(front.box.url + '/up/')
            assert await address(alice, ns=ns, node='dropbox', media=None) == 'https://drop.example/put?a=1&b=2'
        held = front.daemon.metrics()
        data = pictures.png()
        status, headers, body = await asyncio.to_thread(post, url, data)
        assert (status, headers['content-type']) == (200, 'text/url')
        media = body.decode()
        made = front.daemon.metrics()
        assert made['inset_scaled_total{result="ok"}'] == held['inset_scaled_total{result="ok"}'] + 1, 'before it is asked for'
        alice.picture_message(media, 'dsw71gj3').send()
        got = await bob.next_message('dsw71gj3')
        assert got['oob']['url'] == media
        found = thumbnails(stanza_bytes(bob.raw, 'dsw71gj3'))
        assert len(found) == 1
        read_thumbnail(*found[0])
        after = front.daemon.metrics()
        assert after['inset_cache_requests_total{result="hit"}'] == held['inset_cache_requests_total{result="hit"}'] + 1
        assert after['inset_fetches_total'] == held['inset_fetches_total'] == 0, 'never over HTTP from itself'
        assert after['inset_box_downloads_total'] == held['inset_box_downloads_total']
        assert curl(media)[::2] == (200, data)
        for client in (alice, bob):
            await client.end()
    asyncio.run(talk())


def test_refusals(front):
    async def talk():
        alice = await Client('alice', front.port).start()
        for request, kind, condition in ((upload_request(node='nobody'), 'cancel', 'item-not-found'),
                                         (upload_request(node=None), 'modify', 'bad-request'),
                                         (upload_request(media='text/plain'), 'modify', 'not-acceptable')):
            with pytest.raises(IqError) as caught:
                await ask(alice, 'localhost', 'get', request)
            assert (caught.value.etype, caught.value.condition) == (kind, condition)
        # Others' errors stay what they are.
        with pytest.raises(IqError) as caught:
            await ask(alice, 'localhost', 'get', ET.Element('{urn:nobody}thing'))
        assert caught.value.condition == 'service-unavailable'
        await alice.end()
    asyncio.run(talk())


@pytest.mark.parametrize('caps', ['strip', 'rewrite'])
def test_capabilities(tmp_path, server, caps):
    front = Front(tmp_path, server, {'listen.main.caps': caps})

    def announced(raw):
        return re.findall(rb"<c [^>]*http://jabber\.org/protocol/caps[^>]*>", raw)

    async def talk():
        alice = await Client('alice', front.port).start()
        assert not announced(alice.raw.partition(b'<iq')[0]), 'not before the hash is known'
        await features(alice)
        await alice.end()
        alice = await Client('alice', front.port).start()
        found = announced(alice.raw.partition(b'<iq')[0])
        if caps == 'strip':
            assert not found
        else:
            assert len(found) == 1
            tag = dict(re.findall(r"(\w+)=['\"]([^'\"]*)['\"]", found[0].decode()))
            node = f'{tag["node"]}#{tag["ver"]}'
            info = await alice['xep_0030'].get_info(jid='localhost', node=node, timeout=30, cached=False)
            assert info['disco_info']['node'] == node
            assert {OLD, NEW} <= set(info['disco_info']['features'])
            alice.register_plugin('xep_0115')
            ver = alice['xep_0115'].generate_verstring(info['disco_info'], 'sha-1')
            assert ver == tag['ver'], 'another implementation computes the same'
        await alice.end()
    try:
        asyncio.run(talk())
    finally:
        front.stop()


def test_counters_stay_equal_over_1000_exchanges(front):
    """Stream management on: what the server says it has handled is what was sent, and the other way."""
    async def talk():
        alice = await Client('alice', front.port, resumption=True).start()
        await asyncio.wait_for(alice.sm.wait(), 30)
        sm = alice['xep_0198']
        before = front.daemon.metric('inset_substituted_total')

        async def one(n):
            await features(alice)
            items = await ask(alice, 'localhost', 'get', ET.Element(f'{{{ITEMS}}}query', node=NEW if n % 2 else OLD))
            assert len(items.find(f'{{{ITEMS}}}query')) == 2
            assert (await address(alice, 'upload@localhost' if n % 3 else 'localhost')).startswith(front.box.url)
        for n in range(0, 1000, 10):
            await asyncio.gather(*(one(n + k) for k in range(10)))
        await alice['xep_0199'].ping('localhost', timeout=30)
        for _ in range(1000):
            if not sm.unacked_queue:
                break
            sm.request_ack()
            await asyncio.sleep(0.01)
        assert not sm.unacked_queue
        acked = [int(h) for h in re.findall(rb"<a\b[^>]*\bh=['\"](\d+)['\"]", alice.raw)]
        assert acked[-1] == sm.seq, 'the server has handled as many as were sent'
        since = alice.raw[alice.raw.index(b'<enabled'):]
        received = len(re.findall(rb'<(?:iq|message|presence)\b', since))
        assert sm.handled == received >= 3000
        assert not alice.problem, alice.problem
        assert front.daemon.metric('inset_substituted_total') == before + 2000
        await alice.end()
    asyncio.run(talk())


def test_http_file_upload_by_the_same_box(tmp_path, server):
    front = Front(tmp_path, server, {'upload.http-upload': True})

    async def talk():
        alice, bob = Client('alice', front.port), Client('bob', front.port)
        await asyncio.gather(alice.start(), bob.start())
        info = await alice['xep_0030'].get_info(jid='localhost', timeout=30, cached=False)
        assert ('store', 'file') in {i[:2] for i in info['disco_info']['identities']}
        assert 'urn:xmpp:http:upload:0' in info['disco_info']['features']
        data = pictures.jpeg(1600, 1200)
        url = await alice.upload(data, service='localhost')
        assert url.startswith(front.box.url + '/f/') and url.endswith('/photo.jpg')
        assert (await asyncio.to_thread(curl, url))[::2] == (200, data)
        alice.picture_message(url, 'slot').send()
        await bob.next_message('slot')
        assert len(thumbnails(stanza_bytes(bob.raw, 'slot'))) == 1
        assert front.daemon.metric('inset_fetches_total') == 0
        with pytest.raises(IqError) as caught:
            await alice['xep_0363'].request_slot(slixmpp.JID('localhost'), 'big.bin', 1 << 30, 'a/b')
        assert caught.value.condition == 'not-acceptable'
        for client in (alice, bob):
            await client.end()
    try:
        asyncio.run(talk())
    finally:
        front.stop()


def test_a_reload_between_request_and_reply(start, upstream):
    """What a session's filter knows, requests under way and what its server can, outlives the reload."""
    services = {'upload.services': [{'node': 'kontalkbox', 'name': 'Box', 'uri': 'https://drop.example/'}]}
    daemon = start({'listen.main.filters': ['upload'], 'upload.domains': ['localhost']} | services)
    request = f"<iq type='get' id='%s' to='localhost'><query xmlns='{ITEMS}' node='{NEW}'/></iq>"
    error = (f"<iq type='error' id='%s' from='localhost' to='alice@localhost/raw'><error type='cancel'>"
             f"<item-not-found xmlns='{STANZAS}'/></error></iq>")
    plain, native = Session(daemon.port, upstream), Session(daemon.port, upstream)
    plain.c2s(request % 1)
    native.c2s(f"<iq type='get' id='2' to='localhost'><query xmlns='{INFO}'/></iq>")
    native.s2c(f"<iq type='result' id='2' from='localhost' to='alice@localhost/raw'><query xmlns='{INFO}'>"
               f"<feature var='{NEW}'/></query></iq>")
    assert daemon.ctl('reload').returncode == 0
    plain.server.send(error % 1)
    assert b"node='kontalkbox'" in plain.client.until('</iq>')
    native.c2s(request % 3)
    native.s2c(error % 3)
    plain.close()
    native.close()


def test_thumbnails_by_their_address(tmp_path, prosody):
    front = Front(tmp_path, prosody, {'profiles.default.formats': ['http']})

    async def talk():
        alice, bob = Client('alice', front.port), Client('bob', front.port)
        await asyncio.gather(alice.start(), bob.start())
        _, _, url = await asyncio.to_thread(post, await address(alice), pictures.png())
        for mid in ('first', 'again'):
            alice.picture_message(url.decode(), mid).send()
            await bob.next_message(mid)
            got = stanza_bytes(bob.raw, mid)
            found = re.findall(rb"<thumbnail[^>]*?uri=['\"]([^'\"]+)", got)
            assert len(found) == 1 and b'urn:xmpp:file:metadata:0' in got
            status, headers, body = curl(found[0].decode())
            assert status == 200 and headers['content-type'] == 'image/' + ('jpeg' if body[:2] == b'\xff\xd8' else 'png')
            assert hashlib.sha256(body).hexdigest() in found[0].decode()
            assert 'immutable' in headers['cache-control'] and headers['x-content-type-options'] == 'nosniff'
            assert 'sandbox' in headers['content-security-policy'] and headers['content-disposition'] == 'attachment'
        assert len([name for name in front.box.store() if name.startswith('p-')]) == 1
        # What a crash made of it is not served.
        (front.box.state / 'box' / ('p-' + hashlib.sha256(body).hexdigest())).write_bytes(body[:-1] + b'x')
        assert curl(found[0].decode())[0] == 404
        for client in (alice, bob):
            await client.end()
    try:
        asyncio.run(talk())
    finally:
        front.stop()


def test_what_the_cache_lost_is_read_from_the_box(tmp_path, prosody):
    front = Front(tmp_path, prosody, {'cache.ttl': '0s'})

    async def talk():
        alice, bob = Client('alice', front.port), Client('bob', front.port)
        await asyncio.gather(alice.start(), bob.start())
        status, _, url = await asyncio.to_thread(post, await address(alice), pictures.png())
        assert status == 200
        alice.picture_message(url.decode(), 'again').send()
        await bob.next_message('again')
        assert len(thumbnails(stanza_bytes(bob.raw, 'again'))) == 1
        gone = front.box.url + '/f/' + '0' * 32 + '.png'
        alice.picture_message(gone, 'gone').send()
        await bob.next_message('gone')
        assert not thumbnails(stanza_bytes(bob.raw, 'gone'))
        metrics = front.daemon.metrics()
        assert metrics['inset_fetches_total'] == metrics['inset_box_downloads_total'] == 0
        for client in (alice, bob):
            await client.end()
    try:
        asyncio.run(talk())
    finally:
        front.stop()
