// Figures of whole files, parts of the bytes, settings, notes, and the table of all frames.

function tableOf(head, rows) {
  const cells = (tag, values) => values.map((value) => create(tag, { textContent: value }));
  return create(
    "table",
    {},
    create("thead", {}, create("tr", {}, ...cells("th", head))),
    create("tbody", {}, ...rows.map((row) => create("tr", {}, ...cells("td", row)))),
  );
}

function showFigures() {
  const keys = Object.keys(METRICS).filter((key) => data.videos.some((video) => (video.summary[key] ?? null) !== null));
  const rows = data.videos.map((video) => [
    video.name,
    `${video.width}×${video.height}`,
    formatBytes(video.bytes),
    video.bits_per_pixel.toFixed(4),
    ...keys.map((key) => (key === "psnr" && video.summary.equal ? "equal" : formatMetric(key, video.summary[key]))),
  ]);
  const names = keys.map((key) => METRICS[key].name);
  byId("figure-table").append(tableOf(["video", "picture", "size", "bits/pixel", ...names], rows));
  const count = data.seconds.length === 1 ? "1 frame" : `${data.seconds.length} frames`;
  const { source } = data;
  const kept = currentVideo().kept.filter(Boolean).length;
  byId("summary").textContent = source
    ? `Original: ${source.name}, ${count}, ${formatBytes(source.bytes)}`
    : `${count}, ${kept} kept, ${formatBytes(currentVideo().bytes)}`;
}

const PART_COLORS = { latents: 0, video: 0, motion: 1, sound: 2, overhead: 3 };

function showParts() {
  for (const video of data.videos) {
    const parts = Object.entries(video.parts);
    const bar = create("div", { className: "bar", ariaHidden: "true" });
    const shares = create("ul", { className: "shares" });
    for (const [name, bytes] of parts) {
      const background = `var(--part-${PART_COLORS[name]})`;
      const share = video.bytes ? bytes / video.bytes : 0;
      const piece = create("span");
      piece.style.width = `${100 * share}%`;
      piece.style.background = background;
      bar.append(piece);
      const swatch = create("span", { className: "swatch" });
      swatch.style.background = background;
      shares.append(create("li", {}, swatch, ` ${name} ${formatBytes(bytes)}, ${(100 * share).toFixed(1)} %`));
    }
    const title = create("h3", { textContent: `${video.name}, ${formatBytes(video.bytes)}` });
    byId("part-bars").append(create("div", { className: "part" }, title, bar, shares));
  }
}

function showSettings() {
  const list = (title, pairs) => {
    const entries = pairs.flatMap(([key, value]) => [
      create("dt", { textContent: key }),
      create("dd", { textContent: value }),
    ]);
    byId("setting-lists").append(create("h3", { textContent: title }), create("dl", {}, ...entries));
  };
  for (const video of data.videos) list(video.name, video.settings);
  list("versions", data.versions);
}

function showNotes() {
  const lines = [...data.notes];
  for (const video of data.videos) for (const note of video.notes) lines.push(`${video.name}: ${note}`);
  byId("remarks").hidden = !lines.length;
  byId("note-list").append(...lines.map((line) => create("li", { textContent: line })));
}

function showFrameTable() {
  const video = currentVideo();
  const keys = Object.keys(video.quality);
  const head = ["frame", "seconds", "kept", "importance", ...keys.map((key) => METRICS[key].name), "bytes", "of it motion"];
  const number = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));
  const rows = data.seconds.map((seconds, frame) => [
    frame,
    seconds.toFixed(3),
    video.kept[frame] === undefined || video.kept[frame] === null ? "–" : video.kept[frame] ? "kept" : "dropped",
    number(video.importance[frame], 2),
    ...keys.map((key) => (key === "psnr" && video.equal.includes(frame) ? "equal" : formatMetric(key, video.quality[key][frame]))),
    number(video.bits[frame] === null || video.bits[frame] === undefined ? null : video.bits[frame] / 8, 0),
    number(video.motion[frame] === null || video.motion[frame] === undefined ? null : video.motion[frame] / 8, 0),
  ]);
  byId("frame-table").replaceChildren(tableOf(head, rows));
}

function startTables() {
  showFigures();
  showParts();
  showSettings();
  showNotes();
  byId("table-details").addEventListener("toggle", showFrameTable, { once: true });
  listeners.push((changes) => {
    if ("video" in changes && byId("table-details").open) showFrameTable();
  });
}
