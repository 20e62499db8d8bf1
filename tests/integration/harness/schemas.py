# SPDX-License-Identifier: MIT
"""What inset writes against the XSF's schemas in data/schemas (see the README there)."""
from lxml import etree

from .insetd import TOP

NAMESPACES = {
    'urn:xmpp:thumbs:0': 'thumbs-0',
    'urn:xmpp:thumbs:1': 'thumbs-1',
    'urn:xmpp:bob': 'bob',
    'http://jabber.org/protocol/ibb': 'ibb',
}
SCHEMAS = {ns: etree.XMLSchema(etree.parse(str(TOP / 'data' / 'schemas' / f'{name}.xsd')))
           for ns, name in NAMESPACES.items()}
WRAPPER = b"<x xmlns='jabber:client'>%s</x>"


def tree(stanza):
    """A stanza's element, as it stands in a client's stream."""
    return etree.fromstring(WRAPPER % stanza)[0]


def validate(stanza):
    """Every element of these namespaces in the stanza is valid; the names of those found, in order."""
    found = []
    for element in tree(stanza).iter(etree.Element):
        ns, name = etree.QName(element).namespace, etree.QName(element).localname
        if ns not in SCHEMAS:
            continue
        alone = etree.fromstring(etree.tostring(element, with_tail=False))
        if ns == 'http://jabber.org/protocol/ibb':
            alone.attrib.pop('type', None)      # Kontalk's, not the schema's
        SCHEMAS[ns].assertValid(alone)
        found.append(f'{NAMESPACES[ns]} {name}')
    return found
