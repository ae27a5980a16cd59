/**
 * What the socket tests share: kinds of address, connected pairs, and a pattern of bytes whose
 * value at each position is known. Stateless.
 */

import { strictEqual } from "node:assert/strict";

import { Prng } from "../../util/prng.ts";
import type { Listener, SocketAddress, SocketHandle } from "../io.ts";
import type { Harness } from "./harness.ts";
import type { SocketEnd } from "./socket-end.ts";

export type AddressKind = "tcp over IPv4" | "tcp over IPv6" | "unix";
export const ADDRESS_KINDS: readonly AddressKind[] = ["tcp over IPv4", "tcp over IPv6", "unix"];

/** A free address of this kind to listen on. */
export function addressOf(h: Harness, kind: AddressKind): SocketAddress {
  if (kind === "unix") return { kind: "unix", path: h.path("socket") };
  return { kind: "tcp", host: kind === "tcp over IPv4" ? "127.0.0.1" : "::1", port: 0 };
}

/** Listens for the length of the test. */
export async function listen(
  h: Harness,
  address: SocketAddress,
  onAccept: (socket: SocketHandle, peer: string) => void,
): Promise<Listener> {
  const listener = await h.io.listen(address, onAccept);
  h.after(() => listener.close());
  return listener;
}

export interface Connection {
  readonly client: SocketEnd;
  readonly server: SocketEnd;
}

/** Both ends of a fresh connection. */
export async function connectPair(h: Harness, address: SocketAddress): Promise<Connection> {
  let accepted: (socket: SocketHandle) => void = () => undefined;
  const accepting = new Promise<SocketHandle>((resolve) => {
    accepted = resolve;
  });
  const listener = await listen(h, address, (socket) => h.io.defer(() => accepted(socket)));
  const client = h.end(await h.io.connect(listener.address));
  const server = h.end(await accepting);
  await listener.close();
  return { client, server };
}

/** A prime, so that the pattern lines up with no buffer. */
const PATTERN_PERIOD = 65_521;
const ONE_CALL_MAX = 2 * 1024 * 1024;

/** Bytes with a known value at each position of a stream. */
export class Pattern {
  readonly #bytes = new Uint8Array(PATTERN_PERIOD + ONE_CALL_MAX);

  constructor(seed: string) {
    const period = this.#bytes.subarray(0, PATTERN_PERIOD);
    new Prng(seed).fill(period);
    for (let at = PATTERN_PERIOD; at < this.#bytes.length; at += PATTERN_PERIOD) {
      this.#bytes.set(period.subarray(0, Math.min(PATTERN_PERIOD, this.#bytes.length - at)), at);
    }
  }

  at(position: number, lengthBytes: number): Uint8Array {
    const start = position % PATTERN_PERIOD;
    return this.#bytes.subarray(start, start + lengthBytes);
  }

  check(position: number, have: Uint8Array): void {
    const expected = this.at(position, have.length);
    strictEqual(Buffer.compare(have, expected), 0, `bytes from ${position} differ`);
  }
}

export interface StreamOptions {
  readonly pattern: Pattern;
  readonly from: number;
  readonly totalBytes: number;
  /** The most that one call moves. */
  readonly stepBytesMax: number;
  /** The most ranges of a vector. */
  readonly rangesMax: number;
}

/** Sends a piece of the pattern in steps and ranges of random size. */
export async function sendStream(
  h: Harness,
  end: SocketEnd,
  options: StreamOptions,
): Promise<void> {
  const { pattern, from, totalBytes, stepBytesMax, rangesMax } = options;
  for (let done = 0; done < totalBytes; ) {
    const length = Math.min(1 + h.prng.below(stepBytesMax), totalBytes - done);
    const ranges = 1 + h.prng.below(rangesMax);
    strictEqual(await end.send(pattern.at(from + done, length), ranges), length);
    done += length;
  }
}

/** Receives a piece of the pattern in steps and ranges of random size, and checks it. */
export async function receiveStream(
  h: Harness,
  end: SocketEnd,
  options: StreamOptions,
): Promise<void> {
  const { pattern, from, totalBytes, stepBytesMax, rangesMax } = options;
  for (let done = 0; done < totalBytes; ) {
    const length = Math.min(1 + h.prng.below(stepBytesMax), totalBytes - done);
    const result = h.prng.chance(0.5)
      ? await end.receive(length)
      : await end.receiveRanges(length, 1 + h.prng.below(rangesMax));
    if (result <= 0 || result > length) throw new Error(`${result} of ${length} bytes received`);
    pattern.check(from + done, end.received(result));
    done += result;
  }
}
