# SPDX-License-Identifier: MIT
"""What the integration tests, the demo and the benchmarks start and talk to.

processes  free ports, child processes that never outlive the test
insetd     the program under test, with a configuration made from a dict
prosody    a real server
media      a counting web server that can be told to misbehave
rawpeer    byte-exact client and byte-exact scripted server, one on each side of insetd
drawers    what each client would draw for a message
stanzas    messages with pictures, and what a thumbnail must look like
pictures   generated pictures
slix       slixmpp clients (libexpat);  profanity  Profanity clients (libstrophe)
"""
