# SPDX-License-Identifier: MIT
"""Master, control socket, reload, metrics: insetd as its operator sees it. No XMPP server is
needed: the upstream is a TCP server that echoes. What sessions do with stanzas is tested by
the other files here; values of the configuration by unit/test_conf.c."""

import contextlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from harness.processes import PATIENCE, let_in

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("INSET_BUILD") or os.environ.get("builddir") or ROOT / "build")
INSETD = BUILD / "insetd"
INSETCTL = BUILD / "insetctl"
HEADER = (b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='example.org' version='1.0' "
          b"xmlns:stream='http://etherx.jabber.org/streams'>")


def wait_for(check, what):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = check()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("never happened: " + what)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def process_ids(parent):
    """Children of that process, by the first two words of their command lines."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) != parent or fields[0] == "Z":
                continue
            words = (entry / "cmdline").read_bytes().split(b"\0")
            name = b" ".join(words[1:3]) if words[0] != b"inset-scaler" else b"scaler"
            found[name.decode().replace("--role=", "").replace(" --index=", "/")] = int(entry.name)
    return found


def is_gone(pid):
    """Ended, if perhaps not yet reaped by whoever adopted it."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


class Echo:
    """The upstream."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection):
        with contextlib.suppress(OSError), connection:
            while data := connection.recv(65536):
                connection.sendall(data)


class Daemon:
    """A running insetd with a configuration file in its own folder."""

    def __init__(self, folder, upstream, before=(), **settings):
        self.folder, self.upstream, self.before = folder, upstream, list(before)
        self.port, self.web_port = free_port(), free_port()
        self.file, self.control = folder / "inset.conf", folder / "control.sock"
        self.log_path = folder / "log"
        self.program = INSETD
        self.process = None
        self.write(**settings)

    def write(self, extra="", listeners="", workers=2, web=True):
        self.file.write_text(
            f'control = "{self.control}"\nworkers = {workers}\n'
            f'listen = {{ main = {{ bind = "127.0.0.1:{self.port}" upstream = "127.0.0.1:{self.upstream}" }}\n'
            f"{listeners} }}\n"
            + (f'web = {{ bind = "127.0.0.1:{self.web_port}" }}\n' if web else "") + extra + "\n")

    def start(self, *options):
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen([*self.before, self.program, "-c", self.file, *options], stderr=log,
                                            stdin=subprocess.DEVNULL)
        wait_for(lambda: " up version=" in self.log() or self.process.poll() is not None, "the up line")
        assert self.process.poll() is None, self.log()
        return self

    def log(self):
        return self.log_path.read_text()

    def wait_log(self, text, times=1):
        wait_for(lambda: self.log().count(text) >= times, text + " in " + self.log())

    def children(self):
        return process_ids(self.process.pid)

    def ctl(self, *words):
        return subprocess.run([INSETCTL, "-s", self.control, *words], capture_output=True, text=True,
                              timeout=PATIENCE, check=False)

    def status(self):
        answer = self.ctl("--json", "status")
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    def http(self, path, method="GET"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.web_port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read().decode()

    def connect(self, port=None):
        return socket.create_connection(("127.0.0.1", port or self.port), timeout=PATIENCE)

    def stop(self, number=signal.SIGTERM):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)


@pytest.fixture(name="echo", scope="module")
def echo_fixture():
    return Echo()


@pytest.fixture(name="make")
def make_fixture(tmp_path, echo):
    daemons = []

    def make(name="a", **settings):
        folder = tmp_path / name
        folder.mkdir()
        daemons.append(Daemon(folder, echo.port, **settings))
        return daemons[-1]

    yield make
    for daemon in daemons:
        daemon.stop()


@pytest.fixture(name="daemon")
def daemon_fixture(make):
    return make().start()


def echoes(connection):
    connection.sendall(HEADER)
    got = b""
    while len(got) < len(HEADER):
        piece = connection.recv(4096)
        if not piece:
            return False
        got += piece
    return got == HEADER


def run(*arguments, **more):
    return subprocess.run([INSETD, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False,
                          **more)


# --- start and end -------------------------------------------------------------------------


def test_all_processes_are_there_and_end_with_the_master(daemon):
    children = daemon.children()
    assert set(children) == {"proxy/0", "proxy/1", "media/0", "web/0", "scaler"}
    with daemon.connect() as connection:
        assert echoes(connection)
    assert daemon.stop() == 0
    wait_for(lambda: all(map(is_gone, children.values())), "no process left over")
    assert not daemon.control.exists()
    assert "stopped" in daemon.log()


def test_sigint_ends_it_as_well(daemon):
    assert daemon.stop(signal.SIGINT) == 0


def test_second_sigterm_ends_sessions_at_once(make):
    daemon = make(extra='drain-timeout = "1h"').start()
    with daemon.connect() as connection:
        assert echoes(connection)
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_log("stopping drain=")
        assert daemon.stop() == 0


def test_children_die_with_a_killed_master(daemon):
    children = daemon.children()
    daemon.process.kill()
    daemon.process.wait(timeout=PATIENCE)
    wait_for(lambda: all(map(is_gone, children.values())), "no orphans")


def test_without_a_file(echo, tmp_path):
    port = free_port()
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen([INSETD, "--listen", f"127.0.0.1:{port}", "--upstream", f"localhost:{echo.port}",
                                    "-o", f"control={tmp_path}/c.sock"], stderr=out)
    try:
        wait_for(lambda: " up version=" in log.read_text(), "the up line")
        assert not [name for name in process_ids(process.pid) if name.startswith("web")]
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            assert echoes(connection)
    finally:
        process.terminate()
        assert process.wait(timeout=PATIENCE) == 0


# --- what is wrong at the start ------------------------------------------------------------


def test_address_in_use_is_one_line(daemon, make):
    other = make("b")
    other.port = daemon.port
    other.write(web=False)
    answer = run("-c", other.file)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{daemon.port} for main: Address already in use" in answer.stderr


def test_control_socket_in_use(daemon, make):
    other = make("b")
    answer = run("-c", other.file, "-o", f"control={daemon.control}")
    assert answer.returncode == 1
    assert "another insetd answers there" in answer.stderr
    assert daemon.ctl("status").returncode == 0


def test_stale_control_socket_is_replaced(make):
    daemon = make()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(daemon.control))
    daemon.start()
    assert daemon.ctl("status").returncode == 0


def test_a_file_at_the_control_path_stays(make):
    daemon = make()
    daemon.control.write_text("mine")
    answer = run("-c", daemon.file)
    assert answer.returncode == 1
    assert "no socket" in answer.stderr
    assert daemon.control.read_text() == "mine"


def test_broken_files(tmp_path):
    file = tmp_path / "x.conf"
    file.write_text("workres = 1\n\nlisten = {\n")
    for test in (["-t"], []):
        answer = run(*test, "-c", file)
        assert answer.returncode == 1
        assert re.match(rf"{file}:\d+: syntax error\n$", answer.stderr)
    file.write_text('workres = 1\nlisten = { a = { bind = "127.0.0.1:1" upstream = "127.0.0.1:2"\n filters = "no" } }')
    answer = run("-t", "-c", file)
    assert answer.returncode == 1
    assert answer.stderr.splitlines() == [
        f'{file}:1: workres: no such setting; did you mean "workers"?',
        next(line for line in answer.stderr.splitlines() if f'{file}:3: listen.a.filters: "no": no such filter' in line)]


def test_a_good_file_says_nothing(make):
    answer = run("-t", "-c", make().file)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_the_sample_file_is_good():
    assert run("-t", "-c", ROOT / "data" / "inset.conf").returncode == 0


def test_unreadable_file(make):
    daemon = make()
    missing = daemon.folder / "missing.conf"
    answer = run("-c", missing)
    assert (answer.returncode, answer.stderr) == (1, f"{missing}: No such file or directory\n")
    if os.geteuid() == 0:
        daemon.file.chmod(0)
        let_in(daemon.folder)
        answer = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", INSETD, "-c",
                                 daemon.file], capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert (answer.returncode, answer.stderr) == (1, f"{daemon.file}: Permission denied\n")


@pytest.mark.parametrize("arguments", [["--nonsense"], ["x"], ["--listen", "127.0.0.1:1"], ["--role=nobody"],
                                       ["--role=proxy", "--index=x"]])
def test_wrong_usage(arguments):
    assert run(*arguments).returncode == 2


def test_versions_and_help():
    assert run("--version").stdout.startswith("insetd (inset) ")
    assert "usage: insetd" in run("--help").stdout
    for library in ("curl", "libevent", "libxml2", "OpenSSL", "c-ares"):
        assert library in run("-V").stdout


# --- children that end ---------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["proxy/0", "media/0", "web/0", "scaler"])
def test_a_killed_child_comes_back_and_the_others_stay(daemon, victim):
    before = daemon.children()
    os.kill(before[victim], signal.SIGKILL)

    def is_back():
        now = daemon.children()
        return victim in now and now[victim] != before[victim] and \
            all(child["state"] == "up" for child in daemon.status()["children"])

    wait_for(is_back, victim + " comes back")
    after = daemon.children()
    assert {k: v for k, v in after.items() if k != victim} == {k: v for k, v in before.items() if k != victim}
    assert daemon.log().count("was ended by signal 9") == 1
    restarts = {f'{c["role"]}/{c["index"]}': c["restarts"] for c in daemon.status()["children"]}
    assert restarts.pop(victim if "/" in victim else victim + "/0") == 1
    assert set(restarts.values()) == {0}
    assert "\ninset_restarts_total 1\n" in daemon.http("/metrics")[1]
    with daemon.connect() as connection:
        assert echoes(connection)


def test_a_session_survives_the_death_of_others(daemon):
    with daemon.connect() as connection:
        assert echoes(connection)
        children = daemon.children()
        os.kill(children["media/0"], signal.SIGKILL)
        os.kill(children["scaler"], signal.SIGKILL)
        daemon.wait_log("was ended by signal 9", 2)
        connection.sendall(b" ")
        assert connection.recv(10) == b" "


def test_restarts_are_backed_off(daemon):
    for times in range(1, 5):
        os.kill(wait_for(lambda: daemon.children().get("web/0"), "web"), signal.SIGKILL)
        daemon.wait_log("was ended by signal 9", times)
    wait_for(lambda: daemon.children().get("web/0"), "web")
    assert daemon.ctl("status").returncode == 0


# --- several workers ------------------------------------------------------------------------


def keep_away(daemon, name):
    """That child is dead and its next start is some seconds off."""
    for _ in range(7):
        os.kill(wait_for(lambda: daemon.children().get(name), name), signal.SIGKILL)
        wait_for(lambda: name not in daemon.children(), "it is dead")


def test_a_dead_workers_clients_are_served_by_another(daemon):
    """The kernel gives every other connection to the socket of the worker that is away."""
    for victim in ("proxy/0", "proxy/1"):
        keep_away(daemon, victim)
        for _ in range(24):
            with daemon.connect() as connection:
                assert echoes(connection)
        assert victim not in daemon.children(), "not away for long enough: nothing was shown"
        wait_for(lambda: {c["state"] for c in daemon.status()["children"]} == {"up"}, "back")
        for _ in range(24):
            with daemon.connect() as connection:
                assert echoes(connection)


def test_reload_while_a_worker_was_away(daemon):
    keep_away(daemon, "proxy/1")
    assert daemon.ctl("reload").returncode == 0         # waits until it is back
    keep_away(daemon, "proxy/0")
    for _ in range(24):
        with daemon.connect() as connection:
            assert echoes(connection)


@pytest.mark.parametrize("limit", ["sessions", "per-address"])
def test_limits_count_over_all_workers(make, limit):
    daemon = make(extra=f"limits = {{ {limit} = 6 }}").start()
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            assert echoes(stack.enter_context(daemon.connect()))
        for _ in range(6):                              # whichever worker gets it
            with daemon.connect() as over, contextlib.suppress(ConnectionResetError):
                assert over.recv(10) == b""
        assert "\ninset_connections_refused_total 6\n" in daemon.http("/metrics")[1]
        daemon.wait_log(f"connection refused limit={limit} max=6")      # comes by way of the master
    wait_for(lambda: "\ninset_sessions 0\n" in daemon.http("/metrics")[1], "all have ended")
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            assert echoes(stack.enter_context(daemon.connect()))
        for victim in ("proxy/0", "proxy/1"):           # what a dead worker had counts no more
            os.kill(daemon.children()[victim], signal.SIGKILL)
        wait_for(lambda: {c["state"] for c in daemon.status()["children"]} == {"up"}, "back")
        for _ in range(6):
            assert echoes(stack.enter_context(daemon.connect()))


def test_one_worker_for_each_usable_cpu(make):
    cpus = sorted(os.sched_getaffinity(0))
    daemon = make(workers=0)
    os.sched_setaffinity(0, cpus[:1])
    try:
        daemon.start()
    finally:
        os.sched_setaffinity(0, cpus)
    assert [name for name in daemon.children() if name.startswith("proxy")] == ["proxy/0"]


# --- reload --------------------------------------------------------------------------------


def test_reload_brings_and_takes_listeners(daemon):
    second = free_port()
    daemon.write(listeners=f'second = {{ bind = "127.0.0.1:{second}" upstream = "127.0.0.1:{daemon.upstream}" }}')
    before = daemon.children()
    answer = daemon.ctl("reload")
    assert (answer.returncode, answer.stdout) == (0, "reloaded, generation 2\n")
    assert daemon.children() == before
    with daemon.connect(second) as connection, daemon.connect() as first:
        assert echoes(connection)
        assert echoes(first)
        daemon.write()
        assert daemon.ctl("reload").returncode == 0
        connection.sendall(b" ")
        assert connection.recv(10) == b" "

    def is_refused():
        try:
            daemon.connect(second).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_for(is_refused, "the second listener is gone")
    assert daemon.status()["generation"] == 3


def test_reload_by_signal(daemon):
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_log("configuration reloaded generation=2")


def test_bad_reload_changes_nothing(daemon):
    good = daemon.file.read_text()
    daemon.file.write_text(good + "\nworkres = 1\n")
    answer = daemon.ctl("reload")
    assert answer.returncode == 1
    assert 'workres: no such setting; did you mean "workers"?' in answer.stderr
    assert "insetctl: reload refused" in answer.stderr
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_log("reload refused, the old configuration stays generation=1", 2)
    assert daemon.status()["generation"] == 1
    with daemon.connect() as connection:
        assert echoes(connection)
    daemon.file.unlink()
    assert daemon.ctl("reload").returncode == 1
    daemon.file.write_text(good)
    assert daemon.ctl("reload").returncode == 0


def test_reload_with_an_address_in_use(daemon):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon.write(listeners=f'second = {{ bind = "127.0.0.1:{port}" upstream = "127.0.0.1:1" }}')
        answer = daemon.ctl("reload")
    assert answer.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port} for second: Address already in use" in answer.stderr
    assert daemon.status()["generation"] == 1


@contextlib.contextmanager
def reload_under_way(daemon):
    """A reload that waits for a stopped child; yields the child's pid and the waiting insetctl."""
    pid = daemon.children()["web/0"]
    os.kill(pid, signal.SIGSTOP)
    asking = subprocess.Popen([INSETCTL, "-s", daemon.control, "reload"], stderr=subprocess.PIPE, text=True)
    try:
        daemon.wait_log("reload asked for by insetctl")
        yield pid, asking
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        asking.communicate(timeout=PATIENCE)


