/** What all modules of the page share: who this is, the feeds, and what is selected. */

import { connect } from "./thoonk-live.js";
import { write } from "./rows.js";

export const $ = (id) => document.getElementById(id);

export const me = await (await fetch("me")).json();
export const live = connect("live", { key: `board ${me.id}`, storage: sessionStorage });
export const teams = live.feed("teams");
export const processes = live.feed("processes");
export const declared = live.feed("actions:board");

/** What the page is about: a team, its feeds, and what is selected and edited there. */
export const view = {
  team: null, pattern: null, feeds: new Map(), undo: null, lists: [], selected: null, editing: null,
  was: null,
};
/** Own actions that are done, until the feeds show it: id -> action. */
export const settling = new Map();
/** When each own action was put: milliseconds. */
export const since = new Map();
/** Everything that was acknowledged, for whoever wants to check it. */
export const journal = [];
/** Which tasks were just touched: shown for a moment, unless that is all of them all the time. */
export const news = new Map();
export const MOST_NEWS = 5;

/** What shows the page: soon, with the next frame, or at once; showing.js has it. */
export const page = { render() {}, renderNow() {}, show() {} };

export const read = (name) => view.feeds.get(name) ?? [];
export const name = (id) => {
  if (id === undefined) return me.name;
  for (const [member, item] of read(`team:${view.team}:members`)) if (member === id) return item.name;
  return id ?? "somebody";
};
export const pending = () => [
  ...settling.values(),
  ...live.outbox.map(({ id, name, payload }) => ({ id, action: name, payload })),
];

/** A key, where there are keys. */
export const hint = (key) => (matchMedia("(hover: none)").matches ? "" : `  (${key})`);

/** Tell those who listen to the page rather than look at it. */
export const announce = (text) => write($("said"), text);
