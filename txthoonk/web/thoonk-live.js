/** Live feeds of Thoonk, and actions: docs/live-js.rst. */

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const aWhile = () => sleep(500 + 1000 * Math.random());
const isLater = ({ code }) => code == 202 || code == 429 || code > 500;

const glob = (c) => ({ "*": ".*", "?": ".", "[": c })[c] ?? (c[1] ? c : "\\" + c);

class Followed {
	_uses = 0;
	_calls = new Set();

	constructor(name, feeds, sync) {
		this.name = name;
		this._feeds = feeds;
		this.close = () => sync(this._uses && this._uses--);
	}

	/** Calls back soon and on changes; returns its end. */
	onchange(callback) {
		this._calls.add(callback);
		this._tell();
		return () => this._calls.delete(callback);
	}

	async _tell(...news) {
		if (this._news) return this._news.push(...news);
		this._news = news;
		await sleep(16);
		this._news = null;
		for (const each of this._calls) queueMicrotask(() => each(this, news));
	}
}

class Feed extends Followed {
	at = null;
	revision = 0;
	items = new Map();
	_group = "feeds";
	[Symbol.iterator] = () => this.items.entries();

	get ids() {
		return [...this.items.keys()];
	}

	_apply(m) {
		const epoch = this.at?.split("-")[0];
		if (m.id === undefined) {
			this.items = new Map(m.items);
			this.kind = m.kind;
			this.refused = m.code && m;
		} else if (!this.at || (m.revision <= this.revision && m.at.startsWith(epoch + "-"))) return;
		else this._change(m);
		this.at = m.at ?? null;
		this.revision = m.revision ?? 0;
		return true;
	}

	_change({ type, id, item, position = ":end" }) {
		const { items, kind } = this;
		const isSorted = kind == "sorted_feed" && items.has(id);
		if (type == "move" && !isSorted) return;
		if (type == "move") item = items.get(id);
		if (type == "edit" && isSorted) return items.set(id, item);
		items.delete(id);
		if (type == "retract") return;
		if (position == ":end") return items.set(id, item);
		const all = [...items];
		const after = all.findIndex(([id]) => id + ":" == position) + 1;
		const before = all.findIndex(([id]) => ":" + id == position);
		const index = position == "begin:" ? 0 : after || (before < 0 ? all.length : before);
		all.splice(index, 0, [id, item]);
		this.items = new Map(all);
	}
}

class Pattern extends Followed {
	_group = "patterns";
	_glob = RegExp(`^${this.name.replace(/\\.|\[\^?|[*?.+(){}|$^]/gs, glob)}$`, "s");

	get feeds() {
		const isHere = ([name, { at }]) => at && !this.refused && this._glob.test(name);
		return new Map([...this._feeds].filter(isHere));
	}

	get at() {
		return Object.fromEntries([...this.feeds].slice(0, 9e3).map(([name, { at }]) => [name, at]));
	}
}

