/** The team board: shows feeds, and takes actions. Everything that is shown is text, never markup. */

import { act, may, toast } from "./doing.js";
import { openImport } from "./bringing.js";
import { draggable } from "./drag.js";
import { positionAt, words } from "./model.js";
import { render, show } from "./showing.js";
import {
  $, MOST_NEWS, announce, declared, hint, journal, live, me, name, news, pending,
  processes, teams, view,
} from "./state.js";
import { find, give, remove, select, shift, ship, tryEdit } from "./tasks.js";
import { undo } from "./undo.js";

/** Milliseconds between two signs of life. */
const ALIVE = 8000;

// -- where we are -----------------------------------------------------------------------------

const enter = () => {
  const team = /^#(\d{1,9})$/.exec(location.hash)?.[1] ?? null;
  if (team === view.team) return;
  view.editing?.save();
  for (const each of [view.pattern, view.undo]) each?.close();
  Object.assign(view, { team, pattern: null, undo: null, selected: null, was: null, editing: null });
  if (team) {
    // Who is no member yet becomes one; the feeds can be read from then on.
    act("join", { team }).then((answer) => {
      if (view.team !== team) return;
      if (answer.code !== 200) {
        location.hash = "";
        return;
      }
      view.pattern = live.pattern(`team:${team}:*`);
      view.pattern.onchange(changed);
      view.undo = live.feed(`undo:${team}:${me.id}`);
      view.undo.onchange(count);
      view.undo.onchange(render);
      alive();
      render();
    });
  }
  render();
};
addEventListener("hashchange", enter);

/** A sign of life; without it we are gone after a while. */
const alive = () => {
  if (!view.pattern || live.outbox.some((each) => each.name === "here")) return;
  act("here", { team: view.team });
};
setInterval(alive, ALIVE);

/** How often the whole of each feed has come, and why again: for tests. */
const snapshots = {}, reasons = [];
const count = (_, events) => {
  for (const { type, feed, reason } of events ?? []) {
    if (type !== "snapshot") continue;
    snapshots[feed] = (snapshots[feed] ?? 0) + 1;
    if (reason) reasons.push([feed, reason]);
  }
};

const changed = (pattern, events) => {
  count(pattern, events);
  for (const event of events ?? []) {
    if (event.type === "snapshot" || !event.item) continue;
    if (event.feed === `team:${view.team}:log` && event.item.by !== me.id) {
      announce(`${name(event.item.by)} ${words(event.item, name)}`);
    } else if (event.feed === `team:${view.team}:chat` && event.item.by !== me.id) {
      announce(`${name(event.item.by)} says: ${event.item.text}`);
    }
  }
  for (const event of events?.slice(-MOST_NEWS) ?? []) {
    if (event.id && /:tasks$/.test(event.feed) && event.type !== "retract") {
      news.set(`${event.feed.split(":")[3]} ${event.id}`, Date.now());
    }
  }
  if (news.size > 50) news.clear();
  render();
};

// -- drags, clicks and keys -------------------------------------------------------------------

draggable(
  $("columns"),
  (task, member) => {
    const place = { team: view.team, member: task.dataset.member, id: task.dataset.id };
    if (member === place.member) return may("move", { ...place, position: "begin:" }) !== false;
    return may("delegate", { ...place, to: member }) !== false;
  },
  (task, member, at) => {
    const place = { team: view.team, member: task.dataset.member, id: task.dataset.id };
    const [row] = find(place.member, place.id);
    const [, column] = find(member, "");
    if (!row) return toast("Meanwhile somebody has taken it away.", true);
    if (!column) return toast("Only whose list it is, and who wrote it, can give it to others.");
    const others = column.tasks.filter((each) => each.id !== place.id && !each.ghost);
    const position = positionAt(others, at);
    if (member !== place.member) act("delegate", { ...place, to: member, position });
    else if (positionAt(others, column.tasks.indexOf(row)) !== position) act("move", { ...place, position });
    return undefined;
  },
);

