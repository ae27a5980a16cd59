/**
 * EngineLog: what an engine tells whoever operates it, a line each, on standard error.
 *
 *   json    {"level":"info","time":"2026-11-21T15:44:18.123Z","code":"pipe-ready",...}
 *   pretty  2026-11-21T15:44:18.123Z info pipe-ready: vol1: ...
 *
 * Lines of one code are limited (LogLimiter), so that a storm neither fills a disk nor hides the
 * rest. Writing never waits: what a slow reader leaves is kept up to a bound, then dropped
 * (LogSink). Owns its destination and one timer, which runs only while something is held back.
 */

import { type DestinationStream, type Logger, pino, stdTimeFunctions } from "pino";
import { LogSink } from "./log-sink.ts";
import type { LogFormat, LogLevel } from "./log-choices.ts";
import { LogLimiter, type LogSummary } from "./log-limiter.ts";

export interface LogEntry {
  readonly level: LogLevel;
  /** Stable, in kebab-case: lines are limited by it. */
  readonly code: string;
  readonly message: string;
  /** Name of the pipe; absent or "": the engine itself. */
  readonly pipe?: string;
  /** Canonical text of the stage. */
  readonly stage?: string;
  /** Name of the pool. */
  readonly pool?: string;
}

export interface EngineLogOptions {
  /** Entries below it are not written. */
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Milliseconds since 1970. */
  nowMs(): number;
  /** Where lines go; default: standard error. */
  readonly destination?: LogDestination;
}

/** Takes whole lines. `flush` writes what is kept, at once. */
export interface LogDestination extends DestinationStream {
  flush(): void;
  /** See `LogSink.settled`. */
  settled?(limitMs: number): Promise<void>;
}

const STDERR = 2;
const MS_PER_S = 1000;
/** A reader that takes nothing does not hold the end up for longer. */
const SETTLE_MS_MAX = 1000;
const PINO_LEVELS = { debug: "debug", info: "info", warning: "warn", error: "error" } as const;

export class EngineLog {
  readonly #pino: Logger;
  readonly #destination: LogDestination;
  readonly #limiter = new LogLimiter();
  readonly #nowMs: () => number;
  /** Of the last entry of each code that is held back. */
  readonly #levels = new Map<string, LogLevel>();
  #timer: NodeJS.Timeout | null = null;

  constructor({ level, format, nowMs, destination }: EngineLogOptions) {
    this.#nowMs = nowMs;
    this.#destination = destination ?? new LogSink(STDERR);
    this.#pino = pino(
      {
        level: PINO_LEVELS[level],
        base: null,
        messageKey: "message",
        timestamp: stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label === "warn" ? "warning" : label }) },
      },
      format === "json" ? this.#destination : prettyTo(this.#destination),
    );
  }

  write(entry: LogEntry): void {
    if (!this.#pino.isLevelEnabled(PINO_LEVELS[entry.level])) return;
    const nowMs = this.#nowMs();
    this.#summarise(this.#limiter.due(nowMs));
    if (this.#limiter.admit(entry.code, nowMs)) {
      this.#line(entry);
      return;
    }
    this.#levels.set(entry.code, entry.level);
    this.#startTimer(nowMs);
  }

  /** Writes all that is kept and held back. Entries may come after it, too. */
  flush(): void {
    this.#summarise(this.#limiter.due(this.#nowMs(), true));
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#destination.flush();
  }

  /** Settles when what is on its way has been written, or after a second. Behind `flush`. */
  async settled(): Promise<void> {
    await this.#destination.settled?.(SETTLE_MS_MAX);
  }

  #startTimer(nowMs: number): void {
    const delayMs = this.#limiter.nextMs(nowMs);
    if (this.#timer !== null || delayMs === null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      const laterMs = this.#nowMs();
      this.#summarise(this.#limiter.due(laterMs));
      this.#startTimer(laterMs);
    }, delayMs);
    this.#timer.unref();
  }

  #summarise(summaries: readonly LogSummary[]): void {
    for (const { code, count, windowMs } of summaries) {
      const seconds = Math.max(1, Math.round(windowMs / MS_PER_S));
      const level = this.#levels.get(code) ?? "warning";
      this.#line({ level, code, message: `and ${count} more in ${seconds} s` });
      this.#levels.delete(code);
    }
  }

  #line({ level, code, message, pipe = "", stage = "", pool = "" }: LogEntry): void {
    const fields = {
      code,
      ...(pipe === "" ? {} : { pipe }),
      ...(stage === "" ? {} : { stage }),
      ...(pool === "" ? {} : { pool }),
    };
    this.#pino[PINO_LEVELS[level]](fields, message);
  }
}

function prettyTo(destination: DestinationStream): DestinationStream {
  return { write: (line) => destination.write(prettyLine(line)) };
}

interface JsonLine extends LogEntry {
  readonly time: string;
}

function prettyLine(json: string): string {
  const { time, level, code, pipe, stage, pool, message } = JSON.parse(json) as JsonLine;
  const where = [pipe, stage, pool].filter((word) => word !== undefined).map((word) => `${word}: `);
  return `${time} ${level} ${code}: ${printable(`${where.join("")}${message}`)}\n`;
}

/** Nobody's words look like a line of ours or reach the terminal as orders. */
function printable(text: string): string {
  return text
    .replaceAll("\n", "\n    ")
    .replace(/[^\P{Cc}\n]/gu, (character) => `\\u${hex4(character)}`);
}

function hex4(character: string): string {
  return character.charCodeAt(0).toString(16).padStart(4, "0");
}
