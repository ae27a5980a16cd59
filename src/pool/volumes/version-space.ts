/**
 * measureVersion: how much of what a version maps is its alone, and what deleting it would give
 * back. Found by walking what differs between it and its neighbours in the tree of versions;
 * exact when nothing changes meanwhile.
 *
 * spec: docs/internals/pool-format.md, Snapshots and clones
 */

import { loadPath } from "../check/load-path.ts";
import { MISSING } from "../pages/page-tree.ts";
import { yieldTurn } from "../recovery/await-call.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import { EdgeStep, KEYS_END, Piece } from "./edge-step.ts";
import { checkThere } from "./version-diff.ts";
import type { VolumeState } from "./volume-state.ts";

export interface VersionBlocks {
  /** Mapped by it and by no other version. */
  readonly ownBlocks: number;
  /** Mapped by it and by others. */
  readonly sharedBlocks: number;
  /**
   * Free when it is deleted: its own, and what a deleted snapshot alone holds that was only kept
   * for it. None while two or more versions begin at it.
   */
  readonly wouldFreeBlocks: number;
}

/** So many pieces are looked at before others get their turn. */
const STEPS_MAX = 64;

/** @throws PenstockError `snapshot-not-found`: it was deleted meanwhile */
export async function measureVersion(parts: PoolParts, x: VolumeState): Promise<VersionBlocks> {
  const ownBlocks = await countAlone(parts, x, null, x);
  const { origin } = x;
  let wouldFreeBlocks = x.children.size > 1 ? 0 : ownBlocks;
  // Without it a ghost has one child, and goes.
  if (x.children.size === 0 && origin?.isDeleting === true && origin.children.size === 2) {
    wouldFreeBlocks += await countAlone(parts, origin, x, x);
  }
  return { ownBlocks, sharedBlocks: Math.max(x.mappedBlocks - ownBlocks, 0), wouldFreeBlocks };
}

/** Blocks on the edge of `version` that no child but `except` has. `asked`: for whom. */
async function countAlone(
  parts: PoolParts,
  version: VolumeState,
  except: VolumeState | null,
  asked: VolumeState,
): Promise<number> {
  const { reactor } = parts.environment;
  const step = new EdgeStep(parts.cache);
  let count = 0;
  let key = version.cursor;
  for (let steps = 1; key < KEYS_END; steps++) {
    checkThere(asked);
    // It went while others had their turn: what it had is free by now, or somebody's.
    if (version.cursor > key) break;
    const found = step.look(version, childrenAt(version, key, except), key);
    if (found === MISSING) {
      if (step.stuckTree !== null) await loadPath(reactor, step.stuckTree, step.stuckKey);
      continue;
    }
    if (found === Piece.leaf) count += step.ownCount;
    step.reset();
    key = step.end;
    if (steps % STEPS_MAX === 0) await yieldTurn(reactor);
  }
  return count;
}

/** Of one that is being cut, and gone up to there, its own children stand in its place. */
function childrenAt(
  version: VolumeState,
  key: number,
  except: VolumeState | null,
  into: VolumeState[] = [],
): VolumeState[] {
  for (const child of version.children) {
    if (child === except) continue;
    if (child.cursor > key) childrenAt(child, key, null, into);
    else into.push(child);
  }
  return into;
}
