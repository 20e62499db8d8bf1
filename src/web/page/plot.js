// SPDX-License-Identifier: MIT
// One plot: lines, or areas upon each other, over time, as inline SVG. Knows nothing of what it shows.

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 152, LEFT = 46, RIGHT = 6, TOP = 8, BOTTOM = 20;

function node(name, attributes = {}, text) {
	const n = document.createElementNS(SVG, name);
	for (const key in attributes)
		n.setAttribute(key, attributes[key]);
	if (text !== undefined)
		n.textContent = text;
	return n;
}

function element(name, className, text) {
	const e = document.createElement(name);
	if (className)
		e.className = className;
	if (text !== undefined)
		e.textContent = text;
	return e;
}

// The next number whose half is round, too, in its unit.
function ceiling(value, binary) {
	if (!(value > 0))
		return 1;
	const unit = binary && value >= 1024 ? 1024 ** Math.floor(Math.log(value) / Math.log(1024)) : 1;
	const power = 10 ** Math.floor(Math.log10(value / unit));
	return [1, 2, 3, 4, 6, 8, 10].find((f) => f * power >= value / unit) * power * unit;
}

function ago(s) {
	const [unit, name] = s < 120 ? [1, 's'] : s < 7200 ? [60, 'min'] : [3600, 'h'];
	return s ? `${Math.round(s / unit * 10) / 10} ${name} ago` : 'now';
}

export class Plot {
	// options: id, title, series [{key, label, color, dash}], stacked, binary, least, format(value)
	constructor(parent, options) {
		this.options = options;
		this.figure = element('figure');
		const caption = element('figcaption');
		this.title = element('h3', '', options.title);
		this.title.id = `${options.id}-title`;
		this.legend = element('ul', 'legend');
		this.now = options.series.map((s) => {
			const item = element('li'), mark = element('i', `k-${s.color}${options.stacked ? ' block' : s.dash ? ' dash' : ''}`);
			const value = element('b');
			item.append(mark, `${s.label} `, value);
			this.legend.append(item);
			return value;
		});
		caption.append(this.title, this.legend);
		this.svg = node('svg', {role: 'img', tabindex: '0', 'aria-labelledby': this.title.id,
			'aria-describedby': `${options.id}-read`, preserveAspectRatio: 'none'});
		this.read = element('output');
		this.read.id = `${options.id}-read`;
		this.figure.append(caption, this.svg, this.read);
		parent.append(this.figure);
		this.at = [];
		this.values = options.series.map(() => []);
		this.cursor = null;
		this.listen();
	}

	listen() {
		new ResizeObserver(() => this.draw()).observe(this.svg);
		this.svg.addEventListener('pointermove', (e) => {
			const box = this.svg.getBoundingClientRect();
			this.point(this.from + (e.clientX - box.left - LEFT) / this.inner * (this.to - this.from));
		});
		this.svg.addEventListener('pointerleave', () => this.point(null));
		this.svg.addEventListener('blur', () => this.point(null));
		this.svg.addEventListener('keydown', (e) => {
			const last = this.at.length - 1, i = this.cursor ?? last;
			const to = {ArrowLeft: i - 1, ArrowRight: i + 1, Home: 0, End: last, PageUp: i - 20, PageDown: i + 20,
				Escape: null}[e.key];
			if (to === undefined || last < 0)
				return;
			e.preventDefault();
			this.read.setAttribute('aria-live', 'polite');
			this.cursor = to === null ? null : Math.max(0, Math.min(last, to));
			this.draw();
		});
	}

	// Puts the cursor at the sample next to that time; null: nowhere.
	point(time) {
		this.read.removeAttribute('aria-live');
		this.cursor = null;
		if (time !== null && this.at.length)
			this.cursor = this.at.reduce((best, t, i) => Math.abs(t - time) < Math.abs(this.at[best] - time) ? i : best, 0);
		this.draw();
	}

	// at: seconds; values: an array for each series, null where nothing is known.
	set(at, values, from, to) {
		const time = this.cursor === null ? null : this.at[this.cursor];
		Object.assign(this, {at, values, from, to});
		if (time !== null)
			this.cursor = at.length ? Math.max(0, at.findIndex((t) => t >= time)) : null;
		this.draw();
	}