def test_one_reload_at_a_time(daemon):
    with reload_under_way(daemon) as (pid, asking):
        second = daemon.ctl("reload")
        assert (second.returncode, "another reload is under way" in second.stderr) == (1, True)
        os.kill(pid, signal.SIGCONT)
        _, err = asking.communicate(timeout=PATIENCE)
        assert asking.returncode == 0, err
    assert daemon.status()["generation"] == 2


def test_a_child_that_does_not_answer_a_reload(make):
    daemon = make()
    daemon.write('watchdog = "2s"')
    daemon.start()
    with reload_under_way(daemon) as (_, asking):
        _, err = asking.communicate(timeout=PATIENCE)
        assert asking.returncode == 1
        # Whichever comes first when the machine is busy: the reload's deadline, or the watchdog's kill.
        assert "not all processes confirmed" in err or "a process ended meanwhile" in err
    assert daemon.status()["generation"] == 1
    wait_for(lambda: daemon.ctl("reload").returncode == 0, "the next reload")
    assert daemon.http("/metrics")[0] == 200


def test_a_child_that_dies_during_a_reload(daemon):
    with reload_under_way(daemon) as (pid, asking):
        os.kill(pid, signal.SIGKILL)
        _, err = asking.communicate(timeout=PATIENCE)
        assert asking.returncode == 1
        assert "a process ended meanwhile" in err
    assert daemon.status()["generation"] == 1
    wait_for(lambda: daemon.children().get("web/0", pid) != pid, "web comes back")
    assert daemon.ctl("reload").returncode == 0
    with daemon.connect() as connection:
        assert echoes(connection)


