// The conformance suite over mirrors of one to three devices, and what a mirror states of itself.

import { deepStrictEqual, notStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { deviceConformance } from "../block/conformance.ts";
import type { Device } from "../block/device.ts";
import { FileDevice } from "../devices/file.ts";
import { MallocDevice } from "../devices/malloc.ts";
import type { Reactor } from "../reactor/reactor.ts";
import type { TestReactor } from "../reactor/test-reactor.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import { openMirror } from "../testing/mirror-rig.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { uuidOfName } from "../util/uuid.ts";
import type { MirrorEvent } from "./mirror-options.ts";

const SIZE_BYTES = 16 * 2 ** 20;
const folder = makeTempDir({ after });
let files = 0;

function openMalloc(
  reactor: Reactor,
  name: string,
  options: { sizeBytes?: number; blockSizeBytes?: number; readOnly?: boolean } = {},
): Promise<Device> {
  const instanceId = uuidOfName(name);
  return MallocDevice.open(reactor, { name, sizeBytes: SIZE_BYTES, instanceId, ...options });
}

function openFile({ reactor, level }: TestReactor): Promise<Device> {
  const name = `leg-${++files}.img`;
  const path = level === "fake" ? `/${name}` : join(folder, name);
  return FileDevice.open(reactor, { path, sizeBytes: SIZE_BYTES });
}

for (const count of [1, 2, 3]) {
  deviceConformance(`mirror of ${count} mallocs`, async ({ reactor }) => {
    const names = Array.from({ length: count }, (_, index) => `leg${index}`);
    const legs = await Promise.all(names.map((name) => openMalloc(reactor, name)));
    return openMirror(reactor, legs);
  });
}

deviceConformance(
  "mirror of two mallocs for requests that cannot pin",
  async ({ reactor }) => {
    const legs = [await openMalloc(reactor, "a"), await openMalloc(reactor, "b")];
    return openMirror(reactor, legs);
  },
  {
    pinsMemory: false,
    openReadOnly: async ({ reactor }) => {
      const options = { readOnly: true };
      const legs = [
        await openMalloc(reactor, "a", options),
        await openMalloc(reactor, "b", options),
      ];
      return openMirror(reactor, legs);
    },
  },
);

deviceConformance("mirror of two files", async (place) => {
  const legs = [await openFile(place), await openFile(place)];
  return openMirror(place.reactor, legs, { readPolicy: "least-loaded" });
});

test("a mirror states what all of its children can do", () =>
  withReactor("fake", async ({ reactor }) => {
    const large = await openMalloc(reactor, "a", { sizeBytes: 8 * 2 ** 20 + 512 });
    const coarse = await openMalloc(reactor, "b", { blockSizeBytes: 4096 });
    const mirror = await openMirror(reactor, [large, coarse]);
    const { sizeBytes, blockSizeBytes, kind, readOnly, instanceId } = mirror.info;
    deepStrictEqual(
      { sizeBytes, blockSizeBytes, kind, readOnly },
      { sizeBytes: 8 * 2 ** 20, blockSizeBytes: 4096, kind: "mirror", readOnly: false },
    );
    await mirror.close();
    const again = [await openMalloc(reactor, "a"), await openMalloc(reactor, "b")];
    const same = await openMirror(reactor, again);
    strictEqual(same.info.instanceId, instanceId);
    const other = [await openMalloc(reactor, "a"), await openMalloc(reactor, "c")];
    const changed = await openMirror(reactor, other);
    notStrictEqual(changed.info.instanceId, instanceId);
    await same.close();
    await changed.close();
  }));

test("a mirror refuses children of which some are read-only, and none or too many", () =>
  withReactor("fake", async ({ reactor }) => {
    const writable = await openMalloc(reactor, "a");
    const fixed = await openMalloc(reactor, "b", { readOnly: true });
    await rejects(openMirror(reactor, [writable, fixed]), { code: "child-read-only" });
    await rejects(openMirror(reactor, []), { code: "child-count" });
    const many = Array.from({ length: 17 }, () => writable);
    await rejects(openMirror(reactor, many), { code: "child-count" });
  }));

test("a mirror without metadata says so when it is opened", () =>
  withReactor("fake", async ({ reactor }) => {
    const events: MirrorEvent[] = [];
    const legs = [await openMalloc(reactor, "a")];
    const mirror = await openMirror(reactor, legs, {
      onEvent: (event) => events.push(event),
    });
    deepStrictEqual(
      events.map(({ level, code }) => [level, code]),
      [["warning", "mirror-without-metadata"]],
    );
    await mirror.close();
  }));
