// Tests of what gRPC's own programs ask a server for: reflection, used as grpcurl does to make a
// call from the descriptors alone, and health, watched over a stop.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  createFileRegistry,
  type DescMethodUnary,
  fromBinary,
  fromJson,
  type JsonValue,
  toJson,
} from "@bufbuild/protobuf";
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { create } from "@bufbuild/protobuf";
import { Code, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { parseEngineAddress } from "../api/engine-address.ts";
import {
  Health,
  HealthCheckResponse_ServingStatus as Status,
} from "../api/grpc/health/v1/health_pb.ts";
import {
  ServerReflection,
  type ServerReflectionResponse,
} from "../api/grpc/reflection/v1/reflection_pb.ts";
import { cleanUp } from "../testing/cleanup.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { Engine } from "./engine.ts";

async function startEngine(t: TestContext): Promise<{ engine: Engine; transport: Transport }> {
  const dataDir = makeTempDir(t);
  const socketPath = join(dataDir, "engine.sock");
  const bugs: string[] = [];
  const engine = await Engine.start({
    version: "0.0.0",
    dataDir,
    listen: [parseEngineAddress(`unix:${socketPath}`)],
    level: "portable",
    reactors: 1,
    placement: "together",
    makeUuid: randomUUID,
    onFatal: (stack) => bugs.push(stack),
    onBug: (stack) => bugs.push(stack),
  });
  cleanUp(t, async () => {
    await engine.close();
    deepStrictEqual(bugs, []);
  });
  const nodeOptions = { path: socketPath };
  return { engine, transport: createGrpcTransport({ baseUrl: "http://localhost", nodeOptions }) };
}

type Question = Parameters<typeof askAll>[1][number];

async function askAll(
  transport: Transport,
  questions: readonly {
    readonly case: "fileByFilename" | "fileContainingSymbol" | "listServices";
    readonly value: string;
  }[],
): Promise<ServerReflectionResponse["messageResponse"][]> {
  const client = createClient(ServerReflection, transport);
  const answers: ServerReflectionResponse["messageResponse"][] = [];
  async function* requests() {
    for (const messageRequest of questions) yield { host: "h", messageRequest };
  }
  for await (const answer of client.serverReflectionInfo(requests())) {
    strictEqual(answer.validHost, "h");
    answers.push(answer.messageResponse);
  }
  return answers;
}

function filesOf(
  answer: ServerReflectionResponse["messageResponse"] | undefined,
): FileDescriptorProto[] {
  ok(answer?.case === "fileDescriptorResponse", JSON.stringify(answer?.value));
  return answer.value.fileDescriptorProto.map((bytes) =>
    fromBinary(FileDescriptorProtoSchema, bytes),
  );
}

test("a call is made from what reflection tells alone", async (t) => {
  const { transport } = await startEngine(t);
  const [listed] = await askAll(transport, [{ case: "listServices", value: "" }]);
  ok(listed?.case === "listServicesResponse");
  const names = listed.value.service.map(({ name }) => name);
  for (const name of [
    "penstock.engine.v1.PipeService",
    "penstock.engine.v1.EngineService",
    "penstock.engine.v1.PoolService",
    "penstock.engine.v1.ReplicaService",
    "penstock.engine.v1.DeviceService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
  ]) {
    ok(names.includes(name), name);
  }
  for (const name of names) {
    const [answer] = await askAll(transport, [{ case: "fileContainingSymbol", value: name }]);
    const file = [...filesOf(answer)].reverse();
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file }));
    const service = registry.getService(name);
    ok(service !== undefined, name);
    ok(service.methods.length > 0, name);
  }
  const [answer] = await askAll(transport, [
    { case: "fileContainingSymbol", value: "penstock.engine.v1.EngineService.GetEngine" },
  ]);
  const file = [...filesOf(answer)].reverse();
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file }));
  const method = registry
    .getService("penstock.engine.v1.EngineService")
    ?.methods.find(({ name }) => name === "GetEngine");
  ok(method?.methodKind === "unary");
  const input = fromJson(method.input, {});
  const called = await transport.unary(method as DescMethodUnary, undefined, 5000, {}, input);
  const told = toJson(method.output, called.message, { registry }) as Record<string, JsonValue>;
  deepStrictEqual([told.processId, told.level], [process.pid, "portable"]);
});

test("files and symbols are found by name, and what is not there is said not to be", async (t) => {
  const { transport } = await startEngine(t);
  const engineFile = "penstock/engine/v1/engine.proto";
  const questions: readonly (readonly [Question, string])[] = [
    [{ case: "fileByFilename", value: engineFile }, engineFile],
    [
      { case: "fileByFilename", value: "google/protobuf/struct.proto" },
      "google/protobuf/struct.proto",
    ],
    [{ case: "fileContainingSymbol", value: "penstock.engine.v1.Pipe" }, engineFile],
    [{ case: "fileContainingSymbol", value: ".penstock.engine.v1.Pipe.name" }, engineFile],
    [{ case: "fileContainingSymbol", value: "penstock.engine.v1.PipeState" }, engineFile],
    [
      { case: "fileContainingSymbol", value: "google.protobuf.Struct" },
      "google/protobuf/struct.proto",
    ],
  ];
  const answers = await askAll(
    transport,
    questions.map(([question]) => question),
  );
  deepStrictEqual(
    answers.map((answer) => filesOf(answer)[0]?.name),
    questions.map(([, name]) => name),
  );
  const missing = await askAll(transport, [
    { case: "fileByFilename", value: "x.proto" },
    { case: "fileContainingSymbol", value: "penstock.engine.v1.Pip" },
  ]);
  for (const answer of missing) {
    ok(answer.case === "errorResponse");
    strictEqual(answer.value.errorCode, Code.NotFound);
  }
});

test("health is told as a whole and by service, and watchers see the stop", async (t) => {
  const { engine, transport } = await startEngine(t);
  const health = createClient(Health, transport);
  for (const service of ["", "penstock.engine.v1.PipeService"]) {
    strictEqual((await health.check({ service })).status, Status.SERVING, service);
  }
  await rejects(health.check({ service: "x" }), { code: Code.NotFound, message: /"x"/ });
  const seen: Status[] = [];
  const started = Promise.withResolvers<void>();
  const watched = (async (): Promise<void> => {
    for await (const { status } of health.watch({ service: "" })) {
      seen.push(status);
      started.resolve();
    }
  })();
  const unknown = health.watch({ service: "x" })[Symbol.asyncIterator]();
  strictEqual((await unknown.next()).value?.status, Status.SERVICE_UNKNOWN);
  await started.promise;
  await engine.close();
  await watched;
  deepStrictEqual(seen, [Status.SERVING, Status.NOT_SERVING]);
  strictEqual((await unknown.next()).done, true);
});

test("health is asked in JSON as well", async (t) => {
  const { engine } = await startEngine(t);
  const socketPath = parseEngineAddress(engine.listen[0] ?? "");
  ok(socketPath.kind === "unix");
  const transport = createConnectTransport({
    httpVersion: "1.1",
    baseUrl: "http://localhost",
    nodeOptions: { socketPath: socketPath.path },
  });
  strictEqual((await createClient(Health, transport).check({})).status, Status.SERVING);
});
