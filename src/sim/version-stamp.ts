/** Content of blocks as a number: 0 for zeroes. Pure. */

import { BLOCK_BYTES } from "../pool/pool-layout.ts";

const SECTOR_BYTES = 512;

/** So many blocks that hold `value`. */
export function stampedBlocks(value: number, blocks: number): Uint8Array {
  const bytes = new Uint8Array(blocks * BLOCK_BYTES);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += SECTOR_BYTES) view.setUint32(at, value, true);
  return bytes;
}

/** @throws Error when not all of the block holds the same */
export function stampOf(bytes: Uint8Array, block: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset + block * BLOCK_BYTES, BLOCK_BYTES);
  const value = view.getUint32(0, true);
  for (let at = 0; at < BLOCK_BYTES; at += SECTOR_BYTES) {
    if (view.getUint32(at, true) !== value) throw new Error("a block is torn");
  }
  return value;
}
