// Runs thoonk-live.js for tests, which send JavaScript, a line each: {"ref": 1, "code": "connect(...)"}
// It is answered with its value, {"ref": 1, "value": ...}, or with {"ref": 1, "error": "..."}.

import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { webcrypto } from "node:crypto";
import { register } from "node:module";
import { EventSource } from "eventsource";
import WebSocket from "ws";

globalThis.crypto ??= webcrypto; // node 18
globalThis.EventSource = EventSource;

// Modules come by HTTP, as in a browser.
register(
	`data:text/javascript,${encodeURIComponent(`
		const isHttp = (url) => url.startsWith("http:");
		export const resolve = (url, context, next) =>
			isHttp(url) ? { url, shortCircuit: true } : next(url, context);
		export const load = async (url, context, next) =>
			isHttp(url)
				? { format: "module", source: await (await fetch(url)).text(), shortCircuit: true }
				: next(url, context);
	`)}`,
);

const [, , module] = process.argv;
const source = module.startsWith("http:")
	? module
	: `data:text/javascript,${encodeURIComponent(await readFile(module, "utf8"))}`;
const { connect } = await import(source);

/** As a browser's sessionStorage. */
class Storage extends Map {
	getItem = (key) => this.get(key) ?? null;
	setItem = (key, value) => this.set(key, `${value}`);
}

/** A page that keeps what it is told. */
const page = (url, options) => {
	const told = { states: [], answers: [], outbox: [] };
	const live = connect(url, {
		WebSocket,
		onstate: (status) => told.states.push(status),
		onanswer: (action, answer) => told.answers.push([action.id, answer]),
		onoutbox: (outbox) => told.outbox.push(outbox.map(({ id }) => id)),
		...options,
	});
	return Object.assign(live, { told });
};

/** What a feed is, as JSON. */
const show = ({ name, kind, at, revision, ids, items, refused }) => ({
	...{ name, kind, at, revision, ids, refused },
	items: [...items],
});

/** All that was told of a feed or pattern. */
const keep = (followed) => {
	followed.events = [];
	followed.calls = 0;
	followed.onchange((_, events) => {
		followed.calls++;
		followed.events.push(...events);
	});
	return followed;
};

Object.assign(globalThis, { connect, page, show, keep, Storage, WebSocket });

const lines = createInterface({ input: process.stdin });
for await (const line of lines) {
	const { ref, code } = JSON.parse(line);
	const answer = (more) => process.stdout.write(`${JSON.stringify({ ref, ...more })}\n`);
	(0, eval)(`(async () => (${code}))()`).then(
		(value) => answer({ value: value === undefined ? null : value }),
		(error) => answer({ error: `${error.stack}` }),
	);
}
process.exit();
