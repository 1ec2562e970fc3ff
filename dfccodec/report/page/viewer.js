// The pictures of the current frame: the original left of the divider, the coded picture right of it.

const CACHED_PICTURES = 64;
const PREFETCHED_STOPS = 4;
const images = new Map(); // "stop:column" to a promise of an image; the oldest first

function picture(stop, column) {
  const key = `${stop}:${column}`;
  const found = images.get(key);
  if (found) {
    images.delete(key);
    images.set(key, found);
    return found;
  }
  const coded = pictures[stop]?.[column];
  if (!coded) return Promise.resolve(null);
  const image = new Image();
  image.src = `data:image/webp;base64,${coded}`;
  const promise = image.decode().then(() => image);
  images.set(key, promise);
  if (images.size > CACHED_PICTURES) images.delete(images.keys().next().value);
  return promise;
}

// Columns of the pictures that the view needs: of the original and of the coded video. null is none.
function columns() {
  const coded = state.video + (data.kind === "compare" ? 1 : 0);
  return [state.view === "coded" ? null : 0, state.view === "source" ? null : coded];
}

async function drawPicture() {
  const { stop } = state;
  const wanted = columns();
  const [source, coded] = await Promise.all(wanted.map((column) => (column === null ? null : picture(stop, column))));
  if (stop !== state.stop || wanted.join() !== columns().join()) return; // a newer frame is on its way
  const canvas = byId("picture");
  const shown = source ?? coded;
  if (!shown) {
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    return;
  }
  if (canvas.width !== shown.naturalWidth || canvas.height !== shown.naturalHeight) {
    canvas.width = shown.naturalWidth;
    canvas.height = shown.naturalHeight;
    // Small pictures are enlarged; none is higher than most of the window.
    canvas.style.width = `max(${canvas.width}px, 45rem)`;
    canvas.style.maxWidth = `min(100%, ${(75 * canvas.width) / canvas.height}vh)`;
  }
  paint(canvas, source, coded);
  for (let next = stop + 1; next <= stop + PREFETCHED_STOPS; next++) {
    for (const column of wanted) if (column !== null) picture(next, column);
  }
}

function paint(canvas, source, coded) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.globalCompositeOperation = "source-over";
  context.clearRect(0, 0, width, height);
  if (source) context.drawImage(source, 0, 0, width, height);
  if (!coded) return;
  context.save();
  if (state.view === "wipe") {
    const left = state.divider * width;
    context.beginPath();
    context.rect(left, 0, width - left, height);
    context.clip();
  }
  if (state.view === "difference") context.globalCompositeOperation = "difference";
  context.drawImage(coded, 0, 0, width, height);
  if (state.view === "difference") {
    context.globalCompositeOperation = "lighter"; // adding the picture to itself twice multiplies it by four
    context.drawImage(canvas, 0, 0);
    context.drawImage(canvas, 0, 0);
  }
  context.restore();
}

function showViewerState() {
  const video = currentVideo();
  const frame = currentFrame();
  const kept = video.kept[frame];
  byId("stage").className = kept === undefined || kept === null ? "plain" : kept ? "kept" : "";
  byId("caption").textContent = describeFrame(video, frame).join(" · ");
  byId("video").value = state.video;
  byId("view").value = state.view;
  const wiping = state.view === "wipe";
  byId("left-tag").textContent = state.view === "coded" ? "" : "Original";
  byId("right-tag").textContent = state.view === "source" ? "" : video.caption;
  byId("divider-line").hidden = !wiping;
  byId("divider-line").style.left = `${100 * state.divider}%`;
  byId("divider-label").hidden = !wiping;
  byId("divider-keys").hidden = !wiping;
  byId("divider").value = Math.round(100 * state.divider);
  drawPicture();
}

function dragDivider(event) {
  if (state.view !== "wipe" || (event.type === "pointermove" && !event.buttons)) return;
  const box = byId("picture").getBoundingClientRect();
  update({ divider: Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) });
}

function startViewer() {
  if (!pictures.length) {
    byId("divider-keys").hidden = true;
    return;
  }
  byId("viewer").hidden = false;
  const compares = data.kind === "compare";
  byId("view-choice").hidden = !compares;
  byId("video-choice").hidden = data.videos.length < 2;
  byId("stage").addEventListener("pointerdown", dragDivider);
  byId("stage").addEventListener("pointermove", dragDivider);
  byId("divider").addEventListener("input", (event) => update({ divider: event.target.value / 100 }));
  byId("view").addEventListener("change", (event) => update({ view: event.target.value }));
  listeners.push(showViewerState);
  showViewerState();
}
