// The data of the page, what is shown of it, and small helpers. Text from files is only ever set as text, never as HTML.

const data = JSON.parse(document.getElementById("data").textContent);
const pictures = JSON.parse(document.getElementById("pictures").textContent);

// The frames that the controls step through: those with pictures, or all.
const stops = pictures.length ? data.shown : data.seconds.map((_, number) => number);

const state = { stop: 0, video: 0, view: data.kind === "compare" ? "wipe" : "coded", divider: 0.5, playing: false };
const listeners = [];

function byId(id) {
  return document.getElementById(id);
}

function currentVideo() {
  return data.videos[state.video];
}

function currentFrame() {
  return stops[state.stop] ?? 0;
}

function update(changes) {
  Object.assign(state, changes);
  for (const listen of listeners) listen(changes);
}

function goTo(stop) {
  const target = Math.min(Math.max(stop, 0), stops.length - 1);
  if (target !== state.stop) update({ stop: target });
}

// Go to the stop at a frame, or the last one before it.
function goToFrame(frame) {
  let stop = stops.findIndex((number) => number > frame);
  stop = stop < 0 ? stops.length - 1 : stop - 1;
  goTo(stop);
}

function create(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function formatBytes(count) {
  for (const unit of ["B", "kB", "MB"]) {
    if (count < 1000) return unit === "B" ? `${Math.round(count)} B` : `${count.toFixed(1)} ${unit}`;
    count /= 1000;
  }
  return `${count.toFixed(1)} GB`;
}

const METRICS = {
  psnr: { name: "PSNR", unit: " dB", digits: 2 },
  ms_ssim: { name: "MS-SSIM", unit: "", digits: 4 },
  lpips: { name: "LPIPS", unit: "", digits: 4 },
  vmaf: { name: "VMAF", unit: "", digits: 1 },
};

function formatMetric(key, value) {
  return value === null || value === undefined ? "–" : value.toFixed(METRICS[key].digits) + METRICS[key].unit;
}

// What is known about a frame of a video, as short texts.
function describeFrame(video, frame) {
  const out = [];
  if (video.kept[frame] !== undefined && video.kept[frame] !== null) out.push(video.kept[frame] ? "kept" : "dropped");
  const importance = video.importance[frame];
  if (importance !== undefined && importance !== null) out.push(`importance ${importance.toFixed(2)}`);
  if (video.equal.includes(frame)) out.push("equal to the original");
  for (const key of Object.keys(video.quality)) {
    const value = video.quality[key][frame];
    if (value !== null && value !== undefined) out.push(`${METRICS[key].name} ${formatMetric(key, value)}`);
  }
  const bits = video.bits[frame];
  if (bits !== null && bits !== undefined) out.push(formatBytes(bits / 8));
  return out;
}
