// SPDX-License-Identifier: MIT
// The status page: asks for /status.json, keeps what it gets beside the history that web keeps, and draws.

import {Plot} from './plot.js';

const POLL_MS = 2000, HEALTH_MS = 15000;
const SPANS = {
	minutes: {file: 'history.json', seconds: 600, rate: 5, latency: 15},
	day: {file: 'history-day.json', seconds: 86400, rate: 2, latency: 5},
};
const $ = (id) => document.getElementById(id);

const state = {span: 'minutes', paused: false, bounds: [], rows: {minutes: [], day: []}, status: null, failed: 0};

// --- numbers as people read them ----------------------------------------------------------------

const plain = new Intl.NumberFormat(undefined, {maximumFractionDigits: 0});

function number(v) {
	if (v > 0 && v < 10 && v !== Math.round(v))
		return v < 0.01 ? '<0.01' : String(Number(v.toFixed(v < 1 ? 2 : 1)));
	return v < 1e6 ? plain.format(v) : v < 1e9 ? `${(v / 1e6).toFixed(1)} M` : `${(v / 1e9).toFixed(1)} G`;
}

function bytes(v) {
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
	let i = 0;
	for (; v >= 1024 && i < 4; i++)
		v /= 1024;
	return `${i && v < 10 && v !== Math.round(v) ? v.toFixed(1) : Math.round(v)} ${units[i]}`;
}

function ms(v) {
	if (v === null)
		return '–';
	return v < 10 && v !== Math.round(v) ? `${v.toFixed(1)} ms` : v < 1000 ? `${Math.round(v)} ms`
		: v > 10000 ? '> 10 s' : `${(v / 1000).toFixed(v % 1000 ? 1 : 0)} s`;
}

function lasting(s) {
	s = Math.max(0, Math.round(s));
	if (s < 60)
		return `${s} s`;
	if (s < 3600)
		return `${Math.floor(s / 60)} min`;
	if (s < 86400)
		return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
	return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
}

// The time below which a share of observations lies, in ms, from counts by bucket.
function quantile(buckets, share) {
	const total = buckets.reduce((a, b) => a + b, 0);
	let rank = total * share;
	if (!total)
		return null;
	for (let i = 0; i < buckets.length; i++) {
		if (rank <= buckets[i]) {
			if (i === state.bounds.length)
				return state.bounds[i - 1] + 1;
			const low = i ? state.bounds[i - 1] : 0;
			return low + (state.bounds[i] - low) * rank / buckets[i];
		}
		rank -= buckets[i];
	}
	return null;
}

// --- history ------------------------------------------------------------------------------------

function rowOf(s) {
	const f = s.figures, jobs = f.jobs_total, cache = f.cache_requests_total;
	const sum = (o) => Object.values(o).reduce((a, b) => a + b, 0);
	return {
		at: s.now, sessions: f.sessions, held: f.held_units,
		bytes_c2s: f.bytes_total.c2s, bytes_s2c: f.bytes_total.s2c,
		units_c2s: f.units_total.c2s, units_s2c: f.units_total.s2c,
		candidates: f.candidates_total, thumbnails: f.thumbnails_total,
		jobs_ok: jobs.ok, jobs_failed: sum(jobs) - jobs.ok,
		cache_hit: cache.hit, cache_joined: cache.joined, cache_negative: cache.negative, cache_miss: cache.miss,
		hold: s.stages.find((h) => h.name === 'hold_milliseconds').all,
	};
}

function rowsOf(h) {
	const keys = Object.keys(h).filter((k) => Array.isArray(h[k]));
	return h.at.map((_, i) => Object.fromEntries(keys.map((k) => [k, h[k][i]])));
}

// Keeps rows in order and within the span.
function keepRow(rows, row, seconds) {
	while (rows.length && rows[rows.length - 1].at >= row.at)
		rows.pop();
	rows.push(row);
	while (rows.length && rows[0].at < row.at - seconds - 60)
		rows.shift();
}

// Growth per second over the last n rows; null where there is nothing to compare with, or counters began anew.
function rate(rows, i, key, n) {
	const from = rows[Math.max(0, i - n)], to = rows[i];
	const grown = to[key] - from[key], time = to.at - from.at;
	return time > 0 && grown >= 0 ? grown / time : null;
}

