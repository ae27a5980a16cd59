// The codec of labels: every byte flipped, every field forged.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { testLabel } from "../../testing/pool-labels.ts";
import { crc32c } from "../../util/crc32c.ts";
import { Prng } from "../../util/prng.ts";
import {
  decodeLabel,
  encodeLabel,
  LABEL_BYTES,
  newerBits,
  type PoolLabel,
} from "./label-format.ts";

function encoded(label: PoolLabel, diskIndex = 0): Uint8Array {
  const bytes = new Uint8Array(LABEL_BYTES).fill(0xee);
  encodeLabel(label, diskIndex, bytes);
  return bytes;
}

/** Changes a label on disk as an enemy would: with a right checksum. */
function forged(change: (view: DataView) => void): Uint8Array {
  const bytes = encoded(testLabel(2));
  const view = new DataView(bytes.buffer);
  change(view);
  view.setUint32(12, 0, true);
  view.setUint32(12, crc32c(bytes, 0, LABEL_BYTES), true);
  return bytes;
}

test("a label that was written is read as it was, for each disk", () => {
  for (const count of [1, 2, 32]) {
    for (let index = 0; index < count; index++) {
      const label = testLabel(count, { diskIndex: index });
      deepStrictEqual(decodeLabel(encoded(label, index)), label);
    }
  }
});

test("decodeLabel finds every flipped byte, and every flipped bit of the fields", () => {
  const good = encoded(testLabel(2));
  const bytes = Uint8Array.from(good);
  for (let at = 0; at < LABEL_BYTES; at++) {
    for (const mask of at < 700 ? [1, 2, 4, 8, 16, 32, 64, 128, 255] : [255]) {
      bytes[at] = (good[at] as number) ^ mask;
      strictEqual(decodeLabel(bytes), at < 8 ? "no-magic" : "crc", `byte ${at}`);
    }
    bytes[at] = good[at] as number;
  }
});

test("decodeLabel says newer of a higher version or of unknown incompat bits", () => {
  const version = forged((view) => view.setUint16(8, 2, true));
  strictEqual(decodeLabel(version), "newer");
  strictEqual(newerBits(version), 0);
  const bits = forged((view) => view.setUint32(40, 0x8000_0003, true));
  strictEqual(decodeLabel(bits), "newer");
  strictEqual(newerBits(bits), 0x8000_0002);
  const snapshots = forged((view) => view.setUint32(40, 1, true));
  strictEqual((decodeLabel(snapshots) as PoolLabel).incompat, 1);
});

test("decodeLabel keeps unknown compat and ro-compat bits", () => {
  const label = decodeLabel(forged((view) => view.setUint32(36, 5, true)));
  strictEqual((label as PoolLabel).roCompat, 5);
});

test("decodeLabel refuses fields that make no sense, whatever their checksum", () => {
  const forgeries: readonly [string, (view: DataView) => void][] = [
    ["version 0", (view) => view.setUint16(8, 0, true)],
    ["no disks", (view) => view.setUint16(46, 0, true)],
    ["33 disks", (view) => view.setUint16(46, 33, true)],
    ["disk index", (view) => view.setUint16(44, 2, true)],
    ["generation 0", (view) => view.setUint32(48, 0, true)],
    ["generation", (view) => view.setUint32(52, 0x1_0000, true)],
    ["log sequence", (view) => view.setUint32(68, 0x20_0000, true)],
    ["log position", (view) => view.setUint32(72, 2048, true)],
    ["log unit", (view) => view.setUint32(76, 1024, true)],
    ["log in the labels", (view) => view.setUint32(80, 15, true)],
    ["log on the second disk", (view) => view.setUint32(84, 2 ** 10, true)],
    ["log beyond the disk", (view) => view.setUint32(88, 8192 - 31, true)],
    ["no log", (view) => view.setUint32(88, 0, true)],
    ["chunk 0", (view) => view.setUint32(92, 0, true)],
    ["chunk 48", (view) => view.setUint32(92, 48, true)],
    ["chunk 2048", (view) => view.setUint32(92, 2048, true)],
    ["epoch", (view) => view.setUint32(96, 0, true)],
    ["checksum", (view) => view.setUint8(100, 4)],
    ["state 0", (view) => view.setUint8(101, 0)],
    ["state 5", (view) => view.setUint8(101, 5)],
    ["objects beyond the disk", (view) => view.setUint32(128, 8192, true)],
    ["objects on no disk", (view) => view.setUint32(136, 0xffff, true)],
    ["one copy", (view) => view.setUint32(132, 0, true)],
    ["root of a later time", (view) => view.setUint32(140, 8, true)],
    ["accounts", (view) => view.setUint32(224, 12, true)],
    ["name", (view) => view.setUint8(256, 0)],
    ["name not text", (view) => view.setUint8(256, 0xff)],
    ["disk state", (view) => view.setUint8(512 + 72, 2)],
    ["free blocks", (view) => view.setUint32(512 + 64, 9000, true)],
    ["tiny disk", (view) => view.setUint32(512 + 32, 31, true)],
    ["huge disk", (view) => view.setUint32(512 + 36, 2 ** 20, true)],
    ["the same disk twice", (view) => view.setUint8(592 + 15, 1)],
  ];
  for (const [what, change] of forgeries) {
    strictEqual(decodeLabel(forged(change)), "fields", what);
  }
});

test("decodeLabel never throws on forged labels", () => {
  const random = new Prng(5);
  for (let round = 0; round < 3000; round++) {
    decodeLabel(
      forged((view) => {
        for (let count = random.below(8); count >= 0; count--) {
          view.setUint8(16 + random.below(700), random.below(256));
        }
      }),
    );
  }
});
