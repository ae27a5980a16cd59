/**
 * LimitFilter: `limit?iops=500&bandwidth=50MiB`: at most so many operations and bytes per second,
 * fair among the streams (client connections) that share it.
 *
 *   start --all its buckets have tokens, nobody waits for them--> pass
 *     \--else--> queue of its stream and lane --timer, round robin--> pass
 *
 * A lane is what is limited alike: reads (and compares), writes, changes without data (flush,
 * discard, write-zeroes: a write operation of no bytes), block-status (a read operation of none).
 * Order is kept within a lane of a stream. Requests that wait have not been answered, so a flush,
 * which covers what was answered before it came, may go before writes that wait; overlapping
 * changes never wait here together, as the share sends the later one when the earlier has ended.
 * State: the buckets and the queues (lists through the requests, bounded by what their submitters
 * have in flight). One timer for all.
 */

import type { DeviceDetails } from "../block/device.ts";
import { Filter, filterInfo, passAll } from "../block/filter.ts";
import type { Joint } from "../block/joint.ts";
import type { Request } from "../block/request.ts";
import type { Timer } from "../reactor/clock.ts";
import { type StreamQueue, StreamRing } from "./stream-ring.ts";
import { TokenBucket } from "./token-bucket.ts";

/** Per second; undefined: no limit. `read...` and `write...` hold beside the common limit. */
export interface LimitSettings {
  readonly iops?: number | undefined;
  readonly readIops?: number | undefined;
  readonly writeIops?: number | undefined;
  /** Bytes. */
  readonly bandwidth?: number | undefined;
  readonly readBandwidth?: number | undefined;
  readonly writeBandwidth?: number | undefined;
  /** So much of the full rate may be saved up while nothing is asked for. */
  readonly burstMs: number;
}

export const BURST_MS_DEFAULT = 100;
/** Less than timers are late by would lose part of the rate. */
export const BURST_MS_MIN = 10;

/**
 * A stream's turn in the round: so many bytes, or one operation where that takes longer. Small, so
 * that one with a single small request in flight, which gets one per round, has its share too.
 */
const TURN_BYTES = 4096;
/** The least that a bucket of bytes holds: a sector. */
const BYTES_MIN = 512;
/** A timer sooner than this may not advance the clock at all. */
const TIMER_MS_MIN = 1e-3;

const Lane = { read: 0, write: 1, change: 2, look: 3 } as const;
type Lane = (typeof Lane)[keyof typeof Lane];
const LANE_COUNT = 4;

/** Indexed by operation. */
const LANE_OF_OPERATION: readonly Lane[] = [
  Lane.read,
  Lane.write,
  Lane.change, // flush
  Lane.change, // discard
  Lane.change, // write-zeroes
  Lane.read, // compare
  Lane.write, // compare-and-write
  Lane.look, // block-status
];

/** What the requests of a lane take from; each must have enough. */
interface LaneBuckets {
  /** One token per request. */
  readonly operations: readonly TokenBucket[];
  /** One per byte. */
  readonly bytes: readonly TokenBucket[];
}

interface Buckets {
  /** By the setting that each is for. */
  readonly byKey: ReadonlyMap<keyof LimitSettings, TokenBucket>;
  readonly all: readonly TokenBucket[];
  readonly lanes: readonly LaneBuckets[];
  /** A stream's turn, in time of the limits. */
  readonly turnMs: number;
}

