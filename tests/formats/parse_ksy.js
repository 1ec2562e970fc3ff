// Compile a Kaitai Struct definition (JSON on stdin: {ksy, files}) and print what it finds in each file, as JSON.
const fs = require("fs");
const KaitaiStream = require("kaitai-struct/KaitaiStream");
const compiler = require("kaitai-struct-compiler");

function chunk(c) {
  const p = c.payload, out = { type: c.type };
  if (c.type === "HEAD") Object.assign(out, { size: [p.width, p.height], grid: [p.tiles, p.rows, p.columns], rate: [p.rate.num, p.rate.den] });
  if (c.type === "MODL") Object.assign(out, { name: p.name.value, config: p.configuration.value });
  if (c.type === "STEP") out.steps = p.steps;
  if (c.type === "tool" || c.type === "tags") out.pairs = p.pairs.map((x) => [x.key.value, x.value.value]);
  if (c.type === "strm") Object.assign(out, { id: p.streamId, codec: p.codec.value });
  if (c.type === "pkts") out.sizes = p.table.map((x) => x.lenData);
  if (c.type === "CLIP") Object.assign(out, { first_frame: p.firstFrame, frames: p.numFrames, qp: p.qp, fill: p.fill, importance: Array.from(p.importance), durations: p.durations, planes: p.planes });
  if (c.type === "indx") Object.assign(out, { offsets: p.clips.map((x) => x.offset), hash: Buffer.from(p.latentHash).toString("hex") });
  if (c.type === "foot") out.index = p.indexOffset;
  return out;
}

function parse(Dfc, path) {
  try {
    return new Dfc(new KaitaiStream(new Uint8Array(fs.readFileSync(path)).buffer)).chunks.map(chunk);
  } catch (error) {
    return { error: String(error) };
  }
}

const input = JSON.parse(fs.readFileSync(0, "utf8"));
compiler.compile("javascript", input.ksy, null, false).then((files) => {
  const module_ = { exports: {} };
  new Function("module", "exports", "require", "define", files["Dfc.js"])(module_, module_.exports, require, undefined);
  const Dfc = module_.exports.Dfc || module_.exports;
  process.stdout.write(JSON.stringify(input.files.map((path) => parse(Dfc, path))));
});
