/** Showing what is: feeds, with one's own actions on top that are not done yet. */

import { KNOWN, act, answers, capital, may, toast } from "./doing.js";
import { columns, talk, words } from "./model.js";
import { about, entitle, face, make, makeLine, reconcile, showLine, showText, write } from "./rows.js";
import {
  $, MOST_NEWS, declared, hint, live, me, name, news, page, pending, processes, read,
  settling, since, teams, view,
} from "./state.js";
import { edit, give, remove, shift, ship, showEditor } from "./tasks.js";
import { UNDO, lastAction, unfinished } from "./undo.js";

/** Milliseconds without an answer after which something is away. */
const PATIENCE = 2500;
/** Actions that what they change tells of, and milliseconds that it may come after the log. */
const IN_ITEMS = ["add", "edit", "ship", "delegate", "say"], LATER = 500;
/** Milliseconds that the page rests at most. */
const LONGEST = 1000;
/** How many faces are shown at the top; the others are counted. */
const mostFaces = () => (matchMedia("(max-width: 900px)").matches ? 3 : 10);

/** When the page may be shown again: it takes a fifth of the time at most, however much happens. */
let rested = 0;
/** The timer and the frame that it waits for. */
let timer = 0, frame = 0;
/** Show what is, with one of the next frames; a hidden page has none, and need not be shown. */
export const render = () => {
  if (timer || frame) return;
  const pause = rested - performance.now();
  if (pause > 10) timer = setTimeout(renderNow, Math.min(pause, LONGEST));
  else renderNow();
};
/** The same with the very next one: what one does oneself is shown at once. */
const renderNow = () => {
  clearTimeout(timer);
  timer = 0;
  frame ||= requestAnimationFrame(rendered);
};
const rendered = () => {
  frame = 0;
  const begin = performance.now();
  show();
  const rest = () => {
    const end = performance.now();
    rested = end + 4 * (end - begin);
  };
  rest();
  setTimeout(rest); // what it took to lay out and paint counts, too
};

export const show = () => {
  const { team } = view;
  $("choose").hidden = Boolean(team);
  $("board").hidden = !team;
  for (const id of ["undo", "import", "to-talk"]) $(id).hidden = !team;
  const title = teams.items.get(team)?.name ?? "Team board";
  write($("team-name"), title);
  document.title = team ? `${title}: ${me.name}` : "Team board";
  showStatus();
  showProcesses();
  if (!team) return showTeams();
  view.feeds = view.pattern?.feeds ?? new Map();
  forget();
  view.lists = columns(read, team, me.id, pending());
  keepWritten();
  keepSelected();
  showHere();
  showUndo();
  reconcile($("columns"), view.lists.map((each) => [each.id, each]), makeColumn, showColumn);
  showTalk();
};

const isIt = (row, id) => row.id === id || `~${row.item.act?.split(":")[1]}` === id;

/** A task that is edited may be taken away meanwhile: what was written goes where a new task is. */
const keepWritten = () => {
  const { editing } = view;
  const [column] = editing ? view.lists.filter((each) => each.id === editing.member) : [];
  if (!column || column.tasks.some((row) => isIt(row, editing.id))) return;
  view.editing = null;
  const element = document.querySelector(`.column[data-member="${column.id}"]`);
  const text = element?.querySelector(".task textarea")?.value.trim() ?? "";
  const input = element?.querySelector(".new input");
  if (!input) return;
  if (text !== editing.was) input.value = `${input.value} ${text}`.trim();
  input.focus();
  toast("Meanwhile somebody has taken it away. What you wrote can be a new task.", true);
};

/** Nothing is selected once that is gone; the arrow keys go on from where it was. */
const keepSelected = () => {
  const { selected } = view;
  if (!selected) return;
  const tasks = view.lists.find((each) => each.id === selected.member)?.tasks ?? [];
  const at = tasks.findIndex((row) => isIt(row, selected.id));
  if (at < 0) view.selected = null;
  else view.was = { member: selected.member, at };
};

/**
 * Drop what the feeds have caught up with. Each of them comes as fast as it does: the log may have
 * what the list has not yet, or will not have, where others have changed the same task since.
 */
