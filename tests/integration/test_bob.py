# SPDX-License-Identifier: MIT
"""Filter bob: requests for data by its cid (XEP-0231) get the data in place of the asked one's
error, one stanza for one stanza, in both arrangements: inset's own client asks, or is asked.
"""
import asyncio
import base64
import hashlib
import os
import re
import signal

import pytest
import slixmpp

from harness import pictures
from harness.processes import wait_for
from harness.rawpeer import Session
from harness.schemas import tree, validate
from harness.slix import Client
from harness.stanzas import message, picture

ALICE, BOB = 'alice@localhost/raw', 'bob@localhost/phone'
OPTIONS = {'listen.main.filters': ['thumbnail', 'bob'], 'profiles.default.formats': ['thumbs0']}
PNG = base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==')
STANZAS = 'urn:ietf:params:xml:ns:xmpp-stanzas'


def cid_of(data):
    return f'sha1+{hashlib.sha1(data).hexdigest()}@bob.xmpp.org'


def ask(cid, to=ALICE, sender='', iq='q1', inner=''):
    sender = f" from='{sender}'" if sender else ''
    return f"<iq type='get' id='{iq}' to='{to}'{sender}><data xmlns='urn:xmpp:bob' cid='{cid}'/>{inner}</iq>".encode()


def refuse(sender, to, iq='q1', condition='item-not-found', echo='', wrap=True):
    sender = f" from='{sender}'" if sender else ''
    to = f" to='{to}'" if to else ''
    inner = f"<{condition} xmlns='{STANZAS}'/>"
    if wrap:
        inner = f"<error type='cancel'>{inner}</error>"
    return f"<iq type='error' id='{iq}'{sender}{to}>{echo}{inner}</iq>".encode()


def answer(error, received):
    """received is error with type and content replaced by data: (cid, max-age, type, bytes)."""
    head = error[:error.index(b'>') + 1].replace(b"type='error'", b"type='result'")
    assert received.startswith(head) and received.endswith(b'</iq>'), received
    assert validate(received) == ['bob data']
    data = tree(received)[0]
    assert len(tree(received)) == 1
    assert re.fullmatch('[A-Za-z0-9+/]+=*', data.text)
    return data.get('cid'), int(data.get('max-age')), data.get('type'), base64.b64decode(data.text)


def advertise(session, media, extra='', size=(64, 48), to='bob@localhost'):
    """A message of alice's gets a thumbnail by name only: the cid, and who asks will get what."""
    url = media.put(pictures.png(*size))
    session.client.send(picture(url, extra=extra, to=to))
    received = session.server.until(b'</message>')
    assert 'thumbs-0 thumbnail' in validate(received)
    assert b'urn:xmpp:bob' not in received
    return re.search(rb" cid='([^']*)'", received)[1].decode()


@pytest.fixture(name='daemon', scope='module')
def shared(tmp_path_factory, upstream, media):
    from harness.insetd import Insetd
    daemon = Insetd(tmp_path_factory.mktemp('bob'), upstream.address,
                    {'fetch.allow-origin': [media.origin]} | OPTIONS)
    yield daemon
    daemon.stop()


@pytest.fixture(name='alice')
def raw_alice(daemon, upstream):
    pair = Session(daemon.port, upstream)
    yield pair
    pair.close()


@pytest.fixture(name='bob')
def raw_bob(daemon, upstream):
    pair = Session(daemon.port, upstream, user='bob')
    yield pair
    pair.close()


def check_data(cid, got, max_age=86400):
    assert got[0] == cid and cid_of(got[3]) == cid
    assert max_age - 60 < got[1] <= max_age if max_age else got[1] == 0
    assert got[2] in ('image/jpeg', 'image/png')


@pytest.mark.parametrize('condition', ['item-not-found', 'service-unavailable', 'feature-not-implemented'])
@pytest.mark.parametrize('echo', [False, True], ids=['bare', 'echo'])
def test_asked_client_does_not_know(alice, media, condition, echo):
    """The sender's own client is asked; its error becomes the data on its way out."""
    cid = advertise(alice, media)
    alice.s2c(ask(cid, sender=BOB))
    error = refuse('', BOB, condition=condition, echo=f"<data xmlns='urn:xmpp:bob' cid='{cid}'/>" if echo else '')
    alice.client.send(error)
    check_data(cid, answer(error, alice.server.until(b'</iq>')))


