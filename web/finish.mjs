/**
 * After vite: node finish.mjs FOLDER. Puts what sandboxed pages may load into FOLDER/vendor, and a
 * smaller copy (.br, .gz) beside every file that gets smaller, so that the server compresses nothing.
 */
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, extname, join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const TEXT = new Set([".css", ".html", ".js", ".json", ".mjs", ".svg", ".txt"]);
const SMALL = 1024;
/** Brotli's last two levels take ten times as long, which nobody waits for with a large file. */
const LARGE = 1 << 20;

const folder = process.argv[2];
const require = createRequire(import.meta.url);

function vendor(name, file, as) {
  const place = dirname(require.resolve(`${name}/package.json`));
  const { version } = JSON.parse(readFileSync(join(place, "package.json"), "utf8"));
  mkdirSync(join(folder, "vendor"), { recursive: true });
  copyFileSync(join(place, file), join(folder, "vendor", `${as}-${version}.min.js`));
  copyFileSync(join(place, "LICENSE"), join(folder, "vendor", `${as}-${version}.LICENSE.txt`));
}

function compress(path) {
  const content = readFileSync(path);
  const quality = content.length > LARGE ? 9 : 11;
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: quality,
    [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
  };
  const smaller = {
    br: brotliCompressSync(content, { params }),
    gz: gzipSync(content, { level: 9 }),
  };
  for (const [ending, bytes] of Object.entries(smaller)) {
    if (bytes.length < content.length) writeFileSync(`${path}.${ending}`, bytes);
  }
}

vendor("plotly.js-dist-min", "plotly.min.js", "plotly");
for (const entry of readdirSync(folder, { recursive: true })) {
  const path = join(folder, entry);
  if (TEXT.has(extname(path)) && statSync(path).size > SMALL) compress(path);
}
