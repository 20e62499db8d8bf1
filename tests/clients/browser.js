// SPDX-License-Identifier: MIT
//
// Chromium without a window, steered by Playwright, for browser.py: a line of JSON on standard input
// names a method and its arguments, a line on standard output answers it. What happens in the page
// meanwhile is told in lines of its own. Ends when its input ends, and the browser with it.
//
//	node browser.js PLAYWRIGHT-CORE PROFILE-FOLDER
'use strict';

const readline = require('node:readline');
const {chromium} = require(process.argv[2]);

// Nothing but loopback has a name, and nothing is asked for in the background.
const OPTIONS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
	'--disable-sync', '--disable-extensions', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost'];

// Playwright's own files lie in the test's folder; Chromium's sockets would have too long a name there.
const env = {...process.env};
delete env.TMPDIR;

const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

// What Playwright hands out is text, numbers, plain objects, pictures, or an object of its own, which stays here.
function carried(value) {
	if (Buffer.isBuffer(value))
		return value.toString('base64');
	return value?.constructor && ![Object, Array, String, Number, Boolean].includes(value.constructor) ? null : value;
}

function watch(page) {
	page.on('console', (m) => say({event: 'console', text: `${m.type()}: ${m.text()} (${m.location().url})`}));
	page.on('pageerror', (e) => say({event: 'console', text: `uncaught: ${e.stack || e}`}));
	page.on('crash', () => say({event: 'console', text: 'the page crashed'}));
	page.on('request', (r) => say({event: 'request', text: r.url()}));
	page.on('websocket', (w) => say({event: 'request', text: w.url()}));
}

async function main() {
	const context = await chromium.launchPersistentContext(process.argv[3], {
		executablePath: '/usr/bin/chromium', args: OPTIONS, env, viewport: {width: 1000, height: 720}, locale: 'en-GB',
	});
	const page = context.pages()[0], known = {page, context};
	watch(page);
	say({event: 'ready', text: context.browser()?.version() ?? ''});
	for await (const line of readline.createInterface({input: process.stdin})) {
		const {id, method, args} = JSON.parse(line), path = method.split('.'), last = path.pop();
		try {
			const on = path.reduce((object, name) => object[name], known);
			say({id, result: carried(await on[last](...args)) ?? null});
		} catch (problem) {
			say({id, error: String(problem.message || problem)});
		}
	}
	await context.close();
}

main().then(() => process.exit(0), (problem) => {
	console.error(problem);
	process.exit(1);
});
