// Frames: play, pause, keys, and the timeline of kept frames with their importance.

let playedFrom = null; // {time, seconds} at which playing began

function togglePlaying() {
  playedFrom = null;
  update({ playing: !state.playing });
  if (state.playing) requestAnimationFrame(playOn);
}

function playOn(time) {
  if (!state.playing) return;
  const seconds = (stop) => data.seconds[stops[stop]];
  playedFrom ??= { time, seconds: seconds(state.stop) };
  const due = playedFrom.seconds + ((time - playedFrom.time) / 1000) * Number(byId("speed").value);
  let stop = state.stop;
  while (stop + 1 < stops.length && seconds(stop + 1) <= due) stop++;
  if (stop === stops.length - 1 && due >= seconds(stop) + data.frame_seconds) {
    stop = 0;
    playedFrom = null;
  }
  goTo(stop);
  requestAnimationFrame(playOn);
}

function drawTimeline() {
  const canvas = byId("timeline");
  const video = currentVideo();
  byId("importance").hidden = !video.kept.length;
  if (!video.kept.length) return;
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
  if (!width) return;
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const count = data.seconds.length;
  const bars = Math.min(count, width); // a bar stands for several frames if there are more than pixels
  for (let bar = 0; bar < bars; bar++) {
    const [first, end] = [Math.floor((bar * count) / bars), Math.floor(((bar + 1) * count) / bars)];
    const kept = video.kept.slice(first, end).some(Boolean);
    const importance = Math.max(...video.importance.slice(first, end).map((value) => value ?? 0));
    const [left, right] = [Math.floor((bar * width) / bars), Math.floor(((bar + 1) * width) / bars)];
    const space = right - left > 3 * scale ? Math.round(scale) : 0;
    const tall = Math.max(Math.round(importance * (height - 8 * scale)), 2 * scale);
    context.fillStyle = color(kept ? "--kept" : "--dropped");
    context.fillRect(left, height - tall, Math.max(right - left - space, 1), tall);
  }
  context.fillStyle = color("--soft");
  if ((video.clips.length / width) * scale < 0.1) {
    for (const clip of video.clips) context.fillRect(Math.floor((clip * width) / count), 0, Math.ceil(scale), height);
  }
  context.fillStyle = color("--accent");
  const left = ((currentFrame() + 0.5) * width) / count;
  context.fillRect(Math.round(left - scale), 0, Math.max(Math.round(2 * scale), 2), height);
  const total = video.kept.filter(Boolean).length;
  canvas.setAttribute("aria-label", `${total} kept frames of ${count}, with their importance`);
}

function showPosition() {
  const frame = currentFrame();
  const text = `frame ${frame} of 0–${data.seconds.length - 1}, ${(data.seconds[frame] ?? 0).toFixed(3)} s`;
  byId("position").textContent = pictures.length ? text : [text, ...describeFrame(currentVideo(), frame)].join(" · ");
  byId("frame").value = state.stop;
  byId("frame").setAttribute("aria-valuetext", [text, ...describeFrame(currentVideo(), frame)].join(", "));
  byId("play").textContent = state.playing ? "Pause" : "Play";
  byId("play").setAttribute("aria-pressed", String(state.playing));
  drawTimeline();
}

function takeKey(event) {
  const { target, key } = event;
  if (event.ctrlKey || event.altKey || event.metaKey || target.matches("select, input[type=text]")) return;
  const step = event.shiftKey ? 10 : 1;
  const moves = { ArrowLeft: -step, ArrowRight: step, Home: -Infinity, End: Infinity };
  if (key in moves && !target.matches("input")) {
    goTo(state.stop + moves[key]);
  } else if (key === " " && !target.matches("button, summary, input[type=checkbox]")) {
    togglePlaying();
  } else if (key === "[" || key === "]") {
    update({ divider: Math.min(Math.max(state.divider + (key === "[" ? -0.05 : 0.05), 0), 1) });
  } else {
    return;
  }
  event.preventDefault();
}

function startTimeline() {
  byId("frame").max = Math.max(stops.length - 1, 0);
  byId("frame").addEventListener("input", (event) => goTo(Number(event.target.value)));
  byId("play").addEventListener("click", togglePlaying);
  byId("back").addEventListener("click", () => goTo(state.stop - 1));
  byId("forward").addEventListener("click", () => goTo(state.stop + 1));
  byId("speed").addEventListener("change", () => (playedFrom = null));
  byId("timeline").addEventListener("pointerdown", (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    goToFrame(Math.floor(((event.clientX - box.left) / box.width) * data.seconds.length));
  });
  document.addEventListener("keydown", takeKey);
  listeners.push(showPosition);
  new ResizeObserver(drawTimeline).observe(byId("timeline"));
  showPosition();
}
