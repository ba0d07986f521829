// Sorting: a click on a column's name sorts its table, a second one turns the order, a third restores it.
for (const table of document.querySelectorAll("table.sortable")) {
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
      table.classList.toggle("sorted", next !== null);
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
// Searching: a card stays if it holds every word.
const search = document.getElementById("search"), found = document.getElementById("found");
const cards = [...document.querySelectorAll(".card")].map(card => [card, card.textContent.toLowerCase()]);
search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const [card, text] of cards) {
    const match = words.every(word => text.includes(word));
    card.classList.toggle("none", !match);
    document.querySelector(`.toc [data-for="${card.id}"]`).classList.toggle("none", !match);
    count += match;
  }
  found.textContent = words.length ? `${count} of ${cards.length} shown` : "";
});
