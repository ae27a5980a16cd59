/** Our initiator against servers of others: the suite that every device passes. */

import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { deviceConformance, type DeviceConformanceOptions } from "../../src/block/conformance.ts";
import { NbdDevice, type NbdOptions } from "../../src/devices/nbd.ts";
import { TEST_LEVELS, type TestReactor } from "../../src/reactor/test-reactor.ts";
import {
  type ForeignServer,
  startNbdkit,
  startQemuNbd,
} from "../../src/testing/foreign-nbd-server.ts";
import { openingId } from "../../src/testing/nbd-pair.ts";
import { missingTools } from "../../src/testing/require-tool.ts";

const SIZE_BYTES = 16 * 1024 * 1024 + 4096;
const LEVELS = TEST_LEVELS.filter((level) => level !== "fake");
const URING = LEVELS.filter((level) => level === "uring");

interface Row {
  readonly name: string;
  readonly tools: readonly string[];
  start(folder: string): Promise<ForeignServer>;
  readonly initiator?: Partial<NbdOptions>;
  readonly levels?: DeviceConformanceOptions["levels"];
}

function socketIn(folder: string): string {
  return join(folder, "socket");
}

function imageIn(folder: string): string {
  const path = join(folder, "image");
  writeFileSync(path, "");
  truncateSync(path, SIZE_BYTES);
  return path;
}

const ROWS: readonly Row[] = [
  {
    name: "nbd of nbdkit memory",
    tools: ["nbdkit"],
    start: (folder) => startNbdkit(socketIn(folder), ["memory", `${SIZE_BYTES}`]),
  },
  {
    name: "nbd of nbdkit memory without structured replies",
    tools: ["nbdkit"],
    start: (folder) => startNbdkit(socketIn(folder), ["--no-sr", "memory", `${SIZE_BYTES}`]),
  },
  {
    name: "nbd of nbdkit file, 4096-byte blocks",
    tools: ["nbdkit"],
    start: (folder) => startNbdkit(socketIn(folder), ["file", imageIn(folder)]),
    initiator: { blockSizeBytes: 4096 },
  },
  {
    name: "nbd of nbdkit without zeroing and FUA",
    tools: ["nbdkit"],
    start: (folder) => {
      const filters = ["--filter=nozero", "--filter=fua"];
      return startNbdkit(socketIn(folder), [...filters, "memory", `${SIZE_BYTES}`]);
    },
  },
  {
    name: "nbd of qemu-nbd",
    tools: ["qemu-nbd"],
    start: (folder) => {
      const args = ["--format=raw", "--discard=unmap", imageIn(folder)];
      return startQemuNbd(socketIn(folder), args);
    },
  },
];

for (const row of ROWS) {
  const skip = missingTools(...row.tools);
  if (skip !== false) {
    test(row.name, { skip }, () => undefined);
    continue;
  }
  deviceConformance(row.name, (place) => open(row, place), { levels: row.levels ?? URING });
}

/** A server of its own for each test; closing the device ends it. */
async function open(row: Row, { reactor }: TestReactor): Promise<NbdDevice> {
  const folder = mkdtempSync(join(tmpdir(), "penstock-initiator-"));
  const server = await row.start(folder);
  const device = await NbdDevice.open(reactor, {
    address: { kind: "unix", path: server.socketPath },
    exportName: "",
    name: "nbd+unix:///",
    openingId: openingId(),
    ...row.initiator,
  });
  const closeDevice = device.close.bind(device);
  let closed: Promise<void> | null = null;
  device.close = () => {
    closed ??= closeDevice()
      .then(() => server.kill())
      .then(() => rmSync(folder, { recursive: true, force: true }));
    return closed;
  };
  return device;
}
