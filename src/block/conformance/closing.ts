/**
 * Conformance: closing while I/O runs, and memory that a device lends.
 */

import { ok, strictEqual } from "node:assert/strict";
import { Operation, RequestFlag } from "../operation.ts";
import { Status } from "../status.ts";
import { expectBytes, type Kit } from "./kit.ts";

export async function closeDrainsAndRefuses(kit: Kit): Promise<void> {
  const { device, blockSize } = kit;
  const ask = { length: 8 * blockSize, data: kit.noise(8 * blockSize) };
  const requests = Array.from({ length: 200 }, (_, index) =>
    kit.request({
      operation: index % 2 === 0 ? Operation.read : Operation.write,
      offset: kit.prng.below(256) * blockSize,
      ...ask,
    }),
  );
  const ends = requests.map((request) => request.run());
  const closed = device.close();
  strictEqual(device.close(), closed, "a second close gives the first one's promise");
  const late = await kit.request({ operation: Operation.read, length: blockSize }).run();
  strictEqual(late.status, Status.notReady);
  await closed;
  strictEqual(device.inFlight, 0, "close waits for what is in flight");
  for (const request of requests) strictEqual(request.isPending, false);
  const statuses: readonly number[] = (await Promise.all(ends)).map(({ status }) => status);
  for (const status of statuses) {
    ok(([Status.ok, Status.aborted, Status.notReady] as number[]).includes(status), `${status}`);
  }
  strictEqual(device.close(), closed);
  for (const operation of [Operation.read, Operation.flush, Operation.discard]) {
    const length = operation === Operation.flush ? 0 : blockSize;
    const { status } = await kit.request({ operation, length }).run();
    ok(status === Status.notReady, `operation ${operation} after close: status ${status}`);
  }
}

export async function lentMemoryIsTheContent(kit: Kit): Promise<void> {
  await kit.fillWithNoise(0, 256 * 1024);
  const { device, blockSize } = kit;
  const flags = RequestFlag.mayLend;
  const offset = 64 * 1024 - blockSize;
  const length = 16 * blockSize;
  const request = kit.request({ operation: Operation.read, offset, length, flags });
  if (!device.info.lendsReads) {
    // The flag is only leave: a device that does not lend fills the segments it is given.
    await request.run();
    strictEqual(request.status, Status.ok);
    strictEqual(request.lent, false);
    expectBytes(kit.bytesOf(request), kit.model.subarray(offset, offset + length), offset);
    request.segments.clear();
    await request.run();
    strictEqual(request.status, Status.invalid);
    return;
  }
  for (const keepSegments of [true, false]) {
    if (!keepSegments) request.segments.clear();
    await request.run();
    strictEqual(request.status, Status.ok);
    if (request.lent) strictEqual(device.lent, 1);
    strictEqual(request.segments.lengthBytes, length);
    expectBytes(kit.bytesOf(request), kit.model.subarray(offset, offset + length), offset);
    if (request.lent) request.returnLent();
    strictEqual(device.lent, 0);
  }
}

export async function lentMemoryHoldsCloseBack(kit: Kit): Promise<void> {
  const { device, blockSize } = kit;
  if (!device.info.lendsReads) return; // lentMemoryIsTheContent covers it
  await kit.fillWithNoise(0, 256 * 1024);
  const ask = { operation: Operation.read, length: 4 * blockSize, flags: RequestFlag.mayLend };
  const first = await kit.request(ask).run();
  const second = await kit.request(ask).run();
  ok(first.lent && second.lent);
  let isClosed = false;
  const closed = device.close().then(() => {
    isClosed = true;
  });
  first.returnLent();
  await kit.sleep(20);
  strictEqual(isClosed, false, "close waits for lent memory");
  expectBytes(kit.bytesOf(second), kit.model.subarray(0, ask.length), 0);
  second.returnLent();
  await closed;
}
