/**
 * Association: all connections of an NBD device that are up together. They stand and fall as one:
 * when one is lost the others are ended too, so that there is one moment at which nothing is in
 * flight, and one number that a target of ours knows them by (safety rule 4).
 *
 *   opening --first ready, others or not--> up --one lost, fail()--> failing --all closed--> lost
 *
 * Owned by the device. Used once.
 */

import type { InitiatorCommand } from "../../proto/nbd/initiator-command.ts";
import { InitiatorConnection, type InitiatorHost } from "../../proto/nbd/initiator-connection.ts";
import type { InitiatorRequest, InitiatorSession } from "../../proto/nbd/initiator-session.ts";
import type { ConnectionEnd } from "../../proto/stream/initiator-stream.ts";
import { ReceiveWindow } from "../../proto/stream/receive-window.ts";
import { RequestBank } from "../../proto/nbd/request-bank.ts";
import { BUFFER_BYTES_MIN } from "../../reactor/buffer-pool.ts";
import { PlainStream } from "../../reactor/byte-stream.ts";
import { connectWithin } from "../../reactor/connect-within.ts";
import type { SocketAddress } from "../../reactor/io.ts";
import { formatSocketAddress } from "../../reactor/io-errors.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import { PenstockError } from "../../util/errors.ts";
import { offers } from "./terms.ts";

export interface AssociationParts {
  readonly reactor: Reactor;
  readonly address: SocketAddress;
  readonly request: InitiatorRequest;
  /** Connections where the server allows several; null: our default. */
  readonly connections: number | null;
  /** For connecting, and again for the handshake. */
  readonly connectMsMax: number;
  /** Banks not in use: kept from one association to the next. */
  readonly banks: RequestBank[];
}

/** The device's side. Called in turns; must not throw. */
export interface AssociationOwner {
  /** A command has its answer, and its memory is in nobody's use. Hot path. */
  ended(command: InitiatorCommand): void;
  /** Nothing is in flight any more; commands without an answer are where they were. */
  lost(association: Association, end: ConnectionEnd): void;
}

const CONNECTIONS_DEFAULT = 4;

/** A connection with less to do than this is not relieved by the next. */
const BATCH_LOAD = 32;

export class Association implements InitiatorHost {
  readonly reactor: Reactor;
  owner: AssociationOwner | null = null;
  readonly #parts: AssociationParts;
  /** Not yet closed. */
  readonly #connections = new Set<InitiatorConnection>();
  /** Those that commands go to. */
  #members: InitiatorConnection[] = [];
  readonly #opening = new Map<InitiatorConnection, Opening>();
  #end: ConnectionEnd | null = null;
  #isLost = false;
  #onClosed: (() => void) | null = null;

  constructor(parts: AssociationParts) {
    this.#parts = parts;
    this.reactor = parts.reactor;
  }

  get isUp(): boolean {
    return this.#end === null && this.#members.length > 0;
  }

  get connectionCount(): number {
    return this.#members.length;
  }