const forget = () => {
  if (!settling.size) return;
  const [seen, logged] = [new Set(), new Set()];
  for (const [feed, copy] of view.feeds) {
    if (/:(tasks|shipped|chat)$/.test(feed)) {
      for (const [, item] of copy) seen.add(item.act?.split(":")[1]).add(item.ship?.split(":")[1]);
    } else if (feed.endsWith(":log")) {
      for (const [id] of copy) logged.add(id.split(":")[1]);
    }
  }
  for (const [id, each] of settling) {
    if (logged.has(id)) each.logged ??= Date.now();
    const wait = IN_ITEMS.includes(each.action) ? LATER : 0;
    if (seen.has(id) || Date.now() - each.logged >= wait) settling.delete(id);
  }
};

const showStatus = () => {
  const { state, seconds } = live.status;
  if (view.status !== live.status) {
    Object.assign(view, { status: live.status, since: Date.now() });
    if (seconds !== undefined) view.until = Date.now() + seconds * 1000;
  }
  const waits = live.outbox.filter((each) => each.name !== "here").length;
  const oldest = Math.min(...live.outbox.map((each) => since.get(each.id) ?? Date.now()));
  const late = Date.now() - oldest > PATIENCE;
  const actions = waits ? `; ${waits} ${waits === 1 ? "action waits" : "actions wait"}` : "";
  const left = Math.max(0, Math.ceil(((view.until ?? 0) - Date.now()) / 1000));
  // What changes all the time comes last: it is shown, but not read aloud.
  let told = {
    connecting: ["connecting", `connecting${actions}`],
    live: ["live", "live"],
    stale: ["away", `Redis is away, coming back by itself${actions}`],
    offline: ["away", `the server is away${actions}; trying again`, left ? ` in ${left} s` : " now"],
    refused: ["away", `you are not signed in any more${actions}`],
    revoked: ["away", "you may not read this any more"],
    closed: ["away", "closed"],
  }[state] ?? [state, state];
  if (state === "connecting" && Date.now() - view.since > PATIENCE) {
    told = ["away", `no answer yet: the server or Redis is away${actions}`];
  } else if (state === "live" && late) {
    const why = navigator.onLine ? "the server, Redis or the workers are away" : "this device seems to be offline";
    told = ["away", `no answer yet: ${why}${actions}`];
  } else if (state === "live" && waits) told = ["busy", "live", actions];
  $("status").dataset.state = told[0];
  write($("status-words"), told[1]);
  write($("status-more"), told[2] ?? "");
  $("again").hidden = state !== "refused";
  $("now").hidden = state !== "offline";
};

const showProcesses = () => {
  reconcile(
    $("processes"),
    [...processes.items].sort(([a], [b]) => a.localeCompare(b)),
    (_, key) => make("span", {}),
    (element, item) => {},
  );
  for (const [key, element] of $("processes").keyed) {
    const { pid } = processes.items.get(key);
    if (element.pid && element.pid !== pid) {
      element.classList.add("news");
      setTimeout(() => element.classList.remove("news"), 4000);
    }
    element.pid = pid;
    write(element, `${key}: process ${pid}`);
  }
};

const showTeams = () => {
  write($("hello"), `Hello ${me.name}`);
  reconcile(
    $("teams"),
    [...teams.items],
    (_, id) => {
      const words = [make("span", {}, ""), make("span", { class: "number" }, `team ${id}`)];
      const button = make("button", { type: "button" }, ...words);
      button.addEventListener("click", () => (location.hash = id));
      return make("li", {}, button);
    },
    (element, item) => write(element.querySelector("span"), item.name),
  );
};

/** Whether an element shows already what is made of this, so that nothing need be done. */
const isSame = (element, made) => {
  const now = JSON.stringify(made);
  if (element.made === now) return true;
  element.made = now;
  return false;
};

const here = () => new Map([...read(`team:${view.team}:presence`)]);

const showHere = () => {
  const all = [...here()];
  const some = all.length > mostFaces() ? all.splice(0, mostFaces() - 1) : all.splice(0);
  if (all.length) some.push(["", { others: all.map(([, { name }]) => name).join(", "), count: all.length }]);
  reconcile(
    $("here"),
    some,
    (item, id) => make("li", {}, id ? face(id, item.name) : make("span", { class: "face more", role: "img" })),
    ({ firstElementChild: shown }, { name, web, others, count }) => {
      entitle(shown, others ? `${others} are here too` : `${name} is here, by web process ${web}`);
      if (others) write(shown, `+${count}`);
    },
  );
};

