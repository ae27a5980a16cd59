/**
 * CryptFilter: `crypt?key=file:/etc/k`: what is below holds only what AES-XTS has encrypted, sector
 * by sector as dm-crypt's aes-xts-plain64 does.
 *
 *   read   --pass, no lending--> below --passed--> decrypted where it lies
 *   write  --> job: encrypted into buffers of our own --> pieces below
 *   zeroes, discard --> job: encrypted zeroes, a few pieces at a time
 *   compare --> job: read, decrypted, compared;  compare-and-write: alone among changes, then write
 *
 * The caller's memory is never written by a write (others may be sending it as well), and no
 * discard, write-zeroes or hole gets through: zeroes below would read as noise. Buffers come from
 * the reactor's pool; jobs without one wait, and a reserve of our own lets one piece always run.
 */

import { type DeviceDetails, type DeviceInfo, modifies } from "../block/device.ts";
import { ExclusiveGate } from "../block/exclusive-gate.ts";
import type { ExtentList } from "../block/extents.ts";
import { Filter } from "../block/filter.ts";
import type { Joint } from "../block/joint.ts";
import { Operation, type OperationTable, RequestFlag, Support } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { compareSegments } from "../block/segment-copy.ts";
import { Status } from "../block/status.ts";
import { takeReserve } from "../block/take-reserve.ts";
import type { BufferReserve, BufferWaiter, PoolBuffer } from "../reactor/buffer-pool.ts";
import { IoLevel } from "../reactor/io.ts";
import { NodeSectorCipher } from "../sys/node-cipher.ts";
import type { SectorCipher } from "../sys/sector-cipher.ts";
import { assert, unreachable } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import { CryptJob, CryptPiece, type CryptPieceOwner, JobPhase, JobQueue } from "./crypt-job.ts";
import { CryptSectors, type TweakRules, tweakStep } from "./crypt-sectors.ts";

export interface CryptOptions extends TweakRules {
  /** The stage as written: keys stand in it by reference only. */
  readonly name: string;
  /** "zeroes": discarding writes encrypted zeroes; "refuse": the device has no discard. */
  readonly discard: "zeroes" | "refuse";
  /** Called once, when all else has been checked. The filter wipes what it gets. */
  readKey(): Promise<Uint8Array>;
}

/** Enough for any block, little enough to be had from the smallest pool. */
const RESERVE_BYTES = 64 * 1024;
/** Zeroes are encrypted in such pieces, so many at once on the device: 1 MiB in all. */
const ZERO_PIECE_BYTES = 256 * 1024;
const ZERO_PIECES_MAX = 4;

export class CryptFilter extends Filter implements BufferWaiter, CryptPieceOwner {
  readonly #sectors: CryptSectors;
  readonly #details: DeviceDetails;
  readonly #reserve: BufferReserve;
  readonly #gate = new ExclusiveGate((request) => this.#begin(request));
  readonly #data = new JobQueue();
  readonly #zeroes = new JobQueue();
  #zeroPieces = 0;
  #isWaiting = false;
  /** Who is asked first when buffers come back; changes each time. */
  #isZeroesTurn = false;
  #freeJob: CryptJob | null = null;
  #freePiece: CryptPiece | null = null;

  /** @throws PenstockError `size-invalid`, `out-of-buffers`, `key-invalid`, those of `readKey` */
  static async open(below: Joint, options: CryptOptions): Promise<CryptFilter> {
    const { reactor } = below;
    const info = describeInfo(below.info, options);
    const reserve = takeReserve(reactor.buffers, options.name, RESERVE_BYTES);
    try {
      const key = await options.readKey();
      const aesBits = key.length * 4;
      const cipher = await openCipher(reactor.io.level, key, options);
      const sectors = new CryptSectors(reactor.io.slabs, cipher, options);
      return new CryptFilter(below, info, options, { sectors, reserve, aesBits });
    } catch (error) {
      reserve.close();
      throw error;
    }
  }