function latency(rows, i, share, n) {
	const from = rows[Math.max(0, i - n)].hold, to = rows[i].hold;
	const grown = to.map((v, b) => v - from[b]);
	return grown.some((v) => v < 0) ? null : quantile(grown, share);
}

// --- plots --------------------------------------------------------------------------------------

const perMinute = (key) => (rows, i, s) => {
	const v = rate(rows, i, key, s.rate);
	return v === null ? null : v * 60;
};
const perSecond = (key) => (rows, i, s) => rate(rows, i, key, s.rate);

const PLOTS = [
	{id: 'p-sessions', title: 'Sessions', format: number, least: 4, series: [
		{label: 'open', color: 'a', value: (rows, i) => rows[i].sessions}]},
	{id: 'p-messages', title: 'Stanzas per second', format: number, series: [
		{label: 'from clients', color: 'a', value: perSecond('units_c2s')},
		{label: 'from servers', color: 'b', dash: true, value: perSecond('units_s2c')}]},
	{id: 'p-bytes', title: 'Bytes per second', format: bytes, binary: true, least: 1024, series: [
		{label: 'from clients', color: 'a', value: perSecond('bytes_c2s')},
		{label: 'from servers', color: 'b', dash: true, value: perSecond('bytes_s2c')}]},
	{id: 'p-jobs', title: 'Thumbnail jobs per minute', format: number, stacked: true, least: 5, series: [
		{label: 'done', color: 'a', value: perMinute('jobs_ok')},
		{label: 'without thumbnail', color: 'b', value: perMinute('jobs_failed')}]},
	{id: 'p-hold', title: 'Time that messages wait', format: ms, least: 100, series: [
		{label: 'median', color: 'a', value: (rows, i, s) => latency(rows, i, 0.5, s.latency)},
		{label: '95 %', color: 'b', dash: true, value: (rows, i, s) => latency(rows, i, 0.95, s.latency)}]},
	{id: 'p-cache', title: 'Cache lookups per minute', format: number, stacked: true, least: 5, series: [
		{label: 'hit', color: 'a', value: perMinute('cache_hit')},
		{label: 'joined', color: 'c', value: perMinute('cache_joined')},
		{label: 'known failure', color: 'd', value: perMinute('cache_negative')},
		{label: 'miss', color: 'b', value: perMinute('cache_miss')}]},
];
const plots = PLOTS.map((p) => new Plot($('plots'), p));

function drawPlots() {
	const span = SPANS[state.span], rows = state.rows[state.span];
	if (!rows.length)
		return;
	const to = rows[rows.length - 1].at, at = rows.map((r) => r.at);
	// A young history fills the plot, too.
	const from = Math.max(to - span.seconds, Math.min(at[0], to - 60));
	PLOTS.forEach((p, k) => plots[k].set(at, p.series.map((s) => rows.map((_, i) => s.value(rows, i, span))), from, to));
}

// --- tiles and tables ---------------------------------------------------------------------------

function text(parent, value) {
	if (parent.textContent !== value)
		parent.textContent = value;
}

function tiles(list) {
	const box = $('tiles');
	list.forEach(([name, value, unit], i) => {
		let tile = box.children[i];
		if (!tile) {
			tile = document.createElement('div');
			const dd = document.createElement('dd');
			dd.append(document.createElement('span'), ' ', document.createElement('small'));
			tile.append(document.createElement('dt'), dd);
			box.append(tile);
		}
		text(tile.querySelector('dt'), name);
		text(tile.querySelector('span'), value);
		text(tile.querySelector('small'), unit);
	});
}

// Rows of cells; a cell is a text, or {text, small, n, tag, bar, failed, class}. The first heads its row.
function fill(id, rows) {
	const body = $(id).tBodies[0];
	while (body.rows.length > rows.length)
		body.deleteRow(-1);
	rows.forEach((cells, r) => {
		const row = body.rows[r] ?? body.insertRow();
		cells.forEach((cell, c) => {
			if (typeof cell === 'string')
				cell = {text: cell};
			const wanted = JSON.stringify(cell);
			let td = row.cells[c];
			if (td && td.dataset.cell === wanted)
				return;
			if (!td) {
				td = document.createElement(c ? 'td' : 'th');
				if (!c)
					td.scope = 'row';
				row.append(td);
			}
			td.dataset.cell = wanted;
			td.className = [cell.n ? 'n' : '', cell.bar !== undefined ? 'bar' : '', cell.class ?? ''].join(' ').trim();
			td.replaceChildren(...content(cell));
		});
	});
}

