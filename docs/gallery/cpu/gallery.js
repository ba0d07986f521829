"use strict";
// Dark or light: the browser's wish, until the button says otherwise. It is remembered where pages share a storage;
// for pages from disk, which may not, links carry it along.
const root = document.documentElement, THEMES = ["light", "dark"];
const stored = action => { try { return action(localStorage); } catch { return null; } };
const asked = new URLSearchParams(location.search).get("theme") ?? stored(s => s.getItem("theme"));
if (THEMES.includes(asked)) root.dataset.theme = asked;

function theme() {
  const button = document.getElementById("theme"), wish = matchMedia("(prefers-color-scheme: dark)");
  const now = () => root.dataset.theme ?? (wish.matches ? "dark" : "light");
  const other = () => now() === "dark" ? "light" : "dark";
  const show = () => {
    button.textContent = other() === "dark" ? "Dark" : "Light";
    button.setAttribute("aria-label", `Show the pages in ${other()} colours`);
    if (location.protocol !== "file:" || !root.dataset.theme) return;
    for (const link of document.querySelectorAll("a[href]")) {
      const url = new URL(link.href);
      if (url.protocol !== "file:" || !url.pathname.endsWith(".html") || link.getAttribute("href").startsWith("#")) continue;
      url.searchParams.set("theme", root.dataset.theme);
      link.href = url;
    }
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = other();
    stored(s => s.setItem("theme", root.dataset.theme));
    show();
  });
  wish.addEventListener("change", show);
  show();
}

// Sorting: a click on a column's name sorts its table, a second one turns the order, a third restores it.
function sortable(table) {
  const body = table.tBodies[0], original = [...body.rows];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const next = now === "ascending" ? "descending" : now === "descending" ? null : "ascending";
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
      if (next) head.setAttribute("aria-sort", next);
      table.classList.toggle("sorted", next !== null || table.dataset.searched === "yes");
      const key = row => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
      const rows = [...original];
      if (next) rows.sort((a, b) => {
        const x = key(a), y = key(b);
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = isNaN(x) || isNaN(y) ? x.localeCompare(y, "en", { numeric: true }) : x - y;
        return next === "ascending" ? order : -order;
      });
      body.append(...rows);
    });
  });
}

// Searching: what holds every word stays.
const words = input => input.value.toLowerCase().split(/\s+/).filter(Boolean);

function narrow(things, asked) {
  let count = 0;
  for (const thing of things) {
    const match = asked.every(word => thing.text.includes(word));
    thing.element.classList.toggle("none", !match);
    count += match;
  }
  return count;
}

function rowsOf(table) {
  return [...table.tBodies[0].rows].map(element => ({ element, text: element.textContent.toLowerCase() }));
}

function rowsFound(table, rows, asked) {
  const count = narrow(rows, asked);
  table.dataset.searched = asked.length ? "yes" : "";
  table.classList.toggle("sorted", asked.length > 0 || table.querySelector("[aria-sort]") !== null);
  return count;
}

function filter(table) {
  const rows = rowsOf(table);
  if (rows.length < 8) return;
  const line = document.createElement("p"), input = document.createElement("input"), said = document.createElement("span");
  line.className = "filter";
  input.type = "search";
  input.placeholder = "Search the table";
  input.setAttribute("aria-label", `Search: ${table.caption?.textContent ?? "the table"}`);
  said.className = "quiet";
  said.setAttribute("role", "status");
  input.addEventListener("input", () => {
    const count = rowsFound(table, rows, words(input));
    said.textContent = input.value.trim() ? `${count} of ${rows.length} rows` : "";
  });
  line.append(input, said);
  table.closest(".scroll").before(line);
}

function everything(search) {
  const cards = [...document.querySelectorAll(".exhibit")].map(element => ({ element, text: element.dataset.words }));
  const tables = [...document.querySelectorAll("table.claims")].map(table => ({ table, rows: rowsOf(table) }));
  search.hidden = false;
  search.addEventListener("input", () => {
    const asked = words(search), exhibits = narrow(cards, asked);
    let rows = 0;
    for (const { table, rows: all } of tables) {
      const count = rowsFound(table, all, asked), folded = table.closest("details");
      rows += count;
      if (folded) folded.open = asked.length > 0 && count > 0;
    }
    const told = `${rows} claim${rows === 1 ? "" : "s"}, ${exhibits} exhibit${exhibits === 1 ? "" : "s"}`;
    document.getElementById("found").textContent = asked.length ? told : "";
  });
  // A verdict's count searches for it; a second click shows everything again.
  for (const badge of document.querySelectorAll("[data-search]")) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: badge.className, textContent: badge.textContent });
    button.addEventListener("click", () => {
      search.value = search.value === badge.dataset.search ? "" : badge.dataset.search;
      search.dispatchEvent(new Event("input"));
    });
    badge.replaceWith(button);
  }
}

// The runs behind a number open beside it, not in the middle of the window, and move with the page.
function beside(button) {
  const list = document.getElementById(button.getAttribute("popovertarget")), gap = 8;
  button.addEventListener("click", event => {
    event.preventDefault();
    const open = list.matches(":popover-open");
    if (open && list.opener === button) return list.hidePopover();
    if (!open) list.showPopover({ source: button });
    list.opener = button;
    Object.assign(list.style, { position: "absolute", margin: 0, inset: "auto", left: 0, top: 0 });
    const at = button.getBoundingClientRect(), box = list.getBoundingClientRect();
    const below = at.bottom + gap + box.height < innerHeight || at.top < box.height + gap;
    list.style.left = `${scrollX + Math.max(gap, Math.min(at.left, root.clientWidth - box.width - gap))}px`;
    list.style.top = `${scrollY + (below ? at.bottom + gap : at.top - gap - box.height)}px`;
  });
}

document.addEventListener("DOMContentLoaded", () => {
  theme();
  const search = document.getElementById("search");
  document.querySelectorAll("table.sortable").forEach(table => {
    sortable(table);
    if (!(search && table.classList.contains("claims"))) filter(table);
  });
  document.querySelectorAll("button[popovertarget]").forEach(beside);
  if (search) everything(search);
});