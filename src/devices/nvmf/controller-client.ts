/**
 * ControllerClient: opens queues of one controller, and asks it things over its admin queue.
 *
 *   connect() --> queue up --> Connect accepted --> commands, by promises
 *
 * Used by `HostController` for namespaces and by `discover` for the discovery log. Owned by them;
 * the admin queue ends with `end`. What ends by itself is told to the owner.
 */

import { type AdminData, AdminCommand, type AdminAnswer } from "./admin-command.ts";
import {
  ConnectAttribute,
  connectAuthentication,
  connectCntlid,
  encodeConnect,
  encodeConnectData,
} from "../../proto/nvme/connect.ts";
import {
  type Capabilities,
  decodeCapabilities,
  decodeControllerStatus,
  encodeConfiguration,
  encodePropertyGet,
  encodePropertySet,
  PropertyOffset,
  SelectedCommandSet,
  ShutdownNotification,
} from "../../proto/nvme/properties.ts";
import type { Sqe } from "../../proto/nvme/sqe.ts";
import { codeOf, NvmeStatus } from "../../proto/nvme/status.ts";
import { CapsuleBank } from "../../proto/nvme-tcp/initiator-bank.ts";
import type { HostCommand } from "../../proto/nvme-tcp/initiator-command.ts";
import { InitiatorQueue, type QueueHost } from "../../proto/nvme-tcp/initiator-queue.ts";
import type { ConnectionEnd } from "../../proto/stream/initiator-stream.ts";
import { ReceiveWindow } from "../../proto/stream/receive-window.ts";
import { BUFFER_BYTES_MIN } from "../../reactor/buffer-pool.ts";
import { PlainStream } from "../../reactor/byte-stream.ts";
import { connectWithin } from "../../reactor/connect-within.ts";
import type { SocketAddress } from "../../reactor/io.ts";
import { formatSocketAddress } from "../../reactor/io-errors.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import type { PenstockError } from "../../util/errors.ts";
import { sleep } from "../remote/retry.ts";
import {
  commandFailure,
  connectFailure,
  failure,
  type FailurePlace,
} from "./controller-failure.ts";

/** Whom to connect to, and as whom. */
export interface ControllerAddress {
  readonly address: SocketAddress;
  readonly subsystemNqn: string;
  readonly hostNqn: string;
  /** UUID: controllers know hosts by it. */
  readonly hostId: string;
}

export interface ClientParts extends ControllerAddress {
  readonly reactor: Reactor;
  readonly headerDigest: boolean;
  readonly dataDigest: boolean;
  /** For each connection. */
  readonly connectMsMax: number;
  /** KATO; 0: none. */
  readonly keepAliveMs: number;
  /** Banks not in use: kept from one association to the next. */
  readonly banks: CapsuleBank[];
}

/** Called in turns; must not throw. */
export interface ClientOwner {
  /** A socket is connected: the rest is the controller's. Outside of the turn. */
  connected(): void;
  /** An I/O command has its answer. Hot path. */
  ended(command: HostCommand): void;
  /** A queue is about to end. */
  failing(queue: InitiatorQueue): void;
  /** It has; those that it still had are in `takeCommands`. */
  closed(queue: InitiatorQueue): void;
}

/** Entries of an admin queue: more than there are events and questions at a time. */
const ADMIN_ENTRIES = 32;
const READY_POLL_MS = 10;
const CNTLID_ANY = 0xffff;
/** IOSQES and IOCQES: entries of 64 and 16 bytes. */
const SQE_SHIFT = 6;
const CQE_SHIFT = 4;

export class ControllerClient implements QueueHost {
  readonly reactor: Reactor;
  readonly place: FailurePlace;
  admin: InitiatorQueue | null = null;
  cntlid = CNTLID_ANY;
  readonly #parts: ClientParts;
  readonly #owner: ClientOwner;
  readonly #queues = new Set<InitiatorQueue>();
  readonly #opening = new Map<InitiatorQueue, Opening>();
  #onClosed: (() => void) | null = null;
  /** The controller has refused to do without SQHD. */
  #needsFlowControl = false;

  constructor(parts: ClientParts, owner: ClientOwner) {
    this.#parts = parts;
    this.#owner = owner;
    this.reactor = parts.reactor;
    const { subsystemNqn, hostNqn } = parts;
    this.place = { address: formatSocketAddress(parts.address), subsystemNqn, hostNqn };
  }

