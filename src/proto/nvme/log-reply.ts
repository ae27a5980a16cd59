/**
 * Get Log Page, what all pages have in common: the checks of offset and length, and the part of a
 * page that the host has asked for.
 *
 * spec: NVMe Base 2.0 5.16
 */

import type { GetLogPageCommand } from "./admin-commands.ts";
import { NvmeStatus } from "./status.ts";
import type { SlowCommand } from "./transport.ts";

/** @returns 0, or why the command cannot be answered whatever the page */
export function checkLogRequest(
  { replyBytesMax }: SlowCommand,
  { lengthBytes, offset, isIndex }: GetLogPageCommand,
  transferBytesMax: number,
): number {
  if (isIndex || offset % 4 !== 0) return NvmeStatus.invalidField;
  if (lengthBytes > transferBytesMax) return NvmeStatus.invalidField;
  return lengthBytes > replyBytesMax ? NvmeStatus.dataSglLengthInvalid : NvmeStatus.success;
}

/**
 * The part of a page, with zeroes behind its end.
 * @returns null: the offset is beyond the page
 */
export function logPart(
  page: Uint8Array,
  { lengthBytes, offset }: GetLogPageCommand,
): Uint8Array | null {
  if (offset > page.length) return null;
  const part = new Uint8Array(lengthBytes);
  part.set(page.subarray(offset, offset + lengthBytes));
  return part;
}