export class LimitFilter extends Filter {
  #settings: LimitSettings;
  #buckets: Buckets;
  readonly #queues = new StreamRing(LANE_COUNT);
  #timer: Timer | null = null;
  #timerAtMs = 0;
  /** Requests that had to wait, since it was opened. */
  #held = 0;
  readonly #onTimer = (): void => {
    this.#timer = null;
    this.#pump();
  };

  constructor(below: Joint, name: string, settings: LimitSettings) {
    super(below, filterInfo(below, "limit", name), passAll(below));
    this.#settings = settings;
    this.#buckets = makeBuckets(settings, this.reactor.clock.nowMs());
  }

  /** Other limits from now on, for those that wait too. */
  change(settings: LimitSettings): void {
    const nowMs = this.reactor.clock.nowMs();
    const before = this.#buckets.byKey;
    this.#settings = settings;
    this.#buckets = makeBuckets(settings, nowMs);
    // A change is no burst, and a debt is not forgiven.
    for (const [key, bucket] of this.#buckets.byKey) {
      const former = before.get(key);
      former?.refill(nowMs);
      if (former !== undefined) bucket.adopt(former);
    }
    this.#pump();
  }

  override hurry(): void {
    this.#stopTimer();
    for (const bucket of this.#buckets.all) bucket.closedFor = 0;
    while (this.#queues.waiting > 0) this.pass(this.#queues.takeAny());
  }

  override describe(): DeviceDetails {
    const { waiting, count } = this.#queues;
    return { ...this.#settings, waiting, waitingStreams: count, held: this.#held };
  }

  // hot path
  protected override start(request: Request): void {
    const lane = LANE_OF_OPERATION[request.operation] as Lane;
    if (this.#buckets.all.length === 0 || this.#admit(lane, request.length)) this.pass(request);
    else this.#enqueue(lane, request);
  }

  /**
   * Takes what a request needs, unless there is too little or somebody waits for it: whoever waits
   * in a lane has closed a bucket of that lane, so nobody of it goes first. Hot path.
   */
  #admit(lane: Lane, size: number): boolean {
    const { operations, bytes } = this.#buckets.lanes[lane] as LaneBuckets;
    if (hasPlenty(operations, 1) && hasPlenty(bytes, size)) {
      takeUnseenFrom(operations, 1);
      takeUnseenFrom(bytes, size);
      return true;
    }
    const nowMs = this.reactor.clock.nowMs();
    for (let index = 0; index < operations.length; index++) {
      const bucket = operations[index] as TokenBucket;
      bucket.refill(nowMs);
      if (bucket.closedFor > 0 || !bucket.has(1)) return false;
    }
    for (let index = 0; index < bytes.length; index++) {
      const bucket = bytes[index] as TokenBucket;
      bucket.refill(nowMs);
      if (bucket.closedFor > 0 || !bucket.has(size)) return false;
    }
    takeFrom(operations, 1);
    takeFrom(bytes, size);
    return true;
  }

  #enqueue(lane: Lane, request: Request): void {
    this.#held++;
    this.#queues.add(request, lane, this.#buckets.turnMs);
    const { operations, bytes } = this.#buckets.lanes[lane] as LaneBuckets;
    const operationsMs = closeWhereShort(operations, 1);
    const bytesMs = closeWhereShort(bytes, request.length);
    this.#wakeIn(Math.min(operationsMs, bytesMs));
  }

  /** Lets go what may go, in turns, and sets the timer for what may not. */
  #pump(): void {
    this.#stopTimer();
    const queues = this.#queues;
    const nowMs = this.reactor.clock.nowMs();
    for (const bucket of this.#buckets.all) {
      bucket.refill(nowMs);
      bucket.closedFor = 0;
    }
    // Streams in a row that can do nothing. When that is all of them the round is over, and the
    // ring stands as it stood: whoever has waited longest is the first to get new tokens.
    let stuck = 0;
    // Turns go by only while somebody can use one: waiting for tokens pays no debt.
    let isRoundOn = false;
    while (queues.waiting > 0 && stuck < queues.count) {
      const stream = queues.first;
      const lane = this.#findLane(stream);
      if (lane !== null) {
        stuck = 0;
        isRoundOn = true;
        if (stream.balanceMs > 0) this.#letGo(stream, lane);
        else queues.endTurn(this.#buckets.turnMs);
      } else if (stream.waiting === 0 && isRoundOn) {
        const { count } = queues;
        queues.endTurn(this.#buckets.turnMs);
        if (queues.count === count) stuck++;
      } else {
        if (stuck === 0 && this.#isAllClosed()) break;
        queues.rotate();
        stuck++;
      }
    }
    for (const bucket of this.#buckets.all) {
      if (bucket.closedFor > 0) this.#wakeIn(bucket.msUntil(bucket.closedFor));
    }
  }

  /** The next of the stream's lanes whose first request may go, if any; the others close. */
  #findLane(stream: StreamQueue): Lane | null {
    for (let step = 0; step < LANE_COUNT; step++) {
      const lane = ((stream.lane + step) % LANE_COUNT) as Lane;
      const request = stream.head(lane);
      if (request === null) continue;
      const { operations, bytes } = this.#buckets.lanes[lane] as LaneBuckets;
      closeWhereShort(operations, 1);
      closeWhereShort(bytes, request.length);
      if (!operations.some(isClosed) && !bytes.some(isClosed)) return lane;
    }
    return null;
  }

  #letGo(stream: StreamQueue, lane: Lane): void {
    const { operations, bytes } = this.#buckets.lanes[lane] as LaneBuckets;
    const { length } = stream.head(lane) as Request; // findLane has seen it
    stream.lane = (lane + 1) % LANE_COUNT;
    takeFrom(operations, 1);
    takeFrom(bytes, length);
    const costMs = Math.max(msOf(operations, 1), msOf(bytes, length));
    this.pass(this.#queues.take(lane, costMs));
  }

  #isAllClosed(): boolean {
    return this.#buckets.lanes.every(({ operations, bytes }) => {
      const isUnlimited = operations.length + bytes.length === 0;
      return isUnlimited || operations.some(isClosed) || bytes.some(isClosed);
    });
  }

  /** Pumps then, unless it will sooner. */
  #wakeIn(ms: number): void {
    if (ms === Number.POSITIVE_INFINITY) return;
    const { clock } = this.reactor;
    const delayMs = Math.max(ms, TIMER_MS_MIN);
    const atMs = clock.nowMs() + delayMs;
    if (this.#timer !== null && this.#timerAtMs <= atMs) return;
    this.#stopTimer();
    this.#timerAtMs = atMs;
    this.#timer = clock.startTimer(delayMs, this.#onTimer);
  }

  #stopTimer(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }
}

