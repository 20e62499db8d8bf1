-- SPDX-License-Identifier: MIT
--
-- Prosody behind inset: what its configuration needs. doc/servers.md explains it; the integration
-- tests run a Prosody with exactly these lines (with free ports instead of the examples).

-- Clients by inset, in the clear on loopback: inset has ended TLS, or the client uses none.
c2s_ports = { 15222 }
c2s_interfaces = { "127.0.0.1" }
c2s_direct_tls_ports = { }
-- With "true" a clear session is offered STARTTLS only, and no way to log in.
c2s_require_encryption = false
-- For clients that know PLAIN only; SCRAM does not need it.
allow_unencrypted_plain_auth = true

-- Components and bridges by inset (XEP-0114).
component_ports = { 15347 }
component_interfaces = { "127.0.0.1" }

-- The file share (XEP-0363): its origin belongs into fetch.allow-origin.
http_ports = { 15280 }
http_interfaces = { "127.0.0.1" }
