// Tests of the target's handshake: golden transcripts, any split of the stream, hostile streams,
// and the limits. PENSTOCK_UPDATE_GOLDEN=1 rewrites the transcripts' server lines.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import {
  HANDSHAKE_BYTES_MAX,
  OPTION_BYTES_MAX,
  OPTION_COUNT_MAX,
  OPTION_SKIP_BYTES_MAX,
} from "./constants.ts";
import type { ExportDescription } from "./export-description.ts";
import { clientBytes, DIRECTORY, exchange, newTarget, replay, VOL1 } from "./handshake-fixture.ts";
import { HANDSHAKE_OUTPUT_BYTES_MAX, HandshakeTarget } from "./handshake-target.ts";

const UPDATE = process.env.PENSTOCK_UPDATE_GOLDEN === "1";
const FOLDERS = ["handshake", "corpus"] as const;

interface Transcript {
  readonly path: URL;
  readonly text: string;
}

function transcripts(): Transcript[] {
  return FOLDERS.flatMap((folder) => {
    const base = new URL(`testdata/${folder}/`, import.meta.url);
    return readdirSync(base)
      .filter((name) => name.endsWith(".txt"))
      .sort()
      .map((name) => ({
        path: new URL(name, base),
        text: readFileSync(new URL(name, base), "utf8"),
      }));
  });
}

/** Streams of all transcripts, short enough to be cut everywhere. */
function streams(): Buffer[] {
  return transcripts()
    .map((transcript) => clientBytes(transcript.text))
    .filter((bytes) => bytes.length < 2000);
}

/** Header of `option` with `lengthBytes` of data to follow. */
function header(option: number, lengthBytes: number): Buffer {
  const bytes = Buffer.from("49484156454f50540000000000000000", "hex");
  bytes.writeUInt32BE(option, 8);
  bytes.writeUInt32BE(lengthBytes, 12);
  return bytes;
}

function closeCode(target: HandshakeTarget): string {
  return target.outcome.kind === "close" ? target.outcome.code : target.outcome.kind;
}

const FLAGS = Buffer.from([0, 0, 0, 3]);

for (const { path, text } of transcripts()) {
  const name = path.pathname.split("/").slice(-2).join("/");
  test(`HandshakeTarget answers as recorded when given ${name}`, () => {
    const actual = replay(text);
    if (UPDATE) writeFileSync(path, actual);
    else strictEqual(actual, text);
  });
}

test("HandshakeTarget answers the same when the stream is cut at any point", () => {
  for (const bytes of streams()) {
    const whole = newTarget();
    const expected = exchange(whole, bytes, bytes.length);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const target = newTarget();
      const first = exchange(target, bytes.subarray(0, cut), cut);
      const second = exchange(target, bytes.subarray(cut), bytes.length - cut);
      deepStrictEqual(Buffer.concat([first.output, second.output]), expected.output);
      deepStrictEqual(target.outcome, whole.outcome);
      strictEqual(first.consumed + second.consumed, expected.consumed);
    }
    const target = newTarget();
    deepStrictEqual(exchange(target, bytes, 1), expected);
    deepStrictEqual(target.outcome, whole.outcome);
  }
});

test("HandshakeTarget never throws nor overflows when given random bytes", () => {
  const bytes = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(bytes, fc.boolean(), fc.integer({ min: 1, max: 40 }), (random, flags, piece) => {
      const stream = flags ? Buffer.concat([FLAGS, random]) : Buffer.from(random);
      exchange(newTarget(), stream, piece);
    }),
    { numRuns: 1000 },
  );
});

test("HandshakeTarget answers alike in any pieces when valid streams are mutated", () => {
  const mutation = fc.record({
    at: fc.nat(),
    kind: fc.constantFrom("set", "flip", "insert", "remove", "repeat", "truncate"),
    value: fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)),
    count: fc.integer({ min: 1, max: 24 }),
  });
  fc.assert(
    fc.property(
      fc.constantFrom(...streams()),
      fc.array(mutation, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 64 }),
      (valid, mutations, piece) => {
        const stream = mutations.reduce(mutate, valid);
        const whole = newTarget();
        const pieces = newTarget();
        deepStrictEqual(exchange(whole, stream, stream.length), exchange(pieces, stream, piece));
        deepStrictEqual(pieces.outcome, whole.outcome);
      },
    ),
    { numRuns: 3000 },
  );
});