$("columns").addEventListener("click", (event) => {
  const task = event.target.closest(".task");
  if (task && !event.target.closest("button, textarea")) select(task.dataset.member, task.dataset.id);
});
// What is pressed may become a drag: only a click selects, lest the tools move what is dragged.
$("columns").addEventListener("mousedown", (event) => {
  if (event.target.closest(".task") && !event.target.closest("button, textarea")) event.preventDefault();
});
$("columns").addEventListener("dblclick", (event) => {
  const task = event.target.closest(".task");
  const [row, column] = task ? find(task.dataset.member, task.dataset.id) : [];
  if (row && !event.target.closest("button, textarea")) tryEdit(row, column);
});
$("columns").addEventListener("focusin", (event) => {
  const task = event.target.closest(".task");
  if (!task || event.target !== task) return;
  const { member, id } = task.dataset;
  if (view.selected?.member !== member || view.selected.id !== id) select(member, id, false);
});
$("columns").addEventListener("toggle", render, true);

const step = (rowBy, columnBy) => {
  const lists = view.lists.filter((each) => each.tasks.length);
  if (!lists.length) return;
  const [row, column] = view.selected ? find(view.selected.member, view.selected.id) : [];
  if (!row) {
    const { member, at } = view.was ?? { at: 0 };
    const { id, tasks } = lists.find((each) => each.id === member) ?? lists[0];
    return select(id, tasks[Math.min(at, tasks.length - 1)].id);
  }
  const at = column.tasks.indexOf(row);
  if (rowBy) {
    const next = column.tasks[at + rowBy];
    return next && select(column.id, next.id);
  }
  const other = lists[lists.indexOf(column) + columnBy];
  return other && select(other.id, other.tasks[Math.min(at, other.tasks.length - 1)].id);
};

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

const PLAIN = {
  n: () => document.querySelector(".column.mine .new input")?.focus(),
  c: () => $("say-text").focus(),
  u: undo,
  i: openImport,
  "?": () => $("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  const { target } = event;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key; // Caps Lock is no other key
  if (!view.team || document.querySelector("dialog[open]")) return;
  if (target.closest("input, textarea, select")) {
    if (key === "Escape") target.blur();
    return;
  }
  const with_ = event.altKey || event.ctrlKey;
  if (event.metaKey || (with_ && !ARROWS[key])) return;
  const [row, column] = view.selected ? find(view.selected.member, view.selected.id) : [];
  const onTask = row && (target === document.body || target.classList.contains("task"));
  let run = PLAIN[key];
  if (ARROWS[key] && with_) run = onTask && !row.ghost && ARROWS[key][0] ? () => shift(row, column, ARROWS[key][0]) : null;
  else if (ARROWS[key] && !event.shiftKey) run = () => step(...ARROWS[key]);
  else if (onTask && !row.ghost && !row.leaving) {
    run ??= {
      Enter: () => tryEdit(row, column),
      " ": () => ship(row, column),
      d: () => give(row, column),
      Delete: () => remove(row, column),
    }[key];
  }
  if (target.closest("button, a, summary") && [" ", "Enter"].includes(key)) return;
  if (!run) return;
  event.preventDefault();
  run();
});

$("undo").addEventListener("click", undo);
$("to-talk").addEventListener("click", () => {
  $("side").scrollIntoView();
  $("talk").focus({ preventScroll: true });
});
$("help").addEventListener("click", () => $("keys").showModal());
$("team").addEventListener("click", () => (location.hash = ""));
$("found").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = $("found-name");
  if (input.value.trim()) act("create", { name: input.value.trim() });
  input.value = "";
});
$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = $("say-text");
  if (input.value.trim()) act("say", { team: view.team, text: input.value.trim() });
  input.value = "";
});

$("say-text").placeholder = `Say something${hint("c")}`;
live.onstate = live.onoutbox = render;
// Whoever comes back need not wait for the next attempt.
$("now").addEventListener("click", live.retry);
addEventListener("online", live.retry);
document.addEventListener("visibilitychange", () => document.hidden || live.retry());
for (const feed of [teams, processes, declared]) {
  feed.onchange(count);
  feed.onchange(render);
}
setInterval(render, 1000);
enter();

/** For tests, and for whoever is curious. */
globalThis.board = { show, live, view, journal, act, pending, snapshots, reasons };
