
"use strict";
// Values are read off a chart with the pointer, or with the arrow keys once the chart has the focus.
for (const area of document.querySelectorAll(".area[data-low]")) {
  const low = Number(area.dataset.low);
  const width = Number(area.dataset.high) - low;
  const curves = [...area.querySelectorAll("[data-points]")]
    .map((path) => ({
      name: path.dataset.name,
      points: path.dataset.points.split(" ").filter(Boolean).map((point) => {
        const [step, value] = point.split(",");
        return { step: Number(step), value };
      }),
    }))
    .filter((curve) => curve.points.length > 0);
  const steps = [...new Set(curves.flatMap((curve) => curve.points.map((point) => point.step)))].sort((a, b) => a - b);
  const cursor = document.createElement("div");
  cursor.className = "cursor";
  cursor.hidden = true;
  area.append(cursor);
  const readout = document.createElement("output");
  area.append(readout);
  let shown = -1;

  /** Index of the entry whose step is nearest; entries are sorted. */
  const nearest = (count, stepOf, step) => {
    let first = 0;
    let last = count - 1;
    while (last - first > 1) {
      const middle = (first + last) >> 1;
      if (stepOf(middle) <= step) first = middle; else last = middle;
    }
    return step - stepOf(first) <= stepOf(last) - step ? first : last;
  };
  const show = (index) => {
    shown = Math.max(0, Math.min(steps.length - 1, index));
    const step = steps[shown];
    cursor.hidden = false;
    cursor.style.left = `${(100 * (step - low)) / width}%`;
    readout.className = step - low > width / 2 ? "from-left" : "from-right";
    readout.textContent = `step ${step}: ` + curves.map((curve) => {
      const point = curve.points[nearest(curve.points.length, (i) => curve.points[i].step, step)];
      const name = curves.length > 1 ? `${curve.name} ` : "";
      return name + point.value + (point.step === step ? "" : ` (step ${point.step})`);
    }).join(", ");
  };
  const hide = () => {
    cursor.hidden = true;
    readout.textContent = "";
  };
  area.tabIndex = 0;
  area.addEventListener("pointermove", (event) => {
    const box = area.getBoundingClientRect();
    show(nearest(steps.length, (i) => steps[i], low + (width * (event.clientX - box.left)) / box.width));
  });
  area.addEventListener("pointerleave", hide);
  area.addEventListener("blur", hide);
  area.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: shown - 1, ArrowRight: shown + 1, Home: 0, End: steps.length - 1 };
    if (event.key in moves) {
      show(moves[event.key]);
      event.preventDefault();
    }
  });
}