function content(cell) {
	if (cell.bar !== undefined) {
		const bar = document.createElement('span');
		bar.className = cell.failed ? 'failed' : '';
		bar.style.width = `${cell.bar * 100}%`;
		return [bar];
	}
	const parts = [];
	if (cell.tag) {
		const tag = document.createElement('span');
		tag.className = 'tag';
		tag.dataset.state = cell.tag;
		tag.textContent = cell.text;
		parts.push(tag);
	} else {
		parts.push(cell.text);
	}
	if (cell.small) {
		const small = document.createElement('small');
		small.textContent = cell.small;
		parts.push(small);
	}
	return parts;
}

const n = (v, format = number) => ({text: format(v), n: true});

const OUTCOMES = {
	ok: ['Thumbnail', ''],
	address: ['Address refused', 'by the address guard, port or scheme'],
	breaker: ['Host left alone', 'it failed too often lately'],
	'cached-only': ['Cache only', 'and it was not there'],
	connect: ['No connection', 'name, TCP or TLS failed'],
	deadline: ['Too late', 'the message could wait no longer'],
	http: ['HTTP error', 'not 200, or a body cut short'],
	'not-picture': ['No picture', 'by its type or its bytes'],
	overload: ['Overload', 'a queue was full'],
	rate: ['Rate', 'the sender sends too many'],
	scaler: ['Not decodable', 'or the decoder died'],
	timeout: ['Timeout', 'the fetch took too long'],
	'too-big': ['Too big', 'bytes, pixels, or no size fits'],
	unavailable: ['Thumbnails off', 'media or scaler was away'],
};
const ALONE = {
	encrypted: 'Encrypted', 'not-eligible': 'Not eligible', 'thumbnail-there': 'Has a thumbnail already',
	xml: 'Unread: XML that cannot be read', size: 'Unread: too large', slow: 'Unread: too slow', shape: 'Unread: too deep or too many elements',
};
const STAGES = {
	hold_milliseconds: 'Message held', queue_milliseconds: 'Queue', dns_milliseconds: 'Name', connect_milliseconds: 'Connection',
	fetch_milliseconds: 'Fetch', scale_milliseconds: 'Scaler', loop_stall_milliseconds: 'Loop stalls',
};

function shares(counts, name) {
	const all = Object.values(counts).reduce((a, b) => a + b, 0), most = Math.max(1, ...Object.values(counts));
	return Object.entries(counts).filter(([, v]) => v > 0).sort((a, b) => b[1] - a[1]).map(([key, v]) => [
		name(key), n(v), {text: `${(100 * v / all).toFixed(v === all ? 0 : 1)} %`, n: true},
		{bar: v / most, failed: key !== 'ok'}]);
}

