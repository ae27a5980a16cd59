/**
 * An NVMe/TCP host made of bytes: one queue per connection, one command at a time, every field of
 * an answer checked. Tests use it beside hostile ones, and to become hostile half-way.
 *
 *   connected --ic--> initialized --connect (qid 0, enable; or qid n)--> commands
 */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { crc32c } from "../util/crc32c.ts";
import {
  type ConnectFields,
  capsule,
  connectCommand,
  type Digests,
  h2cData,
  type IcReqFields,
  icReq,
  NO_DIGESTS,
  propertyGet,
  propertySet,
  type SqeFields,
} from "./nvme-bytes.ts";
import { RawSocket } from "./raw-socket.ts";

const HEADER_BYTES = 8;
/** Longer PDUs than any target sends here. */
const PDU_BYTES_MAX = 4 * 2 ** 20;
const Property = { cap: 0, vs: 8, cc: 0x14, csts: 0x1c } as const;
/** Enabled, I/O queue entries of 64 and 16 bytes. */
const CC_ENABLE = 0x0046_0001;

export interface Pdu {
  readonly type: number;
  readonly flags: number;
  /** The whole PDU. */
  readonly bytes: Buffer;
  readonly data: Buffer;
}

export interface Completion {
  readonly cid: number;
  /** 15 bits, DNR and all. */
  readonly status: number;
  readonly dw0: number;
  readonly dw1: number;
  readonly sqHead: number;
  /** What the controller sent. */
  readonly data: Buffer;
}

/** The target ended the connection with a C2HTermReq. */
export class Terminated extends Error {
  override readonly name = "Terminated";
  readonly fatalError: number;

  constructor(fatalError: number) {
    super(`terminated with fatal error ${fatalError}`);
    this.fatalError = fatalError;
  }
}

export interface QueueOptions {
  readonly subsystem: string;
  readonly digests?: Digests;
  readonly connect?: Partial<ConnectFields>;
  readonly ic?: IcReqFields;
}

export class NvmeRawClient {
  readonly raw: RawSocket;
  readonly digests: Digests;
  /** Of the controller; set by `openAdmin` and `openIo`. */
  cntlid = 0;
  /** Each admin queue is a host of its own: a target ends a host's older association. */
  hostId: Uint8Array = randomBytes(16);
  #nextCid = 1;

  constructor(raw: RawSocket, digests: Digests) {
    this.raw = raw;
    this.digests = digests;
  }

  /** A connection that has said nothing. */
  static async uninitialized(uri: string): Promise<NvmeRawClient> {
    return new NvmeRawClient(await RawSocket.connect(uri), NO_DIGESTS);
  }

  /** A connection with ICReq and ICResp exchanged. */
  static async initialize(uri: string, fields: IcReqFields = {}): Promise<NvmeRawClient> {
    const digests = fields.digests ?? NO_DIGESTS;
    const raw = await RawSocket.connect(uri);
    await raw.write(icReq(fields));
    const answer = await raw.read(128);
    assert.equal(answer[0], 1, "ICResp");
    assert.equal(answer[11], (digests.header ? 1 : 0) | (digests.data ? 2 : 0), "digests");
    return new NvmeRawClient(raw, digests);
  }

  /** An admin queue whose controller is ready. */
  static async openAdmin(uri: string, options: QueueOptions): Promise<NvmeRawClient> {
    const client = await NvmeRawClient.#connected(uri, options, { qid: 0 });
    await client.setProperty(Property.cc, CC_ENABLE);
    assert.equal((await client.property(Property.csts)) & 1, 1, "ready");
    return client;
  }

  /** An I/O queue of the controller that `admin` belongs to. */
  static async openIo(
    uri: string,
    admin: NvmeRawClient,
    options: QueueOptions,
    qid = 1,
  ): Promise<NvmeRawClient> {
    const { cntlid, hostId } = admin;
    return await NvmeRawClient.#connected(uri, options, { qid, cntlid, hostId });
  }

