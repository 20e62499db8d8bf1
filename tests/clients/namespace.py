# SPDX-License-Identifier: MIT
"""A loopback and a mount table of the tests' own.

Dino connects to port 5222 of its domain and trusts the system's authorities only. So that neither is
touched, the test process moves into a network of its own, in which nothing but loopback exists and
every port is free, and into a mount table of its own, where the list of authorities can be covered.
Everything that it starts lives there, too. Needs root or unprivileged user namespaces.
"""
import ctypes
import fcntl
import os
import socket
import struct

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt'

libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f'{what}: {os.strerror(number)}')


def _mount(source, target, flags):
    _check(libc.mount(source.encode(), target.encode(), None, flags, None), f'mount {target}')


def enter():
    """Moves this process; before any thread is started."""
    uid, gid = os.getuid(), os.getgid()
    _check(libc.unshare(CLONE_NEWNS | CLONE_NEWNET | (CLONE_NEWUSER if uid else 0)), 'unshare')
    if uid:
        for name, text in (('setgroups', 'deny'), ('uid_map', f'{uid} {uid} 1'), ('gid_map', f'{gid} {gid} 1')):
            with open(f'/proc/self/{name}', 'w') as f:
                f.write(text)
    _mount('none', '/', MS_REC | MS_PRIVATE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack('16sH14x', b'lo', IFF_UP))


def trust(folder, authority):
    """Adds this authority's file to what programs trust, in here."""
    whole = os.path.join(folder, 'authorities.pem')
    with open(whole, 'wb') as out:
        for name in (AUTHORITIES, authority):
            with open(name, 'rb') as f:
                out.write(f.read())
    os.chmod(whole, 0o644)
    _mount(whole, AUTHORITIES, MS_BIND)