const showUndo = () => {
  const [last, next] = [lastAction(), unfinished().at(-1)];
  let text = last ? `${UNDO[last[1].kind] ?? last[1].kind} “${last[1].what}”` : "";
  if (next && Date.now() - since.get(next.id) > PATIENCE) text = `${UNDO[next.action]}, when it is done`;
  $("undo").disabled = !last && !next;
  write($("undo-words"), text);
  $("undo").setAttribute("aria-label", `Undo ${text}`.trim());
  $("undo").title = text ? `Undo ${text} (u)` : "Nothing to undo";
};

const showTalk = () => {
  const list = $("talk");
  const at = ["chat", "log", "members"].map((each) => read(`team:${view.team}:${each}`).at);
  const mine = pending().filter((each) => each.action === "say").map((each) => each.id);
  if (isSame(list, [view.team, ...at, ...mine, Math.floor(Date.now() / 20000)])) return;
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const all = talk(read, view.team, pending()).slice(-150);
  reconcile(
    list.firstElementChild,
    all.map((each) => [each.id, each]),
    makeLine,
    (element, each) => {
      showLine(element, each, name(each.item.by), each.said ? each.item.text : words(each.item, name));
    },
  );
  if (atEnd) list.scrollTop = list.scrollHeight;
};

// -- columns ----------------------------------------------------------------------------------

const makeColumn = (column) => {
  const { id } = column;
  const title = make("h2", { id: `list-${id}`, dir: "auto" });
  const header = make("header", {}, face(id, column.name), title, make("span", { class: "count" }));
  const tasks = make("ol", { class: "tasks", "aria-labelledby": `list-${id}` });
  const shipped = make("details", { class: "shipped" }, make("summary"), make("ol"));
  const input = make("input", {
    maxlength: 500,
    autocomplete: "off",
    dir: "auto",
    "aria-label": id === me.id ? "A new task for you" : `A new task for ${column.name}`,
    placeholder: id === me.id ? `A new task${hint("n")}` : `A task for ${column.name}`,
  });
  const form = make("form", { class: "new" }, input);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (text) act("add", { team: view.team, member: id, text });
    input.value = "";
  });
  input.addEventListener("keydown", (event) => event.key === "Escape" && input.blur());
  const mine = id === me.id ? "column mine" : "column";
  return make("section", { class: mine, "data-member": id }, header, form, tasks, shipped);
};

const showColumn = (element, column) => {
  const { id } = column;
  const feeds = ["tasks", "shipped"].map((each) => read(`team:${view.team}:member:${id}:${each}`).at);
  const own = pending().map((each) => each.id);
  const mine = [view.selected, view.editing].map((each) => each?.member === id && each.id);
  const others = [here().has(id), read(`team:${view.team}:members`).at, declared.at, answers.count];
  const open = element.querySelector(".shipped").open;
  const first = Boolean(view.selected);
  if (isSame(element, [...feeds, ...own, ...mine, ...others, open, first])) return;
  const [header, form, tasks, shipped] = element.children;
  const away = !here().has(column.id);
  header.firstElementChild.classList.toggle("away", away);
  entitle(header.firstElementChild, `${column.name} is ${away ? "away" : "here"}`);
  write(header.querySelector("h2"), column.name);
  write(header.querySelector(".count"), String(column.tasks.filter((row) => !row.leaving).length));
  tasks.dataset.empty = column.id === me.id ? "Nothing to do" : "Nothing to do; drag a task here";
  adopt(tasks, column);
  reconcile(
    tasks,
    column.tasks.map((row) => [row.id, row]),
    (row) => makeTask(row, column.id),
    (task, row) => showTask(task, row, column),
  );
  write(shipped.firstElementChild, `${column.shipped.length} shipped`);
  shipped.hidden = !column.shipped.length;
  reconcile(
    shipped.lastElementChild,
    shipped.open ? column.shipped.toReversed().slice(0, 50).map((row) => [row.id, row]) : [],
    () => make("li", {}, make("span", { class: "text", dir: "auto" })),
    (row, { item }) => showText(row.firstElementChild, item),
  );
};

