/**
 * ProxyServer: serves one device to one `ProxyDevice` on another reactor (or on the same one).
 *
 *   offered --hello--> serving --end--> draining --last request ended--> `ended` sent: over
 *      \--close()--> withdrawn            (close(): `leaving` is sent, the proxy answers `end`)
 *
 * Owns one pooled request per slot of the proxy (at most PROXY_IN_FLIGHT_MAX), never the device:
 * when that is closed first, it answers not-ready itself. Answers that find the ring full wait
 * here in their order.
 */

import { BellPush } from "../reactor/doorbell.ts";
import {
  ChannelReader,
  ChannelWriter,
  createChannel,
  type RecordSink,
} from "../reactor/channel.ts";
import type { Flushable, Poller, Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";
import type { Device } from "./device.ts";
import { ExtentList } from "./extents.ts";
import { OPERATION_COUNT, Operation } from "./operation.ts";
import {
  ANSWER_CHANNEL_WORDS,
  DONE_WORDS,
  EXTENT_WORDS,
  EXTENTS_PER_RECORD,
  EXTENTS_WORDS,
  type DeviceTicket,
  getDouble,
  OwnerWord,
  PROXY_IN_FLIGHT_MAX,
  putDouble,
  REQUEST_CHANNEL_WORDS,
  REQUEST_WORDS,
  SEGMENT_WORDS,
  TicketState,
  UserWord,
} from "./proxy-wire.ts";
import { Request } from "./request.ts";
import { Status } from "./status.ts";

/** Offers `device` to one proxy: post `server.ticket` to the thread that calls `openProxy`. */
export function serveDevice(reactor: Reactor, device: Device): ProxyServer {
  assert(device.reactor === reactor, "a device is served by its own reactor");
  return new ProxyServer(reactor, device);
}

export class ProxyServer implements Poller, Flushable, RecordSink {
  readonly ticket: DeviceTicket;
  /** Settles when nothing of the proxy is left: the device may be closed without anybody seeing. */
  readonly over: Promise<void>;
  isDirty = false;
  readonly #reactor: Reactor;
  readonly #device: Device;
  readonly #requests: ChannelReader;
  readonly #answers: ChannelWriter;
  readonly #slots: ServedRequest[] = [];
  readonly #resolveOver: () => void;
  /** Null until the proxy has said hello. */
  #bell: BellPush | null = null;
  #inFlight = 0;
  /** Ended requests whose answer waits for room, oldest first, linked by `next`. */
  #unsentFirst: ServedRequest | null = null;
  #unsentLast: ServedRequest | null = null;
  #ringWanted = false;
  #leavingWanted = false;
  #leavingSent = false;
  #endReceived = false;
  #isOver = false;

  /** Use `serveDevice`. */
  constructor(reactor: Reactor, device: Device) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.#resolveOver = resolve;
    this.#reactor = reactor;
    this.#device = device;
    this.ticket = {
      info: device.info,
      operations: device.operations,
      requests: createChannel(REQUEST_CHANNEL_WORDS),
      answers: createChannel(ANSWER_CHANNEL_WORDS),
      state: new SharedArrayBuffer(4),
      doorbell: reactor.doorbell.address,
    };
    this.#requests = new ChannelReader(this.ticket.requests);
    this.#answers = new ChannelWriter(this.ticket.answers);
    reactor.addPoller(this);
  }

  /**
   * Ends the service before the proxy does: its later requests get not-ready, those that are here
   * already end as they do. Idempotent.
   */
  close(): Promise<void> {
    const { offered, withdrawn } = TicketState;
    const state = new Int32Array(this.ticket.state);
    if (Atomics.compareExchange(state, 0, offered, withdrawn) === offered) this.#finishAll();
    else this.#sendLeaving();
    return this.over;
  }

  // hot path
  poll(): boolean {
    const worked = this.#requests.read(this) > 0;
    if (this.#requests.writerWaits()) this.#wantRing();
    while (this.#unsentFirst !== null && this.#send(this.#unsentFirst)) this.#dropFirst();
    this.#advance();
    return worked;
  }

  /** Shows the proxy what this turn has answered, and wakes it once. Hot path. */
  flush(): void {
    if (!this.#answers.publish() && !this.#ringWanted) return;
    this.#ringWanted = false;
    this.#bell?.ring();
  }

  // hot path
  record(words: Int32Array, at: number, length: number): void {
    const kind = words[at] as number;
    if (kind < OPERATION_COUNT) this.#start(words, at, length);
    else if (kind === UserWord.hello) this.#greet(words, at);
    else {
      assert(kind === UserWord.end, "the proxy speaks our language");
      this.#endReceived = true;
    }
  }

  /** Called by a served request when the device has ended it. Hot path. */
  requestEnded(request: ServedRequest): void {
    this.#inFlight--;
    request.extentsSent = 0;
    if (this.#unsentFirst !== null || !this.#send(request)) {
      request.next = null;
      if (this.#unsentLast === null) this.#unsentFirst = request;
      else this.#unsentLast.next = request;
      this.#unsentLast = request;
    }
    if (this.#endReceived) this.#advance();
  }

  // hot path
  #start(words: Int32Array, at: number, length: number): void {
    const slot = words[at + 1] as number;
    const request = this.#slots[slot] ?? this.#addSlot(slot);
    request.operation = words[at] as Operation;
    request.proxyGeneration = words[at + 2] as number;
    request.flags = words[at + 3] as number;
    request.stream = words[at + 4] as number;
    request.offset = getDouble(words, at + 5);
    request.length = getDouble(words, at + 7);
    const { segments } = request;
    segments.clear();
    const end = at + length;
    for (let from = at + REQUEST_WORDS; from < end; from += SEGMENT_WORDS) {
      segments.push(words[from] as number, words[from + 1] as number, words[from + 2] as number);
    }
    if (request.operation === Operation.blockStatus) {
      request.extents ??= new ExtentList();
      request.extents.clear();
    }
    this.#inFlight++;
    this.#device.submit(request);
  }

  #addSlot(slot: number): ServedRequest {
    assert(slot === this.#slots.length && slot < PROXY_IN_FLIGHT_MAX, "slots come in order");
    const request = new ServedRequest(this, slot);
    this.#slots.push(request);
    return request;
  }

  /** False when the ring is full now (part of the extents may be sent). Hot path. */
  #send(request: ServedRequest): boolean {
    if (request.operation === Operation.blockStatus && !this.#sendExtents(request)) return false;
    const { errorOffset } = request;
    const at = this.#answers.reserve(errorOffset === -1 ? DONE_WORDS : DONE_WORDS + 2);
    if (at < 0) return false;
    const { words } = this.#answers;
    words[at] = OwnerWord.done;
    words[at + 1] = request.slot;
    words[at + 2] = request.proxyGeneration;
    words[at + 3] = request.status;
    if (errorOffset !== -1) putDouble(words, at + DONE_WORDS, errorOffset);
    this.#reactor.markDirty(this);
    return true;
  }

  #sendExtents(request: ServedRequest): boolean {
    const { extents } = request;
    if (request.status !== Status.ok || extents === null) return true;
    while (request.extentsSent < extents.count) {
      const first = request.extentsSent;
      const count = Math.min(extents.count - first, EXTENTS_PER_RECORD);
      let at = this.#answers.reserve(EXTENTS_WORDS + count * EXTENT_WORDS);
      if (at < 0) return false;
      const { words } = this.#answers;
      words[at] = OwnerWord.extents;
      words[at + 1] = request.slot;
      words[at + 2] = request.proxyGeneration;
      at += EXTENTS_WORDS;
      for (let index = first; index < first + count; index++, at += EXTENT_WORDS) {
        putDouble(words, at, extents.lengths[index] as number);
        words[at + 2] = extents.flags[index] as number;
      }
      request.extentsSent = first + count;
      this.#reactor.markDirty(this);
    }
    return true;
  }

  #dropFirst(): void {
    const first = this.#unsentFirst as ServedRequest;
    this.#unsentFirst = first.next as ServedRequest | null;
    first.next = null;
    if (this.#unsentFirst === null) this.#unsentLast = null;
  }

  #greet(words: Int32Array, at: number): void {
    const address = { slabId: words[at + 1] as number, wakeHandle: words[at + 2] as number };
    this.#bell = new BellPush(this.#reactor.io, address);
    this.#wantRing();
  }

  #wantRing(): void {
    this.#ringWanted = true;
    this.#reactor.markDirty(this);
  }

  /** Does what of the closing is due and has room: `leaving`, then `ended`. */
  #advance(): void {
    if (this.#leavingWanted) this.#sendLeaving();
    if (!this.#endReceived || this.#isOver) return;
    if (this.#inFlight > 0 || this.#unsentFirst !== null) return;
    if (this.#sendWord(OwnerWord.ended)) this.#finishAll();
  }

  #sendLeaving(): void {
    this.#leavingWanted = true;
    if (this.#leavingSent || this.#endReceived || this.#isOver) return;
    this.#leavingSent = this.#sendWord(OwnerWord.leaving);
  }

  #sendWord(word: number): boolean {
    const at = this.#answers.reserve(1);
    if (at < 0) return false;
    this.#answers.words[at] = word;
    this.#reactor.markDirty(this);
    return true;
  }

  #finishAll(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#reactor.removePoller(this);
    this.#reactor.deliverLater(this.#resolveOver);
  }
}

/** The owner's copy of a request in a slot of the proxy; used again and again. */
class ServedRequest extends Request {
  readonly slot: number;
  proxyGeneration = 0;
  /** Extents that the proxy has been told of. */
  extentsSent = 0;
  readonly #server: ProxyServer;

  constructor(server: ProxyServer, slot: number) {
    super();
    this.#server = server;
    this.slot = slot;
  }

  // hot path
  override complete(): void {
    this.#server.requestEnded(this);
  }
}
