/**
 * What the checks of `npm start` need of a client: an NBD client of their own on node:net, or the
 * library for everything else that a URI may name.
 */

import { LibraryDevice } from "../library/library-device.ts";
import { NbdCheckClient } from "./nbd-check-client.ts";

export interface CheckClient {
  readonly sizeBytes: number;
  read(offset: number, lengthBytes: number): Promise<Buffer>;
  write(offset: number, data: Buffer): Promise<void>;
  flush(): Promise<void>;
  trim(offset: number, lengthBytes: number): Promise<void>;
  /** When nothing is under way any more. */
  close(): Promise<void>;
}

/** @throws PenstockError when nobody is there, or who is there has no such share */
export async function connectCheckClient(uri: string): Promise<CheckClient> {
  return uri.startsWith("nbd") ? await NbdCheckClient.connect(uri) : await openDevice(uri);
}

async function openDevice(uri: string): Promise<CheckClient> {
  // Node's own sockets: what is checked has another way to the kernel, where it can.
  const device = await LibraryDevice.open(uri, { level: "portable" });
  return {
    sizeBytes: device.info.sizeBytes,
    read: async (offset, lengthBytes) => bufferOf(await device.readAt(lengthBytes, offset)),
    write: (offset, data) => device.writeAt(data, offset),
    flush: () => device.flush(),
    trim: (offset, lengthBytes) => device.discard(offset, lengthBytes),
    close: () => device.close(),
  };
}

function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