	highest() {
		let high = 0;
		for (let i = 0; i < this.at.length; i++) {
			const row = this.values.map((v) => v[i] ?? 0);
			high = Math.max(high, this.options.stacked ? row.reduce((a, b) => a + b, 0) : Math.max(...row));
		}
		return high;
	}

	// Pieces without a gap, as [x, low, high] in pixels.
	pieces(values, floor) {
		const found = [];
		let piece = null;
		for (let i = 0; i < this.at.length; i++) {
			if (values[i] === null || values[i] === undefined) {
				piece = null;
				continue;
			}
			if (!piece)
				found.push(piece = []);
			const low = floor ? floor[i] : 0;
			piece.push([this.x(this.at[i]), this.y(low), this.y(low + values[i])]);
		}
		return found;
	}

	x(t) {
		return LEFT + (t - this.from) / (this.to - this.from) * this.inner;
	}

	y(v) {
		return TOP + (1 - v / this.top) * (HEIGHT - TOP - BOTTOM);
	}

	draw() {
		const width = this.svg.clientWidth;
		if (!width || this.from === undefined)
			return;
		this.inner = width - LEFT - RIGHT;
		this.top = ceiling(Math.max(this.highest(), this.options.least ?? 1), this.options.binary);
		this.svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
		this.svg.replaceChildren(...this.axes(width), ...this.shapes(), ...this.mark());
		this.say();
	}

	axes(width) {
		const parts = [], steps = 4;
		for (let i = 0; i <= steps; i += 2) {
			const v = this.top * i / steps, y = this.y(v);
			parts.push(node('line', {class: i ? 'grid' : 'base', x1: LEFT, x2: width - RIGHT, y1: y, y2: y}));
			parts.push(node('text', {x: LEFT - 6, y: y + 4, 'text-anchor': 'end'}, this.options.format(v)));
		}
		for (let i = 0; i <= 2; i++) {
			const text = ago((this.to - this.from) * (2 - i) / 2);
			parts.push(node('text', {x: LEFT + this.inner * i / 2, y: HEIGHT - 4,
				'text-anchor': ['start', 'middle', 'end'][i]}, text));
		}
		return parts;
	}

	shapes() {
		const parts = [], floor = this.at.map(() => 0);
		this.options.series.forEach((s, k) => {
			const stacked = this.options.stacked, area = stacked || this.options.series.length === 1;
			for (const p of this.pieces(this.values[k], stacked ? floor : null)) {
				const line = p.map(([x, , high]) => `${x.toFixed(1)} ${high.toFixed(1)}`).join('L');
				const back = p.map(([x, low]) => `${x.toFixed(1)} ${low.toFixed(1)}`).reverse().join('L');
				if (area)
					parts.push(node('path', {class: `${stacked ? 'stack' : 'area'} k-${s.color}`, d: `M${line}L${back}Z`}));
				if (!stacked)
					parts.push(node('path', {class: `line k-${s.color}${s.dash ? ' dash' : ''}`, d: `M${line}`,
						fill: 'none'}));
			}
			if (stacked)
				this.values[k].forEach((v, i) => { floor[i] += v ?? 0; });
		});
		return parts;
	}

	mark() {
		if (this.cursor === null || this.at[this.cursor] === undefined)
			return [];
		const x = this.x(this.at[this.cursor]);
		return [node('line', {class: 'cursor', x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM})];
	}

	text(v) {
		return v === null || v === undefined ? '–' : this.options.format(v);
	}

	say() {
		const last = this.at.length - 1;
		this.options.series.forEach((s, k) => { this.now[k].textContent = this.text(this.values[k][last]); });
		const i = this.cursor;
		if (i === null || this.at[i] === undefined) {
			this.read.textContent = '';
			return;
		}
		const time = new Date(this.at[i] * 1000).toLocaleTimeString();
		this.read.textContent = `${time}: ` +
			this.options.series.map((s, k) => `${s.label} ${this.text(this.values[k][i])}`).join(', ');
	}
}
