/**
 * ConnectionRig: two fake hosts with one connection between them, and ends that send all of their
 * bytes and take all that comes: for tests of the fake network. Owns its world.
 */

import { deepStrictEqual, ok } from "node:assert/strict";
import { type Io, IoOp, type IoVector, type SocketHandle } from "../io.ts";
import type { Slab } from "../slab.ts";
import type { FakeConnection } from "./fake-network.ts";
import { type FakeProcess, FakeWorld } from "./fake-world.ts";

export const ADDRESS = { kind: "tcp", host: "node-b", port: 4420 } as const;
const MIB = 1024 * 1024;

/** One end: sends all of its bytes, takes all that comes. */
export class ConnectionEnd {
  readonly io: Io;
  readonly socket: SocketHandle;
  readonly received: number[] = [];
  /** Lengths of what came at once; the last one is 0 or -errno. */
  readonly receipts: number[] = [];
  readonly sends: number[] = [];
  readonly slab: Slab;
  readonly #vector: IoVector;
  readonly #receiveOp: CallingOp;
  readonly #sendOp: CallingOp;

  constructor(io: Io, socket: SocketHandle) {
    this.io = io;
    this.socket = socket;
    this.slab = io.slabs.allocate(2 * MIB);
    this.#vector = io.vector(4);
    this.#receiveOp = new CallingOp((result) => this.#gotSome(result));
    this.#sendOp = new CallingOp((result) => this.#sentSome(result));
    io.attach(this.#receiveOp);
    io.attach(this.#sendOp);
  }

  receive(): void {
    this.io.receive(this.#receiveOp, this.socket, this.slab, MIB, MIB);
  }

  cancelReceive(): void {
    this.io.cancel(this.#receiveOp);
  }

  send(bytes: Uint8Array): void {
    this.slab.bytes.set(bytes);
    this.#vector.clear();
    this.#vector.push(this.slab, 0, bytes.length);
    this.io.send(this.#sendOp, this.socket, this.#vector);
  }

  #gotSome(result: number): void {
    this.receipts.push(result);
    if (result <= 0) return;
    for (let at = MIB; at < MIB + result; at++) this.received.push(this.slab.bytes[at] as number);
    this.receive();
  }

  #sentSome(result: number): void {
    this.sends.push(result);
    if (result <= 0) return;
    this.#vector.advance(result);
    if (this.#vector.count > 0) this.io.send(this.#sendOp, this.socket, this.#vector);
  }
}

class CallingOp extends IoOp {
  readonly #call: (result: number) => void;

  constructor(call: (result: number) => void) {
    super();
    this.#call = call;
  }

  override complete(result: number): void {
    this.#call(result);
  }
}

export class ConnectionRig {
  readonly world: FakeWorld;
  readonly a: FakeProcess;
  readonly b: FakeProcess;
  client!: ConnectionEnd; // set by `open`
  server!: ConnectionEnd; // set by `open`

  static async open(seed: number): Promise<ConnectionRig> {
    const pair = new ConnectionRig(seed);
    const { world, a, b } = pair;
    const peers: string[] = [];
    const listening = b.io.listen(ADDRESS, (socket, peer) => {
      peers.push(peer);
      pair.server = new ConnectionEnd(b.io, socket);
    });
    await world.runUntil(listening);
    pair.client = new ConnectionEnd(a.io, await world.runUntil(a.io.connect(ADDRESS)));
    await world.run();
    deepStrictEqual(peers, ["node-a"]);
    return pair;
  }

  constructor(seed: number) {
    this.world = new FakeWorld({ seed });
    this.a = this.world.process({ host: "node-a" });
    this.b = this.world.process({ host: "node-b" });
  }

  get connection(): FakeConnection {
    const [first] = this.world.network.connections;
    ok(first !== undefined);
    return first;
  }
}
