/** The team board: shows feeds, and takes actions. Everything that is shown is text, never markup. */

import { connect } from "./thoonk-live.js";
import { draggable } from "./drag.js";
import { columns, positionAt, talk, words } from "./model.js";
import { about, face, make, makeLine, reconcile, showLine, showText, write } from "./rows.js";

const $ = (id) => document.getElementById(id);

/** Milliseconds between two signs of life; after so many without an answer something is away. */
const ALIVE = 8000, PATIENCE = 2500;
/** Milliseconds that a change made by oneself is shown before the feed has it, at most. */
const SETTLE = 3000;

const me = await (await fetch("me")).json();
const live = connect("live", { key: `board ${me.id}`, storage: sessionStorage });
const teams = live.feed("teams");
const processes = live.feed("processes");
const declared = live.feed("actions:board");

/** What the page is about: a team, its feeds, and what is selected and edited there. */
const view = {
  team: null, pattern: null, feeds: new Map(), undo: null, lists: [], selected: null, editing: null,
};
/** Own actions that are done, until the feeds show it: id -> action. */
const settling = new Map();
/** When each own action was put: milliseconds. */
const since = new Map();
/** What may be done: key -> true, false, or undefined while it is asked. */
const allowed = new Map();
/** Everything that was acknowledged, for whoever wants to check it. */
const journal = [];

const read = (name) => view.feeds.get(name) ?? [];
const name = (id) => {
  if (id === undefined) return me.name;
  for (const [member, item] of read(`team:${view.team}:members`)) if (member === id) return item.name;
  return id ?? "somebody";
};
const pending = () => [
  ...settling.values(),
  ...live.outbox.map(({ id, name, payload }) => ({ id, action: name, payload })),
];

// -- doing ------------------------------------------------------------------------------------

/** Take an action; it is shown at once, and its refusal when it comes. */
const act = (action, payload) => {
  const put = live.act(action, payload);
  since.set(live.outbox.at(-1)?.id, Date.now());
  render();
  return put;
};

live.onanswer = (action, answer) => {
  since.delete(action.id);
  const { id, name: what, payload } = action;
  if (what === "here" && answer.code !== 403) return;
  if (answer.code === 200) {
    journal.push({ id, action: what, payload, result: answer.result });
    settling.set(id, { id, action: what, payload });
    setTimeout(() => settling.delete(id) && render(), SETTLE);
    if (what === "create") location.hash = answer.result.team;
    if (what === "undo") announce("Taken back.");
    if (what === "import") toast(`${answer.result.tasks} tasks came in, ${answer.result.shipped} are shipped.`, true);
  } else {
    const words = { 403: "You may not do this.", 504: "This was not done: it waited too long." };
    const text = answer.error ? capital(answer.error) : words[answer.code] ?? `It failed (${answer.code}).`;
    toast(answer.code === 409 ? `Not done. ${text}` : text, answer.code === 409);
  }
  allowed.clear();
  asked++;
  render();
};

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const toast = (text, kind = false) => {
  const close = make("button", { type: "button", "aria-label": "Close" }, "×");
  const element = make("div", { class: kind ? "toast kind" : "toast" }, make("span", {}, text), close);
  close.addEventListener("click", () => element.remove());
  setTimeout(() => element.remove(), 7000);
  $("toasts").append(element);
  while ($("toasts").childElementCount > 3) $("toasts").firstElementChild.remove();
};

/** Tell those who listen to the page rather than look at it. */
const announce = (text) => write($("said"), text);

/** Ask, once, what may be done; the answer is there at a later render. */
const may = (action, payload) => {
  const key = JSON.stringify([action, payload]);
  if (!allowed.has(key)) {
    allowed.set(key, undefined);
    asking.push([key, { action, payload }]);
    queueMicrotask(ask);
  }
  return allowed.get(key);
};
const asking = [];
/** Grows with what is known of it. */
let asked = 0;
const ask = () => {
  const all = asking.splice(0);
  // Where a web process has not the rule, a worker is asked, and there may be none just now.
  const known = all.filter(([, { action }]) => KNOWN.includes(action));
  const others = all.filter((each) => !known.includes(each)).map((each) => [each]);
  for (const some of [known, ...others]) if (some.length) askFor(some);
};
const askFor = async (some) => {
  const answers = await live.can(some.map(([, question]) => question)).catch(() => []);
  some.forEach(([key], at) => {
    if (answers[at] === undefined) allowed.delete(key);
    else allowed.set(key, answers[at]);
  });
  asked++;
  render();
};

// -- where we are -----------------------------------------------------------------------------