def test_old_libpurple_error_without_wrapper(alice, media):
    cid = advertise(alice, media)
    alice.s2c(ask(cid, sender=BOB))
    error = refuse(ALICE, BOB, wrap=False)
    alice.client.send(error)
    check_data(cid, answer(error, alice.server.until(b'</iq>')))


def test_own_client_asks(alice, bob, media):
    """The receiver's client is behind inset, in another session: the reply that comes to it is replaced."""
    cid = advertise(alice, media)
    bob.c2s(ask(cid))
    error = refuse(ALICE, 'bob@localhost/raw', condition='service-unavailable')
    bob.server.send(error)
    check_data(cid, answer(error, bob.client.until(b'</iq>')))
    # The account may be asked as well, and other resources of it.
    for asked in ('alice@localhost', 'alice@localhost/other', 'alice@LOCALHOST/x'):
        bob.c2s(ask(cid, to=asked, iq='q2'))
        error = refuse(asked, 'bob@localhost/raw', iq='q2')
        bob.server.send(error)
        check_data(cid, answer(error, bob.client.until(b'</iq>')))


def test_empty_error(alice, media):
    """An error without content has no condition: it passes."""
    cid = advertise(alice, media)
    alice.s2c(ask(cid, sender=BOB))
    alice.c2s(f"<iq type='error' id='q1' to='{BOB}'/>")


def test_counters_and_order(alice, media):
    """One in, one out: what stands around a substituted reply comes out around it, acknowledgements too."""
    cid = advertise(alice, media)
    alice.s2c(ask(cid, sender=BOB) + b"<r xmlns='urn:xmpp:sm:3'/>")
    error = refuse('', BOB)
    around = b"<message to='b@c'><body>1</body></message>", b"<r xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='3'/> "
    alice.client.send(around[0] + error + around[1])
    alice.server.expect(around[0])
    check_data(cid, answer(error, alice.server.until(b'</iq>')))
    alice.server.expect(around[1])


def test_genuine_answer_passes(alice, media):
    cid = advertise(alice, media)
    alice.s2c(ask(cid, sender=BOB))
    own = f"<iq type='result' id='q1' to='{BOB}'><data xmlns='urn:xmpp:bob' cid='{cid}' type='image/png'>AAAA</data></iq>"
    alice.c2s(own)
    alice.c2s(refuse('', BOB))      # nothing is asked any more


def test_reused_ids(alice, media):
    """Ids may repeat: replies answer in the order of the requests."""
    first, second = advertise(alice, media, size=(64, 48)), advertise(alice, media, size=(48, 64))
    alice.s2c(ask(first, sender=BOB) + ask(second, sender=BOB))
    error = refuse('', BOB)
    for cid in (first, second):
        alice.client.send(error)
        check_data(cid, answer(error, alice.server.until(b'</iq>')))
    alice.c2s(error)


OTHERS = {
    'condition': lambda: refuse('', BOB, condition='forbidden'),
    'bad-request': lambda: refuse('', BOB, condition='bad-request'),
    'id': lambda: refuse('', BOB, iq='q2'),
    'asker': lambda: refuse('', 'eve@localhost/phone'),
    'asker-resource': lambda: refuse('', 'bob@localhost/other'),
    'no-asker': lambda: refuse('', ''),
    'from': lambda: refuse('eve@localhost/x', BOB),
    'other-namespace': lambda: refuse('', BOB).replace(STANZAS.encode(), b'urn:other'),
    'nested-deep': lambda: refuse('', BOB, echo='').replace(b'<error type=', b'<e><error type=').replace(b'</error>', b'</error></e>'),
}


@pytest.mark.parametrize('name', OTHERS)
def test_other_replies_pass(alice, media, name):
    cid = advertise(alice, media)
    alice.s2c(ask(cid, sender=BOB))
    alice.c2s(OTHERS[name]())


@pytest.mark.parametrize('sender', ['eve@localhost/x', 'alice@localhost', 'alice@localhost/other', ''])
def test_spoofed_reply_passes(alice, bob, media, sender):
    """Who was not asked cannot have its error replaced, nor spoil the real one."""
    cid = advertise(alice, media)
    bob.c2s(ask(cid))
    bob.s2c(refuse(sender, 'bob@localhost/raw'))
    error = refuse(ALICE, 'bob@localhost/raw')
    bob.server.send(error)
    check_data(cid, answer(error, bob.client.until(b'</iq>')))