  /**
   * Opens the first connection, and more where the server allows it: those that fail are left out.
   * @throws PenstockError of `connectWithin` and the handshake; then nothing is left open
   */
  async open(signal: AbortSignal): Promise<InitiatorSession> {
    const first = await this.#connect(signal);
    this.#members = [first.connection];
    // Between its handshake and here nobody was told of its end.
    if (!first.connection.isUp) this.#failAll(first.connection.end);
    const { session } = first;
    const allowed = offers(session, "canMultiConn")
      ? (this.#parts.connections ?? CONNECTIONS_DEFAULT)
      : 1;
    const otherCount = this.#end === null ? allowed - 1 : 0;
    const others = Array.from({ length: otherCount }, () => this.#connect(signal));
    for (const result of await Promise.allSettled(others)) {
      if (result.status === "rejected") continue;
      const { connection } = result.value;
      if (isSame(session, result.value.session) && connection.isUp) this.#members.push(connection);
      else connection.fail("it is not the same export as over the first connection");
    }
    const end = this.#end as ConnectionEnd | null; // it may have ended meanwhile
    if (end === null && !signal.aborted) return session;
    this.fail("given up");
    await this.#allClosed();
    throw this.#error(end ?? { isFinal: false, code: "aborted", message: "given up" });
  }

  /**
   * Sends it over the first connection that has little to do, else over the one that has least:
   * few requests at a time make larger batches on one connection than spread over several.
   * Hot path.
   */
  submit(command: InitiatorCommand): void {
    const members = this.#members;
    let best = members[0] as InitiatorConnection; // isUp was asked for
    for (let index = 1; index < members.length && best.load >= BATCH_LOAD; index++) {
      const other = members[index] as InitiatorConnection;
      if (other.load < best.load) best = other;
    }
    best.submit(command);
  }

  /** Ends all connections now. Idempotent. */
  fail(message: string, code = "connection-lost"): void {
    this.#failAll({ isFinal: false, code, message });
  }

  /** Says goodbye and closes; no command is under way. */
  async disconnect(): Promise<void> {
    this.#end ??= { isFinal: false, code: "closed", message: "closed" };
    this.#isLost = true;
    for (const connection of this.#connections) connection.disconnect();
    await this.#allClosed();
  }

  ready(connection: InitiatorConnection, session: InitiatorSession): void {
    const opening = this.#opening.get(connection);
    this.#opening.delete(connection);
    assert(opening !== undefined, "a connection is ready once");
    this.reactor.deliverLater(() => opening.resolve(session));
  }

  // hot path
  ended(command: InitiatorCommand): void {
    this.owner?.ended(command);
  }

  failing(connection: InitiatorConnection): void {
    if (this.#members.includes(connection)) this.#failAll(connection.end);
  }

  closed(connection: InitiatorConnection): void {
    this.#connections.delete(connection);
    this.#parts.banks.push(connection.bank);
    while (connection.takeCommands() !== null);
    const opening = this.#opening.get(connection);
    this.#opening.delete(connection);
    if (opening !== undefined) {
      this.reactor.deliverLater(() => opening.reject(this.#error(connection.end)));
    }
    if (this.#connections.size > 0) return;
    const onClosed = this.#onClosed;
    this.#onClosed = null;
    if (onClosed !== null) this.reactor.deliverLater(onClosed);
    if (this.#end === null || this.#isLost) return;
    this.#isLost = true;
    this.owner?.lost(this, this.#end);
  }

  async #connect(signal: AbortSignal): Promise<Connected> {
    const { reactor, address, connectMsMax, request, banks } = this.#parts;
    const socket = await connectWithin(reactor.io, address, connectMsMax, signal);
    const stream = new PlainStream(reactor.io, socket);
    const buffer = this.#end === null ? reactor.buffers.acquire(BUFFER_BYTES_MIN) : null;
    if (buffer === null) {
      stream.close();
      throw this.#error({ isFinal: false, code: "no-memory", message: "there is no buffer" });
    }
    const connection = new InitiatorConnection({
      host: this,
      stream,
      window: new ReceiveWindow(reactor.buffers, buffer),
      bank: banks.pop() ?? new RequestBank(reactor.io),
      request,
    });
    this.#connections.add(connection);
    const giveUp = (): void => connection.fail("given up", "aborted");
    const timer = reactor.clock.startTimer(connectMsMax, () => {
      const text = `the server has not finished its handshake within ${connectMsMax} ms`;
      connection.fail(text, "connection-timeout");
    });
    signal.addEventListener("abort", giveUp);
    try {
      const session = await new Promise<InitiatorSession>((resolve, reject) => {
        this.#opening.set(connection, { resolve, reject });
        connection.start();
      });
      return { connection, session };
    } finally {
      timer.cancel();
      signal.removeEventListener("abort", giveUp);
    }
  }

  #failAll(end: ConnectionEnd): void {
    if (this.#end !== null) return;
    this.#end = end;
    for (const connection of this.#connections) connection.fail("another connection has ended");
  }

  async #allClosed(): Promise<void> {
    if (this.#connections.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onClosed = resolve;
    });
  }

  #error(end: ConnectionEnd): PenstockError {
    const { address, request } = this.#parts;
    return new PenstockError({
      code: end.code,
      message: `${formatSocketAddress(address)}, export "${request.exportName}": ${end.message}`,
      retryable: !end.isFinal,
    });
  }
}

interface Connected {
  readonly connection: InitiatorConnection;
  readonly session: InitiatorSession;
}

interface Opening {
  readonly resolve: (session: InitiatorSession) => void;
  readonly reject: (error: PenstockError) => void;
}

/** Everything that a device counts on is the same. */
function isSame(one: InitiatorSession, other: InitiatorSession): boolean {
  return (
    one.sizeBytes === other.sizeBytes &&
    one.flags === other.flags &&
    one.instanceId === other.instanceId &&
    one.minimumBlockBytes === other.minimumBlockBytes &&
    one.maximumPayloadBytes === other.maximumPayloadBytes &&
    one.structuredReplies === other.structuredReplies &&
    one.extendedHeaders === other.extendedHeaders &&
    (one.allocationContext === null) === (other.allocationContext === null)
  );
}
