# SPDX-License-Identifier: MIT
"""Completion of insetctl in bash and zsh says what insetctl --help says, and insetctl takes all of it."""
import re
import subprocess

import pytest

from harness.insetd import BUILD, TOP, environment

FOLDER = TOP / 'data' / 'completions'
INSETCTL = BUILD / 'insetctl'
LEVELS = {'error', 'warning', 'notice', 'info', 'debug'}


def helped(title):
    """Left columns of a table of the help."""
    text = subprocess.run([INSETCTL, '--help'], capture_output=True, text=True, check=True, env=environment()).stdout
    table = text.split(title + ':\n')[1].split('\n\n')[0]
    return [re.split('  +', line.strip())[0] for line in table.splitlines()]


def bash(*words):
    script = f'''source {FOLDER}/insetctl.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _insetctl
                 printf '%s\\n' "${{COMPREPLY[@]}}"'''
    done = subprocess.run(['bash', '--norc', '-euc', script, 'bash', INSETCTL, *words], capture_output=True, text=True,
                          env=environment(), check=False)
    assert done.stderr == ''
    return set(done.stdout.split())


def zsh(*words):
    script = f'''_describe() {{ local n=$2; print -rl -- "${{(@)${{(P@)n}}%%:*}}" }}
                 compadd() {{ local n=$2; print -rl -- "${{(P@)n}}" }}
                 _files() {{ print -rl -- *(N) }}; _message() {{ : }}
                 words=("$@"); CURRENT=$#; source {FOLDER}/_insetctl'''
    done = subprocess.run(['zsh', '-fc', script, 'zsh', INSETCTL, *words], capture_output=True, text=True,
                          env=environment(), cwd=FOLDER, check=False)
    assert done.stderr == ''
    cur = words[-1]
    return {word for word in done.stdout.split() if word.startswith(cur)}


@pytest.mark.parametrize('complete', [bash, zsh])
def test_completion_says_what_the_help_says(complete):
    commands = helped('Commands')
    assert complete('') == {row.split()[0] for row in commands}
    assert {'status', 'sessions', 'cache', 'trace', 'explain'} <= complete('')
    assert complete('st') == {'status'}
    assert complete('nonsense') == set()
    for row in commands:
        first, *rest = row.split()
        if rest and '|' in rest[0] and rest[0].islower():
            assert complete(first, '') == set(rest[0].split('|'))
    assert complete('cache', '') == {'flush', 'purge'} and complete('cache', 'f') == {'flush'}
    assert complete('log', '') == LEVELS
    assert complete('status', '') == complete('trace', '') == complete('sessions', '') == set()
    options = {word for row in helped('Options') for word in re.split(',? ', row) if word.startswith('-')}
    assert complete('--') == {word for word in options if word.startswith('--')}
    assert complete('-') == options
    assert complete('--order', '') == {'age', 'bytes', 'held'} and complete('-d', 's') == {'s2c'}
    assert complete('--limit', '') == set()
    assert complete('-s', 'x', '--json', 'cache', '') == {'flush', 'purge'}
    assert complete('--limit', '5', '') == complete('')


def test_files_for_what_is_a_file(tmp_path):
    (tmp_path / 'inset-here.conf').touch()
    assert bash('-c', f'{tmp_path}/inset-h') == {f'{tmp_path}/inset-here.conf'}
    assert zsh('-c', 'insetctl') == {'insetctl.bash'}
    assert bash('preview', f'{tmp_path}/inset-h') == {f'{tmp_path}/inset-here.conf'}
    assert zsh('preview', 'insetctl') == {'insetctl.bash'}


def test_insetctl_takes_what_the_help_says():
    for row in helped('Commands'):
        words, *rest = re.split(r' (?=[\[A-Z]|\S*\|)', row, maxsplit=1)
        argument = rest[0].strip('[]').split('|')[0] if rest else None
        args = words.split() + ([argument] if argument else [])
        if args[0] not in ('explain', 'preview'):            # these ask no daemon
            done = subprocess.run([INSETCTL, '-s', '/nowhere/x', *args], capture_output=True, check=False)
            assert done.returncode == 69, args
    for row in helped('Options'):
        *names, last = re.split(',? ', row)
        names, value = (names, last) if not last.startswith('-') else (names + [last], None)
        for name in names:
            args = [name, 'age' if value and 'age' in value else '1' if value == 'N' else value.split('|')[0]] if value else [name]
            done = subprocess.run([INSETCTL, *args], capture_output=True, text=True, check=False)
            assert done.returncode == 0 or 'no command' in done.stderr, args