def test_a_signal_during_a_reload_is_not_lost(daemon):
    """The file may have changed since it was read."""
    with reload_under_way(daemon) as (pid, _):
        for _ in range(3):
            daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_log("reload asked for by SIGHUP")
        os.kill(pid, signal.SIGCONT)
        daemon.wait_log("configuration reloaded generation=3")
    assert daemon.status()["generation"] in (3, 4)


def test_stopping_during_a_reload(daemon):
    with reload_under_way(daemon):
        assert daemon.stop() == 0


def test_what_only_a_start_can_change(daemon):
    daemon.write(workers=3)
    answer = daemon.ctl("reload")
    assert answer.returncode == 1
    assert "workers: can only be changed by a new start" in answer.stderr


def test_web_comes_and_goes(daemon):
    daemon.write(web=False)
    assert daemon.ctl("reload").returncode == 0
    wait_for(lambda: "web/0" not in daemon.children(), "web is gone")
    daemon.write()
    assert daemon.ctl("reload").returncode == 0
    wait_for(lambda: "web/0" in daemon.children() and " up " in daemon.ctl("status").stdout, "web is back")
    wait_for(lambda: daemon.log().count("was ended by") == 0, "nobody was killed")


def test_new_limits_bring_a_new_scaler(daemon):
    before = daemon.children()
    daemon.write(extra="scale = { children = 1 }")
    assert daemon.ctl("reload").returncode == 0
    wait_for(lambda: daemon.children().get("scaler", before["scaler"]) != before["scaler"], "another scaler")
    wait_for(lambda: daemon.http("/health") == (200, "ok\n"), "healthy")
    after = daemon.children()
    assert {k: v for k, v in after.items() if k != "scaler"} == {k: v for k, v in before.items() if k != "scaler"}
    assert "was ended by" not in daemon.log()
    assert {c["restarts"] for c in daemon.status()["children"]} == {0}


