# SPDX-License-Identifier: MIT
# Rows of the tables, as the manual must say them, and rows of the manual, as it does; for tables.sh.
#   awk -v mode=options  options.def              section TAB name TAB type TAB default
#   awk -v mode=settings inset.conf.5             the same
#   awk -v mode=sample   data/inset.conf          section TAB name TAB value
#   awk -v mode=figures  metrics.def ...          name TAB type TAB label
#   awk -v mode=metrics  insetd.8                 the same

# A row's Nth argument is a text: what stands in it.
function unquote(s) {
	sub(/^[ \t]*"/, "", s)
	sub(/"[ \t]*$/, "", s)
	gsub(/\\"/, "\"", s)
	return s
}

# Splits the arguments of MACRO(...) into arg[1..]; commas inside of quotes do not count.
function arguments(line,   i, c, in_text, n) {
	sub(/^[^(]*\(/, "", line)
	sub(/\)[ \t]*$/, "", line)
	n = 1
	arg[1] = ""
	for (i = 1; i <= length(line); i++) {
		c = substr(line, i, 1)
		if (c == "\\") {
			arg[n] = arg[n] c substr(line, ++i, 1)
			continue
		}
		if (c == "\"")
			in_text = !in_text
		if (c == "," && !in_text)
			arg[++n] = ""
		else
			arg[n] = arg[n] c
	}
	for (i = 1; i <= n; i++)
		gsub(/^[ \t]+|[ \t]+$/, "", arg[i])
	return n
}

function type_words(type) {
	if (type ~ /^ENUM_/)
		return "word"
	if (type ~ /^ENUMS_/)
		return "list of words"
	return types[type]
}

# The default as one writes it into a file.
function written(type, def,   words, n, i, s) {
	if (def == "")
		return "empty"
	if (type == "COUNT" && def ~ /^[0-9]+$/ || type == "BOOL")
		return def
	if (type == "PORTS")
		return "[" def "]"
	if (type_words(type) !~ /^list/)
		return "\"" def "\""
	n = split(def, words, / *, */)
	for (i = 1; i <= n; i++)
		s = s (i > 1 ? ", " : "") "\"" words[i] "\""
	return "[" s "]"
}

function flush_setting() {
	if (setting != "" && type != "list of groups") # groups have rows of their own
		print section "\t" setting "\t" type "\t" (default_is == "" ? "(says no default)" : default_is)
	setting = default_is = ""
	waits = 0
}

function plain(s) {
	gsub(/\\\(dq/, "\"", s)
	gsub(/\\&/, "", s)
	gsub(/\\-/, "-", s)
	gsub(/\\_/, "_", s)
	return s
}

BEGIN {
	split("SIZE size TIME time COUNT number BOOL boolean STRING text RATE rate UPSTREAM address", pairs, " ")
	for (i = 1; i in pairs; i += 2)
		types[pairs[i]] = pairs[i + 1]
	types["USER"] = "user name"
	types["STRINGS"] = "list of texts"
	types["PORTS"] = "list of ports"
	types["BIND"] = types["SERVERS"] = "list of addresses"
	types["BIND_LOCAL"] = "list of loopback addresses"
	types["ORIGINS"] = "list of origins"
	types["ORIGIN"] = "origin"
	types["NETWORKS"] = "list of networks"
}

mode == "options" && /^OPTION_[A-Z]+\("/ {
	section = tolower(substr($0, 8, index($0, "(") - 8))
	arguments($0)
	print section "\t" unquote(arg[1]) "\t" type_words(arg[3]) "\t" written(arg[3], unquote(arg[6]))
}

mode == "settings" && /^\.S[sh] / {
	flush_setting()
	section = ""
	depth = 0
	if ($0 == ".Ss Top of the file")
		section = "global"
	else if ($2 == "Group" && NF == 3)
		section = $3
	else if ($0 == ".Ss Groups in listen")
		section = "listen"
	else if ($0 == ".Ss Groups in profiles")
		section = "profile"
	else if ($0 == ".Ss Groups in fetch.origins")
		section = "origin"
	else if ($0 == ".Ss Groups in upload.services")
		section = "service"
	next
}
mode == "settings" && section != "" && /^\.It Ic / {
	flush_setting()
	setting = $3
	type = plain($0)
	if (!sub(/^.* Pq /, "", type))
		type = "(says no type)"
	next
}
mode == "settings" && /^\.Bl / { depth++ }
mode == "settings" && /^\.El/ && --depth == 0 { flush_setting() }
mode == "settings" && $0 == "Default:" { waits = 1; next }
mode == "settings" && $0 == "Default: empty." { default_is = "empty" }
mode == "settings" && $0 == "Must be given." { default_is = "empty" }
mode == "settings" && waits && /^\.Ql / {
	default_is = plain(substr($0, 5))
	sub(/ \.$/, "", default_is)
}
mode == "settings" { waits = 0 }

function figure(name, type, labels) {
	sub(/=.*/, "", labels)
	if (!(name in seen))
		print "inset_" name "\t" type "\t" (labels == "" ? "" : "by " labels)
	seen[name] = 1
}

mode == "figures" && /^METRIC\(/ {
	arguments($0)
	figure(unquote(arg[3]), arg[2] == "PEAK" ? "gauge" : tolower(arg[2]), unquote(arg[4]))
}
mode == "figures" && /^#define JOB_STATUS/ {
	sub(/^.*METRIC\(/, "METRIC(")
	arguments($0)
	figure(unquote(arg[3]), tolower(arg[2]), "outcome")
}
mode == "figures" && /^HISTOGRAM\(/ {
	arguments($0)
	figure(unquote(arg[2]), "histogram", "")
}
mode == "figures" && /^RULE_FIGURE\([A-Z]/ {
	arguments($0)
	figure(unquote(arg[3]), arg[4] == "LATEST" ? "gauge" : "counter", "rule")
}
mode == "figures" && /^LISTENER_FIGURE\([A-Z]/ {
	arguments($0)
	figure(unquote(arg[2]), tolower(arg[4]), unquote(arg[3]) == "" ? "listener" : "listener and " unquote(arg[3]))
}

mode == "metrics" && /^\.Sh / { inside = $2 == "METRICS" }
mode == "metrics" && inside && /^\.It Ic inset_/ {
	line = plain($0)
	name = $3
	sub(/^.* Pq /, "", line)
	split(line, words, /, */)
	if (plain(name) != "inset_build_info") # not a row of a table: it has no value
		print plain(name) "\t" words[1] "\t" words[2]
}

# data/inset.conf: what "#" takes out of the file is the default; where that is empty it may be an example.
mode == "sample" && /^[a-z0-9]+ = [{(]/ { section = $1 == "profiles" ? "profile" : $1 }
mode == "sample" && /^}/ { section = "" }
mode == "sample" && /^\t#origins = / { section = "origin" }
mode == "sample" && /^\t#services = / { section = "service" }
mode == "sample" && /^\t#\)/ { section = section == "origin" ? "fetch" : "upload" }
mode == "sample" && /^[ \t#]*[a-z][a-z0-9-]* = / && !/= [{(]/ {
	line = $0
	sub(/^[ \t#]*/, "", line)
	name = line
	sub(/ = .*/, "", name)
	sub(/^[^=]* = /, "", line)
	print (section == "" ? "global" : section) "\t" name "\t" line
}
