// The main thread of a JavaScript context: a person's code runs here, evaluated through V8's
// inspector in its REPL mode: `let` and `const` stay and may be declared anew, `await` works at the
// top, and the value of the last expression comes back. It prints straight to the pipes at
// descriptors 1 and 2. The worker in driver.js talks to the agent, from a thread and a realm of its
// own, so it can interrupt what runs, and nothing that a cell does to prototypes or globals reaches
// it. What is in this file runs beside a person's code; whoever reads its answers checks them.
"use strict";
// Started as root and given up at once: a process that changed its user cannot be traced by
// another of that user, nor its descriptors taken.
process.setgroups([]);
process.setgid(1000);
process.setuid(1000);

const fs = require("fs");
const util = require("util");
const path = require("path");
const inspector = require("inspector");
const { pathToFileURL } = require("url");
const { Console } = require("console");
const { Writable } = require("stream");
const { Worker } = require("worker_threads");
const luck = require("./luck.js");

const MAX_TEXT = 4 * 1024 * 1024;
const { stringify } = JSON;
const MIME = /^[a-z0-9.+-]{1,60}\/[a-zA-Z0-9.+-]{1,100}$/;
const DISPLAY = Symbol.for("Jupyter.display");
const shared = new Int32Array(new SharedArrayBuffer(8));
const session = new inspector.Session();
let worker;
let hands; // the inspector's name for `helpers`
let current = 0; // the number of the cell that runs

function writeAll(fd, chunk) {
  for (let at = 0; at < chunk.length; ) {
    try {
      at += fs.writeSync(fd, chunk, at);
    } catch (error) {
      if (error.code === "EPIPE" || error.code === "EBADF") return;
      if (error.code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5); // a child made it so
    }
  }
}

function printing(fd) {
  const stream = new Writable({
    highWaterMark: 0,
    write(chunk, _, done) {
      writeAll(fd, chunk);
      done();
    },
  });
  return Object.assign(stream, { fd, isTTY: false, _type: "pipe" });
}

function plain(value) {
  const text = util.inspect(value, { maxStringLength: MAX_TEXT, breakLength: 100 });
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}\n… [clipped] …`;
}

function isPlain(value) {
  if (value === null || typeof value !== "object") return false;
  const parent = Object.getPrototypeOf(value);
  return Array.isArray(value) || parent === Object.prototype || parent === null;
}

function textOf(content) {
  if (typeof content === "string") return content;
  if (ArrayBuffer.isView(content)) {
    return Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString("base64");
  }
  return stringify(content) ?? String(content);
}

function bundleOf(value) {
  if (value !== null && typeof value === "object") {
    const own = value[DISPLAY];
    const given = typeof own === "function" ? own.call(value) : value;
    const names = isPlain(given) && !Array.isArray(given) ? Object.keys(given) : [];
    if (names.length > 0 && names.every((name) => MIME.test(name))) {
      return Object.fromEntries(names.map((name) => [name, textOf(given[name])]));
    }
  }
  const data = { "text/plain": plain(value) };
  if (isPlain(value)) {
    try {
      data["application/json"] = stringify(value);
    } catch {
      delete data["application/json"]; // a cycle, or a value that JSON does not have
    }
  }
  return data;
}

function show(value, main) {
  const bundle = bundleOf(value);
  Atomics.store(shared, 0, 0);
  worker.postMessage({ display: bundle, main });
  Atomics.wait(shared, 0, 0);
  if (Atomics.load(shared, 0) === 2) writeAll(1, Buffer.from(`${bundle["text/plain"] ?? ""}\n`));
}

function describe(error) {
  const is = util.types.isNativeError(error);
  const name = is ? String(error.name) : typeof error === "object" && error ? "Error" : typeof error;
  const value = is ? String(error.message) : plain(error);
  const whole = is && typeof error.stack === "string" ? error.stack : `Uncaught ${value}`;
  const stack = whole.split("\n    at Session.post (node:inspector")[0]; // ours begins there
  const cause = is && error.cause !== undefined ? `\ncause: ${plain(error.cause)}` : "";
  return { name, value, traceback: stack + cause };
}

// Called through the inspector, which has the very value that a cell ended with or threw.
const helpers = {
  done(value) {
    if (value !== undefined) show(value, true);
  },
  describe,
};

function ask(method, parameters) {
  return new Promise((resolve, reject) => {
    session.post(method, parameters, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

function call(name, value) {
  const { objectId, unserializableValue } = value;
  const argument = objectId ? { objectId } : unserializableValue ? { unserializableValue } : { value: value.value };
  return ask("Runtime.callFunctionOn", {
    objectId: hands,
    functionDeclaration: `function (value) { return this.${name}(value); }`,
    arguments: [argument],
    returnByValue: true,
  });
}

function position(details, code, number) {
  const line = code.split("\n")[details.lineNumber];
  if (details.exception?.className !== "SyntaxError" || line === undefined) return "";
  const column = Math.min(details.columnNumber, 500);
  const at = `cell-${number}:${details.lineNumber + 1}:${column + 1}`;
  return `${at}\n${line.slice(0, 500)}\n${" ".repeat(column)}^\n`;
}

async function failed(details, code, number) {
  const thrown = details.exception ?? {};
  const where = position(details, code, number);
  const answer = await call("describe", thrown);
  const error = answer.exceptionDetails ? undefined : answer.result.value;
  if (error) return { status: "error", error: { ...error, traceback: where + error.traceback } };
  const traceback = String(thrown.description ?? details.text);
  const name = String(thrown.className ?? "Error");
  return { status: "error", error: { name, value: traceback.split("\n")[0], traceback } };
}

async function evaluate(code, number) {
  const answer = await ask("Runtime.evaluate", {
    expression: `${withImports(code)}\n//# sourceURL=cell-${number}`,
    replMode: true,
    awaitPromise: true,
    objectGroup: "cell",
  });
  if (answer.exceptionDetails) return failed(answer.exceptionDetails, code, number);
  const shown = await call("done", answer.result);
  return shown.exceptionDetails ? failed(shown.exceptionDetails, code, number) : { status: "ok" };
}

