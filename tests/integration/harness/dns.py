# SPDX-License-Identifier: MIT
"""A name server for one machine: answers A and AAAA questions with what was put there.

`server.put(name, addresses)` with a list of texts, or several lists: one for each fetch in turn
(a fetch asks for A and AAAA), the last one for ever. No list: NXDOMAIN. `server.silent` names
get no answer at all. `server.asked` counts the questions.
"""
import collections
import ipaddress
import socket
import struct
import threading

A, AAAA = 1, 28


def read_question(packet):
    """(name, type, the question's bytes)"""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode('latin-1').lower())
        at += 1 + packet[at]
    return '.'.join(labels), struct.unpack_from('>H', packet, at + 1)[0], packet[12:at + 5]


class NameServer:
    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(('127.0.0.1', 0))
        self.address = '127.0.0.1:%d' % self.socket.getsockname()[1]
        self.names, self.silent = {}, set()
        self.asked = collections.Counter()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def put(self, name, *answers):
        self.names[name] = [[ipaddress.ip_address(a) for a in answer] for answer in answers]

    def _serve(self):
        while True:
            packet, peer = self.socket.recvfrom(4096)
            if not packet:
                return
            reply = self._answer(packet)
            if reply:
                self.socket.sendto(reply, peer)

    def _answer(self, packet):
        name, kind, question = read_question(packet)
        turn = self.asked[name, kind]
        self.asked[name, kind] += 1
        if name in self.silent:
            return None
        answers = self.names.get(name)
        if not answers:
            return packet[:2] + struct.pack('>HHHHH', 0x8183, 1, 0, 0, 0) + question
        version = {A: 4, AAAA: 6}.get(kind)
        found = [a for a in answers[min(turn, len(answers) - 1)] if a.version == version]
        records = b''.join(b'\xc0\x0c' + struct.pack('>HHIH', kind, 1, 0, len(a.packed)) + a.packed for a in found)
        return packet[:2] + struct.pack('>HHHHH', 0x8180, 1, len(found), 0, 0) + question + records

    def stop(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b'', self.socket.getsockname())
        self.thread.join()
        self.socket.close()
