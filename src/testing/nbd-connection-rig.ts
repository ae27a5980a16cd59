/**
 * NbdConnectionRig: one NbdConnection in its transmission phase over a stream whose every receive
 * and send ends when the test says so.
 *
 * At the fake level. Owned by one test; the device is the test's.
 */

import assert from "node:assert/strict";
import type { Device } from "../block/device.ts";
import type { NbdCommand } from "../proto/nbd/command.ts";
import { NbdConnection } from "../proto/nbd/connection.ts";
import { NbdExport } from "../proto/nbd/export.ts";
import { transmissionFlags } from "../proto/nbd/export-description.ts";
import { ReceiveVectors } from "../proto/stream/receive-vectors.ts";
import { ReceiveWindow } from "../proto/stream/receive-window.ts";
import { SendBankPool } from "../proto/stream/send-bank.ts";
import { BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, BufferReserve } from "../reactor/buffer-pool.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { ManualStream } from "./manual-stream.ts";

export interface RigOptions {
  readonly replies?: "simple" | "structured" | "extended";
}

export class NbdConnectionRig {
  readonly reactor: Reactor;
  readonly stream = new ManualStream();
  readonly exported: NbdExport;
  readonly connection: NbdConnection;
  /** Why it has closed. */
  reason = "";
  readonly #reserve: BufferReserve;
  readonly #reservedBytes: number;
  readonly #deviceBytes: number;

  constructor(device: Device, { replies = "structured" }: RigOptions = {}) {
    const { reactor } = device;
    const { buffers, io } = reactor;
    // The device has one of its own.
    this.#deviceBytes = buffers.heldBytes;
    const reserve = BufferReserve.create(buffers, BUFFER_BYTES_MAX);
    this.#reservedBytes = buffers.heldBytes;
    const buffer = buffers.acquire(BUFFER_BYTES_MIN);
    assert.ok(reserve !== null && buffer !== null);
    this.reactor = reactor;
    this.#reserve = reserve;
    this.exported = new NbdExport(device, { name: "vol" });
    const host = {
      reactor,
      directory: { find: () => null, list: () => [] },
      banks: new SendBankPool<NbdCommand>(io),
      reserve,
      vectors: new ReceiveVectors(io),
      handshakeMsMax: 1000,
      drainMsMax: 1000,
      findLocal: () => null,
      handOff: () => false,
      connectionClosed: (_connection: NbdConnection, reason: string) => {
        this.reason = reason;
      },
    };
    const window = new ReceiveWindow(buffers, buffer);
    this.connection = new NbdConnection(host, this.stream, window, "test");
    const { description } = this.exported;
    const session = {
      export: description,
      transmissionFlags: transmissionFlags(description, replies !== "simple"),
      structuredReplies: replies !== "simple",
      extendedHeaders: replies === "extended",
      noZeroes: true,
      blockSizeAgreed: false,
      metaContexts: replies === "simple" ? [] : [{ id: 0, name: "base:allocation" }],
    };
    this.connection.startTransmission(session, this.exported);
  }

  /** Lets `ms` of virtual time go by. */
  async settle(ms = 50): Promise<void> {
    const { clock } = this.reactor;
    const untilMs = clock.nowMs() + ms;
    do {
      if (this.stream.sendsByItself && this.stream.isSending) this.stream.endSend();
      await new Promise<void>((resolve) => void clock.startTimer(1, resolve));
    } while (clock.nowMs() < untilMs || (this.stream.sendsByItself && this.stream.isSending));
  }

  /** What of the pool is held beside the reserves. */
  get heldBytes(): number {
    return this.reactor.buffers.heldBytes - this.#reservedBytes;
  }

  /** The connection has closed: nothing may be left. */
  finish(): void {
    assert.ok(this.stream.isClosed, "the connection has closed");
    // A test that has closed the device has given its reserve back, too.
    const allBack = [0, -this.#deviceBytes];
    assert.ok(allBack.includes(this.heldBytes), `${this.heldBytes} bytes of buffers are not back`);
    assert.equal(this.exported.connections.size, 0);
    this.exported.release();
    this.#reserve.close();
  }
}
