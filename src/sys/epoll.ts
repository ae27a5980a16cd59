/**
 * Epoll: which sockets have become ready, told once per change (edge-triggered).
 *
 * One epoll instance of one thread. An fd goes away by itself when it is closed. An event may be
 * about a closed fd whose number is another socket's now, so events are hints: what they say is to
 * be tried. spec: epoll(7), epoll_ctl(2)
 */

import { arch } from "node:process";
import { assert } from "../util/assert.ts";
import { close, epollControl, epollCreate, epollLook, pollOne, sleep } from "./libc.ts";
import { mapShared } from "./memory.ts";

export const Ready = {
  in: 1,
  out: 4,
  error: 8,
  hangUp: 0x10,
  peerHangUp: 0x2000,
} as const;

const EDGE_TRIGGERED = 1 << 31;
const ControlOperation = { add: 1, delete: 2, modify: 3 } as const;

/** struct epoll_event is packed on x86-64 only: events u32, data u64. */
const EVENT_WORDS = arch === "x64" ? 3 : 4;
const DATA_WORD = arch === "x64" ? 1 : 2;
const EVENTS_MAX = 256;

/** In a page of its own: the event for epoll_ctl, a pollfd, a timespec. */
const POLL_WORD = 16;
const TIME_WORD = 32;

export class Epoll {
  readonly fd: number;
  readonly #fdArgument: bigint;
  readonly #events: Int32Array;
  readonly #eventsAddress: bigint;
  readonly #arguments: Int32Array;
  readonly #address: number;
  readonly #pollAddress: bigint;
  readonly #timeAddress: bigint;

  constructor() {
    this.fd = epollCreate();
    assert(this.fd >= 0, `epoll_create1 failed: ${this.fd}`);
    this.#fdArgument = BigInt(this.fd);
    const events = mapShared(EVENTS_MAX * 16);
    this.#events = new Int32Array(events.buffer);
    this.#eventsAddress = BigInt(events.address);
    const memory = mapShared(4096);
    this.#arguments = new Int32Array(memory.buffer);
    this.#address = memory.address;
    this.#pollAddress = BigInt(memory.address + POLL_WORD * 4);
    this.#timeAddress = BigInt(memory.address + TIME_WORD * 4);
    this.#arguments[POLL_WORD] = this.fd;
    this.#arguments[POLL_WORD + 1] = Ready.in;
  }

  /** @param interest of `Ready`; errors are always told */
  add(fd: number, interest: number): void {
    this.#control(ControlOperation.add, fd, interest);
  }

  /** What is ready by now is told again. */
  change(fd: number, interest: number): void {
    this.#control(ControlOperation.modify, fd, interest);
  }

  /** Harmless when it is not there. */
  remove(fd: number): void {
    const event = BigInt(this.#address);
    epollControl(this.#fdArgument, ControlOperation.delete, BigInt(fd), event);
  }

  /** Looks for events without waiting. @returns how many. Hot path. */
  look(): number {
    return Math.max(epollLook(this.#fdArgument, this.#eventsAddress, BigInt(EVENTS_MAX)), 0);
  }

  fdOf(index: number): number {
    return this.#events[index * EVENT_WORDS + DATA_WORD] as number;
  }

  readyOf(index: number): number {
    return this.#events[index * EVENT_WORDS] as number;
  }

  /** Sleeps until there are events, for at most `timeoutMs` (below 1 s). */
  wait(timeoutMs: number): void {
    this.#arguments[TIME_WORD + 2] = Math.round(timeoutMs * 1e6);
    pollOne(this.#pollAddress, this.#timeAddress);
  }

  /** Sleeps for `pauseMs` (below 1 s), whatever happens. */
  pause(pauseMs: number): void {
    this.#arguments[TIME_WORD + 2] = Math.round(pauseMs * 1e6);
    sleep(this.#timeAddress);
  }

  close(): void {
    close(this.fd);
  }

  #control(operation: number, fd: number, interest: number): void {
    this.#arguments[0] = interest | EDGE_TRIGGERED;
    this.#arguments[DATA_WORD] = fd;
    const event = BigInt(this.#address);
    const result = epollControl(this.#fdArgument, operation, BigInt(fd), event);
    assert(result === 0, `epoll_ctl ${operation} of fd ${fd} failed: ${result}`);
  }
}