  private constructor(
    below: Joint,
    info: DeviceInfo,
    options: CryptOptions,
    parts: { sectors: CryptSectors; reserve: BufferReserve; aesBits: number },
  ) {
    super(below, info, operationsOver(below.operations, options));
    this.#sectors = parts.sectors;
    this.#reserve = parts.reserve;
    const { sectorBytes, ivLargeSectors, skipBytes, discard } = options;
    this.#details = {
      cipher: "aes-xts-plain64",
      aesBits: parts.aesBits,
      sectorBytes,
      ivLargeSectors,
      skipBytes,
      discard,
      encryptedBy: parts.sectors.cipherKind,
    };
  }

  // hot path
  protected override start(request: Request): void {
    switch (request.operation) {
      case Operation.read:
        // Lent memory is the device's own: ciphertext, and never to be written.
        request.flags &= ~RequestFlag.mayLend;
        this.pass(request);
        return;
      case Operation.flush:
        this.pass(request);
        return;
      case Operation.write:
      case Operation.writeZeroes:
      case Operation.discard:
      case Operation.compareAndWrite: {
        if (isFastZero(request)) {
          // Every zero is encrypted and written: never faster than a write.
          this.reactor.completions.push(request, Status.unsupported);
          return;
        }
        const exclusive = request.operation === Operation.compareAndWrite;
        if (this.#gate.enter(request, exclusive)) this.#begin(request);
        return;
      }
      case Operation.compare:
        this.#begin(request);
        return;
      case Operation.blockStatus: {
        const extents = request.extents as ExtentList; // checked by submit
        extents.clear();
        extents.push(request.length, 0);
        this.reactor.completions.push(request, Status.ok);
        return;
      }
      default:
        unreachable(request.operation);
    }
  }

  // hot path
  override passed(request: Request, status: Status): void {
    if (status === Status.ok && request.operation === Operation.read) {
      assert(!request.lent, "what is not to be lent is not lent");
      this.#sectors.decryptSegments(request.segments, request.offset);
    }
    request.finish(status);
  }

  override describe(): DeviceDetails {
    return this.#details;
  }

  buffersAvailable(): void {
    this.#isWaiting = false;
    this.#isZeroesTurn = !this.#isZeroesTurn;
    if (this.#isZeroesTurn) this.#pumpZeroes();
    this.#pumpData();
    if (!this.#isZeroesTurn) this.#pumpZeroes();
  }

  // hot path
  pieceEnded(piece: CryptPiece): void {
    const { job, buffer, status } = piece;
    assert(job !== null && buffer !== null, "a piece in use has its job and its buffer");
    if (status !== Status.ok) job.fail(status, piece.errorOffset);
    else if (job.phase === JobPhase.compare) this.#compare(job, piece, buffer);
    buffer.release();
    piece.buffer = null;
    piece.job = null;
    piece.nextFree = this.#freePiece;
    this.#freePiece = piece;
    job.running--;
    const isZeroes = job.phase === JobPhase.zeroes;
    if (isZeroes) this.#zeroPieces--;
    if (job.running === 0 && job.queue === null) this.#advance(job);
    if (isZeroes) this.#pumpZeroes();
  }

  protected override async release(): Promise<void> {
    this.reactor.buffers.stopWaiting(this);
    this.#reserve.close();
    this.#sectors.close();
  }

  /** Starts a job for a request that may run now. Hot path. */
  #begin(request: Request): void {
    const job = this.#freeJob ?? new CryptJob();
    this.#freeJob = job.next;
    job.next = null;
    job.begin(request, firstPhase(request.operation));
    this.#proceed(job);
  }

  /** Submits what the job has to submit now, or has it wait. Hot path. */
  #proceed(job: CryptJob): void {
    if (job.phase === JobPhase.zeroes) {
      this.#zeroes.push(job);
      this.#pumpZeroes();
      return;
    }
    const mustWait = this.#data.first !== null;
    while (job.isWanting) {
      if (mustWait || !this.#submitPiece(job)) {
        this.#data.push(job);
        return;
      }
    }
  }

  /** Nothing of the job is below, and it does not wait: on to its next step. Hot path. */
  #advance(job: CryptJob): void {
    const request = job.live;
    if (job.isWanting) {
      this.#proceed(job);
      return;
    }
    const isCompared = job.phase === JobPhase.compare && job.status === Status.ok;
    if (isCompared && request.operation === Operation.compareAndWrite) {
      job.enter(JobPhase.write);
      this.#proceed(job);
      return;
    }
    const { status, errorOffset } = job;
    job.request = null;
    job.next = this.#freeJob;
    this.#freeJob = job;
    request.errorOffset = errorOffset;
    if (modifies(request.operation)) this.#gate.leave();
    request.finish(status);
  }

  #pumpData(): void {
    for (let job = this.#data.first; job !== null; job = this.#data.first) {
      while (job.isWanting) if (!this.#submitPiece(job)) return;
      this.#data.shift();
      if (job.running === 0) this.#advance(job);
    }
  }

  /** One piece of each in turn, so that a long range does not hold up the short ones. */
  #pumpZeroes(): void {
    for (let job = this.#zeroes.first; job !== null; job = this.#zeroes.first) {
      if (job.isWanting) {
        if (this.#zeroPieces === ZERO_PIECES_MAX || !this.#submitPiece(job)) return;
        this.#zeroPieces++;
      }
      this.#zeroes.shift();
      if (job.isWanting) this.#zeroes.push(job);
      else if (job.running === 0) this.#advance(job);
    }
  }

  /** @returns false when there is no buffer: the pool will call. Hot path. */
  #submitPiece(job: CryptJob): boolean {
    const request = job.live;
    const { maxTransferBytes } = this.info;
    const most = job.phase === JobPhase.zeroes ? ZERO_PIECE_BYTES : maxTransferBytes;
    const wanted = Math.min(request.length - job.submitted, most, maxTransferBytes);
    const buffer = this.#reserve.acquirePiece(wanted);
    if (buffer === null) {
      this.#waitForBuffers();
      return false;
    }
    const length = Math.min(wanted, buffer.lengthBytes);
    if (job.phase !== JobPhase.compare) this.#fill(job, buffer, length);
    const piece = this.#freePiece ?? new CryptPiece(this);
    this.#freePiece = piece.nextFree;
    piece.nextFree = null;
    piece.prepare(job, buffer, length);
    job.submitted += length;
    job.running++;
    this.below.submit(piece);
    return true;
  }

  /** What the job's next piece writes, encrypted. Hot path. */
  #fill(job: CryptJob, { slab, offset }: PoolBuffer, length: number): void {
    const request = job.live;
    const position = request.offset + job.submitted;
    if (job.phase === JobPhase.zeroes) {
      slab.bytes.fill(0, offset, offset + length);
      this.#sectors.encrypt(slab, offset, length, position);
      return;
    }
    const isSecondHalf = request.operation === Operation.compareAndWrite;
    const start = job.submitted + (isSecondHalf ? request.length : 0);
    this.#sectors.encryptSegments(request.segments, start, slab, offset, length, position);
  }

  #compare(job: CryptJob, piece: CryptPiece, { slab, offset }: PoolBuffer): void {
    const request = job.live;
    const { length } = piece;
    const start = piece.offset - request.offset;
    this.#sectors.decrypt(slab, offset, length, piece.offset);
    const { slabs } = this.reactor.io;
    const equal = compareSegments(slabs, request.segments, start, slab.bytes, offset, length);
    if (equal < length) job.fail(Status.compareFailed, piece.offset + equal);
  }

  #waitForBuffers(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.reactor.buffers.wait(this);
  }
}

