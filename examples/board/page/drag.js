/** Dragging a task with a mouse, a pen or a finger. */

/** Pixels to go before it is a drag. */
const ENOUGH = 5;
/** How near to an edge lists begin to scroll, and by how much at a time. */
const EDGE = 48, STEP = 14;

/**
 * @param {HTMLElement} area holds the columns
 * @param {function(string, string): boolean} may says whether a task may go to a member's list
 * @param {function(HTMLElement, string, number): void} drop is called with the task's element, the
 *   member, or undefined where it may not go, and the number that it is to be in that list, itself not
 *   counted
 */
export const draggable = (area, may, drop) => {
  let drag = null;

  const clear = () => {
    for (const each of area.querySelectorAll(".before, .after, .target")) {
      each.classList.remove("before", "after", "target");
    }
  };

  const look = () => {
    clear();
    drag.column = drag.refused = null;
    const { x, y, row } = drag;
    for (const column of area.querySelectorAll(".column")) {
      const box = column.getBoundingClientRect();
      if (x < box.left || x > box.right || y < box.top || y > box.bottom) continue;
      drag.refused = !may(row, column.dataset.member);
      if (drag.refused) return;
      const rows = [...column.querySelectorAll(".task")].filter((each) => each !== row);
      let at = rows.findIndex((each) => {
        const { top, height } = each.getBoundingClientRect();
        return y < top + height / 2;
      });
      if (at < 0) at = rows.length;
      if (rows[at]) rows[at].classList.add("before");
      else if (rows.length) rows.at(-1).classList.add("after");
      column.classList.add("target");
      Object.assign(drag, { column, at, rows });
      return;
    }
  };

  const scroll = () => {
    if (!drag?.ghost) return;
    const { x, y } = drag;
    const list = drag.column?.querySelector(".tasks");
    if (list && list.scrollHeight > list.clientHeight + 1) {
      const box = list.getBoundingClientRect();
      if (y < box.top + EDGE) list.scrollTop -= STEP;
      if (y > box.bottom - EDGE) list.scrollTop += STEP;
    } else {
      const root = document.scrollingElement;
      if (y < EDGE * 2) root.scrollTop -= STEP;
      if (y > innerHeight - EDGE) root.scrollTop += STEP;
    }
    if (x < EDGE) area.scrollLeft -= STEP;
    if (x > area.clientWidth - EDGE) area.scrollLeft += STEP;
    look();
    drag.timer = setTimeout(scroll, 30);
  };

  const begin = () => {
    const { row } = drag;
    const box = row.getBoundingClientRect();
    const ghost = row.cloneNode(true);
    ghost.removeAttribute("tabindex");
    ghost.querySelector(".tools")?.remove();
    ghost.classList.add("ghost");
    ghost.classList.remove("news", "selected");
    ghost.setAttribute("aria-hidden", "true");
    ghost.style.width = `${box.width}px`;
    Object.assign(drag, { ghost, dx: drag.x - box.left, dy: drag.y - box.top });
    document.body.append(ghost);
    document.body.classList.add("dragging");
    row.classList.add("dragged");
    scroll();
  };

  const end = (dropped) => {
    if (!drag) return;
    const { row, ghost, column, at, refused, timer, pointer } = drag;
    clearTimeout(timer);
    ghost?.remove();
    document.body.classList.remove("dragging");
    row.classList.remove("dragged");
    clear();
    if (area.hasPointerCapture?.(pointer)) area.releasePointerCapture(pointer);
    drag = null;
    if (dropped && ghost && (column || refused || !row.isConnected)) drop(row, column?.dataset.member, at);
  };

  area.addEventListener("pointerdown", (event) => {
    const row = event.target.closest(".task");
    if (!row || event.button || drag || row.dataset.ghost) return;
    if (event.target.closest("button, textarea, input, a")) return;
    // A finger anywhere else scrolls.
    if (event.pointerType === "touch" && !event.target.closest(".grip")) return;
    drag = { row, pointer: event.pointerId, x: event.clientX, y: event.clientY };
    Object.assign(drag, { fromX: drag.x, fromY: drag.y });
  });
  document.addEventListener("pointermove", (event) => {
    if (event.pointerId !== drag?.pointer) return;
    drag.x = event.clientX;
    drag.y = event.clientY;
    if (!drag.ghost) {
      if (Math.hypot(drag.x - drag.fromX, drag.y - drag.fromY) < ENOUGH) return;
      if (!drag.row.isConnected) return end(false);
      area.setPointerCapture(drag.pointer);
      begin();
    }
    event.preventDefault();
    drag.ghost.style.left = `${drag.x - drag.dx}px`;
    drag.ghost.style.top = `${drag.y - drag.dy}px`;
    look();
  });
  document.addEventListener("pointerup", (event) => {
    if (event.pointerId !== drag?.pointer) return;
    if (drag.ghost) look();
    end(true);
  });
  document.addEventListener("pointercancel", (event) => event.pointerId === drag?.pointer && end(false));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && drag?.ghost) {
      event.stopPropagation();
      end(false);
    }
  }, true);
  // A drag is no selection of text.
  area.addEventListener("dragstart", (event) => event.preventDefault());
};
