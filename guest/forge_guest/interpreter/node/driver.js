// The worker thread of a JavaScript context: it talks to the agent at descriptor 3, each message
// four bytes of length and a JSON object, in the words of context.py, and hands cells to the main
// thread. It interrupts that thread through V8's inspector, wherever it is.
//
//     → {"run": code, "renew": {...} | null, "env": {...}}
//     → {"interrupt": 1}       ends what runs; ignored between cells
//     ← {"display": bundle, "main": bool}, answered by {"shown": 1}
//     ← {"done": {"status": "ok" | "error", "error": {...}}}   also once, when it is ready
"use strict";
const inspector = require("inspector");
const net = require("net");
const { parentPort, workerData } = require("worker_threads");

const GRACE_MS = 300; // what code may take to end by itself, before a wait without end is left
const [WAITING, SHOWN, NOBODY] = [0, 1, 2]; // what the main thread reads when it shows something
const session = new inspector.Session();
const control = new net.Socket({ fd: 3, readable: true, writable: true });
let cells = 0;
let running = null; // { number, interrupted, before }

function send(message) {
  const payload = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(payload.length);
  control.write(Buffer.concat([head, payload]));
}

function run(request) {
  cells += 1;
  running = { number: cells, interrupted: false, before: {} };
  parentPort.postMessage({ number: cells, ...request });
}

function finish(outcome) {
  const value = "the cell was interrupted";
  const error = { name: "Interrupted", value, traceback: `Interrupted: ${value}` };
  send({ done: running.interrupted ? { status: "error", error } : outcome });
  running = null;
}

function interrupt() {
  if (running === null || running.interrupted) return;
  const cell = running;
  cell.interrupted = true;
  session.post("Runtime.terminateExecution", () => undefined);
  // Nothing runs while a promise is awaited that never comes: the cell is left as it is.
  setTimeout(() => {
    if (running !== cell) return;
    parentPort.postMessage({ undo: cell.before });
    finish(null);
  }, GRACE_MS);
}

function release(how) {
  Atomics.compareExchange(workerData.shared, 0, WAITING, how);
  Atomics.notify(workerData.shared, 0);
}

function leave() {
  session.disconnect();
  Atomics.store(workerData.shared, 1, 1);
  Atomics.notify(workerData.shared, 1);
}

function take(message) {
  if ("run" in message) run(message);
  else if ("interrupt" in message) interrupt();
  else if ("shown" in message) release(SHOWN);
}

function hear(message) {
  if ("display" in message) {
    if (running === null) release(NOBODY);
    else send({ display: message.display, main: message.main === true });
  } else if (running !== null && message.number === running.number) {
    if ("before" in message) running.before = message.before;
    else finish(message.done);
  }
}

let inbox = Buffer.alloc(0);
control.on("data", (data) => {
  inbox = Buffer.concat([inbox, data]);
  while (inbox.length >= 4 && inbox.length >= 4 + inbox.readUInt32BE(0)) {
    const end = 4 + inbox.readUInt32BE(0);
    const message = JSON.parse(inbox.subarray(4, end).toString());
    inbox = inbox.subarray(end);
    take(message);
  }
});
for (const event of ["close", "error"]) control.on(event, () => process.kill(process.pid, "SIGKILL"));
parentPort.on("message", (message) => ("leave" in message ? leave() : hear(message)));
session.connectToMainThread();
const { failure } = workerData;
const error = { name: "Error", value: failure, traceback: "" };
send({ done: failure ? { status: "error", error } : { status: "ok" } });
