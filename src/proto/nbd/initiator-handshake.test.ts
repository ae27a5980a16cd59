// Tests of the initiator's handshake: recorded sessions, a target of ours, any split, noise.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Prng } from "../../util/prng.ts";
import { DIRECTORY, newTarget, VOL1 } from "./handshake-fixture.ts";
import { InitiatorHandshake, type InitiatorOutcome } from "./initiator-handshake.ts";
import { newInitiator, replayInitiator, serverBytes } from "./initiator-fixture.ts";

const FOLDER = join(import.meta.dirname, "testdata/initiator");
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith(".txt"));
const UPDATES = process.env.PENSTOCK_UPDATE_GOLDEN === "1";

for (const name of FILES) {
  test(`InitiatorHandshake asks and concludes as recorded in ${name}`, () => {
    const path = join(FOLDER, name);
    const transcript = readFileSync(path, "utf8");
    const replayed = replayInitiator(transcript);
    if (UPDATES) writeFileSync(path, replayed);
    else strictEqual(replayed, transcript);
  });
}

/** Feeds all of `bytes` in pieces; what was asked, and the end. */
function feedAll(
  bytes: Uint8Array,
  size: () => number,
): { readonly asked: string; readonly outcome: InitiatorOutcome; readonly consumed: number } {
  const handshake = newInitiator();
  let asked = "";
  let at = 0;
  while (at < bytes.length) {
    const length = Math.min(size(), bytes.length - at);
    const consumed = handshake.feed(bytes, at, length);
    at += consumed;
    asked += Buffer.from(handshake.output.written).toString("hex");
    handshake.output.clear();
    if (consumed < length) break;
  }
  return { asked, outcome: handshake.outcome, consumed: at };
}

test("InitiatorHandshake concludes the same however the stream is cut", () => {
  for (const name of FILES) {
    const bytes = serverBytes(readFileSync(join(FOLDER, name), "utf8"));
    const whole = feedAll(bytes, () => bytes.length);
    for (const size of [1, 2, 3, 5, 17, 19, 21]) {
      deepStrictEqual(
        feedAll(bytes, () => size),
        whole,
        name,
      );
    }
    const prng = new Prng(name);
    for (let round = 0; round < 50; round++) {
      deepStrictEqual(
        feedAll(bytes, () => 1 + prng.below(60)),
        whole,
        name,
      );
    }
  }
});

test("InitiatorHandshake never throws when recorded sessions are changed, or noise comes", () => {
  const recorded = FILES.map((name) => serverBytes(readFileSync(join(FOLDER, name), "utf8")));
  for (let seed = 0; seed < 5000; seed++) {
    const prng = new Prng(seed);
    const bytes = Uint8Array.from(recorded[prng.below(recorded.length)] as Buffer);
    for (let changes = 1 + prng.below(4); changes > 0; changes--) {
      bytes[prng.below(bytes.length)] = prng.below(256);
    }
    if (prng.chance(0.1)) prng.fill(bytes);
    const { consumed } = feedAll(bytes, () => 1 + prng.below(100));
    ok(consumed <= bytes.length);
  }
});

test("InitiatorHandshake agrees with a target of ours in any pieces", () => {
  for (const [exportName, host] of [
    ["vol1", true],
    ["", false],
    ["sealed/ä", true],
  ] as const) {
    for (let seed = 0; seed < 20; seed++) {
      const prng = new Prng(`${exportName} ${seed}`);
      const association = host ? { host: VOL1.instanceId, number: 9 } : null;
      const initiator = new InitiatorHandshake({ exportName, association });
      const target = newTarget();
      target.greet();
      for (let turn = 0; turn < 2000 && initiator.outcome.kind === "more"; turn++) {
        pump(target.output, (bytes, at, length) => initiator.feed(bytes, at, length), prng);
        pump(initiator.output, (bytes, at, length) => target.feed(bytes, at, length), prng);
      }
      const { outcome } = initiator;
      ok(outcome.kind === "ready" && target.outcome.kind === "transmission");
      const exported = DIRECTORY.find(exportName);
      ok(exported !== null);
      strictEqual(outcome.session.sizeBytes, exported.sizeBytes);
      strictEqual(outcome.session.instanceId, exported.instanceId);
      strictEqual(outcome.session.volatileCache, true);
      strictEqual(outcome.session.extendedHeaders, true);
      strictEqual(outcome.session.allocationContext, 0);
      strictEqual(outcome.session.flags, target.outcome.session.transmissionFlags);
      strictEqual(outcome.session.minimumBlockBytes, exported.minimumBlockBytes);
      deepStrictEqual(target.outcome.session.association ?? null, association);
    }
  }
});

function pump(
  output: { readonly written: Uint8Array; clear(): void },
  feed: (bytes: Uint8Array, at: number, length: number) => number,
  prng: Prng,
): void {
  const bytes = output.written.slice();
  output.clear();
  for (let at = 0; at < bytes.length; ) {
    at += feed(bytes, at, Math.min(1 + prng.below(30), bytes.length - at));
  }
}
