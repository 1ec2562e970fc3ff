// Start of the page.

byId("video").append(...data.videos.map((video, number) => create("option", { value: number, textContent: video.name })));
byId("video").addEventListener("change", (event) => update({ video: Number(event.target.value) }));
startViewer();
startTimeline();
startCharts();
startTables();
const linked = /^#frame=(\d+)$/.exec(location.hash); // report.html#frame=40
if (linked) goToFrame(Number(linked[1]));
document.documentElement.dataset.ready = "true";