def test_restarted_children_get_the_committed_generation(daemon):
    """Not what stands in the file meanwhile."""
    daemon.file.write_text("half edited {{{")
    victim = daemon.children()["proxy/0"]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: daemon.children().get("proxy/0", victim) != victim, "proxy/0 comes back")
    wait_for(lambda: all(c["state"] == "up" for c in daemon.status()["children"]), "all are up")
    with daemon.connect() as connection:
        assert echoes(connection)


def test_many_reloads_leak_nothing(daemon):
    def descriptors():
        return {name: len(os.listdir(f"/proc/{pid}/fd"))
                for name, pid in [("master", daemon.process.pid), *daemon.children().items()]}

    assert daemon.ctl("reload").returncode == 0
    before = wait_for(descriptors, "descriptors")
    for _ in range(20):
        assert daemon.ctl("reload").returncode == 0
    wait_for(lambda: all(n <= before[name] + 1 for name, n in descriptors().items()), "descriptors go back")


# --- control socket ------------------------------------------------------------------------


def test_status_as_text_and_json(daemon):
    text = daemon.ctl("status")
    assert text.returncode == 0
    assert re.search(r"^proxy/1 +\d+ up ", text.stdout, re.M)
    assert f"listener main: 127.0.0.1:{daemon.port} -> 127.0.0.1:{daemon.upstream}" in text.stdout
    status = daemon.status()
    assert status["state"] == "up"
    pids = {f'{c["role"]}/{c["index"]}'.replace("scaler/0", "scaler"): c["pid"] for c in status["children"]}
    assert pids == daemon.children()


