/**
 * HostController: an association with one controller: an admin queue and I/O queues, each a
 * connection. They stand and fall as one: when one is lost the others are ended too, so that there
 * is one moment at which nothing is in flight.
 *
 *   opening --I/O queues up--> up --one lost, fail()--> failing --all closed--> lost
 *
 * Owned by a path. Used once.
 *
 * spec: NVMe Base 2.0 3.3 "NVM queue models", 3.5 "Controller initialization", 3.9 "Keep alive"
 */

import {
  AnaState,
  AsyncEventConfig,
  AsyncEventNotice,
  AsyncEventType,
  Feature,
} from "../../proto/nvme/constants.ts";
import {
  beginAdmin,
  encodeAbort,
  encodeSetFeatures,
  queueCounts,
  queuePairs,
} from "../../proto/nvme/admin-commands.ts";
import { AdminOpcode } from "../../proto/nvme/constants.ts";
import type { HostCommand } from "../../proto/nvme-tcp/initiator-command.ts";
import { type InitiatorQueue, QUEUE_ENTRIES_MAX } from "../../proto/nvme-tcp/initiator-queue.ts";
import type { ConnectionEnd } from "../../proto/stream/initiator-stream.ts";
import type { Timer } from "../../reactor/clock.ts";
import { assert } from "../../util/assert.ts";
import { toPenstockError } from "../../util/errors.ts";
import { ControllerClient, type ClientOwner, type ClientParts } from "./controller-client.ts";
import {
  claimNamespace,
  clearChangedNamespaces,
  type ControllerSession,
  type NamespaceTerms,
  readAnaState,
  readNamespace,
  readSession,
  releaseNamespace,
} from "./controller-session.ts";

export interface ControllerParts extends ClientParts {
  /** I/O queues, at most; fewer where the controller allows fewer. */
  readonly queues: number;
  /** Entries of each, at most. */
  readonly queueEntries: number;
  /** Null: the first namespace. */
  readonly nsid: number | null;
  /** Claims the namespace, where the controller is one of ours. */
  readonly claims: boolean;
}

/** The path's side. Must not throw. */
export interface ControllerOwner {
  /** A command has its answer, and its memory is in nobody's use. In the turn. Hot path. */
  ended(controller: HostController, command: HostCommand): void;
  /** The controller has told of a change, which has been read. Outside of the turn. */
  changed(controller: HostController): void;
  /** It is about to be lost: nothing is submitted any more. In the turn. */
  failing(controller: HostController): void;
  /** Nothing is in flight any more; commands without an answer are where they were. In the turn. */
  lost(controller: HostController, end: ConnectionEnd): void;
}

/** A queue with less to do than this is not relieved by the next. */
const BATCH_LOAD = 32;
const EVENT_REQUESTS_MAX = 4;
/** Keep Alive is sent this often in its time-out. */
const KEEP_ALIVES_PER_TIMEOUT = 2;
const SHUTDOWN_MS_MAX = 500;
const CAPSULE_UNIT_BYTES = 16;
const SQE_UNITS = 4;
const EVENTS = AsyncEventConfig.namespaceAttribute | AsyncEventConfig.anaChange;

export class HostController implements ClientOwner {
  /** `AnaState` of the namespace over this path. */
  anaState: number = AnaState.optimized;
  /** It was ended at the other side. */
  endedByPeer = false;
  /** Somebody has taken a connection. */
  wasReached = false;
  /** What it said last of the namespace. */
  namespace: NamespaceTerms | null = null;
  owner: ControllerOwner | null = null;
  readonly #parts: ControllerParts;
  readonly #client: ControllerClient;
  #members: InitiatorQueue[] = [];
  #end: ConnectionEnd | null = null;
  #isLost = false;
  #keepAliveTimer: Timer | null = null;
  /** How often in a row nothing had come since the last look. */
  #silentTimes = 0;
  /** A Keep Alive is unanswered. */
  #isAwaitingKeepAlive = false;
  #session: ControllerSession | null = null;
  /** Answers since the last Keep Alive. */
  #hasTraffic = false;
  #isOpening = true;
  #openingTimer: Timer | null = null;
  /** Abort commands without an answer. */
  #aborts = 0;
  #hasClaim = false;
  #isReadingChanges = false;
  #hasMoreChanges = false;

  constructor(parts: ControllerParts) {
    this.#parts = parts;
    this.#client = new ControllerClient(parts, this);
  }

  get isUp(): boolean {
    return this.#end === null && this.#members.length > 0;
  }

  get queueCount(): number {
    return this.#members.length;
  }