// Import statements at the head of a cell, which only modules may have, become awaited loads.
const IMPORT = /^\s*import\s+(?:([\w$*{}\s,]+?)\s+from\s+)?(["'])([^"']+)\2\s*;?\s*$/;

function bindings(clause) {
  const names = [];
  const [, first, braces] = /^([^{]*)(?:\{([^}]*)\})?$/.exec(clause) ?? [null, clause, ""];
  for (const name of first.split(",").map((each) => each.trim()).filter(Boolean)) {
    if (name.startsWith("*")) return name.replace(/^\*\s*as\s+/, "");
    names.push(`default: ${name}`);
  }
  for (const name of (braces ?? "").split(",").filter((each) => each.trim())) {
    names.push(name.trim().replace(/\s+as\s+/, ": "));
  }
  return `{ ${names.join(", ")} }`;
}

function withImports(code) {
  const lines = code.split("\n");
  for (let at = 0; at < lines.length; at += 1) {
    const [, clause, , name] = IMPORT.exec(lines[at]) ?? [];
    if (name !== undefined) {
      const load = `await importModule(${stringify(name)});`;
      lines[at] = clause ? `const ${bindings(clause)} = ${load}` : load;
    } else if (!/^\s*(\/\/.*)?$/.test(lines[at])) break;
  }
  return lines.join("\n");
}

// Sets variables of the environment; returns what they were.
function setEnv(changes) {
  const before = {};
  for (const [name, value] of Object.entries(changes)) {
    before[name] = process.env[name] ?? null;
    if (value === null) delete process.env[name];
    else process.env[name] = value;
  }
  return before;
}

async function take({ number, run, env, renew }) {
  current = number;
  if (renew !== null) {
    luck.renew();
    setEnv(renew);
  }
  const before = setEnv(env);
  worker.postMessage({ before, number });
  let outcome;
  try {
    outcome = await evaluate(run, number);
  } catch (error) {
    const value = String(error.message ?? error);
    outcome = { status: "error", error: { name: "Error", value, traceback: value } };
  }
  if (current === number) setEnv(before);
  session.post("Runtime.releaseObjectGroup", { objectGroup: "cell" });
  worker.postMessage({ done: outcome, number });
}

function main(folder) {
  const out = printing(1);
  const err = printing(2);
  for (const [name, stream] of [["stdout", out], ["stderr", err]]) {
    Object.defineProperty(process, name, { configurable: true, enumerable: true, get: () => stream });
  }
  globalThis.console = new Console({ stdout: out, stderr: err });
  luck.install();
  let failure = null;
  try {
    process.chdir(folder);
  } catch (error) {
    failure = `${error.code}: ${folder.slice(0, 500)}`;
  }
  const here = require("module").createRequire(path.join(folder, "cell.js"));
  const load = (name) => {
    const found = here.resolve(name);
    return import(path.isAbsolute(found) ? pathToFileURL(found).href : found);
  };
  Object.assign(globalThis, { require: here, importModule: load, display: (...values) => values.forEach((v) => show(v, false)) });
  // An inspector that is still there would hold the process at its end.
  process.on("exit", () => {
    session.disconnect();
    Atomics.store(shared, 1, 0);
    worker.postMessage({ leave: 1 });
    Atomics.wait(shared, 1, 0, 500);
  });
  // What fails between cells is said, and ends nothing.
  process.on("uncaughtException", (error) => err.write(`Uncaught ${describe(error).traceback}\n`));
  process.on("unhandledRejection", (error) => err.write(`Unhandled ${describe(error).traceback}\n`));
  process.on("SIGINT", () => undefined);
  session.connect();
  globalThis.__forge = helpers;
  session.post("Runtime.evaluate", { expression: "__forge" }, (_, found) => { hands = found.result.objectId; });
  delete globalThis.__forge;
  worker = new Worker(path.join(__dirname, "driver.js"), { workerData: { shared, failure } });
  worker.on("message", (request) => ("undo" in request ? setEnv(request.undo) : take(request)));
}

main(process.argv[2]);