function drawTables(s) {
	const f = s.figures;
	const outcomes = shares(f.jobs_total, (k) => ({text: OUTCOMES[k]?.[0] ?? k, small: OUTCOMES[k]?.[1]}));
	fill('outcomes', outcomes.length ? outcomes : [['No job yet', n(0), n(0, () => '–'), {bar: 0}]]);
	const alone = shares({...f.messages_skipped_total, ...f.units_unread_total}, (k) => ({text: ALONE[k] ?? k}));
	fill('alone', alone.length ? alone : [['None yet', n(0), n(0, () => '–'), {bar: 0}]]);
	fill('stages', Object.keys(STAGES).map((name) => s.stages.find((h) => h.name === name)).filter((h) => h).map((h) => {
		const cells = [{text: STAGES[h.name], small: h.help}];
		for (const buckets of [h.recent, h.all])
			cells.push(n(buckets.reduce((a, b) => a + b, 0)), n(quantile(buckets, 0.5), ms), n(quantile(buckets, 0.95), ms));
		return cells;
	}));
	$('hosts-box').hidden = !s.hosts.length;
	$('hosts-none').hidden = s.hosts.length > 0;
	text($('hosts-caption'), `Hosts whose last transfer failed${s.hosts_all > s.hosts.length ? `: ${s.hosts.length} of ${s.hosts_all}` : ''}`);
	const order = {open: 0, trial: 1, closed: 2};
	fill('hosts', [...s.hosts].sort((a, b) => order[a.breaker] - order[b.breaker] || b.failures - a.failures).map((h) => [
		{text: `${h.host}:${h.port}`, class: 'addresses'}, n(h.failures),
		h.breaker === 'open' ? {text: 'open', tag: 'bad'} : {text: h.breaker === 'trial' ? 'one may try' : 'closed', tag: 'plain'},
		{text: h.breaker === 'open' ? lasting(h.left_ms / 1000) : '–', n: true}]));
	drawRules(s);
	fill('listeners', s.listeners.map((l) => [l.name, {text: l.bind.join(', '), class: 'addresses'}, {text: l.upstream, class: 'addresses'},
		l.tls, n(l.sessions), n(l.connections), n(l.bytes_c2s, bytes), n(l.bytes_s2c, bytes)]));
	fill('processes', s.processes.map((p) => [
		p.role === 'proxy' ? `proxy/${p.index}` : p.role, {text: p.pid ? String(p.pid) : '–', n: true},
		{text: p.state, tag: p.state === 'up' ? 'good' : 'bad'}, {text: p.since ? lasting(s.now - p.since) : '–', n: true},
		n(p.restarts), {text: p.role === 'proxy' ? number(p.sessions) : '–', n: true}, n(p.stall_max_ms, ms), n(p.stalls)]));
	drawThumbnails(s);
}

function drawRules(s) {
	$('rules-box').hidden = !s.rules.length;
	const more = s.rules_all > s.rules.length ? ` The first ${s.rules.length} of ${s.rules_all} are shown.` : '';
	text($('rules-none'), s.rules.length ? `Where no rule decides: ${s.default_action}.${more}`
		: `There are no rules: ${s.default_action} for every message with media.`);
	fill('rules', s.rules.map((r) => {
		const asked = r.matches + r.shadow;
		return [{text: r.name, class: 'addresses'}, r.action, r.mode === 'shadow' ? {text: 'shadow', tag: 'plain'} : r.mode,
			n(asked), n(r.thumbnails), n(r.failures),
			{text: asked ? `${number(r.microseconds / asked)} µs` : '–', n: true},
			{text: r.last ? `${lasting(s.now - r.last)} ago` : 'never', class: 'nowrap'}];
	}));
}

function drawThumbnails(s) {
	const list = $('thumbnails');
	$('thumbnails-section').hidden = !s.thumbnails;
	const ids = (s.thumbnails ?? []).map((t) => String(t.id));
	if (ids.join() !== list.dataset.ids) {
		list.dataset.ids = ids.join();
		list.replaceChildren(...(s.thumbnails ?? []).map((t) => {
			const item = document.createElement('li'), image = document.createElement('img');
			image.src = `thumbnail/${t.id}`;
			image.alt = `Thumbnail of ${new Date(t.at * 1000).toLocaleTimeString()}`;
			const whole = `${t.width} × ${t.height}, ${bytes(t.bytes)}`, media = `of ${t.media_width} × ${t.media_height}`;
			item.append(image, `${whole.replaceAll(' ', '\u00a0')} ${media.replaceAll(' ', '\u00a0')}`);
			return item;
		}));
	}
}

