/**
 * Conformance: what a device states, what it refuses, and how requests complete.
 */

import { match, ok, strictEqual } from "node:assert/strict";
import { TRANSFER_BYTES_MAX } from "../device.ts";
import { Operation, OPERATION_NAMES, type OperationTable, RequestFlag } from "../operation.ts";
import { Status } from "../status.ts";
import { type Ask, type Kit, WINDOW_BYTES } from "./kit.ts";

const IS_LONG_RUN = process.env.PENSTOCK_LONG === "1";
/** A stack of the usual size takes some thousand. */
const CHAIN_LENGTH = IS_LONG_RUN ? 30_000 : 10_000;
/** Devices with slow media end the chain after this time on the reactor's clock. */
const CHAIN_MS_MAX = IS_LONG_RUN ? 1500 : 500;
const CHAIN_LENGTH_MIN = 200;

export async function infoMakesSense({ device }: Kit): Promise<void> {
  const { info, operations } = device;
  ok(info.name.length > 0 && info.kind.length > 0);
  ok([512, 4096].includes(info.blockSizeBytes), `block size ${info.blockSizeBytes}`);
  ok(Number.isSafeInteger(info.sizeBytes) && info.sizeBytes > 0, `size ${info.sizeBytes}`);
  strictEqual(info.sizeBytes % info.blockSizeBytes, 0);
  for (const bytes of [
    info.physicalBlockSizeBytes,
    info.optimalIoBytes,
    info.maxTransferBytes,
    info.discardGranularityBytes,
  ]) {
    ok(bytes >= info.blockSizeBytes && bytes % info.blockSizeBytes === 0, `${bytes} bytes`);
  }
  ok(info.maxTransferBytes <= TRANSFER_BYTES_MAX);
  ok(info.optimalIoBytes <= info.maxTransferBytes);
  match(info.instanceId, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  strictEqual(Object.keys(operations).length, OPERATION_NAMES.length);
}

/** One sensible request of each operation. */
function sensibleAsk(kit: Kit, name: keyof OperationTable): Ask {
  const length = 2 * kit.blockSize;
  const operation = Operation[name];
  if (operation === Operation.flush) return { operation };
  if (operation === Operation.compareAndWrite) {
    return { operation, data: new Uint8Array(2 * length) };
  }
  const carries = operation === Operation.write || operation === Operation.compare;
  return carries ? { operation, data: new Uint8Array(length) } : { operation, length };
}

export async function operationsAreAsDeclared(kit: Kit): Promise<void> {
  for (const name of Object.keys(kit.device.operations) as (keyof OperationTable)[]) {
    const status = kit.supports(name) ? Status.ok : Status.unsupported;
    await kit.expect(sensibleAsk(kit, name), status);
  }
}

export async function badRequestsGetTheirStatus(kit: Kit): Promise<void> {
  const { blockSize, device } = kit;
  const { sizeBytes, maxTransferBytes } = device.info;
  await kit.fillWithNoise(0, 64 * 1024);
  const ranges: readonly [offset: number, length: number, status: Status][] = [
    [1, blockSize, Status.misaligned],
    [blockSize / 2, blockSize, Status.misaligned],
    [2 ** 32 + 1, blockSize, Status.misaligned],
    [0, blockSize - 1, Status.misaligned],
    [0, blockSize + blockSize / 2, Status.misaligned],
    [0, 0, Status.invalid],
    [0, -blockSize, Status.invalid],
    [-blockSize, 2 * blockSize, Status.invalid],
    [Number.NaN, blockSize, Status.invalid],
    [sizeBytes, blockSize, Status.outOfRange],
    [sizeBytes - blockSize, 2 * blockSize, Status.outOfRange],
    [2 ** 53 - 2 ** 13, blockSize, Status.outOfRange],
  ];
  const names = Object.keys(device.operations) as (keyof OperationTable)[];
  for (const name of names.filter((each) => each !== "flush" && kit.supports(each))) {
    for (const [offset, length, status] of ranges) {
      const request = kit.request(sensibleAsk(kit, name));
      request.offset = offset;
      request.length = length;
      await request.run();
      strictEqual(request.status, status, `${name} at ${offset} length ${length}`);
    }
    const carries = sensibleAsk(kit, name).data !== undefined || name === "read";
    if (carries) await badSegmentsAreInvalid(kit, name, maxTransferBytes);
  }
  await kit.verify(0, 64 * 1024);
}

async function badSegmentsAreInvalid(
  kit: Kit,
  name: keyof OperationTable,
  maxTransferBytes: number,
): Promise<void> {
  const none = kit.request(sensibleAsk(kit, name));
  none.segments.clear();
  const short = kit.request(sensibleAsk(kit, name));
  short.length += kit.blockSize;
  const factor = name === "compareAndWrite" ? 2 : 1;
  const tooLong = maxTransferBytes + kit.blockSize;
  const long = kit.request({
    operation: Operation[name],
    length: factor * tooLong,
    ...(name === "read" ? {} : { data: new Uint8Array(factor * tooLong) }),
  });
  strictEqual(long.segments.lengthBytes, factor * tooLong);
  for (const request of [none, short, long]) {
    await request.run();
    strictEqual(request.status, Status.invalid, name);
  }
}

export async function otherFieldsAreChecked(kit: Kit): Promise<void> {
  if (kit.supports("flush")) {
    await kit.expect({ operation: Operation.flush, length: kit.blockSize }, Status.invalid);
  }
  if (kit.supports("blockStatus")) {
    const request = kit.request({ operation: Operation.blockStatus, length: kit.blockSize });
    request.extents = null;
    await request.run();
    strictEqual(request.status, Status.invalid);
  }
}

export async function changesAreRefusedWhenReadOnly(kit: Kit): Promise<void> {
  strictEqual(kit.device.info.readOnly, true);
  for (const name of Object.keys(kit.device.operations) as (keyof OperationTable)[]) {
    if (!kit.supports(name)) continue;
    const changes = ["write", "discard", "writeZeroes", "compareAndWrite"].includes(name);
    // Compare may find other bytes than the zeroes asked for: that is an answer as well.
    const { status } = await kit.run(sensibleAsk(kit, name));
    const expected = changes ? [Status.readOnly] : [Status.ok, Status.compareFailed];
    ok(expected.includes(status as never), `${name}: status ${status}`);
  }
}

/** Resubmits from inside complete, as fast as it goes: must not recurse. */
export async function longChainsDoNotGrowTheStack(kit: Kit): Promise<void> {
  const request = kit.request({ operation: Operation.read, length: kit.blockSize });
  const { clock } = kit.reactor;
  const deadlineMs = clock.nowMs() + CHAIN_MS_MAX;
  let ended = 0;
  let failed = 0;
  await new Promise<void>((resolve) => {
    request.onEnd = () => {
      ended++;
      if (request.status !== Status.ok) failed++;
      const isLate = ended >= CHAIN_LENGTH_MIN && clock.nowMs() > deadlineMs;
      if (ended === CHAIN_LENGTH || isLate) kit.reactor.deliverLater(resolve);
      else request.submit();
    };
    request.submit();
  });
  strictEqual(failed, 0);
  strictEqual(request.generation, ended);
}

export async function manyAtOnceCompleteOnce(kit: Kit): Promise<void> {
  const count = 1000;
  const requests = Array.from({ length: count }, (_, index) =>
    kit.request({
      operation: Operation.read,
      offset: ((index * kit.blockSize) % WINDOW_BYTES) as number,
      length: kit.blockSize,
    }),
  );
  let ended = 0;
  await new Promise<void>((resolve) => {
    for (const request of requests) {
      request.onEnd = () => {
        ended++;
        if (ended === count) kit.reactor.deliverLater(resolve);
      };
      request.submit();
    }
    strictEqual(kit.device.inFlight, count);
    strictEqual(ended, 0);
  });
  // A second completion would come soon: the requests notice it.
  await kit.sleep(5);
  strictEqual(ended, count);
  strictEqual(kit.device.inFlight, 0);
}

export async function flushAndFuaSucceed(kit: Kit): Promise<void> {
  const fua = RequestFlag.fua;
  const data = kit.noise(4 * kit.blockSize);
  const change = kit.noise(2 * kit.blockSize);
  await kit.write(0, data, { flags: fua });
  await kit.write(kit.blockSize, change, { flags: fua, segmentCount: 2 });
  await kit.expect({ operation: Operation.flush }, Status.ok);
  await kit.expect({ operation: Operation.flush, flags: fua }, Status.ok);
  await kit.read(0, kit.blockSize, { flags: fua });
  await Promise.all([
    kit.expect({ operation: Operation.flush }, Status.ok),
    kit.write(0, change),
    kit.expect({ operation: Operation.flush }, Status.ok),
  ]);
  await kit.verify(0, 64 * 1024);
}
