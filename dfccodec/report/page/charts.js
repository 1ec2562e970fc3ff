// Curves of quality and of bytes, frame by frame, with uPlot.

const SERIES_COLORS = 6;
const charts = {};

function seriesColor(number) {
  return color(`--series-${number % SERIES_COLORS}`);
}

// Draw a vertical line at the current frame.
function markFrame(chart) {
  const left = chart.valToPos(currentFrame(), "x", true);
  if (left < chart.bbox.left || left > chart.bbox.left + chart.bbox.width) return;
  chart.ctx.fillStyle = color("--accent");
  chart.ctx.fillRect(left - 1, chart.bbox.top, 2, chart.bbox.height);
}

// Make a chart in place of the one with that id. `rows` has one array per video, `format` makes a value readable.
function makeChart(id, rows, format, logarithmic = false) {
  const host = byId(id);
  charts[id]?.destroy();
  const axis = { stroke: color("--soft"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line") } };
  const series = data.videos.map((video, number) => ({
    label: video.name,
    stroke: seriesColor(number),
    width: 1.5,
    spanGaps: false,
    value: (_, value) => (value === null || value === undefined ? "–" : format(value)),
    points: {
      show: true,
      size: 6,
      fill: seriesColor(number),
      filter: (chart) => rows[number].flatMap((value, frame) => (value !== null && video.kept[frame] ? [frame] : [])),
    },
  }));
  const options = {
    width: Math.max(host.clientWidth, 200),
    height: 240,
    scales: { x: { time: false }, y: logarithmic ? { distr: 3 } : {} },
    axes: [{ ...axis }, { ...axis, size: 72, values: (_, values) => values.map((value) => (value === null ? "" : format(value))) }],
    series: [{ label: "frame", value: (_, value) => (value === null || value === undefined ? "–" : value) }, ...series],
    cursor: { sync: { key: "frames" } },
    hooks: { draw: [markFrame] },
  };
  const chart = new uPlot(options, [data.seconds.map((_, number) => number), ...rows], host);
  let pressed = 0; // where the button went down: a selection is no click
  chart.over.addEventListener("pointerdown", (event) => (pressed = event.clientX));
  chart.over.addEventListener("click", (event) => {
    const left = event.clientX - chart.over.getBoundingClientRect().left;
    if (Math.abs(event.clientX - pressed) < 4) goToFrame(chart.posToIdx(left));
  });
  charts[id] = chart;
}

function drawQuality() {
  const key = byId("metric").value;
  if (!key) return;
  const rows = data.videos.map((video) => video.quality[key] ?? data.seconds.map(() => null));
  makeChart("quality-chart", rows, (value) => value.toFixed(METRICS[key].digits));
  byId("quality-chart").setAttribute("aria-label", `${METRICS[key].name}${METRICS[key].unit} of each frame`);
}

function drawBits() {
  const logarithmic = byId("logarithmic").checked;
  const rows = data.videos.map((video) =>
    data.seconds.map((_, frame) => {
      const bits = video.bits[frame] ?? null;
      return bits === null || (logarithmic && bits <= 0) ? null : bits / 8;
    }),
  );
  makeChart("bits-chart", rows, formatBytes, logarithmic);
  byId("bits-chart").setAttribute("aria-label", "Bytes of each frame");
}

function drawCharts() {
  if (!byId("quality-part").hidden) drawQuality();
  if (!byId("bits-part").hidden) drawBits();
}

function startCharts() {
  const known = Object.keys(METRICS).filter((key) =>
    data.videos.some((video) => (video.quality[key] ?? []).some((value) => value !== null)),
  );
  byId("metric").append(...known.map((key) => create("option", { value: key, textContent: METRICS[key].name + METRICS[key].unit.replace(" ", ", ") })));
  byId("quality-part").hidden = !known.length;
  byId("bits-part").hidden = !data.videos.some((video) => video.bits.some((value) => value !== null));
  byId("metric").addEventListener("change", drawQuality);
  byId("logarithmic").addEventListener("change", drawBits);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    drawCharts();
    drawTimeline();
  });
  listeners.push((changes) => {
    if ("stop" in changes) for (const chart of Object.values(charts)) chart.redraw(false, false);
  });
  drawCharts();
  new ResizeObserver(() => {
    for (const [id, chart] of Object.entries(charts)) {
      const width = Math.max(byId(id).clientWidth, 200);
      if (width !== chart.width) chart.setSize({ width, height: 240 });
    }
  }).observe(byId("curves"));
}
