// Tests of listDisks over folders that look like the kernel's.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { makeTempDir } from "../testing/temp-dir.ts";
import { PenstockError } from "../util/errors.ts";
import { listDisks } from "./device-list.ts";

const GIB_SECTORS = 2 ** 21;

function kernelOf(t: TestContext, files: Readonly<Record<string, string>>) {
  const root = makeTempDir(t);
  for (const [path, text] of Object.entries(files)) {
    const full = join(root, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, `${text}\n`);
  }
  return { sysBlock: join(root, "block"), proc: join(root, "proc") };
}

function disk(name: string, number: string, sectors = GIB_SECTORS): Record<string, string> {
  const base = `block/${name}`;
  return { [`${base}/size`]: String(sectors), [`${base}/dev`]: number, [`${base}/ro`]: "0" };
}

test("listDisks tells free disks from used ones, and touches no used one", async (t) => {
  const kernel = kernelOf(t, {
    ...disk("sda", "8:0"),
    "block/sda/device/model": "Fast Disk  ",
    ...disk("sda/sda1", "8:1"),
    ...disk("sda/sda2", "8:2"),
    ...disk("sda/sda10", "8:10"),
    ...disk("sdb", "8:16"),
    ...disk("sdc", "8:32"),
    ...disk("sdd", "8:48"),
    ...disk("sde", "8:64"),
    ...disk("sdf", "8:80"),
    "block/sdf/ro": "1",
    ...disk("loop0", "7:0", 0),
    ...disk("loop1", "7:1"),
    "block/loop1/holders/dm-0/x": "",
    ...disk("cciss!c0d0", "9:0"),
    "proc/self/mountinfo":
      "22 1 8:1 / /var/lib/a\\040b rw - ext4 /dev/sda1 rw\n23 1 8:1 / / rw - ext4 /dev/sda1 rw",
    "proc/swaps": "Filename Type\n/dev/sda2 partition 100 0 -2",
  });
  const probed: string[] = [];
  const disks = await listDisks({
    ...kernel,
    poolOf: (device) => (device === "/dev/sdb" ? "fast" : undefined),
    probe: async (device) => {
      probed.push(device);
      if (device === "/dev/sdd") {
        const details = { holder: "pipe x" };
        throw new PenstockError({ code: "claimed", message: "", details });
      }
      if (device === "/dev/sde") throw new PenstockError({ code: "no-medium", message: "none" });
      return device === "/dev/sdf" ? "ext4" : "";
    },
  });
  deepStrictEqual(
    disks.map(({ device, kind, use, content }) => [device, kind, use, content]),
    [
      ["/dev/cciss/c0d0", "disk", "free", ""],
      ["/dev/loop1", "loop", "used", "part of dm-0"],
      ["/dev/sda", "disk", "used", "3 partitions"],
      ["/dev/sda1", "partition", "used", "mounted at /"],
      ["/dev/sda2", "partition", "used", "swap space"],
      ["/dev/sda10", "partition", "free", ""],
      ["/dev/sdb", "disk", "used", "pool fast of this engine"],
      ["/dev/sdc", "disk", "free", ""],
      ["/dev/sdd", "disk", "used", "in use by pipe x"],
      ["/dev/sde", "disk", "unreadable", "no-medium: none"],
      ["/dev/sdf", "disk", "used", "ext4"],
    ],
  );
  deepStrictEqual(probed.slice(1, 3), ["/dev/sda10", "/dev/sdc"]);
  strictEqual(disks.find(({ device }) => device === "/dev/sda")?.model, "Fast Disk");
  deepStrictEqual(
    disks.filter(({ readOnly }) => readOnly).map(({ device, sizeBytes }) => [device, sizeBytes]),
    [["/dev/sdf", 2 ** 30]],
  );
});

test("listDisks finds nothing where the kernel tells nothing", async (t) => {
  const kernel = kernelOf(t, {});
  const options = { poolOf: () => undefined, probe: async () => "" };
  deepStrictEqual(await listDisks({ ...kernel, ...options }), []);
});
