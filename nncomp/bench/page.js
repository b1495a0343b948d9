"use strict";
// Sorting of tables by their headings, and the two filters. Without it the page shows the same.
(() => {
  const words = new Intl.Collator(undefined, { numeric: true });

  // Rows without a value (those that failed, above all) stay at the end, whichever the direction.
  const compare = (one, other, sign) => {
    if (one === null || other === null) return (one === null) - (other === null);
    const numbers = [Number(one), Number(other)];
    const order = numbers.some(Number.isNaN)
      ? words.compare(one, other)
      : numbers[0] - numbers[1];
    return sign * order;
  };

  const valueAt = (row, column) => {
    if (column > 0 && row.classList.contains("failed")) return null;
    const value = row.cells[column].dataset.value;
    return value === undefined ? null : value;
  };

  const sort = (heading) => {
    const body = heading.closest("table").tBodies[0];
    const now = heading.getAttribute("aria-sort");
    const next = now === null
      ? heading.dataset.first
      : now === "ascending" ? "descending" : "ascending";
    for (const each of heading.parentElement.cells) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", next);
    const sign = next === "ascending" ? 1 : -1;
    const column = heading.cellIndex;
    const rows = Array.from(body.rows, (row) => [valueAt(row, column), row]);
    rows.sort((one, other) => compare(one[0], other[0], sign));
    body.append(...rows.map((pair) => pair[1]));
  };

  for (const button of document.querySelectorAll("thead button"))
    button.addEventListener("click", () => sort(button.closest("th")));

  const filter = document.querySelector(".filter");
  const [file, method] = filter.querySelectorAll("input");
  const found = filter.querySelector("output");
  const wanted = (input, text) => text.toLowerCase().includes(input.value.trim().toLowerCase());
  const apply = () => {
    let shown = 0;
    for (const section of document.querySelectorAll("section[data-table]")) {
      const rows = Array.from(section.querySelectorAll("tbody tr"));
      for (const row of rows) row.hidden = !wanted(method, row.cells[0].dataset.value);
      const left = rows.filter((row) => !row.hidden).length;
      const named = section.dataset.file === undefined || wanted(file, section.dataset.file);
      section.hidden = !named || left === 0;
      if (!section.hidden) shown += left;
    }
    found.value = file.value || method.value ? `${shown} rows` : "";
  };
  for (const input of [file, method]) input.addEventListener("input", apply);
  filter.hidden = false;
})();