// hot path
function isFastZero({ operation, flags }: Request): boolean {
  return operation === Operation.writeZeroes && (flags & RequestFlag.fastZero) !== 0;
}

// hot path
function firstPhase(operation: Operation): JobPhase {
  if (operation === Operation.write) return JobPhase.write;
  const compares = operation === Operation.compare || operation === Operation.compareAndWrite;
  return compares ? JobPhase.compare : JobPhase.zeroes;
}

/**
 * The quickest of the level: FFI needs memory that has addresses, which other levels' slabs have
 * not. The key is wiped.
 */
async function openCipher(
  level: IoLevel,
  key: Uint8Array,
  rules: TweakRules,
): Promise<SectorCipher> {
  const options = { key, sectorBytes: rules.sectorBytes, tweakStep: tweakStep(rules) };
  try {
    if (level !== IoLevel.uring && level !== IoLevel.posix) return new NodeSectorCipher(options);
    const { EvpSectorCipher } = await import("../sys/evp.ts");
    return new EvpSectorCipher(options);
  } finally {
    key.fill(0);
  }
}

/** Blocks are whole crypto sectors. Sizes stay; nothing is lent. */
function describeInfo(
  below: DeviceInfo,
  { name, sectorBytes, skipBytes }: CryptOptions,
): DeviceInfo {
  const { sizeBytes } = below;
  if (sizeBytes % sectorBytes !== 0) {
    throw new PenstockError({
      code: "size-invalid",
      message: `${below.name} has ${sizeBytes} bytes, not a multiple of sector=${sectorBytes}`,
      details: { sizeBytes, sectorBytes },
    });
  }
  if (!Number.isSafeInteger(sizeBytes + skipBytes)) {
    throw new PenstockError({
      code: "size-invalid",
      message: `${below.name} has ${sizeBytes} bytes: with skip=${skipBytes} more than 2^53`,
      details: { sizeBytes, skipBytes },
    });
  }
  const blockSizeBytes = Math.max(below.blockSizeBytes, sectorBytes);
  const { maxTransferBytes } = below;
  return {
    ...below,
    name,
    kind: "crypt",
    blockSizeBytes,
    physicalBlockSizeBytes: Math.max(below.physicalBlockSizeBytes, blockSizeBytes),
    maxTransferBytes: maxTransferBytes - (maxTransferBytes % blockSizeBytes),
    optimalIoBytes: Math.max(below.optimalIoBytes, blockSizeBytes),
    discardGranularityBytes: Math.max(below.discardGranularityBytes, blockSizeBytes),
    lendsReads: false,
  };
}

/** Comparing is reading, and zeroes are data; only an atomic change needs one below as well. */
function operationsOver(below: OperationTable, { discard }: CryptOptions): OperationTable {
  const reads = below.read !== Support.refuse;
  const writes = below.write !== Support.refuse;
  const translated = (isPossible: boolean): Support =>
    isPossible ? Support.translate : Support.refuse;
  return {
    read: translated(reads),
    write: translated(writes),
    flush: below.flush === Support.refuse ? Support.refuse : Support.pass,
    discard: translated(writes && discard === "zeroes"),
    writeZeroes: translated(writes),
    compare: translated(reads),
    compareAndWrite: translated(reads && writes && below.compareAndWrite !== Support.refuse),
    blockStatus: Support.translate,
  };
}
