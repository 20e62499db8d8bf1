# SPDX-License-Identifier: MIT
# Completion of insetctl for bash. Commands, options and their words come from insetctl --help.

# Words of the table below a title of the help: "left column<TAB>right column".
_insetctl_rows() {
	"${COMP_WORDS[0]}" --help 2>/dev/null | awk -v title="$1" '
		/^[A-Z][a-z]*:$/ { inside = $0 == title ":" ; next }
		inside && /^  / { sub(/^ +/, ""); sub(/   */, "\t"); print }'
}

# What may follow an option that takes a value: its words, or nothing known.
_insetctl_value() {
	_insetctl_rows Options | awk -F '\t' -v option="$1" '{
		n = split($1, w, /,? +/)
		value = w[n] ~ /^-/ ? "" : w[n]
		for (i = 1; i <= n; i++)
			if (w[i] == option && value != "") { print value; exit }
	}'
}

_insetctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} value words='' i said=''
	COMPREPLY=()
	if [[ $prev == -* && $COMP_CWORD -gt 1 ]]; then
		value=$(_insetctl_value "$prev")
		case $value in
		'') ;;
		*'|'*) COMPREPLY=($(compgen -W "${value//|/ }" -- "$cur")); return ;;
		FILE | OUT | SOCKET) compopt -o filenames 2>/dev/null || :; COMPREPLY=($(compgen -f -- "$cur")); return ;;
		*) return ;;
		esac
	fi
	# The words of the command so far, without options and their values.
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-*) [[ -n $(_insetctl_value "${COMP_WORDS[i]}") ]] && ((i++)) ;;
		*) said+=${COMP_WORDS[i]}' ' ;;
		esac
	done
	if [[ $cur == -* ]]; then
		words=$(_insetctl_rows Options | awk -F '\t' '{
			n = split($1, w, /,? +/)
			for (i = 1; i <= n; i++) if (w[i] ~ /^-/) print w[i] }')
	else
		# What follows those words in a row; capitals stand for something to be thought of.
		words=$(_insetctl_rows Commands | awk -F '\t' -v said="$said" 'index($1 " ", said) == 1 {
			rest = substr($1, length(said) + 1)
			sub(/ .*/, "", rest)
			if (rest ~ /FILE/) { print "FILE"; exit }
			gsub(/\|/, "\n", rest)
			if (rest !~ /[A-Z\[]/) print rest }')
	fi
	if [[ $words == FILE ]]; then
		compopt -o filenames 2>/dev/null || :
		COMPREPLY=($(compgen -f -- "$cur"))
		return
	fi
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _insetctl insetctl