export const connect = (url, options) => {
	const live = { ...options };
	const feeds = new Map();
	const patterns = new Map();
	const asks = new Map();
	const asked = new Set();
	let [fails, refs, silent] = [0, 0, 0];
	let link, told, timer, busy;

	const below = (path) => `${new URL(`${url}/${path}`, globalThis.location)}`;
	const send = (message) => link.send(JSON.stringify(message));
	const tell = (name, ...args) => queueMicrotask(() => live[name]?.(...args));
	const say = (state, more) => tell("onstate", (live.status = { state, ...more }));

	const ask = (message) => {
		send({ ...message, ref: ++refs });
		return new Promise((done) => asks.set(refs, done));
	};

	/** Tells the server what to follow. */
	const sync = async () => {
		await null;
		const isNew = ({ _uses, _told }) => !_uses == (_told == told);
		const all = [...feeds.values(), ...patterns.values()].filter(isNew);
		const [subscribe, unsubscribe] = [1, 2].map(() => ({ feeds: {}, patterns: {} }));
		if (link?.readyState != 1 || (link.isTold && !all[0])) return;
		for (const each of all) {
			const { name, at, _group, _uses } = each;
			(_uses ? subscribe : unsubscribe)[_group][name] = at;
			Object.assign(each, { refused: null, _told: _uses && told });
		}
		link.isTold = true;
		send({ unsubscribe });
		send({ subscribe, ref: 0 });
	};

	const get = (all, Kind, name) =>
		all.get(name) ?? all.set(name, new Kind(name, feeds, sync)).get(name);

	const use = (each) => {
		sync(each._uses++);
		return each;
	};

	const open = async () => {
		const isSse = live.transport ? live.transport == "sse" : fails % 3 > 1;
		say("connecting");
		const from = isSse ? await import(below("thoonk-live-sse.js")).catch(() => live) : live;
		const { WebSocket = globalThis.WebSocket } = from;
		if (link) return;
		clearTimeout(timer);
		const socket = (link = told = new WebSocket(below("socket").replace("http", "ws")));
		timer = setTimeout(lost, 1e4, socket);
		socket.onopen = () => {
			live.transport = isSse ? "sse" : "websocket";
			clearTimeout(timer);
			timer = setInterval(() => (silent++ > 1 ? lost(socket) : send({ unsubscribe: {} })), 3e4);
			sync();
		};
		socket.onmessage = ({ data }) => link == socket && receive(JSON.parse(data));
		socket.onclose = socket.onerror = ({ code }) => lost(socket, code);
	};

	const lost = async (old, code) => {
		if (link != old) return;
		link = null;
		clearTimeout(timer);
		old?.close?.();
		asked.clear();
		if (code == 1009) [...asks.values()].pop()?.({ code: 413 });
		asks.forEach((done) => done({ code: 503 }));
		asks.clear();
		const { status } = await (old?.since || fetch(below("stream"), { credentials: "include" }).catch(() => 0));
		if (link) return;
		if (status == 401 || status == 403) return say("refused", { code: status });
		if (Date.now() - old.since > 5000) fails = 0;
		const seconds = Math.min(15, 2 ** fails++) * Math.random();
		timer = setTimeout(open, seconds * 1000);
		say("offline", { seconds });
	};

	const receive = (m) => {
		const { type, ref, feed: name, pattern } = m;
		silent = 0;
		if (ref) {
			asks.get(ref)?.(m);
			asks.delete(ref);
		} else if (isLater(m)) {
			told = {};
			aWhile().then(sync);
		} else if (name !== undefined) {
			const among = [...patterns.values()].filter((each) => each._glob.test(name));
			const feed = feeds.get(name) ?? (among[0] && get(feeds, Feed, name));
			if (feed?._apply(m)) for (const each of [feed, ...among]) each._tell(m);
		} else if (pattern !== undefined) {
			Object.assign(patterns.get(pattern), { refused: m })._tell(m);
		} else if (type == "revoked") {
			say(type);
			lost(link);
		} else if (type != "done" || ref === 0) {
			if (/stale|fresh/.test(type)) link.stale = type == "stale";
			else link.since ??= Date.now();
			if (link.since) say(link.stale ? "stale" : "live");
			pump();
		}
	};

	const changed = () => {
		tell("onoutbox", live.outbox);
		queueMicrotask(() => live.storage?.setItem(live.key, JSON.stringify(live.outbox)));
	};

	const run = async (action) => {
		const { id, name, payload, revisions, sent } = action;
		const isOld = Date.now() - sent > 3600e3;
		const mine = link;
		asked.add(action);
		action.sent ??= Date.now();
		changed();
		const answer = isOld ? { code: 410 } : await ask({ action: name, id, payload, revisions });
		if (isLater(answer)) return (await aWhile()) || (mine == link && pump(asked.delete(action)));
		live.outbox = live.outbox.filter((each) => each != action);
		action.done?.(answer);
		tell("onanswer", action, answer);
		changed();
	};

	/** In order, but what takes long is overtaken. */
	const pump = async () => {
		const action = !busy && link?.since && live.outbox.find((each) => !asked.has(each));
		if (!action) return;
		busy = true;
		await Promise.race([run(action), sleep(2e3)]);
		busy = false;
		pump();
	};

	live.act = (name, payload, { id, revisions } = {}) =>
		new Promise((done) => {
			id ??= crypto.getRandomValues(new Uint32Array(4)).join("-");
			live.outbox.push({ id, name, payload, revisions, done });
			changed(pump());
		});

	live.can = async (list) => {
		for (;; await aWhile()) {
			while (!link?.since) await sleep(50);
			const answer = await ask({ can: list });
			if (!isLater(answer)) return answer.can ?? [];
		}
	};

	live.retry = () => void (link || open((fails = 0)));
	live.close = () => {
		lost(link, say("closed"));
		link = {};
	};
	live.feed = (name) => use(get(feeds, Feed, name));
	live.pattern = (name) => use(get(patterns, Pattern, name));
	live.outbox = JSON.parse(live.storage?.getItem(live.key) ?? "[]");
	queueMicrotask(open);
	return live;
};