  /**
   * Connects, reads what there is, and opens the I/O queues: those that fail after the first are
   * left out.
   * @throws PenstockError of `ControllerClient.connect` and `readSession`; then nothing is open
   */
  async open(signal: AbortSignal): Promise<ControllerSession> {
    const giveUp = (): void => this.fail("given up", "aborted");
    signal.addEventListener("abort", giveUp);
    try {
      return await this.#establish(signal);
    } catch (thrown) {
      const end = this.#end as ConnectionEnd | null; // it may have been set meanwhile
      this.fail("given up");
      await this.#client.allClosed();
      throw end === null ? thrown : this.#client.error(end);
    } finally {
      this.#isOpening = false;
      this.#openingTimer?.cancel();
      signal.removeEventListener("abort", giveUp);
    }
  }

  /**
   * Sends it over the first queue that has little to do, else over the one that has least: few
   * commands at a time make larger batches on one connection than spread over several. Hot path.
   */
  submit(command: HostCommand): void {
    const members = this.#members;
    let best = members[0] as InitiatorQueue; // isUp was asked for
    for (let index = 1; index < members.length && best.load >= BATCH_LOAD; index++) {
      const other = members[index] as InitiatorQueue;
      if (other.load < best.load) best = other;
    }
    best.submit(command);
  }

  /** Asks the controller to give a command up: it ends, sooner or later, in any case. */
  abort(command: HostCommand): void {
    const { admin } = this.#client;
    if (admin === null || !admin.isUp || command.index < 0) return;
    // ACL is 0-based; what is not aborted ends with the connections, a little later.
    if (this.#aborts > (this.#session?.controller.acl ?? 0)) return;
    this.#aborts++;
    const { qid, cookie } = command;
    const asking = this.#client.ask(admin, (sqe) => encodeAbort(qid, cookie, sqe));
    const isAsked = (): void => {
      this.#aborts--;
    };
    asking.then(isAsked, isAsked); // whoever loses the queue hears of it by `lost`
  }

  /** Ends all connections now. Idempotent. */
  fail(message: string, code = "connection-lost"): void {
    this.#failAll({ isFinal: false, code, message });
  }

  /** Says goodbye and closes; no command is under way. */
  async disconnect(): Promise<void> {
    this.#keepAliveTimer?.cancel();
    const isUp = this.#end === null;
    this.#end ??= { isFinal: false, code: "closed", message: "closed" };
    this.#isLost = true;
    if (isUp) await this.#shutDown();
    await this.#client.disconnect();
  }

  /** Connecting has its own limit, and as much again is for all of the rest. */
  connected(): void {
    const { connectMsMax, reactor } = this.#parts;
    this.wasReached = true;
    if (!this.#isOpening) return;
    this.#openingTimer ??= reactor.clock.startTimer(connectMsMax, () => {
      const text = `the controller was not ready within ${connectMsMax} ms`;
      this.fail(text, "connection-timeout");
    });
  }

  // hot path
  ended(command: HostCommand): void {
    this.#hasTraffic = true;
    this.owner?.ended(this, command);
  }

  failing(queue: InitiatorQueue): void {
    const isMember = queue === this.#client.admin || this.#members.includes(queue);
    if (!isMember || this.#end !== null) return;
    this.endedByPeer = queue.endedByPeer;
    this.#failAll(queue.end);
  }

  closed(): void {
    if (this.#client.queueCount > 0) return;
    this.#keepAliveTimer?.cancel();
    if (this.#end === null || this.#isLost || this.owner === null) return;
    this.#isLost = true;
    this.owner.lost(this, this.#end);
  }

  async #establish(signal: AbortSignal): Promise<ControllerSession> {
    const client = this.#client;
    const capabilities = await client.connect(signal);
    this.#startKeepAlive();
    const session = await readSession(client, capabilities, this.#parts.nsid);
    this.#session = session;
    this.namespace = session.namespace;
    if (this.#parts.claims) this.#hasClaim = await claimNamespace(client, session);
    this.anaState = await readAnaState(client, session);
    this.#members = await this.#openQueues(session, signal);
    await this.#listen(session);
    const end = this.#end as ConnectionEnd | null; // it may have ended meanwhile
    if (end !== null) throw client.error(end);
    if (signal.aborted)
      throw client.error({ isFinal: false, code: "aborted", message: "given up" });
    return session;
  }

  async #openQueues(session: ControllerSession, signal: AbortSignal): Promise<InitiatorQueue[]> {
    const { queues, queueEntries } = this.#parts;
    const { maxcmd, ioccsz } = session.controller;
    const counts = queueCounts(queues, queues);
    const { dw0 } = await this.#client.command("asking for queues", (sqe) =>
      encodeSetFeatures(Feature.numberOfQueues, 0, counts, sqe),
    );
    const allowed = Math.min(queues, queuePairs(dw0));
    const longest = Math.min(queueEntries, QUEUE_ENTRIES_MAX, session.capabilities.queueEntriesMax);
    // MAXCMD counts commands: a queue has one entry more.
    const entries = Math.max(2, maxcmd === 0 ? longest : Math.min(longest, maxcmd + 1));
    const capsuleBytes = Math.max(0, (ioccsz - SQE_UNITS) * CAPSULE_UNIT_BYTES);
    const first = await this.#client.openQueue(1, entries, signal);
    const others = Array.from({ length: allowed - 1 }, (_, index) =>
      this.#client.openQueue(index + 2, entries, signal),
    );
    const members = [first];
    for (const result of await Promise.allSettled(others)) {
      if (result.status === "fulfilled" && result.value.isUp) members.push(result.value);
    }
    for (const queue of members) queue.inCapsuleBytesMax = capsuleBytes;
    if (!first.isUp) throw this.#client.error(first.end);
    return members;
  }

  /** Asks to be told of changes. */
  async #listen({ controller }: ControllerSession): Promise<void> {
    const events = controller.oaes & EVENTS;
    if (events === 0) return;
    const { asyncEventConfiguration } = Feature;
    await this.#client.command("asking for events", (sqe) =>
      encodeSetFeatures(asyncEventConfiguration, 0, events, sqe),
    );
    const requests = Math.min(EVENT_REQUESTS_MAX, controller.aerl + 1);
    for (let index = 0; index < requests; index++) void this.#awaitEvents();
  }

  async #awaitEvents(): Promise<void> {
    const { admin } = this.#client;
    const encode = beginAdmin.bind(null, AdminOpcode.asyncEventRequest, 0, 0);
    while (admin?.isUp === true && this.#end === null) {
      try {
        const { status, dw0 } = await this.#client.ask(admin, encode);
        if (status !== 0) return;
        const information = (dw0 >>> 8) & 0xff;
        if ((dw0 & 7) === AsyncEventType.notice) this.#onNotice(information);
      } catch {
        return; // the queue has ended, which is told otherwise
      }
    }
  }

