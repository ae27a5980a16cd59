/**
 * Growing a file while it is open: its last block is looked for, and written when it is not there,
 * which makes a regular file longer, sparsely; a block device has it or cannot get it.
 *
 * One growth of a device at a time: the pipe sees to that.
 */

import { AwaitedRequest } from "../block/awaited-request.ts";
import type { Device } from "../block/device.ts";
import { Operation } from "../block/operation.ts";
import { Status, statusName } from "../block/status.ts";
import type { PoolBuffer } from "../reactor/buffer-pool.ts";
import { PenstockError } from "../util/errors.ts";
import { formatSize } from "../util/size.ts";

/**
 * @param sizeBytes the whole size, larger than the one it has
 * @param takeSize makes the device state a size
 * @throws PenstockError `size-invalid`, `out-of-buffers`, `resize-failed`
 */
export async function growMedium(
  device: Device,
  sizeBytes: number,
  takeSize: (sizeBytes: number) => void,
): Promise<void> {
  const { sizeBytes: before, blockSizeBytes } = device.info;
  checkSize(device, sizeBytes);
  if (sizeBytes === before) return;
  const buffer = device.reactor.buffers.acquire(blockSizeBytes);
  if (buffer === null) {
    throw new PenstockError({
      code: "out-of-buffers",
      message: `there is no buffer to grow ${device.info.name} with`,
      retryable: true,
    });
  }
  // What stands on the device keeps its clients within the old size meanwhile.
  takeSize(sizeBytes);
  try {
    await reachEnd(device, buffer);
  } catch (thrown) {
    takeSize(before);
    throw thrown;
  } finally {
    buffer.release();
  }
}

async function reachEnd(device: Device, buffer: PoolBuffer): Promise<void> {
  const { blockSizeBytes: length, sizeBytes } = device.info;
  const transfer = async (operation: Operation): Promise<Status> => {
    const request = new AwaitedRequest();
    request.segments.push(buffer.slab.id, buffer.offset, length);
    return await request.run(device, { operation, offset: sizeBytes - length, length });
  };
  // It may have been made longer by others, with data in it.
  if ((await transfer(Operation.read)) === Status.ok) return;
  buffer.slab.bytes.fill(0, buffer.offset, buffer.offset + length);
  let status = await transfer(Operation.write);
  if (status === Status.ok) {
    status = await new AwaitedRequest().run(device, { operation: Operation.flush });
  }
  if (status === Status.ok) return;
  throw new PenstockError({
    code: "resize-failed",
    message:
      `${device.info.name} cannot be made ${formatSize(sizeBytes)} long: ` +
      `writing its last block failed with ${statusName(status)}`,
    details: { device: device.info.name, sizeBytes, status: statusName(status) },
  });
}

function checkSize({ info }: Device, sizeBytes: number): void {
  const { name, sizeBytes: before, blockSizeBytes, readOnly } = info;
  if (readOnly) {
    throw new PenstockError({
      code: "resize-unsupported",
      message: `${name} is open for reading only: it cannot grow`,
    });
  }
  if (sizeBytes >= before && sizeBytes % blockSizeBytes === 0) return;
  throw new PenstockError({
    code: "size-invalid",
    message:
      `${name} has ${before} bytes: found a new size of ${sizeBytes}, ` +
      `expected at least that, in multiples of ${blockSizeBytes}`,
    details: { sizeBytes, before },
  });
}
