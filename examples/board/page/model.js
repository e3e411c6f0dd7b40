/** What the board shows: the feeds of a team, with one's own actions that are not done yet on top. */

const bare = (position) => position.replaceAll(":", "");

/** Where a position is in a list of rows; the top if what it names is not there. */
export const placeOf = (rows, position) => {
  if (position === ":end") return rows.length;
  const at = rows.findIndex((row) => row.id === bare(position));
  if (at < 0) return 0;
  return position.startsWith(":") ? at : at + 1;
};

/** The position that puts a row where it would be number `at` of the others. */
export const positionAt = (others, at) => {
  if (at <= 0) return "begin:";
  if (at >= others.length) return ":end";
  return `${others[at - 1].id}:`;
};

const take = (rows, id) => {
  const at = rows.findIndex((row) => row.id === id);
  return at < 0 ? null : rows.splice(at, 1)[0];
};

/**
 * @param {function(string): Iterable<[string, any]>} read gives a feed's items in order
 * @param {{id: string, action: string, payload: any}[]} pending actions that are not done yet
 * @returns {{id: string, name: string, tasks: any[], shipped: any[]}[]} a column for each member
 */
export const columns = (read, team, me, pending) => {
  const all = [...read(`team:${team}:members`)].map(([id, member]) => ({
    id,
    name: member.name,
    tasks: [...read(`team:${team}:member:${id}:tasks`)].map(([id, item]) => ({ id, item })),
    shipped: [...read(`team:${team}:member:${id}:shipped`)].map(([id, item]) => ({ id, item })),
  }));
  const of = new Map(all.map((column) => [column.id, column]));
  const there = new Set();
  for (const column of all) {
    for (const row of [...column.tasks, ...column.shipped]) there.add(row.item.act);
  }
  for (const { id, action, payload } of pending) {
    if (payload.team !== team) continue;
    const rows = of.get(payload.member)?.tasks;
    if (!rows) continue;
    const row = rows.find((each) => each.id === payload.id);
    if (action === "add" && !there.has(id)) {
      const item = { text: payload.text, by: me, act: id };
      const ghost = { id: `~${id}`, item, pending: true, ghost: true };
      rows.splice(placeOf(rows, payload.position ?? "begin:"), 0, ghost);
    } else if (!row) {
      continue;
    } else if (action === "edit") {
      row.item = { ...row.item, ...payload.changes };
      row.pending = true;
    } else if (action === "ship" || action === "retract") {
      row.pending = row.leaving = true;
    } else if (action === "move" && bare(payload.position) !== payload.id) {
      take(rows, payload.id);
      rows.splice(placeOf(rows, payload.position), 0, row);
      row.pending = true;
    } else if (action === "delegate" && of.has(payload.to) && !there.has(id)) {
      take(rows, payload.id);
      const others = of.get(payload.to).tasks;
      others.splice(placeOf(others, payload.position ?? "begin:"), 0, row);
      row.pending = row.ghost = true;
    } else {
      row.pending = true;
    }
  }
  // One's own list first, then the others by name.
  return all.sort((a, b) => (b.id === me) - (a.id === me) || a.name.localeCompare(b.name));
};

/** What is said and what is done, by the time it was. */
export const talk = (read, team, pending) => {
  const said = [...read(`team:${team}:chat`)].map(([id, item]) => ({ id, said: true, item }));
  const there = new Set(said.map((each) => each.item.act));
  const done = [...read(`team:${team}:log`)]
    .filter(([, item]) => item.did !== "say")
    .map(([id, item]) => ({ id: `did ${id}`, item }));
  const all = [];
  for (const each of [...said, ...done].sort((a, b) => a.item.at - b.item.at)) {
    // Somebody who moves tasks about moves many: one line for all of them.
    const last = all.at(-1);
    const both = [last, each].every((one) => one?.item.did === "move");
    if (both && last.item.by === each.item.by) {
      const more = (last.item.more ?? 0) + 1;
      all[all.length - 1] = { ...last, item: { ...each.item, more } };
    } else all.push(each);
  }
  for (const { id, action, payload } of pending) {
    if (action === "say" && payload.team === team && !there.has(id)) {
      all.push({ id: `~${id}`, said: true, pending: true, item: { text: payload.text } });
    }
  }
  return all;
};

const DID = {
  add: (what) => `added “${what}”`,
  edit: (what) => `edited “${what}”`,
  move: (what, more) => `moved “${what}”${more ? `, ${more + 1} moves` : ""}`,
  ship: (what) => `shipped “${what}”`,
  retract: (what) => `removed “${what}”`,
  import: (what) => `imported ${what}`,
  undo: (what) => `took back “${what}”`,
  join: () => "joined the team",
};

/** A line of the log as words; `name` makes a name of a member's id. */
export const words = (item, name) => {
  if (item.did === "delegate") return `gave “${item.what}” to ${name(item.to)}`;
  return (DID[item.did] ?? ((what) => `did ${item.did} “${what}”`))(item.what, item.more);
};

/** What a task's text is made of: [kind, text] pairs; the kinds are those of todo.txt, and code. */
export const parts = (text) => {
  const found = [];
  const priority = /^\([A-Z]\) /.exec(text);
  if (priority) found.push(["priority", priority[0].trim()], ["", " "]);
  const rest = priority ? text.slice(priority[0].length) : text;
  const pattern = /(?<=^|\s)(\+[^\s]+|@[^\s]+)|`([^`]+)`/g;
  let end = 0;
  for (const match of rest.matchAll(pattern)) {
    if (match.index > end) found.push(["", rest.slice(end, match.index)]);
    if (match[2]) found.push(["code", match[2]]);
    else found.push([match[1][0] === "+" ? "project" : "context", match[1]]);
    end = match.index + match[0].length;
  }
  if (end < rest.length) found.push(["", rest.slice(end)]);
  return found;
};

/** How long ago, in words as short as possible. */
export const ago = (at, now = Date.now()) => {
  const seconds = Math.max(0, (now - at) / 1000);
  if (seconds < 60) return "now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return new Date(at).toLocaleDateString();
};
