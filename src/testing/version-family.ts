/** What versions of a pool hold, for tests: writes tags, and reads them by a walk of the trees. */

import { strictEqual } from "node:assert/strict";
import { Status } from "../block/status.ts";
import { BlockRun } from "../pool/check/block-run.ts";
import type { Pool } from "../pool/pool.ts";
import { BLOCK_BYTES } from "../pool/pool-layout.ts";
import { addressOfEntry } from "../pool/volumes/mapping-entry.ts";
import { TreeStep } from "../pool/volumes/tree-step.ts";
import { MappingWord, type VolumeState } from "../pool/volumes/volume-state.ts";
import { openForTest } from "./pool-rig.ts";

/** What a version holds: a tag by block; one that is not there reads as zeroes. */
export type Content = Map<number, number>;

const READ_BLOCKS = 64;

export function stateOf(pool: Pool, name: string): VolumeState {
  const state = pool.parts.catalogue.byName(name);
  if (state === undefined) throw new Error(`there is no ${name}`);
  return state;
}

/** Of each run of blocks: consecutive keys and tags. */
export async function writeTags(
  pool: Pool,
  volume: string,
  runs: readonly { readonly first: number; readonly tags: readonly number[] }[],
): Promise<void> {
  const device = await openForTest(pool, volume);
  const writes = runs.map(({ first, tags }) => {
    const bytes = new Uint8Array(tags.length * BLOCK_BYTES);
    const words = new Uint32Array(bytes.buffer);
    for (const [index, tag] of tags.entries()) {
      words.fill(tag, (index * BLOCK_BYTES) / 4, ((index + 1) * BLOCK_BYTES) / 4);
    }
    return device.writeAt(first * BLOCK_BYTES, bytes);
  });
  await Promise.all(writes);
  await device.close();
}

/** What a version holds by its tree and the disks; every block has one tag, and its checksum. */
export async function contentOf(pool: Pool, version: VolumeState): Promise<Content> {
  const { parts } = pool;
  const { words } = parts.cache;
  const step = new TreeStep(parts.environment.reactor);
  const run = new BlockRun(parts, READ_BLOCKS);
  const content: Content = new Map();
  try {
    for (let key = 0; ; ) {
      const found: { key: number; address: number; checksum: number }[] = [];
      while (found.length < READ_BLOCKS) {
        const at = await step.atLeast(version.tree, key);
        if (at === null) break;
        if (at < 0) throw new Error(`a page of ${version.name} cannot be read`);
        const block = words[at] as number; // an entry of a leaf
        const checksum = words[at + MappingWord.checksum] as number;
        found.push({ key: block, address: addressOfEntry(words, at), checksum });
        key = block + 1;
      }
      if (found.length === 0) return content;
      const reads = found.map(({ address }, index) => run.read(address, 1, index));
      for (const status of await Promise.all(reads)) strictEqual(status, Status.ok);
      for (const [index, block] of found.entries()) {
        content.set(block.key, tagAt(parts, run, index, block));
      }
    }
  } finally {
    run.close();
  }
}

function tagAt(
  { checksum }: Pool["parts"],
  { slab }: BlockRun,
  index: number,
  block: { readonly key: number; readonly checksum: number },
): number {
  const offset = index * BLOCK_BYTES;
  const found = checksum.ofBytes(slab.bytes, offset);
  strictEqual(found, block.checksum, `block ${block.key} has another checksum`);
  return new DataView(slab.bytes.buffer, slab.bytes.byteOffset + offset).getUint32(0, true);
}