VARIANTS = {
    'upper-case': lambda cid: cid[:5] + cid[5:45].upper() + cid[45:],
    'other-host': lambda cid: cid.replace('bob.xmpp.org', 'localhost'),
    'dash': lambda cid: cid.replace('+', '-'),
    'scheme': lambda cid: 'cid:' + cid,
    'other-sum': lambda cid: cid[:5] + '0' * 40 + cid[45:],
    'short': lambda cid: cid[:37] + cid[45:],
    'algorithm': lambda cid: 'sha-256' + cid[4:],
    'behind': lambda cid: cid + 'x',
    'empty': lambda cid: '',
}


@pytest.mark.parametrize('name', VARIANTS)
def test_other_cids_pass(alice, media, name):
    cid = VARIANTS[name](advertise(alice, media))
    alice.s2c(ask(cid, sender=BOB))
    alice.c2s(refuse('', BOB))


def test_another_owners_cid_passes(alice, bob, media):
    """What alice published is not given out in bob's name."""
    cid = advertise(alice, media)
    bob.s2c(ask(cid, to='bob@localhost/raw', sender='eve@localhost/x'))
    bob.c2s(refuse('', 'eve@localhost/x'))


def test_no_store_says_so(alice, media):
    cid = advertise(alice, media, extra="<no-store xmlns='urn:xmpp:hints'/>", size=(90, 60))
    alice.s2c(ask(cid, sender=BOB))
    error = refuse('', BOB)
    alice.client.send(error)
    check_data(cid, answer(error, alice.server.until(b'</iq>')), max_age=0)


def test_thumbnail_from_the_cache_is_published_for_each_sender(alice, bob, media):
    """The second sender's thumbnail comes from the cache; the cid counts for that one, too."""
    url = media.put(pictures.png(80, 60))
    for session in (alice, bob):
        session.client.send(picture(url, to='carol@localhost'))
        cid = re.search(rb" cid='([^']*)'", session.server.until(b'</message>'))[1].decode()
        me = f'{session.user}@localhost/raw'
        session.s2c(ask(cid, to=me, sender='carol@localhost/x'))
        error = refuse(me, 'carol@localhost/x')
        session.client.send(error)
        check_data(cid, answer(error, session.server.until(b'</iq>')))


def test_many_requests_push_out_the_oldest(start, upstream, media):
    daemon = start(OPTIONS | {'limits.bob-requests': 3})
    alice = Session(daemon.port, upstream)
    cid = advertise(alice, media)
    for i in range(4):
        alice.s2c(ask(cid, sender=BOB, iq=f'q{i}'))
    alice.c2s(refuse('', BOB, iq='q0'))
    for i in (3, 1, 2):
        error = refuse('', BOB, iq=f'q{i}')
        alice.client.send(error)
        check_data(cid, answer(error, alice.server.until(b'</iq>')))
    assert daemon.metric('inset_bob_answers_total') == 3
    alice.close()


def test_every_split_point(alice, media):
    cid = advertise(alice, media)
    error = refuse('', BOB)
    for at in range(1, len(error)):
        alice.s2c(ask(cid, sender=BOB))
        alice.client.send(error[:at])
        alice.client.send(error[at:])
        check_data(cid, answer(error, alice.server.until(b'</iq>')))


def test_forgotten_and_killed(start, upstream, media):
    """The store's life is over, or its process is: the error passes."""
    daemon = start(OPTIONS | {'cache.bob-ttl': '1s', 'listen.main.hold': '2s'})
    alice = Session(daemon.port, upstream)
    cid = advertise(alice, media)
    error = refuse('', BOB)

    def forgotten():
        alice.s2c(ask(cid, sender=BOB))
        alice.client.send(error)
        return alice.server.until(b'</iq>') == error
    wait_for(forgotten, 'the cid is forgotten', process=daemon.process)
    assert daemon.metric('inset_bob_lookups_total{result="miss"}') == 1
    alice.close()


def test_media_process_killed_in_between(start, upstream, media):
    daemon = start(OPTIONS)
    alice = Session(daemon.port, upstream)
    cid = advertise(alice, media)
    alice.s2c(ask(cid, sender=BOB))
    [pid] = daemon.role('media')
    os.kill(pid, signal.SIGSTOP)
    error = refuse('', BOB)
    alice.client.send(error)
    daemon.wait_metric('inset_held_units', 1)
    os.kill(pid, signal.SIGKILL)
    alice.server.expect(error)
    alice.close()


