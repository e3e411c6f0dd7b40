/** Live copies of Thoonk's feeds, and actions: docs/live-js.rst tells of each public name. */

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const aWhile = () => sleep(500 + 1000 * Math.random());

/** Not done yet: it may be asked again. */
const isLater = (code) => [202, 429, 502, 503, 504].includes(code);

/** Redis's pattern as one of JavaScript. */
const glob = (pattern) => {
	const part = (c) => ({ "*": ".*", "?": ".", "[": c })[c] ?? (c[1] ? c : "\\" + c);
	return RegExp(`^${pattern.replace(/\\.|\[\^?|[*?.+(){}|$^]/gs, part)}$`, "s");
};

/** Where a position is: at the end, if beside what is not there. */
const find = (ids, position) => {
	if (position == "begin:") return 0;
	const after = position.endsWith(":") ? ids.indexOf(position.slice(0, -1)) : -1;
	const before = /^:(?!end$)/.test(position) ? ids.indexOf(position.slice(1)) : -1;
	return after >= 0 ? after + 1 : before >= 0 ? before : ids.length;
};

class Followed {
	refused = null;
	_uses = 0;
	_callbacks = new Set();

	constructor(name, update) {
		this.name = name;
		this.close = () => update(this._uses--);
	}

	/** Calls back soon, and after changes, with the events since; what it returns ends that. */
	onchange(callback) {
		this._callbacks.add(callback);
		this._changed();
		return () => this._callbacks.delete(callback);
	}

	async _changed(...news) {
		if (this._news) return this._news.push(...news);
		this._news = news;
		await sleep(16);
		this._news = null;
		for (const each of this._callbacks) queueMicrotask(() => each(this, news));
	}
}

class Feed extends Followed {
	at = null;
	revision = 0;
	_group = "feeds";
	_ids = [];
	_items = new Map();

	get ids() {
		return [...this._ids];
	}

	get items() {
		return (this._inOrder ??= new Map(this._ids.map((id) => [id, this._items.get(id)])));
	}

	[Symbol.iterator]() {
		return this.items.entries();
	}

	/** Whether it was news. */
	_apply(m) {
		const epoch = ({ at }) => at.split("-")[0];
		if (m.id === undefined) {
			this._items = new Map(m.items);
			this._ids = [...this._items.keys()];
			this.kind = m.kind;
			this.refused = m.code ? m : null;
		} else if (!this.at || (m.revision <= this.revision && epoch(m) == epoch(this))) {
			return false;
		} else this._change(m);
		this._inOrder = null;
		this.at = m.at ?? null;
		this.revision = m.revision ?? 0;
		this._changed(m);
		return true;
	}

	_change({ type, id, item, position = ":end" }) {
		const { _ids: ids, _items: items } = this;
		const sorted = this.kind == "sorted_feed" && items.has(id);
		if (type == "move" && !sorted) return;
		if (type != "move") items.set(id, item);
		if (type == "edit" && sorted) return;
		if (ids.includes(id)) ids.splice(ids.indexOf(id), 1);
		if (type == "retract") items.delete(id);
		else ids.splice(find(ids, position), 0, id);
	}
}

class Pattern extends Followed {
	feeds = new Map();
	_group = "patterns";
	_glob = glob(this.name);

	get at() {
		return Object.fromEntries([...this.feeds].map(([name, { at }]) => [name, at]));
	}
}

