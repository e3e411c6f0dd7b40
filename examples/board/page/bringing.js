/** Importing a task list: out of a file, or pasted. */

import { act } from "./doing.js";
import { $, me, view } from "./state.js";

/** Bytes that an import may have, as shapes.py has it. */
const MOST = 200_000;

const LONG = `That is too long: ${MOST.toLocaleString("en")} bytes are the most.`;

export const openImport = () => {
  $("bring-told").textContent = "";
  $("bring").showModal();
  $("bring-text").focus();
};

/** The text of a file: UTF-8, or UTF-16 with its mark in front; undefined if it is neither. */
const textOf = async (file) => {
  const bytes = await file.arrayBuffer();
  const mark = [...new Uint8Array(bytes, 0, Math.min(2, bytes.byteLength))].join();
  const coding = { "255,254": "utf-16le", "254,255": "utf-16be" }[mark] ?? "utf-8";
  try {
    const text = new TextDecoder(coding, { fatal: true }).decode(bytes);
    return text.includes("\0") ? undefined : text;
  } catch {
    return undefined;
  }
};

const taken = async (file) => {
  const text = file.size > MOST ? null : await textOf(file);
  if (text === null) return LONG;
  if (text === undefined) return `${file.name} is no text in UTF-8.`;
  if (!text.trim()) return `${file.name} is empty.`;
  $("bring-text").value = text;
  return "";
};

$("import").addEventListener("click", openImport);
$("bring-cancel").addEventListener("click", () => $("bring").close());
$("bring-file").addEventListener("change", async () => {
  const [file] = $("bring-file").files;
  if (!file) return;
  const told = await taken(file).catch((error) => `${file.name} cannot be read: ${error.message}`);
  $("bring-told").textContent = told;
  if (told) $("bring-file").value = "";
});
$("bring-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const file = $("bring-file").files[0]?.name ?? "";
  const text = $("bring-text").value;
  const told = new Blob([text]).size > MOST ? LONG : text.trim() ? "" : "Choose a file, or paste a list.";
  $("bring-told").textContent = told;
  if (told) return;
  act("import", { team: view.team, member: me.id, text, name: file });
  event.target.reset();
  $("bring").close();
});