def test_insetctl_without_a_daemon(tmp_path):
    for path in (tmp_path / "none.sock", tmp_path / ("x" * 200)):
        answer = subprocess.run([INSETCTL, "-s", path, "status"], capture_output=True, text=True, check=False)
        assert answer.returncode == 69
        assert answer.stderr.count("\n") == 1
    for words in ([], ["nonsense"], ["status", "reload"], ["--nonsense"]):
        assert subprocess.run([INSETCTL, *words], capture_output=True, check=False).returncode == 2


def talk(daemon, data):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE)
        s.connect(str(daemon.control))
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        got = b""
        with contextlib.suppress(ConnectionError):
            while piece := s.recv(65536):
                got += piece
        return got


def test_hostile_clients_of_the_control_socket(daemon):
    for line in (b"\n", b"{}\n", b"[]\n", b"5\n", b'{"command":5}\n', b"\xff\xfe\n", b"\0\n",
                 b'{"command":"nonsense"}\n', b'{"command":"status","command":"reload"}\n', b"[" * 4000 + b"\n"):
        answer = talk(daemon, line)
        assert json.loads(answer)["ok"] is False
    assert talk(daemon, b"x" * 100000) == b""
    assert talk(daemon, b'{"command":"status"') == b""
    held = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for s in held:
        s.connect(str(daemon.control))
    for s in held:
        s.close()
    wait_for(lambda: daemon.ctl("status").returncode == 0, "it answers again")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_the_control_socket_is_not_for_everybody(daemon):
    assert daemon.control.stat().st_mode & 0o777 == 0o660
    daemon.control.chmod(0o666)
    let_in(daemon.folder)
    answer = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", INSETCTL, "-s",
                             daemon.control, "status"], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert answer.returncode == 69


