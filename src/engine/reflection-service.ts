/**
 * gRPC server reflection: programs such as grpcurl learn the services and messages of an engine
 * from itself. Stateless; what is known is collected once.
 *
 * spec: gRPC doc/server-reflection.md
 */

import { create, type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from "../api/grpc/reflection/v1/reflection_pb.ts";

type Answer = ServerReflectionResponse["messageResponse"];

/** Adds the reflection of `services` and of itself. */
export function addReflection(router: ConnectRouter, services: readonly DescService[]): void {
  const catalogue = new SymbolCatalogue([...services, ServerReflection]);
  router.service(ServerReflection, {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        yield create(ServerReflectionResponseSchema, {
          validHost: request.host,
          originalRequest: request,
          messageResponse: answerTo(request, catalogue),
        });
      }
    },
  });
}

function answerTo({ messageRequest }: ServerReflectionRequest, catalogue: SymbolCatalogue): Answer {
  switch (messageRequest.case) {
    case "fileByFilename":
      return fileAnswer(catalogue.fileNamed(messageRequest.value), messageRequest.value);
    case "fileContainingSymbol":
      return fileAnswer(catalogue.fileOf(messageRequest.value), messageRequest.value);
    case "listServices":
      return {
        case: "listServicesResponse",
        value: {
          $typeName: "grpc.reflection.v1.ListServiceResponse",
          service: catalogue.services.map(({ typeName: name }) => ({
            $typeName: "grpc.reflection.v1.ServiceResponse",
            name,
          })),
        },
      };
    case "allExtensionNumbersOfType": {
      const { value } = messageRequest;
      if (catalogue.fileOf(value) === undefined) return notFound(value);
      return {
        case: "allExtensionNumbersResponse",
        value: {
          $typeName: "grpc.reflection.v1.ExtensionNumberResponse",
          baseTypeName: value,
          extensionNumber: [],
        },
      };
    }
    case "fileContainingExtension":
      return notFound(`an extension of ${messageRequest.value.containingType}`);
    case undefined:
      return errorAnswer(Code.InvalidArgument, "message_request: found nothing");
  }
}

function fileAnswer(file: DescFile | undefined, asked: string): Answer {
  if (file === undefined) return notFound(asked);
  const fileDescriptorProto = withImports(file).map(({ proto }) =>
    toBinary(FileDescriptorProtoSchema, proto),
  );
  const value = { $typeName: "grpc.reflection.v1.FileDescriptorResponse", fileDescriptorProto };
  return { case: "fileDescriptorResponse", value } as Answer;
}

function notFound(what: string): Answer {
  return errorAnswer(Code.NotFound, `there is no ${what}`);
}

function errorAnswer(errorCode: Code, errorMessage: string): Answer {
  const $typeName = "grpc.reflection.v1.ErrorResponse";
  return { case: "errorResponse", value: { $typeName, errorCode, errorMessage } };
}

/** The file first, each once and before what it needs. */
function withImports(file: DescFile): DescFile[] {
  const seen = new Set<DescFile>();
  const needsFirst: DescFile[] = [];
  const add = (each: DescFile): void => {
    if (seen.has(each)) return;
    seen.add(each);
    each.dependencies.forEach(add);
    needsFirst.push(each);
  };
  add(file);
  return needsFirst.reverse();
}

class SymbolCatalogue {
  readonly services: readonly DescService[];
  readonly #fileByName = new Map<string, DescFile>();
  readonly #fileBySymbol = new Map<string, DescFile>();

  constructor(services: readonly DescService[]) {
    this.services = services;
    for (const file of services.flatMap((service) => withImports(service.file))) {
      // As it is imported: with its ending.
      this.#fileByName.set(file.proto.name, file);
      for (const type of nestedTypes(file)) {
        this.#fileBySymbol.set(type.typeName, file);
        for (const member of membersOf(type)) {
          this.#fileBySymbol.set(`${type.typeName}.${member}`, file);
        }
      }
    }
  }

  fileNamed(name: string): DescFile | undefined {
    return this.#fileByName.get(name);
  }

  fileOf(symbol: string): DescFile | undefined {
    return this.#fileBySymbol.get(symbol.replace(/^\./, ""));
  }
}

type NestedType = ReturnType<typeof nestedTypes> extends Iterable<infer T> ? T : never;

function membersOf(type: NestedType): string[] {
  if (type.kind === "service") return type.methods.map(({ name }) => name);
  if (type.kind === "message") return type.fields.map(({ name }) => name);
  return type.kind === "enum" ? type.values.map(({ name }) => name) : [];
}
