/** Taking actions: what becomes of them, and which may be taken. */

import { make } from "./rows.js";
import { $, announce, journal, live, page, settling, since } from "./state.js";

/** Milliseconds that a change made by oneself is shown before the feed has it, at most. */
const SETTLE = 3000;
/** Actions for tasks that the page knows; there may be others. */
export const KNOWN = ["ship", "retract", "move", "edit", "delegate"];
/** What may be done: key -> true, false, or undefined while it is asked. */
const allowed = new Map();

/** Take an action; it is shown at once, and its refusal when it comes. */
export const act = (action, payload) => {
  const put = live.act(action, payload);
  since.set(live.outbox.at(-1)?.id, Date.now());
  page.renderNow();
  return put;
};

live.onanswer = (action, answer) => {
  since.delete(action.id);
  const { id, name: what, payload } = action;
  if (what === "here" && answer.code !== 403) return;
  if (answer.code === 200) {
    journal.push({ id, action: what, payload, result: answer.result });
    settling.set(id, { id, action: what, payload });
    setTimeout(() => settling.delete(id) && page.render(), SETTLE);
    if (what === "create") location.hash = answer.result.team;
    if (what === "undo") announce("Taken back.");
    if (what === "import") {
      const { tasks, shipped } = answer.result;
      toast(`${tasks} ${tasks === 1 ? "task" : "tasks"} came in, ${shipped} shipped.`, true);
    }
  } else {
    const words = {
      403: "You may not do this.",
      410: "This waited for an hour: nobody knows whether it was done.",
      413: "This is too much at once.",
      504: "This was not done: it waited too long.",
    };
    const text = answer.error ? capital(answer.error) : words[answer.code] ?? `It failed (${answer.code}).`;
    // What somebody has written is not lost with it.
    const written = what === "import" ? "" : payload.changes?.text ?? payload.text ?? "";
    const all = [answer.code === 409 && "Not done.", text, written && `You wrote: “${written}”`];
    toast(all.filter(Boolean).join(" "), answer.code === 409, written ? 60_000 : 7000);
  }
  allowed.clear();
  answers.count++;
  page.render();
};

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export const toast = (text, kind = false, stays = 7000) => {
  const close = make("button", { type: "button", "aria-label": "Close" }, "×");
  const element = make("div", { class: kind ? "toast kind" : "toast" }, make("span", { dir: "auto" }, text), close);
  close.addEventListener("click", () => element.remove());
  setTimeout(() => element.remove(), stays);
  $("toasts").append(element);
  while ($("toasts").childElementCount > 3) $("toasts").firstElementChild.remove();
};

/** Ask, once, what may be done; the answer is there at a later render. */
export const may = (action, payload) => {
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
export const answers = { count: 0 };
const ask = () => {
  const all = asking.splice(0);
  // Where a web process has not the rule, a worker is asked, and there may be none just now.
  const known = all.filter(([, { action }]) => KNOWN.includes(action));
  const others = all.filter((each) => !known.includes(each)).map((each) => [each]);
  for (const some of [known, ...others]) if (some.length) askFor(some);
};
const askFor = async (some) => {
  const said = await live.can(some.map(([, question]) => question));
  some.forEach(([key], at) => allowed.set(key, Boolean(said[at])));
  answers.count++;
  page.render();
};
