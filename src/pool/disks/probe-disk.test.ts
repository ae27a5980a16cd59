// What is found on a disk by reading.

import { deepStrictEqual } from "node:assert/strict";
import { test } from "node:test";
import { PromiseDevice } from "../../block/promise-device.ts";
import { IoLevel } from "../../reactor/io.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { mallocDisks } from "../../testing/pool-disks-rig.ts";
import { testLabel } from "../../testing/pool-labels.ts";
import { crc32c } from "../../util/crc32c.ts";
import { encodeLabel, LABEL_BYTES, type PoolLabel } from "./label-format.ts";
import { type DiskContent, probeDisk } from "./probe-disk.ts";

const BLOCKS = 8192;
const SIZE = BLOCKS * 4096;
const SLOTS = [4, 12, BLOCKS - 12, BLOCKS - 4];

function encoded(label: PoolLabel): Uint8Array {
  const bytes = new Uint8Array(LABEL_BYTES);
  encodeLabel(label, 0, bytes);
  return bytes;
}

/** What is found on a disk of 32 MiB, or of `blocks`, with these bytes on it. */
function probed(
  writes: readonly (readonly [number, Uint8Array])[],
  options: { blocks?: number; blockSizeBytes?: 512 | 4096 } = {},
): Promise<DiskContent> {
  const { blocks = BLOCKS, blockSizeBytes = 512 } = options;
  return withReactor(IoLevel.fake, async ({ reactor }) => {
    const { disks, devices } = await mallocDisks(reactor, [blocks], blockSizeBytes);
    const [device] = devices;
    if (device === undefined) throw new Error("there is one");
    const promises = new PromiseDevice(device);
    for (const [at, bytes] of writes) {
      const start = at - (at % 4096);
      const block = await promises.readAt(start, 4096);
      block.set(bytes, at - start);
      await promises.writeAt(start, block);
    }
    const content = await probeDisk(device);
    await disks.close();
    return content;
  });
}

test("probeDisk says empty of zeroes at both ends", async () => {
  deepStrictEqual(await probed([]), { kind: "empty" });
  deepStrictEqual(await probed([[70 * 1024, Uint8Array.of(1)]]), { kind: "empty" });
  deepStrictEqual(await probed([], { blockSizeBytes: 4096 }), { kind: "empty" });
  deepStrictEqual(await probed([], { blocks: 3 }), { kind: "empty" });
});

test("probeDisk sees any byte within 64 KiB of both ends", async () => {
  for (const at of [0, 65535, SIZE - 65536, SIZE - 1]) {
    deepStrictEqual(await probed([[at, Uint8Array.of(1)]]), { kind: "foreign", what: "data" });
  }
});

test("probeDisk knows others by their signatures", async () => {
  const text = (words: string) => Buffer.from(words, "latin1");
  const known: readonly [number, Uint8Array, string][] = [
    [512, text("EFI PART"), "partition table (GPT)"],
    [SIZE - 512, text("EFI PART"), "partition table (GPT)"],
    [510, Uint8Array.of(0x55, 0xaa), "partition table or boot sector"],
    [1080, Uint8Array.of(0x53, 0xef), "ext2/3/4 file system"],
    [0, text("XFSB"), "xfs file system"],
    [65536 + 64, text("_BHRfS_M"), "btrfs file system"],
    [512, text("LABELONE"), "LVM physical volume"],
    [4096, Uint8Array.of(0xfc, 0x4e, 0x2b, 0xa9), "software RAID (md)"],
    [SIZE - 8192, Uint8Array.of(0xfc, 0x4e, 0x2b, 0xa9), "software RAID (md)"],
    [0, text("LUKS\xba\xbe"), "LUKS volume"],
    [4086, text("SWAPSPACE2"), "swap space"],
    [126 * 1024, Uint8Array.of(0x0c, 0xb1, 0xba, 0), "ZFS"],
    [0, text("bluestore block device\n"), "bluestore (Ceph)"],
    [0, text("SPDKBLOB"), "SPDK blobstore"],
  ];
  for (const [at, bytes, what] of known) {
    deepStrictEqual(await probed([[at, bytes]]), { kind: "foreign", what });
  }
});

test("probeDisk finds the label by any one of its copies", async () => {
  const label = testLabel(1);
  const bytes = encoded(label);
  for (const slot of SLOTS) {
    const content = await probed([[slot * 4096, bytes]]);
    deepStrictEqual(content, { kind: "pool", label, damagedCopies: 0 });
  }
});

test("probeDisk finds the label of a disk that has grown since", async () => {
  const label = testLabel(1);
  const old = encoded(testLabel(1, { generation: 6 }));
  const writes: [number, Uint8Array][] = [
    [4 * 4096, old],
    [(BLOCKS - 4) * 4096, encoded(label)],
  ];
  const content = await probed(writes, { blocks: BLOCKS + 777 });
  deepStrictEqual(content, { kind: "pool", label, damagedCopies: 0 });
});

test("probeDisk takes the newest label, counts damaged copies, and says when all are", async () => {
  const label = testLabel(1);
  const bytes = encoded(label);
  const spoilt = Uint8Array.from(bytes);
  spoilt[700] = 1;
  const old = encoded(testLabel(1, { generation: 6 }));
  const [a, b, c, d] = SLOTS.map((slot) => slot * 4096) as [number, number, number, number];
  deepStrictEqual(
    await probed([
      [a, old],
      [b, bytes],
      [c, spoilt],
      [d, spoilt],
    ]),
    { kind: "pool", label, damagedCopies: 2 },
  );
  deepStrictEqual(await probed([[c, spoilt]]), { kind: "damaged", problem: "crc" });
});

test("probeDisk says newer of a label that this code does not know", async () => {
  const bytes = encoded(testLabel(1));
  new DataView(bytes.buffer).setUint32(40, 2, true);

  new DataView(bytes.buffer).setUint32(12, 0, true);
  new DataView(bytes.buffer).setUint32(12, crc32c(bytes, 0, bytes.length), true);
  const content = await probed([[12 * 4096, bytes]]);
  deepStrictEqual(content, { kind: "newer", bits: 2 });
});
