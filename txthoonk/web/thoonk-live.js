/** Live copies of Thoonk's feeds, and actions: docs/live-js.rst tells of each public name. */

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const aWhile = () => sleep(500 + 1000 * Math.random());

/** Not done yet, so that it is asked again. */
const isLater = ({ code }) => [202, 429, 502, 503, 504].includes(code);

/** Redis's pattern as one of JavaScript. */
const glob = (pattern) => {
	const part = (c) => ({ "*": ".*", "?": ".", "[": c })[c] ?? (c[1] ? c : "\\" + c);
	return RegExp(`^${pattern.replace(/\\.|\[\^?|[*?.+(){}|$^]/gs, part)}$`, "s");
};

class Followed {
	refused = null;
	_uses = 0;
	_callbacks = new Set();

	constructor(name, update) {
		this.name = name;
		this.close = () => update(this._uses--);
	}

	/** Calls back soon, and after changes, with the events since; returns what ends that. */
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
	items = new Map();
	_group = "feeds";

	get ids() {
		return [...this.items.keys()];
	}

	[Symbol.iterator]() {
		return this.items.entries();
	}

	/** Whether it was news. */
	_apply(m) {
		const epoch = ({ at }) => at.split("-")[0];
		if (m.id === undefined) {
			this.items = new Map(m.items);
			this.kind = m.kind;
			this.refused = m.code ? m : null;
		} else if (!this.at || (m.revision <= this.revision && epoch(m) == epoch(this))) {
			return false;
		} else this._change(m);
		this.at = m.at ?? null;
		this.revision = m.revision ?? 0;
		this._changed(m);
		return true;
	}

	_change({ type, id, item, position = ":end" }) {
		const { items } = this;
		const isSorted = this.kind == "sorted_feed" && items.has(id);
		if (type == "move" && !isSorted) return;
		if (type == "move") item = items.get(id);
		if (type == "edit" && isSorted) return items.set(id, item);
		items.delete(id);
		if (type == "retract") return;
		if (position == ":end") return items.set(id, item);
		const all = [...items];
		const find = (text) => all.findIndex(([other]) => text(other) == position);
		let index = position == "begin:" ? 0 : find((id) => id + ":") + 1 || find((id) => ":" + id);
		if (index < 0) index = all.length; // beside what is not there
		all.splice(index, 0, [id, item]);
		this.items = new Map(all);
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
	const live = { WebSocket, EventSource, fetch, key: "thoonk-live", most: 15, ...options };
	const feeds = new Map();
	const patterns = new Map();
	const waiting = new Map(); // for answers on this connection, by ref
	const asked = new Set(); // ids of actions
	let told = new Set(); // what this connection follows
	let fails = 0;
	let refs = 0;
	let link, timer, token, silent, isBusy, isOver;

	const call = (name, ...args) => queueMicrotask(() => live[name]?.(...args));
	const say = (state, more) => call("onstate", (live.status = { state, ...more }));
	const below = (path) => new URL(`${url}/${path}`, location);

	const post = (path, value) =>
		(0, live.fetch)(below(path), {
			method: "POST",
			headers: { "Content-Type": "application/json", Prefer: "wait=20" },
			body: JSON.stringify(value),
			signal: AbortSignal.timeout(30000),
		})
			.then(async (answer) => ({ code: answer.status, ...(await answer.json()) }))
			.catch(() => ({ code: 503 }));

	const ask = (path, value, message) => {
		if (!link.send) return post(path, value);
		link.send({ ...message, ref: ++refs });
		return new Promise((done) => waiting.set(refs, done));
	};

	const wanted = () => [...feeds.values(), ...patterns.values()].filter((each) => each._uses > 0);

	/** Tells the server what to follow, once a turn. */
	const update = async () => {
		const all = await wanted();
		const fresh = all.filter((each) => !told.has(each));
		const gone = [...told].filter((each) => !all.includes(each));
		if (!link?.opened || (link.told && !fresh[0] && !gone[0])) return;
		if (!link.send) return open(link.close((token = "")));
		link.told = true;
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
		let source = mine;
		told = new Set(isStream ? wanted() : []);
		say("connecting");
		if (isStream) {
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
		source.onclose = source.onerror = ({ code }) => lost(mine, code);
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

	const lost = async (old, code) => {
		if (link != old) return;
		link = null;
		clearTimeout(timer);
		old.close();
		asked.clear();
		if (code == 1009) [...waiting.values()].pop()?.({ code: 413, error: "too large" });
		for (const done of waiting.values()) done({ code: 503 });
		waiting.clear();
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
		if (ref) {
			waiting.get(ref)?.(m);
			waiting.delete(ref);
		} else if (isLater(m)) {
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
			say(type);
			lost(link);
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

	const perform = async (action) => {
		const { id, name, payload, revisions } = action;
		const isOld = Date.now() - action.sent > 3600e3; // the server may have forgotten it
		const body = { id, payload, revisions };
		asked.add(id);
		action.sent ??= Date.now();
		changed();
		const answer = isOld
			? { code: 410, error: "nobody knows whether this was done" }
			: await ask("actions/" + encodeURIComponent(name), body, { action: name, ...body });
		if (isLater(answer)) return pump(asked.delete(id, await aWhile()));
		live.outbox = live.outbox.filter((each) => each != action);
		action.done?.(answer);
		call("onanswer", action, answer);
		changed();
	};

	/** One action after the other; what takes long is overtaken. */
	const pump = async () => {
		const next = () => link?.since && live.outbox.find(({ id }) => !asked.has(id));
		if (isBusy) return;
		isBusy = true;
		for (let action; (action = next()); ) await Promise.race([perform(action), sleep(2000)]);
		isBusy = false;
	};

	const newId = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

	live.act = (name, payload, { id = newId(), revisions } = {}) =>
		new Promise((done) => {
			payload = JSON.parse(JSON.stringify(payload));
			live.outbox.push({ id, name, payload, revisions, done });
			changed(pump());
		});

	live.can = async (list) => {
		for (;;) {
			while (!link?.since) await sleep(50);
			const answer = await ask("can", list, { can: list });
			if (!isLater(answer)) return answer.can ?? list.map(() => false);
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
		for (const [name, feed] of feeds)
			if (feed.at && pattern._glob.test(name)) pattern.feeds.set(name, feed);
		return pattern;
	};
	live.outbox = JSON.parse(live.storage?.getItem(live.key) ?? "[]");
	globalThis.addEventListener?.("online", () => isOver || live.retry());
	queueMicrotask(open);
	return live;
};