  static async #connected(
    uri: string,
    options: QueueOptions,
    place: { readonly qid: number; readonly cntlid?: number; readonly hostId?: Uint8Array },
  ): Promise<NvmeRawClient> {
    const { digests = NO_DIGESTS, subsystem } = options;
    const client = await NvmeRawClient.initialize(uri, { ...options.ic, digests });
    client.hostId = place.hostId ?? options.connect?.hostId ?? client.hostId;
    const { hostId } = client;
    const { sqe, data } = connectCommand({ ...place, subsystem, hostId, ...options.connect });
    const { status, dw0 } = await client.command(sqe, { inCapsule: data });
    if (status !== 0) {
      client.raw.destroy();
      throw new Error(`Connect of queue ${place.qid}: status 0x${status.toString(16)}`);
    }
    client.cntlid = dw0 & 0xffff;
    return client;
  }

  /** The next command id. */
  cid(): number {
    this.#nextCid = this.#nextCid === 0x7fff ? 1 : this.#nextCid + 1;
    return this.#nextCid;
  }

  /** Sends one command and what it asks for; its completion, whatever the status. */
  async command(
    fields: Omit<SqeFields, "cid"> & { readonly cid?: number },
    payload: { readonly inCapsule?: Uint8Array; readonly onRequest?: Uint8Array } = {},
  ): Promise<Completion> {
    const cid = fields.cid ?? this.cid();
    const { inCapsule, onRequest } = payload;
    const length = onRequest === undefined ? {} : { lengthBytes: onRequest.length };
    await this.raw.write(capsule({ ...length, ...fields, cid }, this.digests, inCapsule));
    return await this.completion(cid, onRequest);
  }

  /** What answers `cid`, the only command outstanding. */
  async completion(cid: number, onRequest?: Uint8Array): Promise<Completion> {
    const parts: Buffer[] = [];
    let received = 0;
    for (;;) {
      const { type, flags, bytes, data } = await this.pdu();
      assert.equal(bytes.readUInt16LE(type === 5 ? 8 + 12 : 8), cid, `command id of type ${type}`);
      if (type === 7) {
        assert.equal(bytes.readUInt32LE(12), received, "data comes in its order");
        assert.equal(bytes.readUInt32LE(16), data.length, "DATAL");
        parts.push(data);
        received += data.length;
        if ((flags & 8) !== 0) {
          assert.ok((flags & 4) !== 0, "SUCCESS is on the last PDU only");
          return { cid, status: 0, dw0: 0, dw1: 0, sqHead: -1, data: Buffer.concat(parts) };
        }
      } else if (type === 9) {
        assert.ok(onRequest !== undefined, "an R2T for a command that has data for it");
        const offset = bytes.readUInt32LE(12);
        const part = onRequest.subarray(offset, offset + bytes.readUInt32LE(16));
        assert.equal(part.length, bytes.readUInt32LE(16), "R2T within the command's data");
        const ttag = bytes.readUInt16LE(10);
        await this.raw.write(h2cData({ cid, ttag, offset, data: part }, this.digests));
      } else {
        assert.equal(type, 5, "CapsuleResp");
        const [dw0, dw1] = [bytes.readUInt32LE(8), bytes.readUInt32LE(12)];
        const [sqHead, status] = [bytes.readUInt16LE(16), bytes.readUInt16LE(22) >>> 1];
        return { cid, status, dw0, dw1, sqHead, data: Buffer.concat(parts) };
      }
    }
  }

  /** The next PDU, its digests checked; rejects with Terminated for a C2HTermReq. */
  async pdu(timeoutMs?: number): Promise<Pdu> {
    const start = await this.raw.read(HEADER_BYTES, timeoutMs);
    const plen = start.readUInt32LE(4);
    const [type = 0, flags = 0, hlen = 0, pdo = 0] = start;
    assert.ok(plen >= hlen && plen <= PDU_BYTES_MAX, `PLEN ${plen}`);
    const bytes = Buffer.concat([start, await this.raw.read(plen - HEADER_BYTES, timeoutMs)]);
    if (type === 3) {
      throw new Terminated(bytes.readUInt16LE(8));
    }
    if ((flags & 1) !== 0) {
      assert.ok(this.digests.header, "a header digest that was not negotiated");
      assert.equal(bytes.readUInt32LE(hlen), crc32c(bytes, 0, hlen), "header digest");
    } else {
      assert.ok(!this.digests.header, "a header digest is missing");
    }
    const hasDataDigest = (flags & 2) !== 0;
    const dataEnd = hasDataDigest ? plen - 4 : plen;
    const data = pdo === 0 ? Buffer.alloc(0) : bytes.subarray(pdo, dataEnd);
    assert.equal(hasDataDigest, this.digests.data && data.length > 0, "a data digest");
    if (hasDataDigest) {
      const digest = crc32c(bytes, pdo, data.length);
      assert.equal(bytes.readUInt32LE(dataEnd), digest, "data digest");
    }
    return { type, flags, bytes, data };
  }

  async property(offset: number, bytes = 4): Promise<number> {
    const { status, dw0, dw1 } = await this.command(propertyGet(this.cid(), offset, bytes));
    assert.equal(status, 0, `property 0x${offset.toString(16)}`);
    return dw0 + (bytes === 8 ? dw1 * 2 ** 32 : 0);
  }

  async setProperty(offset: number, value: number): Promise<void> {
    const { status } = await this.command(propertySet(this.cid(), offset, value));
    assert.equal(status, 0, `property 0x${offset.toString(16)} = ${value}`);
  }

  /** Blocks of namespace 1, each `blockBytes`. */
  async read(block: number, count: number, blockBytes: number): Promise<Buffer> {
    const lengthBytes = count * blockBytes;
    const answer = await this.command({ ...transfer(2, block, count), lengthBytes });
    assert.equal(answer.status, 0, `read of ${count} blocks at ${block}`);
    assert.equal(answer.data.length, lengthBytes);
    return answer.data;
  }

  /** In the capsule where it fits. */
  async write(block: number, data: Uint8Array, blockBytes: number): Promise<void> {
    const payload = data.length <= 8192 ? { inCapsule: data } : { onRequest: data };
    const { status } = await this.command(transfer(1, block, data.length / blockBytes), payload);
    assert.equal(status, 0, `write of ${data.length} bytes at block ${block}`);
  }
}

/** Read (2), write (1) and their like, as fields of a command for namespace 1. */
export function transfer(
  opcode: number,
  block: number,
  count: number,
): { opcode: number; nsid: number; words: number[] } {
  return { opcode, nsid: 1, words: [block, Math.floor(block / 2 ** 32), count - 1] };
}

/** The bytes of a logical block of namespace 1, by identify (CNS 0). */
export async function blockBytesOf(admin: NvmeRawClient): Promise<number> {
  const { data } = await admin.command({ opcode: 6, nsid: 1, lengthBytes: 4096, words: [0] });
  const format = (data[26] ?? 0) & 15;
  return 2 ** (data[128 + format * 4 + 2] ?? 0);
}
