/**
 * A second reactor beside a test's own one, of the same level and with the same slabs, on the same
 * thread: what crosses between two reactors can be tested in one place, and in virtual time too.
 */

import { IoLevel } from "../reactor/io.ts";
import { PortableIo } from "../reactor/portable-io.ts";
import { PosixIo } from "../reactor/posix-io.ts";
import { Reactor } from "../reactor/reactor.ts";
import { HeapSlabSpace } from "../reactor/slab-space-heap.ts";
import { SharedSlabSpace } from "../reactor/slab-space-shared.ts";
import type { TestReactor } from "../reactor/test-reactor.ts";
import { UringIo } from "../reactor/uring-io.ts";
import { assert } from "../util/assert.ts";

/** The caller closes its Io. */
export function openSecondReactor({ reactor, world }: TestReactor): Reactor {
  const { slabs } = reactor.io;
  const id = reactor.id + 1;
  if (slabs instanceof SharedSlabSpace) {
    const { level } = reactor.io;
    const Native = level === IoLevel.posix ? PosixIo : UringIo;
    return new Reactor({ id, io: new Native({ slabTable: slabs.table }) });
  }
  assert(slabs instanceof HeapSlabSpace, "slabs are shared or on the heap");
  const io = world === null ? PortableIo.create({ slabs }) : world.process({ slabs }).io;
  return new Reactor({ id, io });
}