/** Hot path. */
function takeFrom(buckets: readonly TokenBucket[], cost: number): void {
  for (let index = 0; index < buckets.length; index++) (buckets[index] as TokenBucket).take(cost);
}

/** Of a bucket that somebody waits for there is nothing for others. Hot path. */
function hasPlenty(buckets: readonly TokenBucket[], cost: number): boolean {
  for (let index = 0; index < buckets.length; index++) {
    const bucket = buckets[index] as TokenBucket;
    if (bucket.closedFor > 0 || !bucket.hasPlenty(cost)) return false;
  }
  return true;
}

/** Hot path. */
function takeUnseenFrom(buckets: readonly TokenBucket[], cost: number): void {
  for (let index = 0; index < buckets.length; index++) {
    (buckets[index] as TokenBucket).takeUnseen(cost);
  }
}

function isClosed(bucket: TokenBucket): boolean {
  return bucket.closedFor > 0;
}

/** Keeps for a request what it has to wait for. @returns until it comes, where nobody else waits */
function closeWhereShort(buckets: readonly TokenBucket[], cost: number): number {
  let soonestMs = Number.POSITIVE_INFINITY;
  for (const bucket of buckets) {
    if (bucket.closedFor > 0 || bucket.has(cost)) continue;
    bucket.closedFor = cost;
    soonestMs = Math.min(soonestMs, bucket.msUntil(cost));
  }
  return soonestMs;
}

/** How long the slowest of the limits takes for it. */
function msOf(buckets: readonly TokenBucket[], cost: number): number {
  return buckets.reduce((ms, bucket) => Math.max(ms, bucket.msOf(cost)), 0);
}

function makeBuckets(settings: LimitSettings, nowMs: number): Buckets {
  const burstSeconds = settings.burstMs / 1000;
  const byKey = new Map<keyof LimitSettings, TokenBucket>();
  const bucketsOf = (least: number, ...keys: (keyof LimitSettings)[]): TokenBucket[] =>
    keys.flatMap((key) => {
      const perSecond = settings[key];
      if (perSecond === undefined) return [];
      const capacity = Math.max(perSecond * burstSeconds, least);
      const bucket = byKey.get(key) ?? new TokenBucket({ perSecond, capacity }, nowMs);
      byKey.set(key, bucket);
      return [bucket];
    });
  const readOperations = bucketsOf(1, "iops", "readIops");
  const writeOperations = bucketsOf(1, "iops", "writeIops");
  const lanes: LaneBuckets[] = [];
  lanes[Lane.read] = {
    operations: readOperations,
    bytes: bucketsOf(BYTES_MIN, "bandwidth", "readBandwidth"),
  };
  lanes[Lane.write] = {
    operations: writeOperations,
    bytes: bucketsOf(BYTES_MIN, "bandwidth", "writeBandwidth"),
  };
  lanes[Lane.change] = { operations: writeOperations, bytes: [] };
  lanes[Lane.look] = { operations: readOperations, bytes: [] };
  const turns = lanes.map(({ operations, bytes }) =>
    Math.max(msOf(operations, 1), msOf(bytes, TURN_BYTES)),
  );
  return { byKey, all: [...byKey.values()], lanes, turnMs: Math.max(...turns) };
}
