# SPDX-License-Identifier: MIT
"""The status page in Chromium, by Playwright, while stanzas flow: figures change, nothing is complained of, it fits."""
import contextlib

import pytest
from PIL import Image, ImageChops

from browser import Browser
from harness.insetd import Insetd
from harness.processes import wait_for
from harness.rawpeer import Upstream
from scene import keep
from traffic import OPTIONS, Traffic

DEAD = 'http://127.0.0.2:9'
SIZES = [(320, 640), (768, 1024), (1280, 900), (1600, 1000), (1920, 1080)]

TEXTS = '''Object.fromEntries([...document.querySelectorAll("#tiles > div")].map((t) =>
  [t.querySelector("dt").textContent, t.querySelector("dd span").textContent]))'''

FILLED = 'document.querySelectorAll("#processes tbody tr").length >= 5'

# Everything that sticks out of the window, but for what scrolls in a box of its own.
STICKING = '''[...document.querySelectorAll("body *")].filter((e) => !e.closest(".scroll, .skip, .unseen, svg") &&
  e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 0.5).map((e) => e.outerHTML.slice(0, 80))'''

# light(): how bright a colour is, ratio(): of two of them (WCAG 2.1, 1.4.3); behind(): the next background.
COLOURS = '''
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (one, other) => {
    const [a, b] = [light(parse(one)), light(other)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };'''

# Visible texts that are too faint (WCAG 2.1, 1.4.3).
FAINT = '(() => {' + COLOURS + '''
  const bad = [];
  for (const e of document.querySelectorAll("body *")) {
    if (!e.getClientRects().length || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const style = getComputedStyle(e), seen = ratio(e.closest("svg") ? style.fill : style.color, behind(e));
    if (seen < 4.5) bad.push([e.outerHTML.slice(0, 80), seen]);
  }
  return bad;
})()'''

# What has the focus, or null: name, place in the page, its outline's style, width and contrast, in the window.
FOCUSED = '(() => {' + COLOURS + '''
  const e = document.activeElement;
  if (e === document.body) return null;
  const style = getComputedStyle(e), box = e.getBoundingClientRect();
  return [e.id || e.className.baseVal || e.className || e.textContent || e.value, [...document.querySelectorAll("*")].indexOf(e),
          style.outlineStyle, parseFloat(style.outlineWidth), ratio(style.outlineColor, behind(e.parentElement)),
          box.bottom > 0 && box.top < innerHeight && box.left < innerWidth];
})()'''


@pytest.fixture(scope='module')
def shown(tmp_path_factory, media):
    """insetd with traffic, and its page in a browser."""
    folder = tmp_path_factory.mktemp('status')
    with contextlib.ExitStack() as stack:
        upstream = Upstream()
        stack.callback(upstream.close)
        daemon = Insetd(folder, upstream.address, OPTIONS | {'fetch.allow-origin': [media.origin, DEAD]})
        stack.callback(daemon.stop)
        traffic = Traffic(daemon.port, upstream, media)
        stack.callback(traffic.stop)
        browser = Browser(folder)
        stack.callback(browser.stop)
        browser.go(f'http://127.0.0.1:{daemon.web_port}/')
        browser.wait(FILLED, 'the tables are filled')
        yield browser, daemon, traffic


def show(browser, width, height, scheme='light'):
    """The page in a window of that size, drawn."""
    browser.call('page.emulateMedia', {'colorScheme': scheme})
    browser.call('page.setViewportSize', {'width': width, 'height': height})
    browser.wait(f'innerWidth === {width} && new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))',
                 'it is drawn')


def test_figures_change_while_stanzas_flow(shown):
    browser, daemon, traffic = shown
    browser.wait(f'({TEXTS}).Sessions === "6"', 'all sessions are there')
    browser.wait('document.getElementById("health").dataset.state === "good"', 'health was asked')
    before, sent = browser.evaluate(TEXTS), traffic.sent
    browser.wait(f'Number(({TEXTS}).Thumbnails) > {before["Thumbnails"]}', 'more thumbnails')
    browser.wait(f'Number(({TEXTS}).Stanzas) > 1', 'stanzas per second')
    assert traffic.sent > sent
    browser.wait('[...document.querySelectorAll("#plots figure")].every((f) => f.querySelector("path.line, path.stack"))',
                 'every plot has a line')
    assert browser.evaluate('document.title') == 'inset · 6 sessions'
    browser.wait('document.querySelector("#hosts tbody .tag[data-state=bad]")?.textContent === "open"', 'the dead host is named')
    assert '127.0.0.2:9' in browser.evaluate('document.getElementById("hosts").innerText')
    rules = browser.evaluate('document.getElementById("rules").innerText')
    assert 'no thumbnails in the lobby' in rules and 'shadow' in rules
    browser.wait('[...document.querySelectorAll("#thumbnails img")].filter((i) => i.complete && i.naturalWidth === 128).length === 12',
                 'the last thumbnails are shown')
    pids = {int(t) for t in browser.evaluate('[...document.querySelectorAll("#processes td:nth-child(2)")].map((e) => e.textContent)')}
    assert pids == {daemon.pid} | {pid for role in ('proxy', 'media', 'web', 'scaler') for pid in daemon.role(role)}
    assert not traffic.problem


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('size', SIZES, ids=lambda s: str(s[0]))
def test_it_fits_and_can_be_read(shown, size, scheme):
    browser, _, _ = shown
    show(browser, *size, scheme)
    shot = browser.shot(whole=True)
    keep(shot, f'status-{size[0]}-{scheme}')
    assert browser.evaluate('document.documentElement.scrollWidth') == size[0]
    assert browser.evaluate(STICKING) == []
    assert browser.evaluate(FAINT) == []
    ground = shot.getpixel((2, 2))
    assert (sum(ground) > 600) == (scheme == 'light'), ground


