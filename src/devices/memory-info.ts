/**
 * What `malloc` and `null` have in common: checking their size, and what they state. Pure.
 */

import { type DeviceInfo, TRANSFER_BYTES_MAX } from "../block/device.ts";
import { PenstockError } from "../util/errors.ts";

const OPTIMAL_IO_BYTES = 128 * 1024;

export interface MemoryDeviceOptions {
  readonly name: string;
  readonly sizeBytes: number;
  readonly blockSizeBytes?: number;
  readonly readOnly?: boolean;
}

/** @throws PenstockError `size-invalid`, `block-size-invalid` */
export function checkMemorySize(sizeBytes: number, blockSizeBytes: number): void {
  if (blockSizeBytes !== 512 && blockSizeBytes !== 4096) {
    throw new PenstockError({
      code: "block-size-invalid",
      message: `block size ${blockSizeBytes} is neither 512 nor 4096`,
      details: { blockSizeBytes },
    });
  }
  if (!(Number.isSafeInteger(sizeBytes) && sizeBytes > 0) || sizeBytes % blockSizeBytes !== 0) {
    throw new PenstockError({
      code: "size-invalid",
      message: `size ${sizeBytes} is not a positive multiple of the block size ${blockSizeBytes}`,
      details: { sizeBytes, blockSizeBytes },
    });
  }
}

/** The device's statement about itself; memory has no cache below it that a flush would empty. */
export function memoryDeviceInfo(
  kind: string,
  options: MemoryDeviceOptions,
  extra: { readonly instanceId: string; readonly lendsReads: boolean },
): DeviceInfo {
  const blockSizeBytes = options.blockSizeBytes ?? 512;
  return {
    name: `${kind}:///${options.name}?size=${formatExactly(options.sizeBytes)}`,
    kind,
    sizeBytes: options.sizeBytes,
    blockSizeBytes,
    physicalBlockSizeBytes: 4096,
    optimalIoBytes: OPTIMAL_IO_BYTES,
    maxTransferBytes: TRANSFER_BYTES_MAX,
    readOnly: options.readOnly ?? false,
    volatileCache: false,
    discardGranularityBytes: blockSizeBytes,
    instanceId: extra.instanceId,
    lendsReads: extra.lendsReads,
  };
}

/** A text that means exactly this size: with a unit where that loses nothing. */
function formatExactly(sizeBytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = sizeBytes;
  let unit = 0;
  while (value % 1024 === 0 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value}${units[unit]}`;
}