def test_workers_forget_nothing(start, upstream, media):
    """The proxy process dies; the client comes back to another one and is asked then."""
    daemon = start(OPTIONS)
    alice = Session(daemon.port, upstream)
    cid = advertise(alice, media)
    [pid] = daemon.role('proxy')
    os.kill(pid, signal.SIGKILL)
    alice.client.rest()
    alice.close()
    wait_for(lambda: daemon.role('proxy') not in ([], [pid]), 'another proxy', process=daemon.process)
    alice = Session(daemon.port, upstream)
    alice.s2c(ask(cid, sender=BOB))
    error = refuse('', BOB)
    alice.client.send(error)
    check_data(cid, answer(error, alice.server.until(b'</iq>')))
    alice.close()


def test_without_the_filter_all_passes(session, media):
    session.s2c(ask(cid_of(PNG), sender=BOB))
    session.c2s(refuse('', BOB))


# --- data in transit -------------------------------------------------------------------------

def data_element(data=PNG, cid=None, kind='image/png', age=" max-age='3600'", text=None):
    text = base64.b64encode(data).decode() if text is None else text
    return f"<data xmlns='urn:xmpp:bob' cid='{cid or cid_of(data)}' type='{kind}'{age}>{text}</data>"


@pytest.fixture(name='keeper', scope='module')
def keeping(tmp_path_factory, upstream, media):
    from harness.insetd import Insetd
    daemon = Insetd(tmp_path_factory.mktemp('keeper'), upstream.address,
                    OPTIONS | {'listen.main.keep-bob': True, 'limits.bob-bytes': '16KiB',
                               'fetch.allow-origin': [media.origin]})
    yield daemon
    daemon.stop()


def served(daemon, session, cid, asked=BOB):
    """What the session's client gets when it asks `asked`, who has no idea."""
    session.c2s(ask(cid, to=asked, iq='k'))
    error = refuse(asked, ALICE, iq='k')
    session.server.send(error)
    received = session.client.until(b'</iq>')
    return None if received == error else answer(error, received)


def test_kept_from_a_message(keeper, upstream):
    alice = Session(keeper.port, upstream)
    data = os.urandom(9000)
    alice.s2c(f"<message from='{BOB}' to='{ALICE}'>{data_element(data, kind='audio/ogg; codecs=opus')}</message>")
    cid, age, kind, got = served(keeper, alice, cid_of(data))
    assert (cid, kind, got) == (cid_of(data), 'audio/ogg; codecs=opus', data) and 3500 < age <= 3600
    assert served(keeper, alice, cid_of(data), asked='eve@localhost/x') is None
    alice.close()


def test_kept_from_an_answer(keeper, upstream):
    """bob answers once; then somebody else asks and bob is away."""
    alice, carol = Session(keeper.port, upstream), Session(keeper.port, upstream, user='carol')
    data = os.urandom(500)
    cid = cid_of(data)
    alice.c2s(ask(cid, to=BOB, iq='k0'))
    text = '\n '.join(re.findall('.{1,64}', base64.b64encode(data).decode()))
    alice.s2c(f"<iq type='result' id='k0' from='{BOB}' to='{ALICE}'>{data_element(data, text=text)}</iq>")
    alice.c2s(b"<message to='b@c'><body>fence</body></message>")
    assert served(keeper, alice, cid)[3] == data
    carol.c2s(ask(cid, to=BOB, iq='k1'))
    error = refuse(BOB, 'carol@localhost/raw', iq='k1', condition='service-unavailable')
    carol.server.send(error)
    assert answer(error, carol.client.until(b'</iq>'))[3] == data
    alice.close()
    carol.close()


NOT_KEPT = {
    'wrong-sum': lambda d: data_element(d, cid=cid_of(d + b'x')),
    'too-large': lambda d: data_element(d * 20),
    'max-age-0': lambda d: data_element(d, age=" max-age='0'"),
    'no-type': lambda d: data_element(d).replace(" type='image/png'", ''),
    'type-with-quotes': lambda d: data_element(d, kind='image/&apos;&lt;x'),
    'no-base64': lambda d: data_element(d, text='????'),
    'empty': lambda d: data_element(d, text=''),
    'hint': lambda d: data_element(d) + "<no-store xmlns='urn:xmpp:hints'/>",
    'nested': lambda d: f'<x xmlns="urn:x">{data_element(d)}</x>',
}