def test_keyboard_and_names(shown):
    """Everything that can be focused can be reached, in the order of the page, shows it, and has a name."""
    browser, _, _ = shown
    show(browser, 1280, 900)
    browser.evaluate('document.activeElement.blur()')
    seen = []
    for _ in range(60):
        browser.press('Tab')
        found = browser.evaluate(FOCUSED)
        if found is None:
            break
        seen.append(found)
    else:
        pytest.fail(f'no end: {seen}')
    assert len(seen) > 15
    places = [place for _, place, *_ in seen]
    assert places == sorted(places)
    assert not [f for f in seen if f[2] not in ('solid', 'auto') or f[3] < 2 or f[4] < 3 or not f[5]], seen
    browser.press(*['Shift+Tab'] * 3)
    assert browser.evaluate(FOCUSED)[1] == places[-3]
    names = browser.evaluate('''[...document.querySelectorAll("svg[role=img], table, [role=region], section")]
        .map((e) => e.getAttribute("aria-labelledby") ? document.getElementById(e.getAttribute("aria-labelledby"))?.textContent
                                                      : e.caption?.textContent)''')
    assert all(names) and len(names) > 25
    assert browser.evaluate('[...document.querySelectorAll("tbody th")].every((e) => e.scope === "row")')
    assert browser.evaluate('[...document.querySelectorAll("h1, h2, h3")].map((e) => e.tagName)[0]') == 'H1'
    assert browser.evaluate('document.documentElement.lang') == 'en'


def test_keys_do_what_the_mouse_does(shown):
    browser, _, _ = shown
    browser.call('page.reload')     # the place from which Tab goes on is its beginning
    browser.wait(FILLED, 'the tables are filled')
    browser.press('Tab')
    assert browser.evaluate('document.activeElement.textContent') == 'To the figures'
    browser.press('Enter')
    assert browser.evaluate('document.activeElement.id') == 'main'
    browser.call('page.focus', '[name=span]')
    browser.press('ArrowRight')
    assert browser.call('page.isChecked', '[value=day]')
    browser.press('ArrowLeft')
    assert browser.call('page.isChecked', '[value=minutes]')
    browser.press('Tab')
    for state in ('true', 'false'):
        browser.press('Space')
        assert browser.call('page.getAttribute', '#pause', 'aria-pressed') == state
    # The arrow keys read a plot.
    browser.call('page.focus', '#plots svg')
    browser.press('ArrowLeft')
    browser.wait('/open \\d/.test(document.querySelector("#plots output").textContent)', 'it says a value')


def test_a_day_and_a_pause(shown):
    browser, _, _ = shown

    def asked(name=''):
        return len([url for url in browser.told('request') if name in url])
    show(browser, 1280, 900)
    browser.call('page.click', 'label:has([value=day])')
    browser.wait('document.querySelector("[value=day]").checked', 'it is chosen')
    assert asked('history-day.json') > 0
    browser.call('page.click', 'label:has([value=minutes])')
    browser.call('page.click', '#pause')
    browser.wait('document.getElementById("pause").getAttribute("aria-pressed") === "true"', 'it stands')
    paused, before = asked(), browser.shot()
    assert not ImageChops.difference(before, browser.shot()).getbbox()
    assert asked() <= paused + 1
    browser.call('page.click', '#pause')
    wait_for(lambda: browser.evaluate('true') and asked() > paused + 1, 'it goes on')


def test_nothing_is_asked_for_elsewhere(shown):
    """Late, as the next: of all that was done above."""
    browser, daemon, _ = shown
    asked = set(browser.told('request'))
    assert len(asked) > 5
    assert {url.split('/')[2] for url in asked} == {f'127.0.0.1:{daemon.web_port}'}


def test_no_complaint(shown):
    assert shown[0].console() == []


def test_insetd_goes_away(tmp_path, media):
    """The page says so and takes the figures up again, of a new insetd, too."""
    with contextlib.ExitStack() as stack:
        upstream = Upstream()
        stack.callback(upstream.close)
        daemon = Insetd(tmp_path, upstream.address, {'fetch.allow-origin': [media.origin]})
        browser = Browser(tmp_path)
        stack.callback(browser.stop)
        browser.go(f'http://127.0.0.1:{daemon.web_port}/')
        browser.wait(FILLED, 'the tables are filled')
        daemon.stop()
        browser.wait('!document.getElementById("banner").hidden', 'it says so')
        again = Insetd(tmp_path, upstream.address, {'web.bind': [f'127.0.0.1:{daemon.web_port}']}, name='again', wait=False)
        stack.callback(again.stop)
        browser.wait('document.getElementById("banner").hidden', 'figures again')
        browser.wait(f'document.getElementById("processes").innerText.includes("{again.pid}")', 'of the new one')


def test_a_token_is_a_password(tmp_path, media):
    token = 'correct-horse-battery-staple'
    with contextlib.ExitStack() as stack:
        upstream = Upstream()
        stack.callback(upstream.close)
        daemon = Insetd(tmp_path, upstream.address, {'web.token': token}, wait=False)
        stack.callback(daemon.stop)
        browser = Browser(tmp_path)
        stack.callback(browser.stop)
        wait_for(lambda: ' up version=' in daemon.log(), 'up', process=daemon.process)
        browser.go(f'http://operator:{token}@127.0.0.1:{daemon.web_port}/')
        # The page has to leave them out of what it asks for.
        browser.wait(FILLED, 'the tables are filled')


def test_the_picture_in_the_readme(shown):
    """What doc/status.png shows; kept beside the others, to be put there by hand."""
    browser, _, _ = shown
    show(browser, 1280, 960)
    keep(browser.shot().quantize(96, dither=Image.Dither.NONE), 'status-readme')
