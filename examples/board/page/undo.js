/** Taking back what one did last: what is done already, or what still waits to be. */

import { act, toast } from "./doing.js";
import { pending, view } from "./state.js";

/** What can be taken back, as words. */
export const UNDO = { add: "adding", edit: "editing", move: "moving", ship: "shipping", retract: "removing",
  delegate: "delegating", import: "import of", say: "saying" };

/** Milliseconds after which it is told that an undo waits. */
const SOON = 800;
/** The ids of what is being taken back. */
const taken = new Set();

/** What was done last, and is not being taken back: its id, and what it was. */
export const lastAction = () => [...(view.undo?.items ?? [])].findLast(([id]) => !taken.has(id));

/** Own actions that cannot be taken back yet, as they are not done, or not known to be. */
export const unfinished = () => {
  const there = [...(view.undo?.items.keys() ?? [])].map((id) => id.split(":")[1]);
  return pending().filter(({ id, action, payload }) => (
    action in UNDO && payload.team === view.team && !there.includes(id)
  ));
};

const undoOne = async (team) => {
  const told = setTimeout(() => toast("It is taken back as soon as it is done.", true), SOON);
  while (view.team === team && unfinished().length) await new Promise((done) => setTimeout(done, 20));
  clearTimeout(told);
  if (view.team !== team) return;
  const last = lastAction();
  if (!last) return toast("There is nothing to undo.", true);
  taken.add(last[0]);
  const { code } = await act("undo", { team, act: last[0] });
  if (code !== 200) taken.delete(last[0]);
};

let before = Promise.resolve();
/** Take back what was done last; once more, what was done before that. */
export const undo = () => (before = before.then(() => undoOne(view.team)));
