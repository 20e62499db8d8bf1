#!/bin/sh
# SPDX-License-Identifier: MIT
#
# inside.sh STEP - what run.sh asks of the package inside the fresh Debian. One step a call, in the order
# in which run.sh names them; exit status 0 when it holds. Peers are inset-replay's: both sides of
# captured sessions, pictures from a server of its own, and a verdict.
set -eu
conf=/etc/inset/inset.conf
# cgroup v2; where the controllers are v1 (boot.sh), systemd's own hierarchy.
group=/sys/fs/cgroup/system.slice/inset.service
[ -d /sys/fs/cgroup/system.slice ] || group=/sys/fs/cgroup/systemd/system.slice/inset.service
sessions=${SESSIONS:-50}

fail() {
	echo "$*" >&2
	exit 1
}

# until_so COMMAND...: waits for it; what it waits for is not a matter of time.
until_so() {
	for i in $(seq 300); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	"$@" || { journalctl -u inset --no-pager -n 20 >&2 || :; fail "never came true: $*"; }
}

# As many thumbnails as there are pictures: no rate per sender, all times are far away; the form that
# inset-replay knows.
configure() {
	! grep -q '^limits' $conf || return 0
	sed -i -e 's|^#fetch = .*|fetch = { allow-origin = "http://127.0.0.1:5280" timeout = "20s" low-speed-time = "20s" }|' \
		-e 's|^.*filters  = .*|&  hold = "10s"  hold-s2c = "10s"  profile = "classic"|' $conf
	echo 'limits = { per-sender = "" hold-budget = "60s" hold-window = "60s" }' >>$conf
}

# Never 0, which would be this very process's group.
main_pid() {
	pid=$(systemctl show -p MainPID --value inset.service)
	[ "$pid" -gt 1 ] || fail "the service does not run: $(journalctl -u inset --no-pager -n 20)"
	echo "$pid"
}

formats() {
	insetctl --json status | grep -q '"scaler_formats": *[1-9]'
}

play() {
	inset-replay play --quiet --connect "${1:-127.0.0.1:5322}" --listen 127.0.0.1:5222 --media 5280 \
		--speed "${2:-4}" --sessions "${3:-$sessions}" --expect "${4:-all}" --timeout 60 /root/*.gz
}

step_by_hand() {
	configure
	install -d -o _inset -g _inset /run/inset
	setpriv --reuid _inset --regid _inset --clear-groups --no-new-privs --bounding-set -all --inh-caps -all insetd -c $conf &
	pid=$!
	until_so formats
	play
	kill $pid
	wait $pid
	rm -r /run/inset
}

step_starts() {
	until_so formats
	systemctl is-active inset.service || fail "$(journalctl -u inset --no-pager -n 30)"
	systemctl is-enabled inset.service
	for unit in inset.socket inset-upload.socket inset-web.socket; do
		[ "$(systemctl is-enabled $unit)" = disabled ] || fail "$unit is enabled"
	done
}

# What the unit says holds for each process: user, capabilities, filter, file system.
step_confined() {
	n=0
	for pid in $(cat $group/cgroup.procs); do
		status=$(cat /proc/"$pid"/status)
		for line in "Uid:.*	$(id -u _inset)$" 'CapEff:	0000000000000000$' 'CapBnd:	0000000000000000$' 'NoNewPrivs:	1$' 'Seccomp:	2$'; do
			printf '%s\n' "$status" | grep -q "$line" || fail "process $pid: not $line:
$status"
		done
		! nsenter -t "$pid" -m sh -c ': >/usr/sbin/insetd.x' 2>/dev/null || fail "process $pid can write /usr"
		n=$((n + 1))
	done
	[ $n -ge 5 ] || fail "$n processes"
	# Decoders have a filter of their own inside of that.
	most=$(for pid in $(cat $group/cgroup.procs); do sed -n 's/^Seccomp_filters:[^0-9]*//p' /proc/"$pid"/status; done | sort -n | sed -n '1p;$p' | tr '\n' ' ')
	set -- $most
	[ "$2" -gt "$1" ] || fail "filters: $most"
	systemctl show -p NRestarts inset.service | grep -q 'NRestarts=0' || fail "it was restarted"
}

step_reloads() {
	configure
	systemctl reload inset.service
	cp $conf /root/good
	echo 'nonsense = 1' >>$conf
	if systemctl reload inset.service 2>/dev/null; then
		fail "a wrong configuration was taken"
	fi
	journalctl -u inset --no-pager | grep -q "$conf:[0-9]*: .*nonsense" || fail "the log does not say what is wrong"
	cat /root/good >$conf
	systemctl reload inset.service
	formats
}

step_relays() {
	play
}

# limit NAME-OF-V2 FOLDER-OF-V1 NAME-OF-V1: what the kernel has.
limit() {
	cat "/sys/fs/cgroup/system.slice/inset.service/$1" 2>/dev/null || cat "/sys/fs/cgroup/$2/system.slice/inset.service/$3"
}

