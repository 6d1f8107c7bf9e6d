// Fresh randomness for a JavaScript context. V8 seeds Math.random once per process, and OpenSSL
// keeps a generator of its own, so a restored copy of a machine would repeat what both say next.
// Here Math.random is a small generator seeded from the kernel, and Node's `crypto` draws straight
// from the kernel; `renew` seeds the first anew. What remains: keys and signatures that OpenSSL
// makes by itself in a process that was copied alive, and Math.random of realms made with `vm`.
"use strict";
const fs = require("fs");
const crypto = require("crypto");

const urandom = fs.openSync("/dev/urandom", "r");
const state = new Uint32Array(4);

function fill(view) {
  const bytes = new Uint8Array(view.buffer ?? view, view.byteOffset ?? 0, view.byteLength);
  for (let at = 0; at < bytes.length; ) {
    at += fs.readSync(urandom, bytes, at, bytes.length - at, null);
  }
  return view;
}

// xoshiro128**, as fast as V8's own.
function next() {
  const product = Math.imul(state[1], 5);
  const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
  const shifted = state[1] << 9;
  state[2] ^= state[0];
  state[3] ^= state[1];
  state[1] ^= state[2];
  state[0] ^= state[3];
  state[2] ^= shifted;
  state[3] = (state[3] << 11) | (state[3] >>> 21);
  return result;
}

function later(callback, make) {
  if (callback === undefined) return make();
  process.nextTick(() => {
    let value;
    try {
      value = make();
    } catch (error) {
      return callback(error);
    }
    return callback(null, value);
  });
  return undefined;
}

function whole(low, high) {
  const [from, to] = high === undefined ? [0, low] : [low, high];
  const range = to - from;
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || range <= 0 || range > 2 ** 48) {
    throw new RangeError(`no whole number is in [${from}, ${to})`);
  }
  const most = 2 ** 48 - (2 ** 48 % range);
  for (;;) {
    const drawn = fill(Buffer.alloc(6)).readUIntBE(0, 6);
    if (drawn < most) return from + (drawn % range);
  }
}

function uuid() {
  const bytes = fill(Buffer.alloc(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function part(buffer, offset = 0, size = buffer.byteLength - offset) {
  fill(new Uint8Array(buffer.buffer ?? buffer, (buffer.byteOffset ?? 0) + offset, size));
  return buffer;
}

function install() {
  renew();
  Math.random = () => ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
  crypto.randomBytes = (size, callback) => later(callback, () => fill(Buffer.alloc(size)));
  crypto.randomFillSync = part;
  crypto.randomFill = (buffer, ...rest) => {
    const callback = rest.pop();
    return later(callback, () => part(buffer, ...rest));
  };
  crypto.randomInt = (low, high, callback) =>
    typeof high === "function" ? later(high, () => whole(low)) : later(callback, () => whole(low, high));
  crypto.randomUUID = uuid;
  const web = Object.getPrototypeOf(crypto.webcrypto);
  Object.defineProperty(web, "getRandomValues", { value: fill, configurable: true, writable: true });
  Object.defineProperty(web, "randomUUID", { value: uuid, configurable: true, writable: true });
  require("module").syncBuiltinESMExports();
}

function renew() {
  fill(state);
}

module.exports = { install, renew };
