/** What one does with a task. */

import { act, may, toast } from "./doing.js";
import { positionAt } from "./model.js";
import { face, make } from "./rows.js";
import { $, announce, page, view } from "./state.js";

export const find = (member, id) => {
  const column = view.lists.find((each) => each.id === member);
  return [column?.tasks.find((row) => row.id === id), column];
};

export const select = (member, id, focus = true) => {
  view.selected = id === undefined ? null : { member, id };
  page.show();
  if (focus && view.selected) focusSelected();
};

export const focusSelected = () => {
  const { member, id } = view.selected;
  const element = document.querySelector(`.column[data-member="${member}"] .tasks`)?.keyed?.get(id);
  element?.focus();
  element?.scrollIntoView({ block: "nearest", inline: "nearest" });
};

/** The selection goes on to a task's neighbour when the task goes. */
export const selectNeighbour = (row, column) => {
  const at = column.tasks.indexOf(row);
  const next = column.tasks[at + 1] ?? column.tasks[at - 1];
  select(column.id, next?.id);
};

export const ship = (row, column) => {
  if (may("ship", { team: view.team, member: column.id, id: row.id }) === false) {
    return toast("Only whose list it is can ship it.");
  }
  selectNeighbour(row, column);
  return act("ship", { team: view.team, member: column.id, id: row.id });
};

export const remove = (row, column) => {
  const place = { team: view.team, member: column.id, id: row.id };
  if (may("retract", place) === false) {
    return toast("Only whose list it is, and who wrote it, can remove it.");
  }
  selectNeighbour(row, column);
  return act("retract", place);
};

export const shift = (row, column, by) => {
  const others = column.tasks.filter((each) => each !== row && !each.ghost);
  const at = column.tasks.filter((each) => !each.ghost).indexOf(row) + by;
  if (at < 0 || at > others.length) return;
  act("move", { team: view.team, member: column.id, id: row.id, position: positionAt(others, at) });
  page.show();
  focusSelected();
  announce(`Moved to ${at + 1} of ${others.length + 1}.`);
};

export const edit = (row, column) => {
  view.editing = { member: column.id, id: row.id, was: row.item.text, now: row.item.text };
  page.show();
};

export const showEditor = (element, row, column) => {
  if (element.querySelector("textarea")) return;
  const area = make("textarea", { rows: 2, maxlength: 500, dir: "auto", "aria-label": "Text of the task" });
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
  view.editing.save = () => done("blur");
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

export const give = (row, column) => {
  const place = { team: view.team, member: column.id, id: row.id };
  const others = view.lists.filter((each) => each.id !== column.id);
  if (!others.length) return toast("Nobody else is in this team yet.", true);
  if (may("delegate", { ...place, to: others[0].id }) === false) {
    return toast("Only whose list it is, and who wrote it, can delegate it.");
  }
  const list = $("give-to");
  list.replaceChildren(...others.map((each) => {
    const picture = face(each.id, each.name);
    picture.setAttribute("aria-hidden", "true");
    return make("li", {}, make("button", { value: each.id }, picture, make("span", { dir: "auto" }, each.name)));
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
  return undefined;
};

export const tryEdit = (row, column) => {
  const place = { team: view.team, member: column.id, id: row.id };
  if (row.ghost) return;
  if (may("edit", { ...place, changes: { text: "?" } }) === false) {
    toast("Only whose list it is, and who wrote it, can edit it.");
  } else edit(row, column);
};