function drawTiles(s) {
	const rows = state.rows.minutes, last = rows.length - 1, from = rows[0], f = s.figures;
	const units = last > 0 ? (rate(rows, last, 'units_c2s', 5) ?? 0) + (rate(rows, last, 'units_s2c', 5) ?? 0) : 0;
	const grown = (key) => Math.max(0, rows[last][key] - from[key]);
	const good = grown('cache_hit') + grown('cache_joined'), all = good + grown('cache_negative') + grown('cache_miss');
	const hold = s.stages.find((h) => h.name === 'hold_milliseconds').recent;
	const failed = grown('jobs_failed'), jobs = grown('jobs_ok') + failed;
	tiles([
		['Sessions', number(f.sessions), 'open now'],
		['Stanzas', number(units), 'per second'],
		['Thumbnails', number(grown('thumbnails')), 'in 10 min'],
		['Jobs that fail', jobs ? `${Math.round(100 * failed / jobs)} %` : '–', jobs ? `of ${number(jobs)} in 10 min` : 'none in 10 min'],
		['Messages waiting', number(f.held_units), 'for a thumbnail'],
		['Wait, 95 %', quantile(hold, 0.95) === null ? '–' : ms(quantile(hold, 0.95)), 'in 10 min'],
		['Cache answers', all ? `${Math.round(100 * good / all)} %` : '–', all ? `of ${number(all)} in 10 min` : 'none in 10 min'],
	]);
	const master = s.processes.find((p) => p.role === 'master');
	text($('about'), `version ${s.version} · configuration ${s.generation}` +
		(master ? ` · up for ${lasting(s.now - master.since)}` : ''));
	document.title = `inset · ${number(f.sessions)} ${f.sessions === 1 ? 'session' : 'sessions'}`;
}

// --- asking -------------------------------------------------------------------------------------

// Without the name and password that may stand in the page's own address.
function ask(file) {
	return fetch(new URL(file, location.origin + location.pathname), {cache: 'no-store', signal: AbortSignal.timeout(10000)});
}

async function get(file) {
	const reply = await ask(file);
	if (!reply.ok)
		throw new Error(`${file}: ${reply.status}`);
	return reply.json();
}

async function loadHistory(name) {
	const rows = rowsOf(await get(SPANS[name].file));
	const newer = state.rows[name].filter((r) => !rows.length || r.at > rows[rows.length - 1].at);
	state.rows[name] = rows.concat(newer);
}

function lost(since) {
	const banner = $('banner');
	banner.hidden = since === null;
	if (since !== null)
		text(banner, `No answer since ${new Date(since).toLocaleTimeString()}: these figures are old.`);
}

let heard = Date.now();

async function poll() {
	try {
		const s = await get('status.json');
		const started = state.status?.processes.find((p) => p.role === 'master')?.pid;
		const again = state.status && started !== s.processes.find((p) => p.role === 'master')?.pid;
		heard = Date.now();
		lost(null);
		state.status = s;
		state.bounds = s.bounds;
		if (again)
			state.rows = {minutes: [], day: []};
		if (!state.rows.minutes.length)
			await loadHistory('minutes');
		const row = rowOf(s);
		keepRow(state.rows.minutes, row, SPANS.minutes.seconds);
		const day = state.rows.day;
		if (state.span === 'day' && (!day.length || row.at - day[day.length - 1].at >= 60))
			await loadHistory('day');
		drawTiles(s);
		drawPlots();
		drawTables(s);
	} catch (problem) {
		lost(heard);
		if (problem instanceof TypeError && !/fetch/i.test(problem.message))
			console.error(problem);
	}
}

async function askHealth() {
	const pill = $('health');
	try {
		const reply = await ask('health');
		const why = (await reply.text()).trim();
		pill.dataset.state = reply.ok ? 'good' : 'bad';
		text(pill, reply.ok ? 'Thumbnails work' : why.charAt(0).toUpperCase() + why.slice(1));
	} catch {
		pill.dataset.state = 'unknown';
		text(pill, 'Thumbnails: no answer');
	}
}

function every(period, work) {
	const turn = async () => {
		if (!state.paused && !document.hidden)
			await work();
		setTimeout(turn, period);
	};
	turn();
}

$('pause').addEventListener('click', () => {
	state.paused = !state.paused;
	$('pause').setAttribute('aria-pressed', String(state.paused));
	text($('pause'), state.paused ? 'Go on' : 'Pause');
	if (!state.paused)
		poll();
});
$('controls').addEventListener('change', async (e) => {
	if (e.target.name !== 'span')
		return;
	state.span = e.target.value;
	if (state.span === 'day')
		await loadHistory('day').catch(() => lost(heard));
	drawPlots();
});
$('controls').addEventListener('submit', (e) => e.preventDefault());
document.addEventListener('visibilitychange', () => {
	if (!document.hidden && !state.paused)
		poll();
});
every(POLL_MS, poll);
every(HEALTH_MS, askHealth);
