# SPDX-License-Identifier: MIT
# Sections of inset-rules.5 from the rows of the tables:
#   awk -f doc/rules.awk src/rule/conditions.def src/conf/actions.def src/xmpp/xpath.def
# tests/lint/tables.sh compares; `make rules-manual` writes them into the page.

# The texts of a row, "..." each, into part[1..]; \" stands for a quote.
function split_row(line,    n, text) {
	n = 0
	while (match(line, /"([^"\\]|\\.)*"/)) {
		text = substr(line, RSTART + 1, RLENGTH - 2)
		gsub(/\\"/, "\\(dq", text)
		part[++n] = text
		line = substr(line, RSTART + RLENGTH)
	}
	return n
}

# mdoc: each sentence begins a line, none begins with a dot or quote.
function say(text) {
	gsub(/-/, "\\-", text)
	text = toupper(substr(text, 1, 1)) substr(text, 2)
	gsub(/\. /, ".\n", text)
	gsub(/\n\./, "\n\\\\\\&.", text)
	print text
}

function name_of(text) {
	gsub(/-/, "\\-", text)
	return text
}

FNR == 1 { file++; if (file > 1) print ".El" }
FNR == 1 && file == 1 { print ".Sh CONDITIONS"; print "In the order in which they are looked at:"; print ".Bl -tag -width Ds" }
FNR == 1 && file == 2 { print ".Sh ACTIONS"; print ".Bl -tag -width Ds" }
FNR == 1 && file == 3 { print ".Sh PREFIXES"; print "Bound in every XPath expression:"; print ".Bl -tag -width Ds"; print ".It Ic c"; print "The stream's own namespace, which is that of messages: jabber:client, or jabber:component:accept, or jabber:server." }

/^CONDITION\(/ {
	split_row($0)
	after = $0 ~ /, AFTER,/ ? " , after the fetch" : ""
	print ".It Ic " name_of(part[1]) " Pq " part[2] after
	say(part[3])
}
/^ACTION\(/ { split_row($0); print ".It Ic " name_of(part[1]); say(part[2]) }
/^XPATH_PREFIX\(/ {
	split_row($0)
	match($0, /NS_[A-Z0-9_]*/)
	print ".It Ic " name_of(part[1])
	print uri[substr($0, RSTART + 3, RLENGTH - 3)]
}
BEGIN {
	while ((getline line < (dir "src/xmpp/ns.def")) > 0)
		if (line ~ /^NS\(/) {
			split_row(line)
			match(line, /\([A-Z0-9_]*/)
			uri[substr(line, RSTART + 1, RLENGTH - 1)] = part[1]
		}
}
END { print ".El" }
