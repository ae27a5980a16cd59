/**
 * What a checksum of a pool's block costs: 4 KiB in slabs, by each kind, in turn, in one process:
 * blocks that the processor's cache holds, blocks that come from memory, and blocks in two pieces.
 * Prints a table of medians: nanoseconds of processor time, and what a call leaves for the
 * garbage collector.
 *
 *   node bench/pool-checksum.ts [CALLS]
 */

import { SegmentList } from "../src/block/segments.ts";
import { BLOCK_BYTES } from "../src/pool/pool-layout.ts";
import {
  type BlockChecksum,
  blockChecksum,
  CHECKSUM_KINDS,
} from "../src/pool/volumes/block-checksum.ts";
import { chooseLevel, openIo } from "../src/reactor/open-io.ts";
import type { SlabSpace } from "../src/reactor/slab.ts";
import { Prng } from "../src/util/prng.ts";

const ROUNDS = 9;
const CALLS_DEFAULT = 100_000;
/** Few enough that no collection comes between. */
const HEAP_CALLS = 5000;
const HEAP_ROUNDS = 5;
const PIECE_BYTES = 1536;

const LAYOUTS: Readonly<Record<string, { readonly blocks: number; readonly pieces: number }>> = {
  "cached, one piece": { blocks: 16, pieces: 1 },
  "from memory, one piece": { blocks: 32_768, pieces: 1 },
  "cached, two pieces": { blocks: 16, pieces: 2 },
};

interface Lists {
  readonly slabs: SlabSpace;
  readonly blocks: readonly SegmentList[];
}

function makeLists(slabs: SlabSpace, layout: { blocks: number; pieces: number }): Lists {
  const slab = slabs.allocate(layout.blocks * BLOCK_BYTES);
  const prng = new Prng(1);
  for (let at = 0; at < slab.words.length; at++) slab.words[at] = prng.nextUint32();
  const blocks = Array.from({ length: layout.blocks }, (_, index) => {
    const list = new SegmentList();
    const first = layout.pieces === 1 ? BLOCK_BYTES : PIECE_BYTES;
    list.push(slab.id, index * BLOCK_BYTES, first);
    if (first < BLOCK_BYTES) {
      list.push(slab.id, index * BLOCK_BYTES + first, BLOCK_BYTES - first);
    }
    return list;
  });
  return { slabs, blocks };
}

/** @returns nanoseconds of processor time per call: others may use the machine as well */
function nsPerCall(checksum: BlockChecksum, lists: Lists, calls: number): number {
  const before = process.threadCpuUsage();
  callOften(checksum, lists, calls);
  const { user, system } = process.threadCpuUsage(before);
  return ((user + system) * 1000) / calls;
}

function heapBytesPerCall(checksum: BlockChecksum, lists: Lists): number {
  const found: number[] = [];
  for (let round = 0; round < HEAP_ROUNDS; round++) {
    const before = process.memoryUsage().heapUsed;
    callOften(checksum, lists, HEAP_CALLS);
    found.push((process.memoryUsage().heapUsed - before) / HEAP_CALLS);
  }
  return median(found);
}

function callOften(checksum: BlockChecksum, { slabs, blocks }: Lists, calls: number): void {
  let index = 0;
  for (let call = 0; call < calls; call++) {
    sums[call & 0xff] = checksum.ofSegments(slabs, blocks[index] as SegmentList, 0);
    index = index + 1 === blocks.length ? 0 : index + 1;
  }
}

/** Where results go, as leaves of mapping trees would take them. */
const sums = new Uint32Array(256);

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

async function main(): Promise<void> {
  const calls = Number(process.argv[2] ?? CALLS_DEFAULT);
  const io = await openIo({ level: await chooseLevel("auto") });
  const kinds = CHECKSUM_KINDS.map(blockChecksum);
  process.stdout.write("layout                   kind      ns    heap bytes\n");
  for (const [name, layout] of Object.entries(LAYOUTS)) {
    const lists = makeLists(io.slabs, layout);
    const found = kinds.map((): number[] => []);
    for (let round = 0; round < ROUNDS; round++) {
      for (const [index, checksum] of kinds.entries()) {
        found[index]?.push(nsPerCall(checksum, lists, calls));
      }
    }
    for (const [index, checksum] of kinds.entries()) {
      const ns = Math.round(median(found[index] ?? [])).toString();
      const heap = Math.round(heapBytesPerCall(checksum, lists)).toString();
      process.stdout.write(
        `${name.padEnd(24)} ${checksum.kind.padEnd(7)} ${ns.padStart(6)} ${heap.padStart(9)}\n`,
      );
    }
  }
  await io.close();
}

await main();
