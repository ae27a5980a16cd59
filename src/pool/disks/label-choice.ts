/**
 * Which of the labels on a number of disks counts. Pure.
 *
 * spec: docs/internals/pool-format.md, Labels: Choosing
 */

import { PenstockError } from "../../util/errors.ts";
import { type LabelProblem, LabelState, type PoolLabel } from "./label-format.ts";

/** What one slot holds. */
export type LabelCopy =
  | { readonly kind: "label"; readonly label: PoolLabel }
  | { readonly kind: "problem"; readonly problem: LabelProblem; readonly newerBits: number }
  /** It cannot be read. */
  | { readonly kind: "unreadable" };

/** The slots of one device. */
export interface DeviceCopies {
  /** For messages. */
  readonly name: string;
  readonly copies: readonly LabelCopy[];
}

export interface LabelChoice {
  readonly label: PoolLabel;
  /** For each disk of the table the place of its device in what was given. */
  readonly devices: readonly number[];
  /** Disks of the table that have no copy of this generation: only older ones, or damaged ones. */
  readonly lacking: readonly number[];
  /** Copies that are of this label's generation or should be, and are not right. */
  readonly damagedCopies: number;
}

/**
 * @throws PenstockError `not-a-pool`, `label-damaged`, `pool-newer`, `pool-incomplete`,
 *   `disk-in-pool` (the devices are of several pools)
 */
export function chooseLabel(devices: readonly DeviceCopies[]): LabelChoice {
  const labels = devices.map(labelsOf);
  for (const [index, { name, copies }] of devices.entries()) {
    if (labels[index]?.length === 0) throw noLabel(name, copies);
  }
  const all = labels.flat();
  // There is one for each device.
  const best = all.reduce((one, other) => (isNewer(other, one) ? other : one));
  const own = labels.map((of) => of.filter(({ poolUuid }) => poolUuid === best.poolUuid));
  const foreign = own.findIndex(({ length }) => length === 0);
  if (foreign >= 0) throw severalPools(devices[foreign]?.name ?? "", best);
  // A newer one may be there that this code cannot read: then the older one does not count.
  const newer = devices.flatMap(({ name, copies }) => copies.map((copy) => ({ name, copy })));
  for (const { name, copy } of newer) {
    if (copy.kind === "problem" && copy.problem === "newer") throw noLabel(name, [copy]);
  }
  const places = placesOf(best, own, devices);
  const lacking = places.flatMap((place, index) => {
    const hasIt = labels[place]?.some(({ generation }) => generation === best.generation) === true;
    return hasIt ? [] : [index];
  });
  return { label: best, devices: places, lacking, damagedCopies: countDamaged(devices) };
}

function isNewer(one: PoolLabel, other: PoolLabel): boolean {
  if (one.generation !== other.generation) return one.generation > other.generation;
  // Written over the same generation when a sync had failed.
  return one.state === LabelState.syncFailed && other.state !== LabelState.syncFailed;
}

function labelsOf({ copies }: DeviceCopies): PoolLabel[] {
  return copies.flatMap((copy) => (copy.kind === "label" ? [copy.label] : []));
}

/** Where each disk of the table is. A disk's own copies say which one it is. */
function placesOf(
  best: PoolLabel,
  labels: readonly PoolLabel[][],
  devices: readonly DeviceCopies[],
): number[] {
  const uuids = labels.map((of) => {
    const own = of.reduce((one, other) => (isNewer(other, one) ? other : one));
    return own.disks[own.diskIndex]?.uuid;
  });
  const places = best.disks.map(({ uuid }) => uuids.indexOf(uuid));
  const missing = best.disks.filter((_, index) => places[index] === -1);
  if (missing.length > 0) {
    throw new PenstockError({
      code: "pool-incomplete",
      message:
        `pool ${best.name} has ${best.disks.length} disks, and these are not here: ` +
        missing.map(({ uuid }) => uuid).join(", "),
      details: { pool: best.name, missing: missing.map(({ uuid }) => uuid) },
    });
  }
  if (labels.length > best.disks.length) {
    const extra = labels.findIndex((_, index) => !places.includes(index));
    throw severalPools(devices[extra]?.name ?? "", best);
  }
  return places;
}

function countDamaged(devices: readonly DeviceCopies[]): number {
  let count = 0;
  for (const { copies } of devices) {
    for (const copy of copies) {
      // The other slot of a new pool has never been written.
      const isFresh = copy.kind === "problem" && copy.problem === "no-magic";
      if (copy.kind !== "label" && !isFresh) count++;
    }
  }
  return count;
}

function noLabel(name: string, copies: readonly LabelCopy[]): PenstockError {
  for (const copy of copies) {
    if (copy.kind !== "problem" || copy.problem !== "newer") continue;
    const what = copy.newerBits === 0 ? "version" : `feature bits 0x${copy.newerBits.toString(16)}`;
    return new PenstockError({
      code: "pool-newer",
      message: `${name} belongs to a pool of a newer Penstock (${what} unknown here)`,
      details: { device: name, bits: copy.newerBits },
    });
  }
  const isDamaged = copies.some(
    (copy) =>
      copy.kind === "unreadable" || (copy.kind === "problem" && copy.problem !== "no-magic"),
  );
  return new PenstockError(
    isDamaged
      ? {
          code: "label-damaged",
          message: `no label of the pool on ${name} is right any more`,
          details: { device: name },
        }
      : {
          code: "not-a-pool",
          message: `${name} does not belong to a pool`,
          details: { device: name },
        },
  );
}

function severalPools(name: string, { name: pool }: PoolLabel): PenstockError {
  return new PenstockError({
    code: "disk-in-pool",
    message: `${name} belongs to another pool than ${pool}, or to none of its disks`,
    details: { device: name, pool },
  });
}