# --- web -----------------------------------------------------------------------------------


def test_metrics_are_well_formed(daemon):
    code, text = daemon.http("/metrics")
    assert code == 200
    names, last = {}, None
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, last, kind = line.split(" ")
            assert last not in names
            names[last] = kind
            continue
        if line.startswith("#"):
            assert re.match(r"# HELP inset_\w+ \S", line)
            continue
        match = re.fullmatch(r'(inset_\w+)(\{\w+="[^"]*"(,\w+="[^"]*")*\})? \d+', line)
        assert match, line
        assert re.sub("_(bucket|sum|count)$", "", match[1]) == last or match[1] == last
    for name, kind in names.items():
        assert name.endswith("_total") == (kind == "counter"), name
    with daemon.connect() as connection:
        assert echoes(connection)
    wait_for(lambda: "\ninset_connections_total 1\n" in daemon.http("/metrics")[1], "the connection is counted")
    assert '\ninset_listener_connections_total{listener="main"} 1\n' in daemon.http("/metrics")[1]


@pytest.mark.parametrize("victim", ["media/0", "scaler"])
def test_health_says_what_is_missing(daemon, victim):
    wait_for(lambda: daemon.http("/health") == (200, "ok\n"), "healthy")
    pid = daemon.children()[victim]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: daemon.children().get(victim, pid) != pid and daemon.http("/health") == (200, "ok\n"),
             "healthy again")