# The limits of the unit are the kernel's, leave room, and where one is reached messages go on.
step_limited() {
	configure
	systemctl restart inset.service
	until_so formats
	most=$(systemctl show -p MemoryMax --value inset.service)
	tasks=$(systemctl show -p TasksMax --value inset.service)
	total=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
	[ "$most" -le $((total * 768)) ] && [ "$most" -gt $((total * 700)) ] || fail "MemoryMax $most of $total KiB"
	[ "$tasks" = 512 ] || fail "TasksMax $tasks"
	[ "$(limit memory.max memory memory.limit_in_bytes)" = "$most" ] || fail "the kernel does not limit memory"
	[ "$(limit pids.max pids pids.max)" = "$tasks" ] || fail "the kernel does not limit tasks"
	play
	peak=$(limit memory.peak memory memory.max_usage_in_bytes)
	now=$(limit pids.current pids pids.current)
	echo "figures: memory at most $((peak >> 20)) of $((most >> 20)) MiB; tasks: $now of $tasks"
	[ "$peak" -lt $((most / 4)) ] && [ "$now" -lt $((tasks / 4)) ] || fail "too near"
	! limit pids.events pids pids.events | grep -q 'max [1-9]' || fail "a task was refused"
	# No decoder can be started: no thumbnails, and no message that is late or lost.
	systemctl set-property --runtime inset.service TasksMax=1
	insetctl cache flush
	play 127.0.0.1:5322 4 "$sessions" any
	limit pids.events pids pids.events | grep -q 'max [1-9]' || fail "no task was refused"
	systemctl set-property --runtime inset.service TasksMax=512
	until_so formats
	insetctl cache flush
	until_so play
	systemctl show -p NRestarts inset.service | grep -q 'NRestarts=0' || fail "it was restarted"
	systemctl revert inset.service
	systemctl restart inset.service
	until_so formats
}

# A process that hangs is noticed: SIGSTOP of the master, WatchdogSec made short.
step_watched() {
	mkdir -p /run/systemd/system/inset.service.d
	printf '[Service]\nWatchdogSec=2s\n' >/run/systemd/system/inset.service.d/watchdog.conf
	systemctl daemon-reload
	systemctl restart inset.service
	until_so formats
	pid=$(main_pid)
	sleep 4
	[ "$pid" = "$(systemctl show -p MainPID --value inset.service)" ] || fail "the watchdog ended a healthy insetd"
	kill -STOP "$pid"
	until_so sh -c "systemctl show -p NRestarts --value inset.service | grep -q -v '^0'"
	until_so formats
	rm /run/systemd/system/inset.service.d/watchdog.conf
	systemctl daemon-reload
	systemctl reset-failed inset.service
	systemctl restart inset.service
	until_so formats
}

# The port is systemd's: connections wait while inset is away.
step_activated() {
	mkdir -p /run/systemd/system/inset.socket.d
	printf '[Socket]\nListenStream=\nListenStream=127.0.0.1:5322\n' >/run/systemd/system/inset.socket.d/port.conf
	systemctl daemon-reload
	systemctl stop inset.service
	systemctl start inset.socket inset-web.socket
	systemctl is-active inset.service && fail "started too early"
	# The first messages may come before the decoders are ready.
	play 127.0.0.1:5322 4 "$sessions" any
	until_so formats
	play
	systemctl is-active inset.service
	systemctl stop inset.service inset.socket inset-web.socket
	rm -r /run/systemd/system/inset.socket.d
	systemctl daemon-reload
	systemctl start inset.service
	until_so formats
}

step_restarts() {
	before=$(main_pid)
	kill -KILL "$before"
	until_so sh -c "[ \"\$(systemctl show -p MainPID --value inset.service)\" != $before ] && systemctl is-active inset.service"
	until_so formats
	play
}

# Sessions under way when the package is upgraded end as they would have.
step_upgrades() {
	before=$(main_pid)
	play 127.0.0.1:5322 1 "$sessions" any >/root/verdict 2>&1 &
	replay=$!
	until_so sh -c "insetctl --json status | grep -q '\"sessions\": *[1-9]'"
	dpkg -i /root/next.deb
	wait $replay || fail "$(cat /root/verdict)"
	until_so sh -c "[ \"\$(systemctl show -p MainPID --value inset.service)\" != $before ]"
	systemctl is-active inset.service
	# The old one has ended with its sessions.
	until_so sh -c "[ ! -e /proc/$before ]"
	until_so formats
	play
	[ "$(dpkg-query -W -f '${Version}' inset)" = "$(dpkg-deb -f /root/next.deb Version)" ]
}

# The drop-in of the examples: root with a few capabilities, the others become their users.
step_own_users() {
	configure
	install -D -m 644 /usr/share/doc/inset/examples/own-users.conf /etc/systemd/system/inset.service.d/own-users.conf
	cp $conf /root/good
	echo 'media-user = "games"  scaler-user = "nobody"' >>$conf
	systemctl daemon-reload
	systemctl restart inset.service
	until_so formats
	users=$(for pid in $(cat $group/cgroup.procs); do stat -c %U /proc/"$pid"; done | sort -u | tr '\n' ' ')
	[ "$users" = "root " ] || : # /proc of processes that are not dumpable is root's
	uids=$(for pid in $(cat $group/cgroup.procs); do sed -n 's/^Uid:.*	//p' /proc/"$pid"/status; done | sort -un | tr '\n' ' ')
	want=$(for user in root games nobody _inset; do id -u $user; done | sort -n | tr '\n' ' ')
	[ "$uids" = "$want" ] || fail "users: $uids, not $want"
	play
	cat /root/good >$conf
	rm -r /etc/systemd/system/inset.service.d
	systemctl daemon-reload
	systemctl restart inset.service
	until_so formats
}

nothing_runs() {
	for exe in /proc/[0-9]*/exe; do
		case $(readlink "$exe") in
		*/insetd* | */inset-scaler*) fail "still running: $exe" ;;
		esac
	done
	[ ! -e /run/inset ] || fail "/run/inset is left"
}

step_removed() {
	nothing_runs
	[ -f $conf ]
	[ -d /var/lib/inset ]
	id _inset
	: >/var/lib/inset/of-the-operator
}

step_again() {
	until_so formats
	grep -q '^limits' $conf
	[ -f /var/lib/inset/of-the-operator ]
	play
}

step_purged() {
	nothing_runs
	! id _inset 2>/dev/null || fail "the user is left"
	[ ! -e /var/lib/inset ] && [ ! -e /etc/inset ]
}

"step_$1"
