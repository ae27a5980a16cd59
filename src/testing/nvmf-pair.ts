/**
 * A device shared over NVMe/TCP and used again through the initiator, on one reactor: for
 * conformance tests. And the plainest service there is: one subsystem, one listener. Closing the
 * result closes all of it.
 */

import { strictEqual } from "node:assert/strict";
import type { Device } from "../block/device.ts";
import { NvmfDevice, type NvmfOptions } from "../devices/nvmf.ts";
import type { NvmeCommand } from "../proto/nvme/io-command.ts";
import { NvmeNamespace, type NamespaceOptions } from "../proto/nvme/namespace.ts";
import { NvmeSubsystem } from "../proto/nvme/subsystem.ts";
import type { SubsystemOptions } from "../proto/nvme/subsystem-options.ts";
import { TargetConnection } from "../proto/nvme-tcp/target-connection.ts";
import type { TargetHost } from "../proto/nvme-tcp/target-link.ts";
import { ReceiveVectors } from "../proto/stream/receive-vectors.ts";
import { ReceiveWindow } from "../proto/stream/receive-window.ts";
import { SendBankPool } from "../proto/stream/send-bank.ts";
import { BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, BufferReserve } from "../reactor/buffer-pool.ts";
import { PlainStream } from "../reactor/byte-stream.ts";
import type { Listener, SocketAddress } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";
import { uuidOfName } from "../util/uuid.ts";

export const PAIR_NQN = "nqn.2026-11.io.penstock:pair";

let openings = 0;

/** A UUID that no opening before had. */
export function openingId(): string {
  return uuidOfName(`test opening ${process.pid} ${openings++}`);
}

export interface NvmfPairOptions {
  readonly shareReadOnly?: boolean;
  readonly initiator?: Partial<NvmfOptions>;
  readonly subsystem?: Partial<SubsystemOptions>;
}

/** One subsystem behind one listener; hosts come as they like. */
export class PlainNvmfService {
  readonly subsystem: NvmeSubsystem;
  readonly connections = new Set<TargetConnection>();
  readonly #reactor: Reactor;
  readonly #banks: SendBankPool<NvmeCommand>;
  readonly #reserve: BufferReserve;
  #listener: Listener | null = null;

  constructor(reactor: Reactor, options: Partial<SubsystemOptions> = {}) {
    this.#reactor = reactor;
    this.subsystem = new NvmeSubsystem(reactor.clock, { nqn: PAIR_NQN, ...options });
    this.#banks = new SendBankPool<NvmeCommand>(reactor.io);
    const reserve = BufferReserve.create(reactor.buffers, BUFFER_BYTES_MAX);
    assert(reserve !== null, "a test's pool has room for a reserve");
    this.#reserve = reserve;
  }

  addNamespace(device: Device, options: Partial<NamespaceOptions> = {}): NvmeNamespace {
    const nsid = options.nsid ?? 1;
    const uuid = uuidOfName(`${PAIR_NQN} ${nsid}`);
    const namespace = new NvmeNamespace({ nsid, device, uuid, ...options });
    this.subsystem.addNamespace(namespace);
    return namespace;
  }

  async listen(address: SocketAddress): Promise<SocketAddress> {
    const { io, buffers } = this.#reactor;
    const host: TargetHost = {
      reactor: this.#reactor,
      banks: this.#banks,
      reserve: this.#reserve,
      vectors: new ReceiveVectors(io),
      listener: "test",
      handshakeMsMax: 30_000,
      drainMsMax: 1000,
      findSubsystem: (nqn) => (nqn === this.subsystem.nqn ? this.subsystem : null),
      handOff: () => false,
      connectionClosed: (connection) => this.connections.delete(connection),
    };
    this.#listener = await io.listen(address, (socket, peer) => {
      const stream = new PlainStream(io, socket);
      const buffer = buffers.acquire(BUFFER_BYTES_MIN);
      if (buffer === null) {
        stream.close();
        return;
      }
      const window = new ReceiveWindow(buffers, buffer);
      const connection = new TargetConnection({ host, stream, window, peer });
      this.connections.add(connection);
      connection.start();
    });
    return this.#listener.address;
  }

  async close(): Promise<void> {
    await this.#listener?.close();
    await Promise.all([...this.connections].map((connection) => connection.drain()));
    strictEqual(this.connections.size, 0);
    this.#reserve.close();
    this.#banks.close();
  }
}

/** Shares `backing`, which is closed with the result, and opens the namespace. */
export async function openThroughNvmf(
  reactor: Reactor,
  backing: Device,
  options: NvmfPairOptions = {},
): Promise<NvmfDevice> {
  const service = new PlainNvmfService(reactor, options.subsystem);
  service.addNamespace(backing, { readOnly: options.shareReadOnly === true });
  const address = await service.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const device = await NvmfDevice.open(reactor, {
    addresses: [address],
    subsystemNqn: PAIR_NQN,
    name: "nvmf://127.0.0.1/pair",
    openingId: openingId(),
    ...options.initiator,
  });
  const closeDevice = device.close.bind(device);
  let closed: Promise<void> | null = null;
  device.close = () => {
    closed ??= closeDevice()
      .then(() => service.close())
      .then(() => backing.close());
    return closed;
  };
  return device;
}