  /** Queues whose connections are not closed. */
  get queueCount(): number {
    return this.#queues.size;
  }

  /**
   * Opens the admin queue, and enables the controller.
   * @throws PenstockError of `connectWithin`, `connectFailure`, `commandFailure`, `protocol`
   */
  async connect(signal: AbortSignal): Promise<Capabilities> {
    const queue = await this.openQueue(0, ADMIN_ENTRIES, signal);
    this.admin = queue;
    const capabilities = decodeCapabilities(
      await this.#getProperty(PropertyOffset.capabilities, 8),
    );
    const { adminOnly, nvmCommandSet } = capabilities;
    // Some discovery controllers say that they have the NVM command set, and know no other value.
    const isAdmin = adminOnly && !nvmCommandSet;
    await this.#configure(isAdmin ? SelectedCommandSet.adminOnly : SelectedCommandSet.nvm);
    for (;;) {
      const { low } = await this.#getProperty(PropertyOffset.status, 4);
      const { ready, fatal } = decodeControllerStatus(low);
      if (fatal) throw failure("controller-error", `${this.place.address}: fatal status`, true);
      if (ready) return capabilities;
      await sleep(this.reactor.clock, signal, READY_POLL_MS);
      if (signal.aborted)
        throw this.error({ isFinal: false, code: "aborted", message: "given up" });
    }
  }

  /**
   * Opens one queue: connection, initialization, Connect.
   * @param entries of it, 2 to 256
   */
  async openQueue(qid: number, entries: number, signal: AbortSignal): Promise<InitiatorQueue> {
    const queue = await this.#initialize(qid, entries, signal);
    const { keepAliveMs, subsystemNqn, hostNqn, hostId } = this.#parts;
    const keepAlive = qid === 0 ? keepAliveMs : 0;
    const isFree = qid > 0 && !this.#needsFlowControl;
    const command = {
      recordFormat: 0,
      qid,
      queueSize: entries,
      // No more commands are outstanding than there are entries: SQHD tells nothing, and without it
      // controllers may end reads with the SUCCESS flag. spec: NVMe/TCP 3.6.2.9
      attributes: isFree ? ConnectAttribute.disableSqFlowControl : 0,
      keepAliveMs: keepAlive,
    };
    const { cntlid } = this;
    const data = encodeConnectData({ hostId, cntlid, subsystemNqn, hostNqn });
    const answer = await this.ask(queue, (sqe) => encodeConnect(command, sqe), { data });
    if (answer.status !== 0) {
      const error = connectFailure(this.place, answer.status, answer.dw0);
      queue.fail(error.message, error.code);
      if (!isFree || codeOf(answer.status) !== NvmeStatus.connectInvalidParameters) throw error;
      // It may be one that insists on flow control.
      this.#needsFlowControl = true;
      return this.openQueue(qid, entries, signal);
    }
    if (connectAuthentication(answer.dw0) !== 0) {
      const text = `${this.place.address} asks hosts to authenticate, which is not supported`;
      queue.fail(text, "authentication-required");
      throw failure("authentication-required", text);
    }
    if (qid === 0) this.cntlid = connectCntlid(answer.dw0);
    return queue;
  }

  /** Asks something over the admin queue. @throws PenstockError: it failed, or the queue ended */
  async command(
    what: string,
    encode: (sqe: Sqe) => void,
    data: AdminData = {},
  ): Promise<AdminAnswer> {
    const { admin } = this;
    if (admin === null) throw this.error({ isFinal: false, code: "closed", message: "closed" });
    const answer = await this.ask(admin, encode, data);
    if (answer.status !== 0) throw commandFailure(this.place, what, answer.status);
    return answer;
  }

  /** As `command`, but a refusal is an answer. */
  ask(
    queue: InitiatorQueue,
    encode: (sqe: Sqe) => void,
    data: AdminData = {},
  ): Promise<AdminAnswer> {
    if (!queue.isUp) throw this.error(queue.end);
    return new AdminCommand(this.reactor).run(queue, encode, data);
  }

