/**
 * What thoonk-live.js takes for a WebSocket where none can be had: an EventSource for what comes,
 * and a POST for each question. It is loaded when it is needed: docs/live-js.rst.
 */

/** What each stream has come to, by what it follows: its token, and the places that it stands for. */
const reached = new Map();

const sorted = (places) => JSON.stringify(Object.entries(places).sort());

class Stream {
	readyState = 0;
	_followed = { feeds: {}, patterns: {} };

	constructor(url) {
		this._base = url.replace(/^ws/, "http").replace(/socket$/, "");
		setTimeout(() => {
			if (this.readyState == 3) return;
			this.readyState = 1;
			this.onopen();
		});
	}

	/** Does with a message what a server does. */
	send(text) {
		const { subscribe, unsubscribe, action, can, ref, ...body } = JSON.parse(text);
		for (const [group, names] of Object.entries(subscribe ?? unsubscribe ?? {})) {
			for (const [name, at] of Object.entries(names)) {
				if (subscribe) this._followed[group][name] = at;
				else delete this._followed[group][name];
				this._isOther = true;
			}
		}
		if (subscribe) this._open(ref);
		else if (unsubscribe) setTimeout(() => this._tell({ type: "done", ref }));
		else this._post(can ? "can" : `actions/${encodeURIComponent(action)}`, can ?? body, ref);
	}

	close() {
		this.readyState = 3;
		this._source?.close();
	}

	_tell(message) {
		if (this.readyState == 1) this.onmessage({ data: JSON.stringify(message) });
	}

	_open(ref) {
		const { feeds, patterns } = this._followed;
		const url = new URL(`${this._base}stream`);
		const places = Object.assign({}, ...Object.values(patterns), feeds);
		for (const name of Object.keys(feeds).sort()) url.searchParams.append("feed", name);
		for (const name of Object.keys(patterns).sort()) url.searchParams.append("pattern", name);
		const before = reached.get(url.href);
		const key = url.href;
		if (!this._isOther || !url.search) return setTimeout(() => this._tell({ type: "done", ref }));
		this._isOther = false;
		this._source?.close();
		// A feed that the state does not tell of any more is gone.
		const gone = new Set(Object.keys(Object.assign({}, ...Object.values(patterns))));
		if (before && sorted(before.places) == sorted(places)) {
			url.searchParams.append("token", before.token);
			gone.clear();
		}
		const source = (this._source = new EventSource(url, { withCredentials: true }));
		source.onmessage = ({ data, lastEventId }) => {
			const message = JSON.parse(data);
			const { type, feed, at } = message;
			if (feed !== undefined && at) places[feed] = at;
			else if (feed !== undefined) delete places[feed];
			gone.delete(feed);
			if (lastEventId) reached.set(key, { token: lastEventId, places });
			if (type != "ready") return this._tell(message);
			for (const each of gone) this._tell({ type: "deleted", feed: each });
			this._tell({ type: "done", ref });
		};
		source.onerror = () => {
			this.close();
			this.onclose({});
		};
	}

	async _post(path, body, ref) {
		try {
			const answer = await fetch(this._base + path, {
				method: "POST",
				credentials: "include",
				headers: { "Content-Type": "application/json", Prefer: "wait=20" },
				body: JSON.stringify(body),
			});
			this._tell({ code: answer.status, ...(await answer.json()), ref });
		} catch {
			this._tell({ code: 503, ref }); // it is asked again
		}
	}
}

export { Stream as WebSocket };
