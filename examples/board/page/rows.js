/** Elements of the page that are made again and again, and lists of them that keep focus and place. */

import { ago, parts } from "./model.js";

/** An element; text is only ever text. */
export const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((each) => each !== null && each !== undefined));
  return element;
};

/** Write a text only where it is another one, so that readers aloud are not told twice. */
export const write = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

/**
 * Make a parent's children those of a list, in order, with as few moves as it takes. An element that
 * has the focus keeps it, and a text that is being written its cursor.
 *
 * @param {[string, any][]} list keys and what they are of
 * @param {function(any, string): HTMLElement} create
 * @param {function(HTMLElement, any): void} update
 */
export const reconcile = (parent, list, create, update) => {
  const there = (parent.keyed ??= new Map());
  const wanted = new Map(list);
  for (const [key, element] of there) {
    if (!wanted.has(key)) {
      element.remove();
      there.delete(key);
    }
  }
  let next = parent.firstElementChild;
  for (const [key, value] of wanted) {
    let element = there.get(key);
    if (!element) {
      element = create(value, key);
      there.set(key, element);
    }
    if (element === next) next = next.nextElementSibling;
    else if (element.nextElementSibling === next && next && element.parentNode === parent
      && wanted.size === 1) next = null;
    else put(parent, element, next);
    update(element, value);
  }
};

const put = (parent, element, next) => {
  if (element.parentNode && parent.moveBefore) return parent.moveBefore(element, next);
  const active = document.activeElement;
  const inside = active && active !== document.body && element.contains(active);
  const cursor = inside && "selectionStart" in active ? [active.selectionStart, active.selectionEnd] : null;
  parent.insertBefore(element, next);
  if (!inside) return undefined;
  active.focus({ preventScroll: true });
  if (cursor) active.setSelectionRange(...cursor);
  return undefined;
};

/** A task's text, with what todo.txt means by parts of it. */
export const showText = (element, item) => {
  const shown = `${item.star ? "★" : ""}${item.text}`;
  if (element.shown === shown) return;
  element.shown = shown;
  const made = parts(item.text).map(([kind, text]) => {
    if (!kind) return text;
    return make(kind === "code" ? "code" : "span", { class: kind }, text);
  });
  if (item.star) made.unshift(make("span", { class: "star", title: "starred" }, "★"));
  element.replaceChildren(...made);
};

/** The small line below a task: whose doing it is. */
export const about = (item, owner, name) => {
  const told = [];
  if (item.from && item.from !== owner) told.push(`from ${name(item.from)}`);
  else if (item.by && item.by !== owner && item.by !== "docs") told.push(`by ${name(item.by)}`);
  if (item.edited && item.edited !== owner) told.push(`edited by ${name(item.edited)}`);
  if (item.section) told.push(item.section);
  if (item.created) told.push(`since ${item.created}`);
  return told.join(" · ");
};

/** Somebody's initials in a colour of their own. */
export const face = (id, name, away = false) => {
  let hue = 0;
  for (const c of id) hue = (hue * 31 + c.codePointAt(0)) % 360;
  const letters = name.split(/\s+/).map((word) => [...word][0]).join("").slice(0, 2).toUpperCase();
  const element = make("span", { class: away ? "face away" : "face", role: "img" }, letters || "?");
  element.style.setProperty("--hue", hue);
  return entitle(element, away ? `${name} is away` : name);
};

/** Say what a picture is, to whoever points at it and to whoever is read to. */
export const entitle = (element, text) => {
  if (element.title !== text) element.setAttribute("aria-label", element.title = text);
  return element;
};

/** A line of what is said and done. */
export const makeLine = ({ said }) => make("li", { class: said ? "" : "did" },
  make("span", { class: "who", dir: "auto" }), " ", make("span", { class: "what", dir: "auto" }), " ",
  make("time", { class: "at" }));

/** What it says now. */
export const showLine = (element, { item, pending }, who, words) => {
  const [name, what, at] = element.children;
  element.classList.toggle("pending", Boolean(pending));
  write(name, who);
  write(what, words);
  write(at, item.at ? ago(item.at) : "");
};