const enter = () => {
  const team = /^#(\d{1,9})$/.exec(location.hash)?.[1] ?? null;
  if (team === view.team) return;
  for (const each of [view.pattern, view.undo]) each?.close();
  Object.assign(view, { team, pattern: null, undo: null, selected: null, editing: null });
  allowed.clear();
  if (team) {
    // Who is no member yet becomes one; the feeds can be read from then on.
    act("join", { team }).then((answer) => {
      if (answer.code !== 200 || view.team !== team) return;
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

/** Which tasks were just touched: shown for a moment, unless that is all of them all the time. */
const news = new Map();
const MOST_NEWS = 5;
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

// -- showing ----------------------------------------------------------------------------------

let waiting = false;
/** When the page may be shown again: it takes a fifth of the time at most, however much happens. */
let rested = 0;
/** Show what is, with one of the next frames; a hidden page has none, and need not be shown. */
const render = () => {
  if (waiting) return;
  waiting = true;
  const pause = rested - performance.now();
  if (pause > 10) setTimeout(requestAnimationFrame, pause, rendered);
  else requestAnimationFrame(rendered);
};
const rendered = () => {
  waiting = false;
  const begin = performance.now();
  show();
  const end = performance.now();
  rested = end + 4 * (end - begin);
};

const show = () => {
  const { team } = view;
  $("choose").hidden = Boolean(team);
  $("board").hidden = !team;
  for (const id of ["undo", "import"]) $(id).hidden = !team;
  const title = teams.items.get(team)?.name ?? "Team board";
  write($("team-name"), title);
  document.title = team ? `${title}: ${me.name}` : "Team board";
  showStatus();
  showProcesses();
  if (!team) return showTeams();
  view.feeds = view.pattern?.feeds ?? new Map();
  forget();
  view.lists = columns(read, team, me.id, pending());
  showHere();
  showUndo();
  reconcile($("columns"), view.lists.map((each) => [each.id, each]), makeColumn, showColumn);
  showTalk();
};

/** Drop what the feeds have caught up with. */
const forget = () => {
  if (!settling.size) return;
  const seen = new Set();
  for (const [feed, copy] of view.feeds) {
    if (/:(tasks|shipped|chat)$/.test(feed)) {
      for (const [, item] of copy) seen.add(item.act?.split(":")[1]).add(item.ship?.split(":")[1]);
    } else if (feed.endsWith(":log")) {
      for (const [id] of copy) seen.add(id.split(":")[1]);
    }
  }
  for (const id of settling.keys()) if (seen.has(id)) settling.delete(id);
};

const showStatus = () => {
  const { state, seconds } = live.status;
  const waits = live.outbox.filter((each) => each.name !== "here").length;
  const oldest = Math.min(...live.outbox.map((each) => since.get(each.id) ?? Date.now()));
  const late = Date.now() - oldest > PATIENCE;
  const actions = waits ? `; ${waits} ${waits === 1 ? "action waits" : "actions wait"}` : "";
  const left = Math.max(0, Math.ceil(((view.until ?? 0) - Date.now()) / 1000));
  const told = {
    connecting: ["connecting", `connecting${actions}`],
    live: ["live", "live"],
    stale: ["away", `Redis is away, coming back by itself${actions}`],
    offline: ["away", `the server is away, trying again ${left ? `in ${left} s` : "now"}${actions}`],
    refused: ["away", "you are not signed in any more"],
    revoked: ["away", "you may not read this any more"],
    closed: ["away", "closed"],
  }[state] ?? [state, state];
  if (state === "live" && late) {
    told[0] = "away";
    told[1] = `no answer yet: Redis or the workers are away${actions}`;
  } else if (state === "live" && waits) {
    told[0] = "busy";
    told[1] = `live${actions}`;
  }
  $("status").dataset.state = told[0];
  write($("status-words"), told[1]);
  if (seconds !== undefined && view.status !== live.status) {
    view.until = Date.now() + seconds * 1000;
    view.status = live.status;
  }
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
  reconcile(
    $("here"),
    [...here()],
    (item, id) => make("li", {}, face(id, item.name)),
    (element, item) => {
      element.firstElementChild.title = `${item.name} is here, by web process ${item.web}`;
    },
  );
};

const UNDO = { add: "adding", edit: "editing", move: "moving", ship: "shipping", retract: "removing",
  delegate: "delegating", import: "import of", say: "saying" };

const lastAction = () => [...(view.undo?.items ?? [])].at(-1);

const showUndo = () => {
  const last = lastAction();
  $("undo").disabled = !last || pending().some((each) => each.action === "undo");
  const text = last ? `${UNDO[last[1].kind] ?? last[1].kind} “${last[1].what}”` : "";
  write($("undo-words"), text);
  $("undo").setAttribute("aria-label", last ? `Undo ${text}` : "Undo");
  $("undo").title = last ? `Undo ${text} (u)` : "Nothing to undo";
};

const showTalk = () => {
  const list = $("talk");
  const at = ["chat", "log", "members"].map((each) => read(`team:${view.team}:${each}`).at);
  const mine = pending().filter((each) => each.action === "say").map((each) => each.id);
  if (isSame(list, [view.team, ...at, ...mine, Math.floor(Date.now() / 20000)])) return;
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const all = talk(read, view.team, pending()).slice(-150);
  reconcile(
    list,
    all.map((each) => [each.id, each]),
    makeLine,
    (element, each) => {
      showLine(element, each, name(each.item.by), each.said ? each.item.text : words(each.item, name));
    },
  );
  if (atEnd) list.scrollTop = list.scrollHeight;
};

/** A key, where there are keys. */
const hint = (key) => (matchMedia("(hover: none)").matches ? "" : `  (${key})`);
$("say-text").placeholder = `Say something${hint("c")}`;

// -- columns ----------------------------------------------------------------------------------

const makeColumn = (column) => {
  const { id } = column;
  const title = make("h2", { id: `list-${id}` });
  const header = make("header", {}, face(id, column.name), title, make("span", { class: "count" }));
  const tasks = make("ol", { class: "tasks", "aria-labelledby": `list-${id}` });
  const shipped = make("details", { class: "shipped" }, make("summary"), make("ol"));
  const input = make("input", {
    maxlength: 500,
    autocomplete: "off",
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
  const others = [here().has(id), read(`team:${view.team}:members`).at, declared.at, asked];
  const open = element.querySelector(".shipped").open;
  const first = Boolean(view.selected);
  if (isSame(element, [...feeds, ...own, ...mine, ...others, open, first])) return;
  const [header, form, tasks, shipped] = element.children;
  const away = !here().has(column.id);
  header.firstElementChild.classList.toggle("away", away);
  header.firstElementChild.title = away ? `${column.name} is away` : `${column.name} is here`;
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
    () => make("li", {}, make("span", { class: "text" })),
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
  make("div", {}, make("div", { class: "text" }), make("div", { class: "about" })),
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
    ["remove", "Remove", "Delete", () => act("retract", place), may("retract", place)],
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
const KNOWN = ["ship", "retract", "move", "edit", "delegate"];
const extra = () => [...declared.items]
  .filter(([action, { schema }]) => {
    const shape = schema?.properties ?? schema?.$defs?.[schema.$ref?.split("/").at(-1)]?.properties;
    return !KNOWN.includes(action) && shape && Object.keys(shape).sort().join() === "id,member,team";
  })
  .map(([action]) => action);

// -- what one does with a task ----------------------------------------------------------------

const find = (member, id) => {
  const column = view.lists.find((each) => each.id === member);
  return [column?.tasks.find((row) => row.id === id), column];
};

const select = (member, id, focus = true) => {
  view.selected = id === undefined ? null : { member, id };
  show();
  if (focus && view.selected) focusSelected();
};

const focusSelected = () => {
  const { member, id } = view.selected;
  document.querySelector(`.column[data-member="${member}"] .tasks`)?.keyed?.get(id)?.focus();
};

/** The selection goes on to a task's neighbour when the task goes. */
const selectNeighbour = (row, column) => {
  const at = column.tasks.indexOf(row);
  const next = column.tasks[at + 1] ?? column.tasks[at - 1];
  select(column.id, next?.id);
};

const ship = (row, column) => {
  if (may("ship", { team: view.team, member: column.id, id: row.id }) === false) {
    return toast("Only whose list it is can ship it.");
  }
  selectNeighbour(row, column);
  return act("ship", { team: view.team, member: column.id, id: row.id });
};

const shift = (row, column, by) => {
  const others = column.tasks.filter((each) => each !== row && !each.ghost);
  const at = column.tasks.filter((each) => !each.ghost).indexOf(row) + by;
  if (at < 0 || at > others.length) return;
  act("move", { team: view.team, member: column.id, id: row.id, position: positionAt(others, at) });
  show();
  focusSelected();
};

const edit = (row, column) => {
  view.editing = { member: column.id, id: row.id, was: row.item.text, now: row.item.text };
  show();
};

const showEditor = (element, row, column) => {
  if (element.querySelector("textarea")) return;
  const area = make("textarea", { rows: 2, maxlength: 500, "aria-label": "Text of the task" });
  area.value = row.item.text;
  const done = (save) => {
    const { editing } = view;
    if (!editing || editing.id !== row.id) return;
    view.editing = null;
    const text = area.value.replace(/\s+/g, " ").trim();
    const place = { team: view.team, member: column.id, id: element.dataset.id };
    if (save && text && text !== editing.was) {
      act("edit", { ...place, changes: { text }, was: editing.was });
    }
    select(column.id, element.dataset.id, save !== "blur");
  };
  area.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      done(true);
    } else if (event.key === "Escape") done(false);
  });
  area.addEventListener("blur", () => setTimeout(() => !area.isConnected || document.activeElement === area || done("blur"), 100));
  element.children[1].prepend(area);
  area.focus();
  area.setSelectionRange(area.value.length, area.value.length);
};

const give = (row, column) => {
  const place = { team: view.team, member: column.id, id: row.id };
  const others = view.lists.filter((each) => each.id !== column.id);
  if (!others.length) return toast("Nobody else is in this team yet.", true);
  const list = $("give-to");
  list.replaceChildren(...others.map((each) => {
    const button = make("button", { value: each.id }, face(each.id, each.name), each.name);
    return make("li", {}, button);
  }));
  const dialog = $("give");
  dialog.returnValue = "";
  dialog.onclose = () => {
    if (dialog.returnValue) {
      selectNeighbour(row, column);
      act("delegate", { ...place, to: dialog.returnValue });
    } else focusSelected();
  };
  dialog.showModal();
  list.querySelector("button").focus();
};

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
    if (!row || !column) return toast("Meanwhile somebody has taken it away.", true);
    const others = column.tasks.filter((each) => each.id !== place.id && !each.ghost);
    const position = positionAt(others, at);
    if (member !== place.member) act("delegate", { ...place, to: member, position });
    else if (positionAt(others, column.tasks.indexOf(row)) !== position) act("move", { ...place, position });
    return undefined;
  },
);

// -- keys and clicks --------------------------------------------------------------------------

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

const tryEdit = (row, column) => {
  const place = { team: view.team, member: column.id, id: row.id };
  if (row.ghost) return;
  if (may("edit", { ...place, changes: { text: "?" } }) === false) {
    toast("Only whose list it is, and who wrote it, can edit it.");
  } else edit(row, column);
};

const step = (rowBy, columnBy) => {
  const lists = view.lists.filter((each) => each.tasks.length);
  if (!lists.length) return;
  const [row, column] = view.selected ? find(view.selected.member, view.selected.id) : [];
  if (!row) return select(lists[0].id, lists[0].tasks[0].id);
  const at = column.tasks.indexOf(row);
  if (rowBy) {
    const next = column.tasks[at + rowBy];
    return next && select(column.id, next.id);
  }
  const other = lists[lists.indexOf(column) + columnBy];
  return other && select(other.id, other.tasks[Math.min(at, other.tasks.length - 1)].id);
};

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

const undo = () => {
  const last = lastAction();
  if (!last || $("undo").disabled) return toast("There is nothing to undo.", true);
  return act("undo", { team: view.team, act: last[0] });
};

const PLAIN = {
  n: () => document.querySelector(".column.mine .new input")?.focus(),
  c: () => $("say-text").focus(),
  u: undo,
  i: () => openImport(),
  "?": () => $("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
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
      Delete: () => (selectNeighbour(row, column), act("retract", { team: view.team, member: column.id, id: row.id })),
    }[key];
  }
  if (target.closest("button, a, summary") && [" ", "Enter"].includes(key)) return;
  if (!run) return;
  event.preventDefault();
  run();
});

$("undo").addEventListener("click", undo);
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

const openImport = () => {
  $("bring").showModal();
  $("bring-text").focus();
};
$("import").addEventListener("click", openImport);
$("bring-cancel").addEventListener("click", () => $("bring").close());
$("bring-file").addEventListener("change", async () => {
  const [file] = $("bring-file").files;
  if (file) $("bring-text").value = await file.text();
});
$("bring-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const file = $("bring-file").files[0]?.name ?? "";
  const text = $("bring-text").value;
  if (text.trim()) act("import", { team: view.team, member: me.id, text, name: file });
  event.target.reset();
  $("bring").close();
});

live.onstate = live.onoutbox = render;
for (const feed of [teams, processes, declared]) {
  feed.onchange(count);
  feed.onchange(render);
}
setInterval(render, 1000);
enter();

/** For tests, and for whoever is curious. */
globalThis.board = { show, live, view, journal, act, pending, snapshots, reasons };
