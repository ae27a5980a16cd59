/** A device whose `close` also closes what it stands on. */

import type { Device } from "../block/device.ts";

/** @returns the device; closing it closes the others, too, one after the other, once */
export function closedWith<D extends Device>(
  device: D,
  ...others: readonly { close(): Promise<void> }[]
): D {
  const closeDevice = device.close.bind(device);
  let closed: Promise<void> | null = null;
  const closeAll = async (): Promise<void> => {
    await closeDevice();
    for (const other of others) await other.close();
  };
  device.close = () => {
    closed ??= closeAll();
    return closed;
  };
  return device;
}
