# SPDX-License-Identifier: MIT
"""XMPP over WebSocket (RFC 7395) for a page, XMPP over TCP for what stands behind it: so a web client's stream goes
through insetd.
"""
import asyncio
import threading
from xml.sax.saxutils import quoteattr

from aiohttp import web
from lxml import etree

FRAMING = 'urn:ietf:params:xml:ns:xmpp-framing'


class Bridge:
    """url: for the page; port: of the TCP side."""

    def __init__(self, port):
        self.port, self.url = port, None
        self.loop, self.ready = asyncio.new_event_loop(), threading.Event()
        self.stopping = None
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self._serve(),), daemon=True)
        self.thread.start()
        assert self.ready.wait(30)

    async def _serve(self):
        self.stopping = asyncio.Event()
        app = web.Application()
        app.router.add_get('/xmpp-websocket', self._talk)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, '127.0.0.1', 0, shutdown_timeout=1)
        await site.start()
        self.url = f'ws://127.0.0.1:{runner.addresses[0][1]}/xmpp-websocket'
        self.ready.set()
        await self.stopping.wait()
        await runner.cleanup()

    async def _talk(self, request):
        socket = web.WebSocketResponse(protocols=('xmpp',))
        await socket.prepare(request)
        reader, writer = await asyncio.open_connection('127.0.0.1', self.port)
        parsers = [None]
        down = asyncio.create_task(self._down(reader, socket, parsers))
        async for message in socket:
            root = etree.fromstring(message.data)
            if root.tag == f'{{{FRAMING}}}open':
                parsers[0] = etree.XMLPullParser(('start', 'end'))
                writer.write(f"<?xml version='1.0'?><stream:stream to={quoteattr(root.get('to'))} version='1.0' xmlns='jabber:client'"
                             f" xmlns:stream='http://etherx.jabber.org/streams'>".encode())
            elif root.tag == f'{{{FRAMING}}}close':
                writer.write(b'</stream:stream>')
            else:
                writer.write(message.data.encode())
            await writer.drain()
        writer.close()
        down.cancel()
        return socket

    async def _down(self, reader, socket, parsers):
        depths = {}
        while data := await reader.read(65536):
            parser = parsers[0]
            parser.feed(data)
            for event, element in parser.read_events():
                depth = depths.get(parser, 0) + (1 if event == 'start' else -1)
                depths[parser] = depth
                if event == 'start' and depth == 1:
                    await socket.send_str(f'<open xmlns="{FRAMING}" version="1.0" id={quoteattr(element.get("id", ""))} '
                                          f'from={quoteattr(element.get("from", ""))}/>')
                elif event == 'end' and depth == 1:
                    await socket.send_str(etree.tostring(element, with_tail=False).decode())
                    element.getparent().remove(element)
                elif event == 'end' and depth == 0:
                    await socket.send_str(f'<close xmlns="{FRAMING}"/>')
        await socket.close()

    def stop(self):
        self.loop.call_soon_threadsafe(self.stopping.set)
        self.thread.join(30)