  /** Tells the controller that it is left, as far as it listens. */
  async shutDown(): Promise<void> {
    if (this.admin?.isUp !== true) return;
    await this.#configure(SelectedCommandSet.nvm, ShutdownNotification.normal);
  }

  /** Ends all queues now. Idempotent. */
  fail(end: ConnectionEnd): void {
    for (const queue of this.#queues) queue.fail(end.message, end.code, end.isFinal);
  }

  /** Closes all queues, and waits for that; no command of the owner's is under way. */
  async disconnect(): Promise<void> {
    for (const queue of this.#queues) queue.disconnect();
    await this.allClosed();
  }

  async allClosed(): Promise<void> {
    if (this.#queues.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onClosed = resolve;
    });
  }

  error(end: ConnectionEnd): PenstockError {
    const { address, subsystemNqn } = this.place;
    return failure(end.code, `${address}, ${subsystemNqn}: ${end.message}`, !end.isFinal);
  }

  ready(queue: InitiatorQueue): void {
    const opening = this.#opening.get(queue);
    this.#opening.delete(queue);
    assert(opening !== undefined, "a queue is ready once");
    this.reactor.deliverLater(opening.resolve);
  }

  // hot path
  ended(command: HostCommand): void {
    if (command instanceof AdminCommand) command.finished();
    else this.#owner.ended(command);
  }

  failing(queue: InitiatorQueue): void {
    this.#owner.failing(queue);
  }

  closed(queue: InitiatorQueue): void {
    this.#queues.delete(queue);
    this.#parts.banks.push(queue.bank);
    const error = this.error(queue.end);
    for (let each = queue.takeCommands(); each !== null; each = takeOff(each)) {
      if (each instanceof AdminCommand) each.lost(error);
    }
    const opening = this.#opening.get(queue);
    this.#opening.delete(queue);
    if (opening !== undefined) this.reactor.deliverLater(() => opening.reject(error));
    this.#owner.closed(queue);
    if (this.#queues.size > 0) return;
    const onClosed = this.#onClosed;
    this.#onClosed = null;
    if (onClosed !== null) this.reactor.deliverLater(onClosed);
  }

  async #initialize(qid: number, entries: number, signal: AbortSignal): Promise<InitiatorQueue> {
    const { reactor, address, connectMsMax, banks, headerDigest, dataDigest } = this.#parts;
    const socket = await connectWithin(reactor.io, address, connectMsMax, signal);
    this.#owner.connected();
    const stream = new PlainStream(reactor.io, socket);
    const buffer = signal.aborted ? null : reactor.buffers.acquire(BUFFER_BYTES_MIN);
    if (buffer === null) {
      stream.close();
      throw this.error({ isFinal: false, code: "no-memory", message: "there is no buffer" });
    }
    const queue = new InitiatorQueue({
      host: this,
      qid,
      entries,
      stream,
      window: new ReceiveWindow(reactor.buffers, buffer),
      bank: banks.pop() ?? new CapsuleBank(reactor.io),
      headerDigest,
      dataDigest,
    });
    this.#queues.add(queue);
    await new Promise<void>((resolve, reject) => {
      this.#opening.set(queue, { resolve, reject });
      queue.start();
    });
    return queue;
  }

  async #getProperty(offset: number, sizeBytes: 4 | 8): Promise<{ low: number; high: number }> {
    const encode = (sqe: Sqe): void => encodePropertyGet(offset, sizeBytes, sqe);
    const { dw0, dw1 } = await this.command("reading a property", encode);
    return { low: dw0, high: sizeBytes === 8 ? dw1 : 0 };
  }

  async #configure(commandSet: number, shutdown = 0): Promise<void> {
    const value = encodeConfiguration({
      enable: true,
      commandSet,
      memoryPageShift: 0,
      arbitration: 0,
      shutdown,
      sqeShift: SQE_SHIFT,
      cqeShift: CQE_SHIFT,
      readyIndependentOfMedia: false,
    });
    const { configuration } = PropertyOffset;
    await this.command("configuring it", (sqe) => encodePropertySet(configuration, value, sqe));
  }
}

interface Opening {
  readonly resolve: () => void;
  readonly reject: (error: PenstockError) => void;
}

function takeOff(command: HostCommand): HostCommand | null {
  const { next } = command;
  command.next = null;
  return next;
}