export const connect = (url, options) => {
	const { WebSocket, EventSource, fetch, location } = globalThis;
	const live = { WebSocket, EventSource, fetch, key: "thoonk-live", most: 15, status: {}, ...options };
	const feeds = new Map();
	const patterns = new Map();
	const taken = new Set(); // ids of actions that are not done yet
	let told = new Set(); // what this connection follows
	let fails = 0;
	let link, timer, token, silent, isBusy, isOver;

	const call = (name, ...args) => queueMicrotask(() => live[name]?.(...args));
	const say = (state, more) => call("onstate", (live.status = { state, ...more }));
	const below = (path) => new URL(`${url}/${path}`, location);

	const post = async (path, value) => {
		const { fetch } = live;
		try {
			const answer = await fetch(below(path), {
				method: "POST",
				headers: { "Content-Type": "application/json", Prefer: "wait=2" },
				body: JSON.stringify(value),
				signal: AbortSignal.timeout(9000),
			});
			return { code: answer.status, ...(await answer.json()) };
		} catch {
			return { code: 503 };
		}
	};

	const wanted = () => [...feeds.values(), ...patterns.values()].filter((each) => each._uses > 0);

	/** Tells the server what to follow. */
	const update = async () => {
		await null; // all of one turn at once
		const all = wanted();
		const fresh = all.filter((each) => !told.has(each));
		const gone = [...told].filter((each) => !all.includes(each));
		if (!link?.opened || (link.told && !fresh[0] && !gone[0])) return;
		link.told = true;
		if (!link.send) return open(link.close((token = "")));
		told = new Set(all);
		const subscribe = { feeds: {}, patterns: {} };
		const unsubscribe = { feeds: [], patterns: [] };
		for (const { _group, name, at } of fresh) subscribe[_group][name] = at;
		for (const { _group, name } of gone) unsubscribe[_group].push(name);
		link.send({ unsubscribe });
		link.send({ subscribe, ref: 0 });
	};

	const use = (all, Kind, name, count) => {
		if (!all.has(name)) all.set(name, new Kind(name, update));
		update((all.get(name)._uses += count));
		return all.get(name);
	};

	const open = () => {
		const { transport, WebSocket, EventSource } = live;
		const isStream = transport ? transport == "sse" : !WebSocket || fails % 3 > 1;
		const target = below(isStream ? "stream" : "socket");
		const mine = (link = { close: () => source.close() });
		let source;
		told = new Set(isStream ? wanted() : []);
		say("connecting");
		if (isStream && !told.size) {
			source = { close() {} };
			return receive({}, opened()); // there is nothing to stream
		} else if (isStream) {
			for (const { _group, name } of told) target.searchParams.append(_group.slice(0, -1), name);
			if (token) target.searchParams.append("token", token);
			source = new EventSource(target);
		} else {
			target.protocol = target.protocol.replace("http", "ws");
			source = new WebSocket(target);
			link.send = (message) => source.send(JSON.stringify(message));
		}
		source.onopen = () => link == mine && opened();
		source.onmessage = ({ data, lastEventId }) => {
			token = lastEventId;
			if (link == mine) receive(JSON.parse(data));
		};
		source.onclose = source.onerror = () => lost(mine);
		timer = setTimeout(lost, 10000, mine);
	};

	const opened = () => {
		clearTimeout(timer);
		link.opened = true;
		live.transport = link.send ? "websocket" : "sse";
		if (!link.send) return token || patterns.forEach(({ feeds }) => feeds.clear());
		silent = 0;
		timer = setInterval(() => {
			if (++silent > 2) lost(link);
			else if (silent > 1) link.send({ unsubscribe: {} });
		}, 20000);
		update();
	};

	const lost = async (old) => {
		if (link != old) return;
		link = null;
		clearTimeout(timer);
		old.close();
		const answer = old.opened || (await post("can", []));
		if (link || isOver) return;
		if (/40[13]/.test(answer.code)) return end("refused", answer);
		if (Date.now() - old.since > 5000) fails = 0;
		const seconds = Math.min(live.most, 2 ** fails++) * Math.random();
		timer = setTimeout(open, seconds * 1000);
		say("offline", { seconds });
	};

	const end = (state, more) => {
		clearTimeout(timer);
		isOver = true;
		say(state, more);
		if (link) lost(link);
	};

	const receive = (m) => {
		const { type, code, error, ref, feed: name, pattern } = m;
		silent = 0;
		if (isLater(code)) {
			told.clear();
			aWhile().then(update);
		} else if (name !== undefined) {
			const among = [...patterns.values()].filter((each) => each._glob.test(name));
			const feed = among[0] ? use(feeds, Feed, name, 0) : feeds.get(name);
			if (!feed?._apply(m)) return;
			for (const each of among) {
				if (m.at) each.feeds.set(name, feed);
				else each.feeds.delete(name);
				each._changed(m);
			}
		} else if (pattern !== undefined) {
			Object.assign(patterns.get(pattern), { refused: m })._changed(m);
		} else if (type == "revoked") {
			end(type);
		} else if (type != "done" || ref === 0) {
			if (type == "stale" || type == "fresh") link.stale = type == "stale";
			else link.since ??= Date.now();
			if (link.since) say(code ? "refused" : link.stale ? "stale" : "live", { code, error });
			pump();
		}
	};

	const changed = () => {
		try {
			live.storage?.setItem(live.key, JSON.stringify(live.outbox));
		} catch {} // it is full
		call("onoutbox", live.outbox);
	};

	/** One action after the other. */
	const pump = async () => {
		const next = () => link?.since && live.outbox.find(({ id }) => !taken.has(id));
		if (isBusy) return;
		isBusy = true;
		for (let action; (action = next()); ) {
			const { id, name, payload, revisions } = action;
			const isOld = Date.now() - action.sent > 3600e3; // the server may have forgotten it
			action.sent ??= Date.now();
			changed();
			const answer = isOld
				? { code: 410, error: "nobody knows whether this was done" }
				: await post("actions/" + encodeURIComponent(name), { id, payload, revisions });
			if (answer.code == 202) {
				taken.add(id);
				sleep(5000).then(() => pump(taken.delete(id)));
			} else if (isLater(answer.code)) await aWhile();
			else {
				live.outbox = live.outbox.filter((each) => each != action);
				action.done?.(answer);
				call("onanswer", action, answer);
				changed();
			}
		}
		isBusy = false;
	};

	const newId = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

	live.act = (name, payload, { id = newId(), revisions } = {}) =>
		new Promise((done) => {
			live.outbox.push({ id, name, payload: JSON.parse(JSON.stringify(payload)), revisions, done });
			changed(pump());
		});

	live.can = async (list) => {
		for (;;) {
			const { code, can } = await post("can", list);
			if (!isLater(code)) return can ?? list.map(() => false);
			await aWhile();
		}
	};

	live.retry = () => {
		if (link) return;
		clearTimeout(timer);
		isOver = false;
		open((fails = 0));
	};

	live.close = () => end("closed");
	live.feed = (name) => use(feeds, Feed, name, 1);
	live.pattern = (name) => {
		const pattern = use(patterns, Pattern, name, 1);
		for (const [name, feed] of feeds) if (feed.at && pattern._glob.test(name)) pattern.feeds.set(name, feed);
		return pattern;
	};
	live.outbox = JSON.parse(live.storage?.getItem(live.key) ?? "[]");
	globalThis.addEventListener?.("online", () => isOver || live.retry());
	queueMicrotask(open);
	return live;
};