/** Let what was shown before the feed had it go on as what the feed has. */
const adopt = (tasks, column) => {
  for (const row of column.tasks) {
    const ghost = `~${row.item.act?.split(":")[1]}`;
    const element = tasks.keyed?.get(ghost);
    if (!element || tasks.keyed.has(row.id)) continue;
    tasks.keyed.delete(ghost);
    tasks.keyed.set(row.id, element);
    element.dataset.id = row.id;
    if (view.selected?.id === ghost) view.selected.id = row.id;
  }
};

const makeTask = (row, member) => make(
  "li",
  { class: "task", tabindex: "-1", "data-id": row.id, "data-member": member },
  make("span", { class: "grip", "aria-hidden": "true", title: "Drag" }, "⠿"),
  make("div", {}, make("div", { class: "text", dir: "auto" }), make("div", { class: "about" })),
);

const showTask = (element, row, column) => {
  const [text, below] = ["text", "about"].map((each) => element.querySelector(`.${each}`));
  const chosen = view.selected?.id === row.id && view.selected.member === column.id;
  element.classList.toggle("pending", Boolean(row.pending));
  element.classList.toggle("leaving", Boolean(row.leaving));
  element.classList.toggle("selected", chosen);
  if (row.ghost) element.dataset.ghost = "yes";
  else delete element.dataset.ghost;
  element.tabIndex = chosen || (!view.selected && row === column.tasks[0]) ? 0 : -1;
  showText(text, row.item);
  write(below, about(row.item, column.id, name));
  const at = news.get(`${column.id} ${row.id}`);
  if (at) {
    news.delete(`${column.id} ${row.id}`);
    element.classList.remove("news");
    if (Date.now() - at < 1500 && document.querySelectorAll(".task.news").length < MOST_NEWS) {
      requestAnimationFrame(() => element.classList.add("news"));
      setTimeout(() => element.classList.remove("news"), 2000);
    }
  }
  const editing = view.editing?.id === row.id && view.editing.member === column.id;
  text.hidden = editing;
  if (editing) showEditor(element, row, column);
  else element.querySelector("textarea")?.remove();
  showTools(element, row, column, chosen && !editing && !row.ghost && !row.leaving);
};

const showTools = (element, row, column, wanted) => {
  const place = { team: view.team, member: column.id, id: row.id };
  const tools = element.querySelector(".tools");
  if (!wanted) return tools?.remove();
  const at = column.tasks.indexOf(row);
  const others = view.lists.filter((each) => each.id !== column.id);
  const buttons = [
    ["ship", "✓ Ship", "Space", () => ship(row, column), may("ship", place)],
    ["edit", "Edit", "Enter", () => edit(row, column), may("edit", { ...place, changes: { text: "?" } })],
    ["up", "↑", "Alt+ArrowUp", () => shift(row, column, -1), at > 0 && may("move", { ...place, position: "begin:" })],
    ["down", "↓", "Alt+ArrowDown", () => shift(row, column, 1),
      at < column.tasks.length - 1 && may("move", { ...place, position: ":end" })],
    ["give", "Delegate", "d", () => give(row, column),
      others.length && may("delegate", { ...place, to: others[0].id })],
    ["remove", "Remove", "Delete", () => remove(row, column), may("retract", place)],
    ...extra().map((action) => [action, capital(action), undefined, () => act(action, place), may(action, place)]),
  ].filter((each) => each[4]);
  const holder = tools ?? element.appendChild(make("div", { class: "tools" }));
  reconcile(
    holder,
    buttons.map((each) => [each[0], each]),
    ([what, words, keys]) => {
      const labels = { up: "Move up", down: "Move down" };
      const attributes = { class: what, type: "button", "aria-keyshortcuts": keys, "aria-label": labels[what] };
      return make("button", { ...attributes, onclick: (event) => event.currentTarget.run() }, words);
    },
    (button, each) => (button.run = each[3]),
  );
};

/** Actions for a task that this page knows nothing of: a worker has declared them. */
const extra = () => [...declared.items]
  .filter(([action, { schema }]) => {
    const shape = schema?.properties ?? schema?.$defs?.[schema.$ref?.split("/").at(-1)]?.properties;
    return !KNOWN.includes(action) && shape && Object.keys(shape).sort().join() === "id,member,team";
  })
  .map(([action]) => action);

Object.assign(page, { render, renderNow, show });
