/**
 * What a subsystem says of itself and holds its hosts to: the options of a share, completed.
 */

import { createHash } from "node:crypto";
import { assert } from "../../util/assert.ts";
import { CNTLID_MAX } from "./constants.ts";
import { MODEL_BYTES, SERIAL_BYTES } from "./identify-controller.ts";
import { PENSTOCK_MODEL } from "./vendor.ts";

export interface SubsystemOptions {
  readonly nqn: string;
  /** ASCII, up to 20 characters; default: made from the NQN, so that it stays what it is. */
  readonly serial?: string;
  /** ASCII, up to 40 characters; our initiator looks for its beginning. */
  readonly model?: string;
  /** ASCII, up to 8 characters. */
  readonly firmware?: string;
  /** Bytes of one command: a power of two from 4 KiB to 1 MiB. */
  readonly transferBytesMax?: number;
  /** I/O queues of one controller, 1 to 1024. */
  readonly queuesMax?: number;
  /** Entries of an I/O queue, 2 to 4096. */
  readonly queueEntriesMax?: number;
  /** Bytes in a command's capsule, a multiple of 16 from 0. */
  readonly inCapsuleBytesMax?: number;
  /** Identifiers of its controllers: engines that serve one subsystem have disjoint ranges. */
  readonly cntlidMin?: number;
  readonly cntlidMax?: number;
  /** Controllers at a time. */
  readonly controllersMax?: number;
  /** NQNs of the hosts that may connect; null: any. */
  readonly hosts?: readonly string[] | null;
}

export type ResolvedOptions = Required<SubsystemOptions>;

export const QUEUES_MAX = 1024;
export const QUEUE_ENTRIES_MAX = 4096;
/** spec: Base 2.0 3.3.3: at least 32 on fabrics */
export const ADMIN_QUEUE_ENTRIES_MAX = 256;
const PAGE_BYTES = 4096;

export function resolveOptions(options: SubsystemOptions): ResolvedOptions {
  const resolved: ResolvedOptions = {
    nqn: options.nqn,
    serial: options.serial ?? serialOf(options.nqn),
    model: options.model ?? `${PENSTOCK_MODEL} NVMe controller`,
    firmware: options.firmware ?? "1",
    transferBytesMax: options.transferBytesMax ?? 1024 * 1024,
    queuesMax: options.queuesMax ?? 128,
    queueEntriesMax: options.queueEntriesMax ?? 128,
    inCapsuleBytesMax: options.inCapsuleBytesMax ?? 8192,
    cntlidMin: options.cntlidMin ?? 1,
    cntlidMax: options.cntlidMax ?? CNTLID_MAX,
    controllersMax: options.controllersMax ?? 1024,
    hosts: options.hosts ?? null,
  };
  check(resolved);
  return resolved;
}

/** MDTS, as a power of two of pages. */
export function mdtsOf({ transferBytesMax }: ResolvedOptions): number {
  return Math.log2(transferBytesMax / PAGE_BYTES);
}

/** Whoever takes options from a user has checked them before. */
function check(options: ResolvedOptions): void {
  const { queuesMax, queueEntriesMax, inCapsuleBytesMax, cntlidMin, cntlidMax } = options;
  const mdts = mdtsOf(options);
  assert(Number.isInteger(mdts) && mdts >= 0 && mdts <= 8, "MDTS from 4 KiB to 1 MiB");
  assert(queuesMax >= 1 && queuesMax <= QUEUES_MAX, "I/O queues within their limits");
  assert(queueEntriesMax >= 2 && queueEntriesMax <= QUEUE_ENTRIES_MAX, "queue entries in limits");
  assert(inCapsuleBytesMax % 16 === 0 && inCapsuleBytesMax >= 0, "in-capsule data in 16 bytes");
  assert(cntlidMin >= 1 && cntlidMin <= cntlidMax && cntlidMax <= CNTLID_MAX, "cntlid range");
  assert(options.serial.length <= SERIAL_BYTES, "a serial number of 20 characters");
  assert(options.model.length <= MODEL_BYTES, "a model of 40 characters");
}

function serialOf(nqn: string): string {
  const hash = createHash("sha256").update(nqn, "utf8").digest("hex");
  return hash.slice(0, SERIAL_BYTES).toUpperCase();
}
