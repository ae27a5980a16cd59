/**
 * NvmfTask: what an NVMe-oF device keeps of one request: the command on the wire, which step of the
 * request it does, and what has to be done again when a path is lost. Pooled.
 *
 *   read, write            transfer
 *   discard, write-zeroes  zero, in parts (--> flush, where FUA is asked for and no part has it)
 *   flush                  flush
 *   compare                compare --differs--> locate (reads, to tell where)
 *   compare-and-write      fused --differs--> locate
 *                            +--path lost--> resolve (reads: has it been done?) --> fused, or ended
 *   block-status           none: all is data
 */

import { Operation } from "../../block/operation.ts";
import type { Request } from "../../block/request.ts";
import { SegmentList } from "../../block/segments.ts";
import { Status } from "../../block/status.ts";
import { HostCommand } from "../../proto/nvme-tcp/initiator-command.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import type { LossLedger } from "../remote/loss-ledger.ts";
import type { RemoteTask } from "../remote/remote-task.ts";
import type { Path } from "./path.ts";

export const Step = {
  transfer: 0,
  zero: 1,
  flush: 2,
  compare: 3,
  fused: 4,
  locate: 5,
  resolve: 6,
  status: 7,
} as const;
export type Step = (typeof Step)[keyof typeof Step];

const FIRST_STEP: readonly Step[] = [
  Step.transfer, // read
  Step.transfer, // write
  Step.flush, // flush
  Step.zero, // discard
  Step.zero, // write-zeroes
  Step.compare, // compare
  Step.fused, // compare-and-write
  Step.status, // block-status
];

export class NvmfTask extends HostCommand implements RemoteTask {
  request: Request | null = null;
  step: Step = Step.transfer;
  done = 0;
  sequence = 0;
  issuedTick = 0;
  base = 0;
  cover = 0;
  activeIndex = -1;
  bounce: PoolBuffer | null = null;
  readonly bounceSegments: SegmentList = new SegmentList();
  awaitsBounce = false;
  isSettled = false;
  outcome: Status = Status.ok;
  /** Who has its command now; null: nobody, it is kept. */
  path: Path | null = null;
  /** Bytes of the request that the command under way does. */
  stepBytes = 0;
  /** The write of a compare-and-write, behind the compare that this is. */
  readonly second: FusedWrite = new FusedWrite(this);
  /** Of a fused pair: answers that are missing. */
  answersLeft = 0;
  /** A fused pair was sent over a path that was lost. */
  mayBeDone = false;
  /** Resolving: what has been read so far is what was to be written, or what was expected. */
  isNew = true;
  isOld = true;
  /** A comparison that has failed has looked for the place before. */
  hasLocated = false;
  /** Its controller was asked to give it up. */
  isAborting = false;
  /** Answers that only meant: try again. */
  retries = 0;
  /** It was lost over that path, whose controller may still do it: it is not sent again yet. */
  heldBy: Path | null = null;
  heldSinceMs = 0;

  // hot path
  begin(request: Request, sequence: number, ledger: LossLedger): void {
    this.request = request;
    this.sequence = sequence;
    this.base = ledger.settled;
    this.cover = ledger.acknowledged;
    this.mayBeDone = false;
    this.hasLocated = false;
    this.isAborting = false;
    this.retries = 0;
    this.heldBy = null;
    this.path = null;
    this.restart();
  }

  /** All parts of a change are done again: those answered may be lost with the server's memory. */
  restart(): void {
    const { operation } = this.request as Request; // a task in use has one
    if (this.step === Step.fused && this.path !== null) this.mayBeDone = true;
    this.path = null;
    this.done = 0;
    this.answersLeft = 0;
    this.isAborting = false;
    this.isNew = true;
    this.isOld = true;
    const isOpen = operation === Operation.compareAndWrite && this.mayBeDone;
    this.step = isOpen ? Step.resolve : (FIRST_STEP[operation] as Step);
  }
}

/** The second command of a fused pair. */
export class FusedWrite extends HostCommand {
  readonly first: NvmfTask;

  constructor(first: NvmfTask) {
    super();
    this.first = first;
  }
}
