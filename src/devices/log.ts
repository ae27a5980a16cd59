/**
 * LogFilter: `log?level=all&slow=10ms`: a line for each request that has ended.
 *
 *     op=write offset=1048576 length=4096 flags=fua stream=64 status=ok us=412.7
 *
 * Lines are gathered during a turn and given to the sink outside of it. At most so many a second;
 * how many were left out is said after at most one more. What `submit` refuses (a bad range) never
 * starts, and so has no line. State: the lines of this turn, the counters; one timer.
 */

import type { DeviceDetails } from "../block/device.ts";
import { Filter, filterInfo, passAll } from "../block/filter.ts";
import type { Joint } from "../block/joint.ts";
import { OPERATION_NAMES, RequestFlag } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { Status, statusName } from "../block/status.ts";
import type { Timer } from "../reactor/clock.ts";

export const LOG_LEVELS = ["off", "error", "all"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LogSettings {
  /** `error`: only requests that failed. */
  readonly level: LogLevel;
  /** Of `all`: successes only when they took as long, in milliseconds. */
  readonly slowMs: number;
  /** Lines per second, 1 to LOG_RATE_MAX. */
  readonly rate: number;
}

export const LOG_RATE_DEFAULT = 100;
export const LOG_RATE_MAX = 10_000;

/** Gets lines, without line ends, outside of the turn. Must neither throw nor block. */
export interface LogSink {
  write(line: string, isError: boolean): void;
}

interface Line {
  readonly text: string;
  readonly isError: boolean;
}

const SECOND_MS = 1000;
/** A request that came while the log was off. */
const NO_START = -1;

const FLAG_NAMES: readonly (readonly [flag: number, name: string])[] = [
  [RequestFlag.fua, "fua"],
  [RequestFlag.noUnmap, "no-unmap"],
  [RequestFlag.fastZero, "fast-zero"],
  [RequestFlag.mayLend, "may-lend"],
  [RequestFlag.background, "background"],
  [RequestFlag.oneExtent, "one-extent"],
];

export class LogFilter extends Filter {
  #settings: LogSettings;
  readonly #sink: LogSink;
  #lines: Line[] = [];
  /** The second that is under way, and its lines. */
  #secondMs = Number.NEGATIVE_INFINITY;
  #linesInSecond = 0;
  #logged = 0;
  #leftOut = 0;
  #leftOutUnsaid = 0;
  #timer: Timer | null = null;
  readonly #onDelivery = (): void => this.#deliver();
  readonly #onTimer = (): void => {
    this.#timer = null;
    this.#sayLeftOut();
  };

  constructor(below: Joint, name: string, settings: LogSettings, sink: LogSink) {
    super(below, filterInfo(below, "log", name), passAll(below));
    this.#settings = settings;
    this.#sink = sink;
  }

  /** For requests that end from now on; those that came while it was off are not logged. */
  change(settings: LogSettings): void {
    this.#settings = settings;
  }

  override describe(): DeviceDetails {
    return { ...this.#settings, logged: this.#logged, leftOut: this.#leftOut };
  }

  // hot path
  protected override start(request: Request): void {
    const isOff = this.#settings.level === "off";
    request.leaveNote(isOff ? NO_START : this.reactor.clock.nowMs());
    this.pass(request);
  }

  // hot path
  override passed(request: Request, status: Status): void {
    const startMs = request.takeNote();
    if (startMs !== NO_START) this.#ended(request, status, startMs);
    request.finish(status);
  }

  protected override async release(): Promise<void> {
    this.#timer?.cancel();
    this.#sayLeftOut();
  }

  // hot path
  #ended(request: Request, status: Status, startMs: number): void {
    const { level, slowMs } = this.#settings;
    const isError = status !== Status.ok;
    if (level === "off" || (level === "error" && !isError)) return;
    const nowMs = this.reactor.clock.nowMs();
    if (!isError && nowMs - startMs < slowMs) return;
    if (!this.#takeLine(nowMs)) return;
    const tookUs = (nowMs - startMs) * 1000;
    this.#logged++;
    if (this.#lines.push({ text: lineOf(request, status, tookUs), isError }) === 1) {
      this.reactor.deliverLater(this.#onDelivery);
    }
  }

  /** False: this second has had its lines. */
  #takeLine(nowMs: number): boolean {
    if (nowMs - this.#secondMs >= SECOND_MS) {
      this.#secondMs = nowMs;
      this.#linesInSecond = 0;
    }
    if (this.#linesInSecond < this.#settings.rate) {
      this.#linesInSecond++;
      return true;
    }
    this.#leftOut++;
    this.#leftOutUnsaid++;
    this.#timer ??= this.reactor.clock.startTimer(SECOND_MS, this.#onTimer);
    return false;
  }

  #deliver(): void {
    const lines = this.#lines;
    this.#lines = [];
    for (const { text, isError } of lines) this.#sink.write(text, isError);
  }

  #sayLeftOut(): void {
    const count = this.#leftOutUnsaid;
    if (count === 0) return;
    this.#leftOutUnsaid = 0;
    const { rate } = this.#settings;
    this.#sink.write(`${count} requests left out: more than ${rate} lines a second`, false);
  }
}

function lineOf(request: Request, status: Status, tookUs: number): string {
  const { operation, offset, length, flags, stream, errorOffset } = request;
  const names = FLAG_NAMES.filter(([flag]) => (flags & flag) !== 0).map(([, name]) => name);
  const place = length === 0 ? "" : ` offset=${offset} length=${length}`;
  const flagText = names.length === 0 ? "" : ` flags=${names.join(",")}`;
  const streamText = stream === 0 ? "" : ` stream=${stream}`;
  const errorText = errorOffset < 0 ? "" : ` error-offset=${errorOffset}`;
  const end = `status=${statusName(status)}${errorText} us=${tookUs.toFixed(1)}`;
  return `op=${OPERATION_NAMES[operation]}${place}${flagText}${streamText} ${end}`;
}