function mutate(
  stream: Buffer,
  { at, kind, value, count }: { at: number; kind: string; value: number; count: number },
): Buffer {
  const place = stream.length === 0 ? 0 : at % stream.length;
  const before = stream.subarray(0, place);
  const after = stream.subarray(place);
  if (kind === "truncate") return before;
  if (kind === "insert") return Buffer.concat([before, Buffer.alloc(count, value), after]);
  if (kind === "remove") return Buffer.concat([before, after.subarray(count)]);
  if (kind === "repeat") return Buffer.concat([before, after.subarray(0, count), after]);
  const copy = Buffer.from(stream);
  if (copy.length > 0)
    copy[place] = kind === "set" ? value : (copy[place] as number) ^ (1 << (value % 8));
  return copy;
}

test("HandshakeTarget lists many exports through a bounded output", () => {
  const long = "d".repeat(4096);
  const exports: ExportDescription[] = [];
  for (let index = 0; index < 300; index++) {
    exports.push({ ...VOL1, name: `${index}`.padStart(4096, "n"), description: long });
  }
  const target = new HandshakeTarget({ directory: { find: () => VOL1, list: () => exports } });
  const stream = Buffer.concat([FLAGS, header(3, 0), header(2, 0)]);
  let at = target.feed(stream, 0, stream.length);
  let rounds = 0;
  let sentBytes = 0;
  while (target.outcome.kind === "drain") {
    const before = target.output.lengthBytes;
    strictEqual(target.feed(stream, at, stream.length - at), 0, "nothing is consumed while full");
    strictEqual(target.output.lengthBytes, before, "nothing is added while full");
    ok(before <= HANDSHAKE_OUTPUT_BYTES_MAX);
    sentBytes += before;
    rounds++;
    target.output.clear();
    at += target.feed(stream, at, stream.length - at);
  }
  sentBytes += target.output.lengthBytes;
  strictEqual(target.outcome.kind, "abort");
  strictEqual(at, stream.length);
  strictEqual(sentBytes, 300 * (20 + 4 + 8192) + 20 + 20);
  ok(rounds > 40);
});

test("HandshakeTarget keeps no more than twice what arrived of an option", () => {
  const target = newTarget();
  exchange(target, Buffer.concat([FLAGS, header(7, OPTION_BYTES_MAX), Buffer.alloc(100)]), 7);
  strictEqual(target.outcome.kind, "more");
  // The rest arrives after all: the answer is the usual one.
  const { output } = exchange(target, Buffer.alloc(OPTION_BYTES_MAX - 100), 999);
  strictEqual(output.readUInt32BE(12), 0x8000_0003);
});

test("HandshakeTarget closes when there are too many options", () => {
  const target = newTarget();
  const options = Array.from({ length: OPTION_COUNT_MAX }, () => header(99, 0));
  exchange(target, Buffer.concat([FLAGS, ...options]), 4096);
  strictEqual(target.outcome.kind, "more");
  exchange(target, header(99, 0), 16);
  strictEqual(closeCode(target), "option-count-exceeded");
});

test("HandshakeTarget closes when the handshake has too many bytes", () => {
  const target = newTarget();
  const skipped = Buffer.alloc(OPTION_SKIP_BYTES_MAX);
  const stream = Buffer.concat([FLAGS, header(99, skipped.length), skipped, header(98, 0)]);
  const { output } = exchange(target, stream, 1 << 20);
  strictEqual(output.readUInt32BE(12), 0x8000_0001, "skipped, then answered");
  strictEqual(target.outcome.kind, "more");
  exchange(target, header(99, HANDSHAKE_BYTES_MAX - skipped.length), 16);
  strictEqual(closeCode(target), "handshake-too-long");
});

test("HandshakeTarget consumes nothing more when it has ended", () => {
  const target = newTarget();
  exchange(target, Buffer.concat([FLAGS, header(2, 0)]), 100);
  strictEqual(target.feed(Buffer.alloc(100), 0, 100), 0);
  strictEqual(target.outcome.kind, "abort");
  strictEqual(target.output.lengthBytes, 0);
});

test("HandshakeTarget gives a session that survives structured clone", () => {
  const target = newTarget();
  const go = Buffer.concat([header(7, 6), Buffer.alloc(6)]);
  exchange(target, Buffer.concat([FLAGS, header(11, 0), go]), 100);
  strictEqual(target.outcome.kind, "transmission");
  deepStrictEqual(structuredClone(target.outcome), target.outcome);
  strictEqual(DIRECTORY.find("")?.name, VOL1.name);
});
