
"use strict";
// Draws the tables of rows that browser.py writes. A row is a list with a cell for each column: text, or
// [text, characters of the whole] where it was cut; the place of a value in its column's list; a number or null.
// Text comes from models and is never read as HTML: it reaches the page as text nodes alone.
(() => {
  const PAGE = 50; // rows drawn at once
  const PRINTED = 200; // rows on paper
  const EXCERPT = 180; // characters of a cell in the table
  const SLICE = 12; // milliseconds of work before the browser may answer its reader
  const VALUES = 40; // buttons of a column
  const UNSEEN = new RegExp(
    "[\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e" +
    "\\u2060-\\u2069\\ufeff\\ufff9-\\ufffb]|\\r(?!\\n)|\\udb40[\\udc00-\\udc7f]|[\\ud800-\\udbff](?![\\udc00-\\udfff])" +
    "|(?<![\\ud800-\\udbff])[\\udc00-\\udfff]", "g");

  const number = new Intl.NumberFormat("en").format;
  const rest = () => new Promise((go) => setTimeout(go));

  function make(tag, name, text) {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  // Text into a node; what would not be seen, or would turn the text around, as its number.
  function put(node, text) {
    let from = 0;
    for (const found of text.matchAll(UNSEEN)) {
      if (found.index > from) node.append(text.slice(from, found.index));
      node.append(make("span", "mark", "U+" + found[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0")));
      from = found.index + found[0].length;
    }
    if (from < text.length) node.append(text.slice(from));
    return node;
  }

  // What search compares: small letters without the marks on them, and words where a name joins them by "_".
  function plain(text) {
    const low = text.toLowerCase().replaceAll("_", " ");
    return /[^\0-\x7f]/.test(low) ? low.normalize("NFKD").replace(/[\u0300-\u036f]/g, "") : low;
  }

  function excerpt(text, most) {
    if (text.length <= most) return text;
    const end = /[\ud800-\udbff]/.test(text[most - 1]) ? most - 1 : most; // not within a pair
    return text.slice(0, end) + " \u2026";
  }

  async function browse(root) {
    const part = (name) => root.querySelector("." + name);
    const status = part("status");
    const rows = [];
    const total = Number(root.dataset.rows);
    status.hidden = false;
    for (const block of [...root.querySelectorAll("script.rows")]) {
      for (const row of JSON.parse(block.textContent)) rows.push(row);
      block.remove(); // its text is not held twice
      status.textContent = `Reading: ${number(rows.length)} of ${number(total)} rows`;
      await rest();
    }
    const columns = JSON.parse(part("columns").textContent);
    if (rows.length !== total) throw new Error(`${rows.length} of ${total} rows are there`);

    const [tools, choices, body, detail] = ["tools", "all-choices", "body", "detail"].map(part);
    const search = tools.querySelector("input");
    const filtered = columns.map((column, place) => place).filter((place) => columns[place].kind === "value");
    const chosen = columns.map(() => new Set());
    const buttons = new Map(); // [column][value] -> button
    const texts = new Array(rows.length); // what search compares, made when it is first needed
    let found = rows.map((_, place) => place), order = null, first = 0, latest = 0, opened = -1, waiting = 0;

    function text(row, place) {
      const cell = row[place];
      if (cell === null) return "";
      if (columns[place].kind === "value") return columns[place].values[cell];
      if (columns[place].kind === "number") return number(cell);
      return typeof cell === "string" ? cell : cell[0];
    }

    function has(place, words) {
      const whole = texts[place] ??= plain(columns.map((_, column) => text(rows[place], column)).join("\n"));
      return words.every((word) => whole.includes(word));
    }

    // The rows that hold every word and, of each column with a choice, a chosen value; in slices, so that a newer
    // question stops an older one. Beside a value stands how many rows it would leave under the other choices.
    async function sift() {
      const ticket = ++latest;
      const words = plain(search.value).split(/\s+/).filter(Boolean);
      const counts = columns.map(() => new Map());
      const kept = [];
      let began = performance.now();
      for (let place = 0; place < rows.length; place++) {
        if (place % 64 === 0 && performance.now() - began > SLICE) {
          await rest();
          if (ticket !== latest) return;
          began = performance.now();
        }
        const row = rows[place];
        const missed = filtered.filter((column) => chosen[column].size && !chosen[column].has(row[column]));
        if (missed.length > 1 || !has(place, words)) continue;
        for (const column of missed.length ? missed : filtered) {
          counts[column].set(row[column], (counts[column].get(row[column]) || 0) + 1);
        }
        if (!missed.length) kept.push(place);
      }
      found = kept;
      sort();
      for (const [column, values] of buttons) {
        for (const [value, button] of values) {
          button.lastChild.textContent = " " + number(counts[column].get(value) || 0);
          button.setAttribute("aria-pressed", chosen[column].has(value));
        }
      }
      first = 0;
      draw();
    }

    function sort() {
      for (const head of root.querySelectorAll("th[aria-sort]")) {
        const mine = order && Number(head.dataset.place) === order.column;
        head.setAttribute("aria-sort", mine ? (order.down ? "descending" : "ascending") : "none");
        head.querySelector("span").textContent = mine ? (order.down ? " \u25bc" : " \u25b2") : "";
      }
      const sign = order?.down ? -1 : 1;
      found.sort((a, b) => {
        if (!order) return a - b;
        const [one, two] = [rows[a][order.column], rows[b][order.column]];
        if (one === null || two === null) return (one === null) - (two === null) || a - b; // no number: last
        return sign * (one - two) || a - b;
      });
    }

    function line(place, most) {
      const row = rows[place];
      const shown = make("tr");
      shown.dataset.row = place;
      columns.forEach((column, at) => {
        if (!column.listed) return;
        const cell = make("td", column.kind === "number" ? "number" : "");
        if (!shown.childElementCount) {
          const button = put(make("button"), excerpt(text(row, at), most));
          button.type = "button";
          button.tabIndex = -1;
          button.setAttribute("aria-haspopup", "dialog");
          cell.append(button);
        } else {
          cell.dataset.column = column.name;
          put(cell, excerpt(text(row, at), most));
          if (Array.isArray(row[at])) cell.append(make("span", "cut", ` (${number(row[at][1])} characters)`));
        }
        shown.append(cell);
      });
      return shown;
    }

    function draw() {
      body.replaceChildren(...found.slice(first, first + PAGE).map((place) => line(place, EXCERPT)));
      const start = body.querySelector("button");
      if (start) start.tabIndex = 0;
      const last = Math.min(first + PAGE, found.length);
      part("where").textContent = found.length ? `${number(first + 1)} to ${number(last)}` : "none";
      status.textContent = `${number(found.length)} of ${number(total)} rows`;
      part("back").disabled = first === 0;
      part("on").disabled = last >= found.length;
    }

    function turn(by) {
      const next = first + by * PAGE;
      if (next < 0 || next >= found.length) return false;
      first = next;
      draw();
      return true;
    }

    function focus(button) {
      for (const other of body.querySelectorAll("button")) other.tabIndex = other === button ? 0 : -1;
      button?.focus();
    }

    function move(event) {
      const all = [...body.querySelectorAll("button")];
      const at = all.indexOf(document.activeElement);
      if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
      const edge = { ArrowDown: all.length - 1, ArrowUp: 0 }[event.key];
      if (event.key === "Home") focus(all[0]);
      else if (event.key === "End") focus(all.at(-1));
      else if (event.key === "PageDown" || (event.key === "ArrowDown" && at === edge)) {
        if (turn(1)) focus(body.querySelector("button"));
      } else if (event.key === "PageUp" || (event.key === "ArrowUp" && at === edge)) {
        if (turn(-1)) focus([...body.querySelectorAll("button")].at(event.key === "PageUp" ? 0 : -1));
      } else if (event.key === "ArrowDown") focus(all[at + 1]);
      else if (event.key === "ArrowUp") focus(all[at - 1]);
      else return;
      event.preventDefault();
    }

    function open(at) {
      opened = at; // a place in `found`
      const row = rows[found[at]];
      const heading = detail.querySelector("h3");
      heading.replaceChildren();
      put(heading, excerpt(text(row, 0), EXCERPT));
      const list = detail.querySelector("dl");
      list.replaceChildren();
      columns.forEach((column, place) => {
        const whole = text(row, place);
        const paired = column.beside || columns[place + 1]?.beside;
        const besides = column.beside ? text(row, place - 1) : paired ? text(row, place + 1) : "";
        if (!place || !(whole || besides)) return;
        const shown = put(make("dd"), whole);
        if (paired && !whole) shown.append(make("span", "cut", "(nothing)"));
        if (Array.isArray(row[place])) {
          shown.append(make("span", "cut", ` \u2026 (cut: ${number(row[place][1])} characters in the file)`));
        }
        const group = column.beside ? list.lastChild : make("div", paired ? "pair" : "");
        group.append(make("dt", "", column.name), shown);
        if (!column.beside) list.append(group);
      });
      detail.querySelector(".texts").scrollTop = 0;
      detail.querySelector(".place").textContent = `Row ${number(at + 1)} of ${number(found.length)}`;
      detail.querySelector(".back").disabled = at === 0;
      detail.querySelector(".on").disabled = at + 1 >= found.length;
      if (!detail.open) detail.showModal();
    }

    function step(by) {
      if (opened + by >= 0 && opened + by < found.length) open(opened + by);
    }

    // --- controls ---
    for (const column of filtered) {
      const counts = new Map();
      for (const row of rows) counts.set(row[column], (counts.get(row[column]) || 0) + 1);
      if (counts.size < 2) continue;
      const group = make("div", "choices");
      group.setAttribute("role", "group");
      group.setAttribute("aria-label", "filter by " + columns[column].name);
      group.append(make("span", "", columns[column].name + ":"));
      const common = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
      buttons.set(column, new Map());
      for (const [value] of common.slice(0, VALUES)) {
        const button = make("button");
        button.type = "button";
        put(button, excerpt(columns[column].values[value], 60) || "(none)");
        button.append(make("span"));
        button.addEventListener("click", () => {
          if (!chosen[column].delete(value)) chosen[column].add(value);
          sift();
        });
        buttons.get(column).set(value, button);
        group.append(button);
      }
      if (common.length > VALUES) group.append(`and ${number(common.length - VALUES)} rarer ones, which search finds`);
      choices.append(group);
    }
    for (const head of root.querySelectorAll("th[aria-sort]")) {
      head.querySelector("button").addEventListener("click", () => {
        const column = Number(head.dataset.place);
        if (order?.column !== column) order = { column, down: true };
        else order = order.down ? { column, down: false } : null; // downwards, upwards, as in the files
        first = 0;
        sort();
        draw();
      });
    }
    search.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(sift, 150);
    });
    search.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") {
        event.preventDefault();
        focus(body.querySelector("button"));
      } else if (event.key === "Escape" && search.value) {
        event.preventDefault();
        search.value = "";
        sift();
      }
    });
    tools.addEventListener("submit", (event) => event.preventDefault());
    tools.querySelector("button").addEventListener("click", () => {
      search.value = "";
      for (const set of chosen) set.clear();
      order = null;
      sift();
    });
    body.addEventListener("keydown", move);
    body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (!row || (event.detail && String(getSelection()))) return; // a mouse that marks text opens nothing
      focus(row.querySelector("button"));
      open(found.indexOf(Number(row.dataset.row)));
    });
    part("back").addEventListener("click", () => turn(-1));
    part("on").addEventListener("click", () => turn(1));
    detail.querySelector(".back").addEventListener("click", () => step(-1));
    detail.querySelector(".on").addEventListener("click", () => step(1));
    detail.querySelector(".close").addEventListener("click", () => detail.close());
    detail.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      if (event.key === "ArrowLeft") step(-1);
      else if (event.key === "ArrowRight") step(1);
    });
    detail.addEventListener("close", () => { // back to the row that was read last, on its page
      const place = found[opened];
      if (opened < first || opened >= first + PAGE) {
        first = Math.floor(opened / PAGE) * PAGE;
        draw();
      }
      focus(body.querySelector(`tr[data-row="${place}"] button`));
    });
    addEventListener("beforeprint", () => {
      const some = found.slice(0, PRINTED);
      const asked = [search.value.trim() && `search "${search.value.trim()}"`];
      for (const column of filtered) {
        const values = [...chosen[column]].map((value) => columns[column].values[value] || "(none)");
        if (values.length) asked.push(`${columns[column].name}: ${values.join(" or ")}`);
      }
      const where = asked.filter(Boolean).join("; ") || "no filter";
      const note = part("printed");
      note.replaceChildren();
      put(note, `Printed: the first ${number(some.length)} of ${number(found.length)} rows (${where}), of ` +
        `${number(total)} in all; long texts are shortened.`);
      body.replaceChildren(...some.map((place) => line(place, 3 * EXCERPT)));
    });
    addEventListener("afterprint", draw);
    for (const name of ["tools", "all-choices", "list", "pages"]) part(name).hidden = false;
    await sift();
  }

  for (const root of document.querySelectorAll("section.browser")) {
    browse(root).catch((error) => {
      const status = root.querySelector(".status");
      status.hidden = false;
      status.textContent = `This table cannot be drawn (${error.message}); the same rows stand in the files named above.`;
    });
  }
})();