  #onNotice(information: number): void {
    const isOfNamespace = information === AsyncEventNotice.namespaceAttributeChanged;
    if (isOfNamespace || information === AsyncEventNotice.anaChange) this.readChanges();
  }

  /** Reads anew what may have changed: the ANA state, and the namespace. */
  readChanges(): void {
    this.#hasMoreChanges = true;
    if (!this.#isReadingChanges) void this.#readChanges();
  }

  async #readChanges(): Promise<void> {
    const session = this.#session;
    if (session === null) return;
    this.#isReadingChanges = true;
    try {
      while (this.#hasMoreChanges && this.#end === null) {
        this.#hasMoreChanges = false;
        await clearChangedNamespaces(this.#client);
        this.namespace = await readNamespace(this.#client, session, session.namespace.nsid);
        this.anaState = await readAnaState(this.#client, session);
        this.owner?.changed(this);
      }
    } catch (thrown) {
      const { code, message } = toPenstockError(thrown);
      this.fail(`what has changed could not be read: ${message}`, code);
    }
    this.#isReadingChanges = false;
  }

  #startKeepAlive(): void {
    const { keepAliveMs, reactor } = this.#parts;
    if (keepAliveMs === 0) return;
    this.#keepAliveTimer = reactor.clock.startTimer(keepAliveMs / KEEP_ALIVES_PER_TIMEOUT, () => {
      if (this.#end !== null) return;
      this.#silentTimes =
        this.#isAwaitingKeepAlive && !this.#hasTraffic ? this.#silentTimes + 1 : 0;
      this.#hasTraffic = false;
      if (this.#silentTimes >= KEEP_ALIVES_PER_TIMEOUT) {
        this.fail(`no answer to Keep Alive within ${keepAliveMs} ms`, "timeout");
        return;
      }
      void this.#keepAlive();
      this.#startKeepAlive();
    });
  }

  async #keepAlive(): Promise<void> {
    const { admin } = this.#client;
    if (admin?.isUp !== true || this.#isAwaitingKeepAlive) return;
    this.#isAwaitingKeepAlive = true;
    try {
      await this.#client.ask(admin, beginAdmin.bind(null, AdminOpcode.keepAlive, 0, 0));
    } catch {
      // The queue has ended, which is told otherwise.
    }
    this.#isAwaitingKeepAlive = false;
  }

  async #shutDown(): Promise<void> {
    const { clock } = this.#parts.reactor;
    let timer: Timer | null = null;
    const limit = new Promise<void>((resolve) => {
      timer = clock.startTimer(SHUTDOWN_MS_MAX, resolve);
    });
    const leaving = this.#leave().catch(() => undefined);
    await Promise.race([leaving, limit]);
    assert(timer !== null, "the limit has its timer");
    (timer as Timer).cancel();
  }

  async #leave(): Promise<void> {
    const nsid = this.namespace?.nsid;
    if (this.#hasClaim && nsid !== undefined) await releaseNamespace(this.#client, nsid);
    await this.#client.shutDown();
  }

  #failAll(end: ConnectionEnd): void {
    if (this.#end !== null) return;
    this.#end = end;
    this.#keepAliveTimer?.cancel();
    this.owner?.failing(this);
    this.#client.fail({ isFinal: false, code: end.code, message: "another queue has ended" });
  }
}
