/**
 * The package's door: `import { open } from "penstock"`. See docs/guide/library.md.
 *
 * Everything that is exported here is a promise to others; nothing else is.
 */

import { LibraryDevice } from "./library/library-device.ts";
import type { OpenOptions, PenstockDevice } from "./library/public-types.ts";

export type {
  AlignedBuffer,
  BlockStatus,
  DeviceEvent,
  DeviceShare,
  InsertOptions,
  Level,
  OpenOptions,
  PenstockDevice,
  PenstockDeviceInfo,
  PipeDescription,
  RemoveOptions,
  StageDescription,
  WriteOptions,
} from "./library/public-types.ts";
export { PenstockError } from "./util/errors.ts";

/**
 * Opens a pipe without a share, such as `file:///var/lib/disk.img?size=1GiB | limit?iops=500`, as
 * a device in this process. The device keeps the process alive until it is closed.
 *
 * Rejects with a PenstockError: one of the text with the place of the mistake, one of a stage that
 * could not be opened, or `level-unavailable`; nothing is left open then.
 */
export async function open(text: string, options: OpenOptions = {}): Promise<PenstockDevice> {
  return await LibraryDevice.open(text, options);
}
