// Tests of EngineEvents: what watchers get, in which order, and what is bounded.

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { EngineEvents, EVENTS_KEPT_MAX } from "./engine-event.ts";

function eventsOf(): { events: EngineEvents; add(code: string): void } {
  let nowMs = 0;
  const events = new EngineEvents(() => {
    nowMs += 1;
    return nowMs;
  });
  const add = (code: string): void =>
    events.add({ level: "info", code, pipe: "p", message: "happened" });
  return { events, add };
}

async function codesOf(events: EngineEvents, signal: AbortSignal): Promise<string[]> {
  const codes: string[] = [];
  for await (const { code } of events.watch(signal)) codes.push(code);
  return codes;
}

test("a watcher gets what is kept, then what happens, until the end", async () => {
  const { events, add } = eventsOf();
  add("one");
  const never = new AbortController().signal;
  const all = codesOf(events, never);
  const stopped = new AbortController();
  const some = codesOf(events, stopped.signal);
  await new Promise(setImmediate);
  add("two");
  await new Promise(setImmediate);
  stopped.abort();
  deepStrictEqual(await some, ["one", "two"]);
  add("three");
  events.close();
  deepStrictEqual(await all, ["one", "two", "three"]);
  deepStrictEqual(await codesOf(events, never), ["one", "two", "three"]);
  deepStrictEqual(
    events.kept.map(({ sequence, timeMs }) => [sequence, timeMs]),
    [
      [1, 1],
      [2, 2],
      [3, 3],
    ],
  );
});

test("a watcher that does not read loses the oldest, and the numbers tell", async () => {
  const { events, add } = eventsOf();
  const reader = events.watch(new AbortController().signal);
  add("first");
  strictEqual((await reader.next()).value?.sequence, 1);
  for (let count = 0; count < EVENTS_KEPT_MAX + 5; count += 1) add("many");
  strictEqual((await reader.next()).value?.sequence, 7);
  strictEqual(events.kept.length, EVENTS_KEPT_MAX);
  await reader.return(undefined);
});

test("there are so many watchers and no more, and places come free", async () => {
  const { events, add } = eventsOf();
  add("first");
  const never = new AbortController().signal;
  const readers = Array.from({ length: 64 }, () => events.watch(never));
  await Promise.all(readers.map((reader) => reader.next()));
  await rejects(events.watch(never).next(), { code: "too-many-watchers", retryable: true });
  await readers[0]?.return(undefined);
  strictEqual((await events.watch(never).next()).value?.code, "first");
});

test("an event's words are cut where nobody reads on", () => {
  const { events } = eventsOf();
  const long = "x".repeat(70_000);
  events.add({ level: "error", code: "c", pipe: "p", stage: long, message: long });
  events.add({ level: "info", code: "c", pipe: "p", message: "short" });
  deepStrictEqual(
    events.kept.map(({ stage, message }) => [stage.length, message.length]),
    [
      [1003, 1003],
      [0, 5],
    ],
  );
});
