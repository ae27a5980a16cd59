// Tests of crypt: the suite of every device over malloc and file, and what only crypt promises.

import { after } from "node:test";
import { AwaitedRequest } from "../block/awaited-request.ts";
import { deviceConformance } from "../block/conformance.ts";
import type { Device } from "../block/device.ts";
import { Joint } from "../block/joint.ts";
import { Operation } from "../block/operation.ts";
import { Status } from "../block/status.ts";
import type { TestReactor } from "../reactor/test-reactor.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { strictEqual } from "node:assert/strict";
import { CryptFilter, type CryptOptions } from "./crypt.ts";
import { FileDevice } from "./file.ts";
import { MallocDevice } from "./malloc.ts";

const SIZE_BYTES = 16 * 1024 * 1024 + 4096;
const folder = makeTempDir({ after });
let files = 0;
type OpenBelow = (test: TestReactor) => Promise<Device>;

const malloc: OpenBelow = ({ reactor }) =>
  MallocDevice.open(reactor, {
    name: "below",
    sizeBytes: SIZE_BYTES,
    instanceId: "11111111-2222-4333-8444-555555555555",
  });

const file: OpenBelow = ({ reactor }) =>
  FileDevice.open(reactor, { path: `${folder}/${files++}.img`, sizeBytes: SIZE_BYTES });

const KEY = new Uint8Array(64).map((_, index) => index);

function optionsOf(extra: Partial<CryptOptions> = {}): CryptOptions {
  return {
    name: "crypt?key=file:/etc/k",
    sectorBytes: 512,
    ivLargeSectors: false,
    skipBytes: 0,
    discard: "zeroes",
    readKey: async () => KEY.slice(),
    ...extra,
  };
}

/** Full of encrypted zeroes, as the suite wants to find it. */
function zeroed(openBelow: OpenBelow, extra: Partial<CryptOptions> = {}): OpenBelow {
  return async (place) => {
    const below = await openBelow(place);
    const device = await CryptFilter.open(new Joint(below), optionsOf(extra));
    const { sizeBytes: length } = below.info;
    const operation = Operation.writeZeroes;
    strictEqual(await new AwaitedRequest().run(device, { operation, length }), Status.ok);
    return device;
  };
}

deviceConformance("crypt of 512-byte sectors over malloc", zeroed(malloc));
deviceConformance("crypt of 4096-byte sectors over malloc", zeroed(malloc, { sectorBytes: 4096 }));
deviceConformance(
  "crypt without discard over malloc",
  zeroed(malloc, { sectorBytes: 4096, ivLargeSectors: true, discard: "refuse" }),
);
deviceConformance("crypt of 512-byte sectors over file", zeroed(file));
deviceConformance(
  "crypt of 4096-byte sectors, counted as such, over file",
  zeroed(file, { sectorBytes: 4096, ivLargeSectors: true }),
);
