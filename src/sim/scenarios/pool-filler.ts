/** Writes a volume full: what clients then do goes round in the few blocks that are left. */

import { AwaitedRequest } from "../../block/awaited-request.ts";
import { Operation } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import type { StagedPool } from "./pool-door.ts";

const PIECE_BYTES = 1024 * 1024;

/** Nobody looks at its content. */
export async function fillVolume(
  pool: StagedPool,
  name: string,
  reactor: Reactor,
  sizeBytes: number,
): Promise<void> {
  const device = await pool.openVolume(name, { stageName: `lvol:///pool/${name}` });
  const { slabs } = reactor.io;
  const slab = slabs.allocate(PIECE_BYTES);
  slab.bytes.fill(0xf1);
  for (let offset = 0; offset < sizeBytes; offset += PIECE_BYTES) {
    const request = new AwaitedRequest();
    const length = Math.min(PIECE_BYTES, sizeBytes - offset);
    request.segments.push(slab.id, 0, length);
    const status = await request.run(device, { operation: Operation.write, offset, length });
    assert(status === Status.ok, "nothing fails before the pool is up");
  }
  slabs.release(slab);
  await device.close();
}
