/**
 * A client of an engine's services, over HTTP/1.1 on a Unix socket or TCP. Holds no connection open
 * between calls of its own accord.
 */

import { createConnection } from "node:net";
import { type Client, createClient } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { type EngineAddress, formatEngineAddress } from "./engine-address.ts";
import { EngineService, PipeService } from "./penstock/engine/v1/engine_pb.ts";
import { DeviceService, PoolService, ReplicaService } from "./penstock/engine/v1/pool_pb.ts";
import { SnapshotService } from "./penstock/engine/v1/snapshot_pb.ts";
import { fromRpcError } from "./rpc-failure.ts";

export interface EngineClient {
  readonly engine: Client<typeof EngineService>;
  readonly pipes: Client<typeof PipeService>;
  readonly pools: Client<typeof PoolService>;
  readonly replicas: Client<typeof ReplicaService>;
  readonly devices: Client<typeof DeviceService>;
  readonly snapshots: Client<typeof SnapshotService>;
}

/**
 * Makes one call, or several.
 * @throws PenstockError: the engine's own as RemoteError
 */
export async function askEngine<T>(
  address: EngineAddress,
  call: (client: EngineClient) => Promise<T>,
): Promise<T> {
  try {
    return await call(engineClient(address));
  } catch (thrown) {
    throw fromRpcError(thrown, formatEngineAddress(address));
  }
}

/**
 * As `askEngine`, for calls that send for long: over HTTP/2, where a request takes the time that it
 * takes. The connection ends with `call`.
 */
export async function streamToEngine<T>(
  address: EngineAddress,
  call: (snapshots: Client<typeof SnapshotService>) => Promise<T>,
): Promise<T> {
  const baseUrl = baseUrlOf(address);
  const path = address.kind === "unix" ? address.path : null;
  const options = path === null ? {} : { createConnection: () => createConnection(path) };
  const sessionManager = new Http2SessionManager(baseUrl, {}, options);
  const transport = createConnectTransport({ httpVersion: "2", baseUrl, sessionManager });
  try {
    return await call(createClient(SnapshotService, transport));
  } catch (thrown) {
    throw fromRpcError(thrown, formatEngineAddress(address));
  } finally {
    sessionManager.abort();
  }
}

function baseUrlOf(address: EngineAddress): string {
  return address.kind === "unix" ? "http://localhost" : `http://${formatEngineAddress(address)}`;
}

function engineClient(address: EngineAddress): EngineClient {
  const transport = createConnectTransport({
    httpVersion: "1.1",
    baseUrl: baseUrlOf(address),
    nodeOptions: address.kind === "unix" ? { socketPath: address.path } : {},
  });
  return {
    engine: createClient(EngineService, transport),
    pipes: createClient(PipeService, transport),
    pools: createClient(PoolService, transport),
    replicas: createClient(ReplicaService, transport),
    devices: createClient(DeviceService, transport),
    snapshots: createClient(SnapshotService, transport),
  };
}
