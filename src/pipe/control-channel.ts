/**
 * Calls between the main thread and a reactor's thread, over one port: requests with an id,
 * each answered once with a result or an error, and notes that nobody answers.
 *
 * State: the calls under way; owned by the thread that made the channel. Control only: requests
 * of the data path go through shared memory.
 */

import { PenstockError } from "../util/errors.ts";
import { packError, type TransferredError, unpackError } from "./error-transfer.ts";

/** Methods by name; parameters and results are plain values that structured clone carries. */
export type MethodTable<M> = {
  [K in keyof M]: (params: never) => Promise<unknown>;
};

type Params<F> = F extends (params: infer P) => unknown ? P : never;
type Result<F> = F extends (params: never) => Promise<infer R> ? R : never;

type Message =
  | {
      readonly kind: "call";
      readonly id: number;
      readonly method: string;
      readonly params: unknown;
    }
  | { readonly kind: "result"; readonly id: number; readonly result: unknown }
  | { readonly kind: "error"; readonly id: number; readonly error: TransferredError }
  | { readonly kind: "note"; readonly note: unknown };

interface PendingCall {
  resolve(result: unknown): void;
  reject(error: PenstockError): void;
}

/** Both ends of a worker's port look alike. */
interface Port {
  postMessage(message: Message): void;
  on(event: "message", listener: (message: Message) => void): unknown;
}

export interface ChannelHandlers<Local, NoteIn> {
  /** What the other side may call here. */
  readonly methods: Local;
  readonly onNote: (note: NoteIn) => void;
}

export class ControlChannel<
  Remote extends MethodTable<Remote>,
  Local extends MethodTable<Local>,
  NoteIn,
  NoteOut,
> {
  readonly #port: Port;
  readonly #handlers: ChannelHandlers<Local, NoteIn>;
  readonly #pending = new Map<number, PendingCall>();
  #lastId = 0;
  #closedBy: PenstockError | null = null;

  constructor(port: Port, handlers: ChannelHandlers<Local, NoteIn>) {
    this.#port = port;
    this.#handlers = handlers;
    port.on("message", (message) => this.#received(message));
  }

  call<K extends keyof Remote & string>(
    method: K,
    params: Params<Remote[K]>,
  ): Promise<Result<Remote[K]>> {
    return new Promise((resolve, reject) => {
      if (this.#closedBy !== null) {
        reject(this.#closedBy);
        return;
      }
      this.#lastId += 1;
      const id = this.#lastId;
      this.#pending.set(id, {
        resolve: (result) => resolve(result as Result<Remote[K]>),
        reject,
      });
      this.#send({ kind: "call", id, method, params });
    });
  }

  note(note: NoteOut): void {
    if (this.#closedBy === null) this.#send({ kind: "note", note });
  }

  /** The other side is gone: calls under way, and later ones, end with `error`. */
  end(error: PenstockError): void {
    this.#closedBy ??= error;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const call of pending) call.reject(error);
  }

  #send(message: Message): void {
    this.#port.postMessage(message);
  }

  #received(message: Message): void {
    switch (message.kind) {
      case "call":
        void this.#answer(message.id, message.method, message.params);
        return;
      case "result":
        this.#take(message.id)?.resolve(message.result);
        return;
      case "error":
        this.#take(message.id)?.reject(unpackError(message.error));
        return;
      case "note":
        this.#handlers.onNote(message.note as NoteIn);
        return;
    }
  }

  #take(id: number): PendingCall | undefined {
    const call = this.#pending.get(id);
    this.#pending.delete(id);
    return call;
  }

  async #answer(id: number, method: string, params: unknown): Promise<void> {
    try {
      const { methods } = this.#handlers;
      if (!Object.hasOwn(methods, method)) {
        throw new PenstockError({ code: "internal", message: `no method "${method}"` });
      }
      const result = await methods[method as keyof Local](params as never);
      this.#send({ kind: "result", id, result });
    } catch (thrown) {
      this.#send({ kind: "error", id, error: packError(thrown) });
    }
  }
}
