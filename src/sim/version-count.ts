/**
 * countVersions: what the figures of snapshots and clones must be, by the dumb way: the blocks of
 * all versions are put into sets, and compared.
 */

import { TreeWalk } from "../pool/check/tree-walk.ts";
import type { Pool } from "../pool/pool.ts";
import { BLOCK_BYTES } from "../pool/pool-layout.ts";
import { addressOfEntry } from "../pool/volumes/mapping-entry.ts";
import type { VolumeState } from "../pool/volumes/volume-state.ts";

interface Figures {
  ownBytes: number;
  sharedBytes: number;
  wouldFreeBytes: number;
}

/** By uuid. Nothing changes meanwhile, nothing is being cut. */
export async function countVersions(pool: Pool): Promise<Map<string, Figures>> {
  const states = [...pool.parts.catalogue.all()];
  const blocks = new Map<VolumeState, Set<number>>();
  for (const state of states) blocks.set(state, await blocksOf(pool, state));
  const all = union(blocks, states);
  const figures = new Map<string, Figures>();
  for (const state of states) {
    if (state.isDeleting) continue;
    const mine = blocks.get(state) ?? new Set();
    const others = union(
      blocks,
      states.filter((other) => other !== state),
    );
    const own = [...mine].filter((address) => !others.has(address)).length;
    const left = union(blocks, keptWithout(states, state));
    figures.set(state.uuid, {
      ownBytes: own * BLOCK_BYTES,
      sharedBytes: (mine.size - own) * BLOCK_BYTES,
      wouldFreeBytes: (all.size - left.size) * BLOCK_BYTES,
    });
  }
  return figures;
}

/** Who is there when `gone` has been deleted: versions whose deletion waits for children stay. */
function keptWithout(states: readonly VolumeState[], gone: VolumeState): VolumeState[] {
  let kept = [...states];
  for (;;) {
    const next = kept.filter((state) => {
      const isDeleted = state === gone || state.isDeleting;
      return !isDeleted || branches(state, kept) >= 2;
    });
    if (next.length === kept.length) return kept;
    kept = next;
  }
}

/** Ways down from `state` that lead to one of `kept`. */
function branches(state: VolumeState, kept: readonly VolumeState[]): number {
  let count = 0;
  for (const child of state.children) {
    if (kept.includes(child)) count++;
    else count += branches(child, kept);
  }
  return count;
}

function union(
  blocks: ReadonlyMap<VolumeState, Set<number>>,
  states: readonly VolumeState[],
): Set<number> {
  const all = new Set<number>();
  for (const state of states) for (const address of blocks.get(state) ?? []) all.add(address);
  return all;
}

async function blocksOf(pool: Pool, { name, tree }: VolumeState): Promise<Set<number>> {
  const { environment, cache } = pool.parts;
  const found = new Set<number>();
  const visitor = {
    page: () => {},
    entry: (words: Uint32Array, at: number) => void found.add(addressOfEntry(words, at)),
    problem: (message: string) => {
      throw new Error(message);
    },
  };
  await new TreeWalk({ reactor: environment.reactor, cache, tree, name }, visitor).run();
  return found;
}