@pytest.mark.parametrize('name', NOT_KEPT)
def test_not_kept(keeper, upstream, name):
    alice = Session(keeper.port, upstream)
    data = os.urandom(1000)
    alice.s2c(f"<message from='{BOB}' to='{ALICE}'>{NOT_KEPT[name](data)}</message>")
    cid = cid_of(data * 20 if name == 'too-large' else data)
    assert served(keeper, alice, cid) is None
    assert served(keeper, alice, cid_of(data + b'x')) is None
    alice.close()


def test_an_error_message_brings_back_what_others_sent(keeper, upstream):
    alice = Session(keeper.port, upstream)
    data = os.urandom(1000)
    alice.s2c(f"<message type='error' from='{BOB}' to='{ALICE}'>{data_element(data)}</message>")
    assert served(keeper, alice, cid_of(data)) is None
    alice.close()


def test_keeping_is_off_by_default(daemon, alice):
    data = os.urandom(300)
    alice.s2c(f"<message from='{BOB}' to='{ALICE}'>{data_element(data)}</message>")
    assert served(daemon, alice, cid_of(data)) is None


# --- a real server and clients ---------------------------------------------------------------

@pytest.fixture(name='real')
def real_front(tmp_path, prosody, media):
    from harness.insetd import Insetd
    daemon = Insetd(tmp_path, prosody.upstream, OPTIONS | {'fetch.allow-origin': [prosody.origin, media.origin]})
    yield daemon
    daemon.stop()


async def both(front, prosody, media, asker_behind):
    alice = await Client('alice', front.port, resumption=True).start()
    bob = Client('bob', front.port if asker_behind else prosody.port)
    bob.register_plugin('xep_0231')
    await bob.start()
    alice.picture_message(media.put(pictures.png(200, 150)), 'pic', to=bob.boundjid.full).send()
    received = await bob.next_message('pic')
    thumb = received.xml.find('{urn:xmpp:thumbs:0}thumbnail')
    assert thumb is not None
    reply = await bob['xep_0231'].get_bob(alice.boundjid, thumb.get('cid'))
    data = reply['bob']['data']
    assert cid_of(data) == thumb.get('cid') and reply['from'] == alice.boundjid
    image = pictures.Image.open(pictures.io.BytesIO(data))
    assert image.size == (int(thumb.get('width')), int(thumb.get('height')))
    with pytest.raises(slixmpp.exceptions.IqError) as caught:
        await bob['xep_0231'].get_bob(alice.boundjid, cid_of(b'never seen'))
    assert caught.value.condition in ('item-not-found', 'service-unavailable', 'feature-not-implemented')
    # Stream management still agrees: a ping after an acknowledgement comes back.
    alice['xep_0198'].request_ack()
    await alice['xep_0199'].ping(slixmpp.JID('localhost'))
    for client in (alice, bob):
        assert not client.problem
        await client.end()


@pytest.mark.parametrize('asker_behind', [True, False], ids=['both-behind-inset', 'only-the-sender'])
def test_slixmpp_asks_over_prosody(real, prosody, media, asker_behind):
    asyncio.run(both(real, prosody, media, asker_behind))
    assert real.metric('inset_bob_answers_total') == 1


def test_data_in_message_and_by_request(start, upstream, media):
    """Formats with the data inside publish the cid as well."""
    daemon = start(OPTIONS | {'profiles.default.formats': ['ibb', 'bob', 'sfs', 'thumbs0']})
    alice = Session(daemon.port, upstream)
    url = media.put(pictures.png(64, 48))
    alice.client.send(picture(url))
    received = alice.server.until(b'</message>')
    assert {'bob data', 'ibb data', 'thumbs-0 thumbnail'} <= set(validate(received))
    cid = re.search(rb" cid='([^']*)'", received)[1].decode()
    alice.s2c(ask(cid, sender=BOB))
    error = refuse('', BOB)
    alice.client.send(error)
    check_data(cid, answer(error, alice.server.until(b'</iq>')))
    alice.c2s(message('<body>done</body>'))
    alice.close()
