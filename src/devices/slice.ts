/**
 * SliceFilter: `slice?offset=1MiB&length=16MiB`: a range of the device below as one of its own.
 *
 * Shifts offsets on the way down and back; no state. What lies outside cannot be reached: the
 * range is checked when it is opened, each request by `submit`.
 */

import type { Device, DeviceInfo } from "../block/device.ts";
import { Filter, passAll } from "../block/filter.ts";
import type { Joint } from "../block/joint.ts";
import { Operation } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import type { Status } from "../block/status.ts";
import { PenstockError } from "../util/errors.ts";
import { formatSize } from "../util/size.ts";
import { uuidOfName } from "../util/uuid.ts";

/** Bytes of the device below. */
export interface SliceRange {
  readonly offset: number;
  /** Default: all that follows. */
  readonly length?: number | undefined;
}

export class SliceFilter extends Filter {
  readonly #offset: number;
  readonly #isOpenEnded: boolean;

  /** @throws PenstockError `slice-invalid`: misaligned, empty or not within the device below */
  constructor(below: Joint, name: string, range: SliceRange) {
    super(below, sliceInfo(below, name, range), passAll(below));
    this.#offset = range.offset;
    this.#isOpenEnded = range.length === undefined;
  }

  protected override sizeOver(sizeBytes: number): number {
    return this.#isOpenEnded ? sizeBytes - this.#offset : this.info.sizeBytes;
  }

  // hot path
  protected override start(request: Request): void {
    if (request.operation !== Operation.flush) request.offset += this.#offset;
    this.pass(request);
  }

  // hot path
  override passed(request: Request, status: Status): void {
    if (request.operation !== Operation.flush) request.offset -= this.#offset;
    if (request.errorOffset >= 0) request.errorOffset -= this.#offset;
    request.finish(status);
  }
}

function sliceInfo(below: Device, name: string, range: SliceRange): DeviceInfo {
  const { info } = below;
  const { offset } = range;
  if (offset >= info.sizeBytes) {
    throw invalid(info, `begins at ${offset}, expected less than its ${info.sizeBytes} bytes`);
  }
  const length = range.length ?? info.sizeBytes - offset;
  for (const [key, value] of Object.entries({ offset, length })) {
    if (value % info.blockSizeBytes !== 0) {
      const expected = `expected a multiple of its block size, ${info.blockSizeBytes}`;
      throw invalid(info, `has ${key} ${value}, ${expected}`);
    }
  }
  if (length === 0 || offset + length > info.sizeBytes) {
    const end = `${offset} + ${length} = ${offset + length}`;
    const room = formatSize(info.sizeBytes - offset);
    throw invalid(info, `ends at ${end}, expected 1 block to ${room} within ${info.sizeBytes}`);
  }
  // A slice that starts within a physical block does not know where these are any more.
  const isAligned = offset % info.physicalBlockSizeBytes === 0;
  return {
    ...info,
    kind: "slice",
    name,
    sizeBytes: length,
    physicalBlockSizeBytes: isAligned ? info.physicalBlockSizeBytes : info.blockSizeBytes,
    instanceId: uuidOfName(`slice:${info.instanceId}:${offset}:${length}`),
  };
}

function invalid(info: DeviceInfo, what: string): PenstockError {
  return new PenstockError({
    code: "slice-invalid",
    message: `the slice of ${info.name} ${what}`,
    details: { device: info.name, sizeBytes: info.sizeBytes, blockSizeBytes: info.blockSizeBytes },
  });
}