def test_health_without_a_scaler(make):
    """No sandbox, no scaler, no thumbnails; but sessions."""
    empty = make("path")
    copy = empty.folder / "insetd"
    copy.write_bytes(INSETD.read_bytes())
    copy.chmod(0o755)
    log = empty.folder / "log"
    with log.open("wb") as out:
        empty.process = subprocess.Popen([copy, "-c", empty.file], stderr=out)
    wait_for(lambda: " up version=" in log.read_text(), "up all the same")
    if "scaler was ended" not in log.read_text() and "scaler ended" not in log.read_text():
        pytest.skip("an installed scaler was found")
    code, text = empty.http("/health")
    assert (code, text) == (503, "no thumbnails: the scaler is away\n")
    with empty.connect() as connection:
        assert echoes(connection)


def test_other_requests(daemon):
    assert daemon.http("/nothing")[0] == 404
    assert daemon.http("/metrics/../etc/passwd")[0] == 404
    assert daemon.http("/metrics", "DELETE")[0] == 405
    assert daemon.http("/metrics", "HEAD") == (200, "")
    with socket.create_connection(("127.0.0.1", daemon.web_port), timeout=PATIENCE) as s:
        s.sendall(b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100000)
        with contextlib.suppress(ConnectionError):
            assert b" 431 " in s.recv(4096) or True
    assert daemon.http("/metrics")[0] == 200
    assert daemon.status()["children"][-1]["restarts"] == 0


# --- rights --------------------------------------------------------------------------------


def proc_status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_drops_users(make):
    daemon = make(extra='user = "nobody"  media-user = "daemon"').start()
    expected = {name: pwd.getpwnam("daemon" if name == "media/0" else "nobody") for name in daemon.children()}
    for name, pid in daemon.children().items():
        status = proc_status(pid)
        assert status["Uid"].split() == [str(expected[name].pw_uid)] * 4, name
        assert status["Gid"].split() == [str(expected[name].pw_gid)] * 4, name
        assert status["Groups"].split() == [], name
        assert status["NoNewPrivs"].strip() == "1", name
        # Files below /proc/PID belong to root while a process is not dumpable.
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0, name
        assert int(status["CapEff"], 16) == 0, name


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_everything_runs_unprivileged(make):
    daemon = make(before=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    let_in(daemon.folder)
    # Copies: a build folder below /root is closed to others, and the scaler is looked for beside insetd.
    for name in ("insetd", "inset-scaler"):
        shutil.copy(BUILD / name, daemon.folder)
    daemon.program = daemon.folder / "insetd"
    os.chown(daemon.folder, 65534, 65534)
    daemon.start()
    with daemon.connect() as connection:
        assert echoes(connection)
    assert daemon.ctl("reload").returncode == 0
    wait_for(lambda: daemon.http("/health")[0] == 200, "healthy")
    for pid in [daemon.process.pid, *daemon.children().values()]:
        assert proc_status(pid)["Uid"].split() == ["65534"] * 4
    assert daemon.stop() == 0


def open_files(pid):
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):        # closed meanwhile
            yield int(fd), os.readlink(f"/proc/{pid}/fd/{fd}")


def test_children_know_nothing_they_need_not(daemon):
    for name, pid in daemon.children().items():
        names = {word.split(b"=")[0] for word in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if word}
        assert names <= {b"PATH", b"LC_ALL", b"TZ", b"ASAN_OPTIONS", b"LSAN_OPTIONS", b"UBSAN_OPTIONS"}, name
        assert not [path for fd, path in open_files(pid) if str(daemon.folder) in path and fd > 2], name
